//! Grades from the log to day files: each key once, gone with its trace, and found by run.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use model::{Grade, ProjectId, SpanId, Time, TraceId};

use super::world::{NOW, World, grade, span};
use crate::GradeFilter;
use crate::lake::{Level, Partition, Table};
use crate::ledger::Share;

fn of_run(run: &str) -> GradeFilter {
    GradeFilter {
        run_id: Some(run.to_owned()),
        ..GradeFilter::default()
    }
}

/// Returns how many hides of grades there are.
fn hides(world: &World) -> usize {
    let catalog = world.store().engine().catalog.current();
    let hides = catalog.hides().iter();
    hides
        .filter(|(hide, _)| hide.key.table == Table::Grades)
        .count()
}

#[tokio::test]
async fn d1_d2_grades_are_readable_at_each_stage_of_their_life() {
    let mut world = World::new().await;
    world.grade("run_1", "t", &["a", "b"]).await.unwrap();
    world.check("in memory");
    world.grade("run_1", "t", &["a"]).await.unwrap();
    world.check("replaced in memory");
    world.store().flush().await.unwrap();
    world.check("flushed");
    assert_eq!(hides(&world), 0, "nothing in files was replaced");
    world.grade("run_1", "t", &["a"]).await.unwrap();
    world.grade("run_2", "t", &["a"]).await.unwrap();
    world.check("replaced in Parquet by memory");
    world.restart().await;
    world.check("after a restart");
    world.store().flush().await.unwrap();
    world.check("replaced in Parquet");
    assert_eq!(hides(&world), 1, "one was replaced, the rest is new");
    for n in 0..8 {
        world
            .grade("run_3", &format!("t{n}"), &["a", "b"])
            .await
            .unwrap();
        world.store().flush().await.unwrap();
    }
    assert_eq!(hides(&world), 1, "the same graders, other items");
    assert!(world.store().compact().await.unwrap() > 0);
    world.check("merged");
    assert_eq!(
        hides(&world),
        0,
        "a merge takes the replaced row out, and its hide"
    );
    world.restart().await;
    world.check("merged, after a restart");
    assert_eq!(world.grades("run 1", &of_run("run_1")).len(), 2);
    assert_eq!(world.grades("run 3", &of_run("run_3")).len(), 16);
    world.kill().await;
}

#[tokio::test]
async fn a_grade_neither_makes_a_trace_nor_touches_one() {
    let mut world = World::new().await;
    world.send(&[span("t", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    let before = world.store().stats();
    let row = |world: &World| {
        let snapshot = world.store().snapshot(&world.project);
        let id = TraceId::new("t").unwrap();
        snapshot.trace(&id).unwrap()
    };
    let trace = row(&world);
    world.clock.advance_micros(1_000_000);
    world.grade("run", "t", &["a"]).await.unwrap();
    world.grade("run", "never sent", &["a"]).await.unwrap();
    assert_eq!(world.store().stats().live_traces, before.live_traces);
    world.store().flush().await.unwrap();
    assert_eq!(row(&world), trace);
    let files = |table| {
        let stats = world.store().stats();
        let of = stats.files.iter().filter(|file| file.0 == table);
        of.map(|file| file.2).sum::<usize>()
    };
    assert_eq!((files(Table::Traces), files(Table::Spans)), (1, 1));
    assert_eq!(files(Table::Grades), 1);
    world.kill().await;
}

#[tokio::test]
async fn d6_grades_go_with_their_trace_wherever_they_are() {
    let mut world = World::new().await;
    let secret = "trace_6b1f0c9e2d7a4853secretsecret";
    for trace in [secret, "kept"] {
        world.send(&[span(trace, "a")]).await.unwrap();
        world.grade("run", trace, &["a"]).await.unwrap();
    }
    world.store().flush().await.unwrap();
    world.grade("run", secret, &["b"]).await.unwrap();
    world.grade("run", "memory", &["a"]).await.unwrap();
    world.grade("run", "kept", &["b"]).await.unwrap();
    assert!(!super::delete::on_disk(&world, secret).is_empty());
    let late = world.grades("before", &GradeFilter::default());
    world.delete(secret).await;
    world.delete("memory").await;
    world.check("deleted");
    // A worker that read the trace before may have its grade ready only now.
    let late: Vec<Grade> = late
        .into_values()
        .filter(|grade| grade.item_id == secret)
        .collect();
    assert_eq!(late.len(), 2);
    let sent = world.store().append_grades(&world.project, late).await;
    sent.unwrap();
    world.check("graded after the deletion");
    world.restart().await;
    world.check("deleted, after a restart");
    world.store().erase().await.unwrap();
    assert_eq!(super::delete::on_disk(&world, secret), Vec::<String>::new());
    assert_eq!(
        super::delete::on_disk(&world, "memory"),
        Vec::<String>::new()
    );
    world.check("erased");
    assert_eq!(world.grades("at the end", &of_run("run")).len(), 2);
    world.kill().await;
}

#[tokio::test]
async fn a_case_without_a_trace_is_graded_too_and_goes_with_its_project() {
    let world = World::new().await;
    let mut case = grade("run", "case_1", "a", "yes");
    case.trace_id = None;
    let sent = world
        .store()
        .append_grades(&world.project, vec![case.clone()]);
    sent.await.unwrap();
    let other = ProjectId::new("other").unwrap();
    let sent = world.store().append_grades(&other, vec![case.clone()]);
    sent.await.unwrap();
    world.store().flush().await.unwrap();
    let found = |world: &World| world.grades("cases", &GradeFilter::default());
    let found_one = found(&world).into_values().next().unwrap();
    assert_eq!(
        (found_one.trace_id, found_one.item_id),
        (None, "case_1".to_owned())
    );

    let mut bad = case;
    bad.item_id = "x".repeat(1_000);
    let refused = world.store().append_grades(&world.project, vec![bad]).await;
    assert!(
        matches!(refused, Err(crate::AppendError::Item(_))),
        "{refused:?}"
    );

    let deleted = world.store().delete_project_rows(&world.project);
    deleted.await.unwrap();
    assert!(found(&world).is_empty());
    let snapshot = world.store().snapshot(&other);
    let mut count = 0;
    let counted = snapshot.for_each_grade(&GradeFilter::default(), &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    counted.unwrap();
    assert_eq!(count, 1, "the other project's is its own");
}

#[tokio::test]
async fn filters_agree_with_a_scan_of_everything_and_a_break_ends_it() {
    let mut world = World::new().await;
    for round in 0..9 {
        for n in 0..5 {
            let trace = format!("t{n}");
            let graders: &[&str] = if round % 2 == 0 { &["a", "b"] } else { &["c"] };
            world
                .grade(&format!("run_{}", round % 3), &trace, graders)
                .await
                .unwrap();
        }
        if round < 8 {
            world.store().flush().await.unwrap();
        }
        if round == 5 {
            world.store().compact().await.unwrap();
        }
    }
    let all = world.grades("all", &GradeFilter::default());
    for (run, trace, grader) in [
        (Some("run_1"), None, None),
        (None, Some(&["t3"][..]), None),
        (None, Some(&["t1", "t4", "never sent"][..]), None),
        (None, None, Some("b")),
        (Some("run_2"), Some(&["t0"][..]), Some("c")),
        (Some("run_0"), Some(&["t0", "t2"][..]), None),
        (None, Some(&[][..]), None),
        (Some("no such run"), None, None),
    ] {
        let filter = GradeFilter {
            run_id: run.map(str::to_owned),
            trace_ids: trace.map(|ids| ids.iter().map(|id| TraceId::new(id).unwrap()).collect()),
            grader_id: grader.map(str::to_owned),
            ..GradeFilter::default()
        };
        let found: BTreeSet<_> = world.grades("some", &filter).into_keys().collect();
        let is_meant = |grade: &Grade| {
            run.is_none_or(|run| grade.run_id == run)
                && trace.is_none_or(|ids| ids.contains(&grade.item_id.as_str()))
                && grader.is_none_or(|grader| grade.grader_id == grader)
        };
        let meant = all.iter().filter(|(_, grade)| is_meant(grade));
        let meant: BTreeSet<_> = meant.map(|(key, _)| key.clone()).collect();
        assert_eq!(found, meant, "{filter:?}");
        assert!(
            run == Some("no such run") || trace.is_some_and(<[_]>::is_empty) || !found.is_empty(),
            "{filter:?}"
        );
    }
    let mut count = 0;
    let snapshot = world.store().snapshot(&world.project);
    let counted = snapshot.for_each_grade(&GradeFilter::default(), &mut |grade| {
        assert_eq!(grade.verdict.reasoning, None, "no texts were asked for");
        count += 1;
        match count {
            7 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    counted.unwrap();
    assert_eq!(count, 7);
    drop(snapshot);
    world.kill().await;
}

/// Grades by ten graders of so many traces, from memory and from a file, and how long it takes to find those of a
/// hundred traces: by going through all (what pages cannot hold a trace left out), one trace at a time, and all
/// in one walk.
///
/// `cargo nextest run --workspace --lib --run-ignored only --no-capture times_of_lookups`
#[tokio::test]
#[ignore = "a measurement, for a quiet machine"]
async fn times_of_lookups() {
    const TRACES: usize = 3_800;
    let mut world = World::new().await;
    let id = |n: usize| blake3::hash(&n.to_le_bytes()).to_hex()[..32].to_owned();
    for n in (0..TRACES).step_by(100) {
        let graders = (0..10).map(|g| format!("g{g}"));
        let of_grader = |g: String| {
            let of_trace = move |n: usize| grade("run", &id(n), &g, &"why ".repeat(50));
            (n..n + 100).map(of_trace)
        };
        let grades = graders.flat_map(of_grader).collect();
        let appended = world.store().append_grades(&world.project, grades);
        appended.await.unwrap();
    }
    for place in ["memory", "a file"] {
        if place == "a file" {
            world.store().flush().await.unwrap();
        }
        let snapshot = world.store().snapshot(&world.project);
        let wanted: BTreeSet<TraceId> = (0..100)
            .map(|n| TraceId::new(&id(n * 38)).unwrap())
            .collect();
        let timed = |what: &str, found: &mut dyn FnMut() -> usize| {
            let began = std::time::Instant::now();
            assert_eq!(found(), 1_000, "{what}");
            println!("{what}, {place}: {:?}", began.elapsed());
        };
        let count = |filter: &GradeFilter| {
            let mut count = 0;
            let counted = snapshot.for_each_grade(filter, &mut |_| {
                count += 1;
                ControlFlow::Continue(())
            });
            counted.unwrap();
            count
        };
        timed("going through all", &mut || {
            let of = |id: &TraceId| {
                let in_memory = snapshot.memory_grades().into_iter();
                let mut found = in_memory.filter(|row| row.trace_id == *id).count();
                let columns = crate::lake::Columns::narrow(Table::Grades);
                let holding = [("trace_id", id.as_str())];
                let stored = snapshot.stored_grades(None, &holding, &columns, &mut |row| {
                    found += usize::from(row.trace_id == *id);
                    ControlFlow::Continue(())
                });
                stored.unwrap();
                found
            };
            wanted.iter().map(of).sum()
        });
        timed("one by one", &mut || {
            let of = |id: &TraceId| count(&GradeFilter::of_trace(id.clone()));
            wanted.iter().map(of).sum()
        });
        timed("in one walk", &mut || {
            count(&GradeFilter {
                trace_ids: Some(wanted.clone()),
                ..GradeFilter::default()
            })
        });
    }
    world.kill().await;
}

#[tokio::test]
async fn grades_of_many_days_are_merged_into_days_at_once() {
    let world = World::new().await;
    for round in 0..8 {
        let of_day = |day: i64| {
            let mut grade = grade("run", &format!("t{day}"), &format!("g{round}"), "yes");
            grade.trace_started_at = NOW.plus_micros(-day * 86_400_000_000);
            grade
        };
        // One says that its trace starts in a year to come.
        let mut grades: Vec<_> = (0..3).map(of_day).collect();
        grades.push(Grade {
            trace_started_at: Time::from_micros(NOW.as_micros() * 2),
            ..grade("run", "skewed", &format!("g{round}"), "yes")
        });
        world
            .store()
            .append_grades(&world.project, grades)
            .await
            .unwrap();
        world.store().flush().await.unwrap();
    }
    world.store().compact().await.unwrap();
    let catalog = world.store().engine().catalog.current();
    let places: BTreeSet<_> = catalog
        .files(Table::Grades)
        .iter()
        .map(|file| (file.level, file.partition))
        .collect();
    let day = NOW.day();
    let days = (0..3).map(|n| (Level::Hour, Partition::Day(day - n)));
    let want: BTreeSet<_> = days.chain([(Level::Day, Partition::Skewed)]).collect();
    assert_eq!(places, want);
    assert_eq!(world.grades("merged", &of_run("run")).len(), 32);
}

#[tokio::test]
async fn what_is_in_memory_is_counted_and_a_full_share_refuses() {
    let mut world = World::with(|config| config.memory_bytes_max = 64 << 20).await;
    world.grade("run", "t", &["a"]).await.unwrap();
    let used = |world: &World| world.store().ledger().used(Share::LiveRows);
    assert!(used(&world) > 500);
    world.store().flush().await.unwrap();
    assert_eq!(used(&world), 0);
    let mut refused = None;
    for n in 0..1_000 {
        let mut large = grade("run", &format!("t{n}"), "a", &"x".repeat(1 << 20));
        large.span_id = Some(SpanId::new("s").unwrap());
        let sent = world
            .store()
            .append_grades(&world.project, vec![large])
            .await;
        if let Err(error) = sent {
            refused = Some((n, error));
            break;
        }
    }
    let (taken, error) = refused.expect("memory is bounded");
    assert!(matches!(error, crate::AppendError::Refused(_)), "{error:?}");
    let read = world.grades("full", &GradeFilter::default());
    assert_eq!(
        read.len(),
        taken + 1,
        "what was acknowledged is there, the rest is not"
    );
    world.store().flush().await.unwrap();
    world.grade("run", "later", &["a"]).await.unwrap();
    world.kill().await;
}

#[tokio::test]
async fn d5_a_lost_catalog_costs_no_grade_and_doubles_none() {
    let mut world = World::new().await;
    for round in 0..4 {
        world.grade("run", "t", &["a", "b"]).await.unwrap();
        world
            .grade("run", &format!("t{round}"), &["a"])
            .await
            .unwrap();
        world.store().flush().await.unwrap();
    }
    world.grade("run", "t", &["a"]).await.unwrap();
    world.delete("t1").await;
    world.lose_catalog("the log has all grades").await;
    world.check("the log has all grades");
    world.store().erase().await.unwrap();
    for _ in 0..2 {
        world.grade("run", "t", &["a", "b"]).await.unwrap();
        world.store().flush().await.unwrap();
    }
    // To delete is to cut the log; files of other projects, with the grades that were replaced in them, are
    // not written anew.
    let elsewhere = ProjectId::new("elsewhere").unwrap();
    let never_there = vec![TraceId::new("never there").unwrap()];
    let deleted = world.store().delete_traces(&elsewhere, never_there).await;
    deleted.unwrap();
    world.store().erase().await.unwrap();
    let rebuilt = world.lose_catalog("the log is cut").await;
    assert!(rebuilt.hides >= 2, "{rebuilt:?}");
    world.check("the log is cut");
    for n in 0..8 {
        world.grade("run", &format!("u{n}"), &["a"]).await.unwrap();
        world.store().flush().await.unwrap();
    }
    world.store().compact().await.unwrap();
    world.lose_catalog("merged grades").await;
    world.check("the catalog is lost after a merge");
    let checkup = world.store().doctor(true).await.unwrap();
    let faults: Vec<_> = checkup
        .checks
        .iter()
        .flat_map(|check| &check.faults)
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
    world.kill().await;
}

#[tokio::test]
async fn a_run_is_deleted_wherever_its_grades_are_and_others_stay() {
    let mut world = World::new().await;
    for trace in ["t", "u"] {
        world.send(&[span(trace, "a")]).await.unwrap();
        world.grade("gone", trace, &["a", "b"]).await.unwrap();
        world.grade("kept", trace, &["a"]).await.unwrap();
    }
    world.store().flush().await.unwrap();
    let secret = "reasoning_5f1c0d77";
    let late = grade("gone", "v", "a", secret);
    let sent = world
        .store()
        .append_grades(&world.project, vec![late.clone()]);
    sent.await.unwrap();
    world.grade("kept", "v", &["a"]).await.unwrap();
    let deleted = world.store().delete_grades_of_run(&world.project, "gone");
    deleted.await.unwrap();
    world.forget_run("gone");
    let check = |world: &World, what: &str| {
        world.check(what);
        assert_eq!(world.grades(what, &of_run("gone")).len(), 0, "{what}");
        assert_eq!(world.grades(what, &of_run("kept")).len(), 3, "{what}");
    };
    check(&world, "deleted");
    let sent = world.store().append_grades(&world.project, vec![late]);
    sent.await.unwrap();
    check(&world, "graded after the deletion");
    world.restart().await;
    check(&world, "deleted, after a restart");
    world.lose_catalog("a run was deleted").await;
    check(&world, "deleted, without the catalog");
    world.store().erase().await.unwrap();
    check(&world, "erased");
    assert_eq!(super::delete::on_disk(&world, secret), Vec::<String>::new());
    assert_eq!(hides(&world), 0, "the files are written anew");
    world.kill().await;
}
