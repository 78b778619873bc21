//! Watches with their decisions; annotations and judges' answers; and how all of it goes with its trace.

use model::{NanoUsd, ProjectId, SpanId, TraceId};

use super::grading_tests::{Bench, ended, item, page, trace};
use super::*;

const DAY: i64 = 86_400_000_000;

impl Bench {
    async fn watch(&self, name: &str) -> Watch {
        self.clock.advance_micros(1);
        let new = NewWatch {
            name: name.to_owned(),
            filter: "{}".to_owned(),
            sampling_rate: 0.25,
            cap_per_day: Some(NanoUsd(9)),
            cursor: Some("c0".to_owned()),
        };
        let made = self.meta.create_watch("ada", &new, &self.new_run()).await;
        made.unwrap()
    }

    async fn run_of_watch(&self, watch: &Watch) -> GradingRun {
        let run = self.meta.grading_run(&self.project, &watch.run_id).await;
        run.unwrap()
    }

    fn decided(&self, n: usize, word: &str) -> Decision {
        Decision {
            trace_id: trace(n),
            at: self.clock.now(),
            decision: word.to_owned(),
            why: None,
        }
    }

    async fn counts(&self, watch: &Watch) -> Vec<(String, i64)> {
        let counts = self.meta.decision_counts(&watch.id, Time::from_micros(0));
        let counts = counts.await.unwrap();
        counts.into_iter().collect()
    }

    async fn decisions(&self, watch: &Watch, filter: DecisionFilter, asked: PageAsked) -> String {
        let page = self
            .meta
            .decisions(&self.project, &watch.id, &filter, &asked)
            .await
            .unwrap();
        let one = |one: &Decision| {
            let number = one.trace_id.as_str().trim_start_matches("trace_");
            format!("{}:{}", number.parse::<u64>().unwrap(), one.decision)
        };
        let words: Vec<_> = page.entries.iter().map(one).collect();
        format!(
            "{}{}",
            words.join(" "),
            if page.has_more { " …" } else { "" }
        )
    }

    async fn annotate(&self, new: &[NewAnnotation]) -> Vec<Annotation> {
        self.clock.advance_micros(1);
        let kept = self.meta.add_annotations("ada", &self.project, new);
        kept.await.unwrap()
    }

    async fn found(&self, filter: AnnotationFilter) -> Vec<String> {
        let asked = page(None, 100, false);
        let found = self.meta.annotations(&self.project, &filter, &asked);
        let found = found.await.unwrap().entries;
        found.into_iter().filter_map(|one| one.note).collect()
    }
}

fn note(n: usize, words: &str) -> NewAnnotation {
    NewAnnotation {
        trace_id: trace(n),
        span_id: None,
        grader_id: None,
        rating: Some(Rating::Bad),
        label: None,
        note: Some(words.to_owned()),
        author: "ada".to_owned(),
        source: "human".to_owned(),
        created_at: None,
        asked: None,
    }
}

fn words(counts: &[(&str, i64)]) -> Vec<(String, i64)> {
    let owned = |(word, count): &(&str, i64)| ((*word).to_owned(), *count);
    counts.iter().map(owned).collect()
}

#[tokio::test]
async fn a_watch_feeds_a_run_that_is_never_completed() {
    use GradingStatus::{Canceled, Completed, InProgress, Paused, Queued};
    let bench = Bench::new().await;
    let (meta, project) = (&bench.meta, &bench.project);
    let watch = bench.watch("live").await;
    assert_eq!((watch.is_on, watch.cursor.as_deref()), (true, Some("c0")));
    let run = bench.run_of_watch(&watch).await;
    assert_eq!(
        (run.status, run.watch_id.as_deref()),
        (Queued, Some(&*watch.id))
    );
    assert!(bench.set(&run, InProgress).await);
    let both = [item(1), item(2)];
    assert_eq!(meta.add_grading_items(&run.id, &both).await.unwrap(), 2);
    bench.lease(&run, "w", 2).await;
    let done = [ended(0, ItemEnd::Scored, 1), ended(1, ItemEnd::Scored, 1)];
    assert_eq!(bench.finish(&run, "w", &done).await.waiting, 0);
    assert!(!bench.set(&run, Completed).await, "more will come");

    let off = WatchChange {
        is_on: Some(false),
        ..WatchChange::default()
    };
    let changed = meta
        .update_watch("ada", project, &watch.id, &off)
        .await
        .unwrap();
    assert_eq!((changed.is_on, &*changed.name), (false, "live"));
    let paused = bench.run_of_watch(&watch).await;
    assert_eq!(
        (paused.status, paused.reason.as_deref()),
        (Paused, Some("its watch is off"))
    );
    assert_eq!(meta.watches_on().await.unwrap(), []);
    assert_eq!(
        meta.add_grading_items(&run.id, &[item(3)]).await.unwrap(),
        1
    );
    let on = WatchChange {
        is_on: Some(true),
        name: Some("prod".to_owned()),
        sampling_rate: Some(1.0),
        cap_per_day: Some(None),
        ..WatchChange::default()
    };
    let changed = meta
        .update_watch("ada", project, &watch.id, &on)
        .await
        .unwrap();
    assert_eq!((&*changed.name, changed.cap_per_day), ("prod", None));
    assert_eq!(changed.sampling_rate.to_bits(), 1.0_f64.to_bits());
    assert_eq!(bench.run_of_watch(&watch).await.status, Queued);
    assert_eq!(meta.watches_on().await.unwrap(), [changed]);

    meta.delete_watch("ada", project, &watch.id).await.unwrap();
    let left = bench.run_of_watch(&watch).await;
    assert_eq!((left.status, left.items, left.done), (Canceled, 3, 2));
    assert_eq!(
        meta.add_grading_items(&run.id, &[item(4)]).await.unwrap(),
        0
    );
    meta.watch(project, &watch.id).await.unwrap_err();
    let again = bench.watch("again").await;
    meta.delete_grading_run("ada", project, &again.run_id)
        .await
        .unwrap();
    meta.watch(project, &again.id).await.unwrap_err();
    assert_eq!(meta.verify().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn of_each_trace_the_latest_decision_counts() {
    let bench = Bench::new().await;
    let meta = &bench.meta;
    let watch = bench.watch("live").await;
    let first = [
        bench.decided(1, "sampled_out"),
        bench.decided(2, "queued"),
        bench.decided(3, "queued"),
        bench.decided(3, "no_content"),
    ];
    meta.note_decisions(&watch.id, &first, Some("c1"))
        .await
        .unwrap();
    let want = words(&[("no_content", 1), ("queued", 1), ("sampled_out", 1)]);
    assert_eq!(bench.counts(&watch).await, want);
    meta.note_decisions(&watch.id, &first, None).await.unwrap();
    assert_eq!(bench.counts(&watch).await, want, "told twice");
    let seen = meta.watch(&bench.project, &watch.id).await.unwrap();
    assert_eq!(seen.cursor.as_deref(), Some("c1"));

    bench.clock.advance_micros(DAY);
    let second = [bench.decided(2, "graded"), bench.decided(4, "graded")];
    meta.note_decisions(&watch.id, &second, None).await.unwrap();
    let want = words(&[("graded", 2), ("no_content", 1), ("sampled_out", 1)]);
    assert_eq!(bench.counts(&watch).await, want);
    let today = meta.decision_counts(&watch.id, bench.clock.now()).await;
    assert_eq!(
        today.unwrap().into_iter().collect::<Vec<_>>(),
        words(&[("graded", 2)])
    );

    let all = DecisionFilter::default;
    let newest = bench.decisions(&watch, all(), page(None, 3, true)).await;
    assert_eq!(newest, "4:graded 2:graded 3:no_content …");
    let place = page(Some(trace(3).as_str()), 3, true);
    assert_eq!(bench.decisions(&watch, all(), place).await, "1:sampled_out");
    let graded = DecisionFilter {
        decision: Some("graded".to_owned()),
        ..all()
    };
    let found = bench.decisions(&watch, graded, page(None, 9, false)).await;
    assert_eq!(found, "2:graded 4:graded");
    let of_one = DecisionFilter {
        trace_id: Some(trace(3)),
        ..all()
    };
    let found = bench.decisions(&watch, of_one, page(None, 9, false)).await;
    assert_eq!(found, "3:no_content");

    assert_eq!(meta.forget_decisions(bench.clock.now()).await.unwrap(), 2);
    assert_eq!(bench.counts(&watch).await, want, "the counts stay");
    let left = bench.decisions(&watch, all(), page(None, 9, false)).await;
    assert_eq!(left, "2:graded 4:graded");
    let other = bench.watch("other").await;
    assert_eq!(bench.counts(&other).await, []);
    meta.note_decisions("watch_x", &second, None).await.unwrap();
}

#[tokio::test]
async fn annotations_are_found_by_what_they_are_about() {
    let bench = Bench::new().await;
    let span_id = SpanId::new("span_1").unwrap();
    let label = NewAnnotation {
        span_id: Some(span_id.clone()),
        grader_id: Some("grader_1".to_owned()),
        rating: None,
        label: Some("pass".to_owned()),
        author: "eve".to_owned(),
        source: "import".to_owned(),
        created_at: Some(Time::from_micros(3)),
        asked: Some(AskedBy {
            queue: "grun_1.doubt.0".to_owned(),
            chance: 0.125,
        }),
        ..note(2, "c")
    };
    let kept = bench
        .annotate(&[note(1, "a"), note(2, "b"), label.clone()])
        .await;
    let again = bench.meta.annotation(&bench.project, &kept[2].id).await;
    let again = again.unwrap();
    assert_eq!((&again.asked, &again), (&label.asked, &kept[2]));
    let all = AnnotationFilter::default;
    assert_eq!(bench.found(all()).await.len(), 3);
    assert_eq!(bench.found(all()).await[0], "c", "in the order of time");
    let by = [
        (
            AnnotationFilter {
                trace_id: Some(trace(2)),
                ..all()
            },
            vec!["c", "b"],
        ),
        (
            AnnotationFilter {
                span_id: Some(span_id),
                ..all()
            },
            vec!["c"],
        ),
        (
            AnnotationFilter {
                grader_id: label.grader_id,
                ..all()
            },
            vec!["c"],
        ),
        (
            AnnotationFilter {
                label: label.label,
                ..all()
            },
            vec!["c"],
        ),
        (
            AnnotationFilter {
                author: Some("eve".to_owned()),
                ..all()
            },
            vec!["c"],
        ),
    ];
    for (filter, want) in by {
        let mut found = bench.found(filter.clone()).await;
        found.sort_by(|a, b| b.cmp(a));
        assert_eq!(found, want, "{filter:?}");
    }
    let neither = AnnotationFilter {
        trace_id: Some(trace(1)),
        author: Some("eve".to_owned()),
        ..all()
    };
    assert_eq!(bench.found(neither).await, Vec::<String>::new());
}

#[tokio::test]
async fn annotations_are_kept_listed_and_deleted() {
    let bench = Bench::new().await;
    let (meta, project) = (&bench.meta, &bench.project);
    let kept = bench
        .annotate(&[note(1, "a"), note(2, "b"), note(2, "c")])
        .await;
    assert_eq!(kept.len(), 3);
    assert_eq!(
        (kept[0].rating, &*kept[0].source),
        (Some(Rating::Bad), "human")
    );
    assert_eq!(kept[0].created_at, bench.clock.now());
    assert_eq!(
        meta.annotation(project, &kept[2].id).await.unwrap(),
        kept[2]
    );
    let all = AnnotationFilter::default;
    let first = meta
        .annotations(project, &all(), &page(None, 1, false))
        .await
        .unwrap();
    assert!(first.has_more);
    let place = page(Some(&first.entries[0].id), 5, false);
    let rest = meta.annotations(project, &all(), &place).await.unwrap();
    assert_eq!((rest.entries.len(), rest.has_more), (2, false));

    meta.delete_annotation("ada", project, &kept[0].id)
        .await
        .unwrap();
    let gone = meta.delete_annotation("ada", project, &kept[0].id).await;
    let told = format!("there is no annotation {:?}", kept[0].id);
    assert_eq!(gone.unwrap_err().to_string(), told);
    assert_eq!(bench.annotate(&[]).await, []);
}

#[tokio::test]
async fn a_judge_is_asked_once() {
    let bench = Bench::new().await;
    let (meta, project) = (&bench.meta, &bench.project);
    let ask = async |key: &str| meta.judge_answer(project, key).await.unwrap();
    assert_eq!(ask("k").await, None);
    let of = trace(1);
    meta.keep_judge_answer(project, "k", Some(&of), "yes")
        .await
        .unwrap();
    meta.keep_judge_answer(project, "k", Some(&of), "no")
        .await
        .unwrap();
    meta.keep_judge_answer(project, "m", None, "none")
        .await
        .unwrap();
    assert_eq!(ask("k").await.as_deref(), Some("yes"));
    bench.clock.advance_micros(5);
    let before = bench.clock.now();
    meta.keep_judge_answer(project, "n", None, "late")
        .await
        .unwrap();
    assert_eq!(meta.forget_judge_answers(before).await.unwrap(), 2);
    assert_eq!(
        (ask("k").await, ask("n").await.as_deref()),
        (None, Some("late"))
    );
}

#[tokio::test]
async fn d6_what_is_about_a_deleted_trace_goes_and_does_not_come_back() {
    let bench = Bench::new().await;
    let (meta, project) = (&bench.meta, &bench.project);
    let watch = bench.watch("live").await;
    let write = async || {
        bench.annotate(&[note(1, "a"), note(2, "b")]).await;
        let both = [bench.decided(1, "graded"), bench.decided(2, "graded")];
        meta.note_decisions(&watch.id, &both, None).await.unwrap();
        for (n, key) in [(1, "k1"), (2, "k2")] {
            let of = trace(n);
            meta.keep_judge_answer(project, key, Some(&of), "quote")
                .await
                .unwrap();
        }
    };
    let check = async |notes: &[&str], decided: &str, answers: [bool; 2]| {
        let mut found = bench.found(AnnotationFilter::default()).await;
        found.sort();
        assert_eq!(found, notes);
        let asked = page(None, 9, false);
        let found = bench
            .decisions(&watch, DecisionFilter::default(), asked)
            .await;
        assert_eq!(found, decided);
        for (key, want) in ["k1", "k2"].into_iter().zip(answers) {
            let answer = meta.judge_answer(project, key).await.unwrap();
            assert_eq!(answer.is_some(), want, "{key}");
        }
    };
    write().await;
    check(&["a", "b"], "1:graded 2:graded", [true, true]).await;
    let elsewhere = DeletedTrace {
        project_id: ProjectId::new("other").unwrap(),
        trace_id: trace(2),
        upto_seq: 1,
        deleted_at: bench.clock.now(),
    };
    let until = Time::from_micros(i64::MAX);
    meta.keep_deleted(&[elsewhere], until).await.unwrap();
    check(&["a", "b"], "1:graded 2:graded", [true, true]).await;
    bench.delete(&[1]).await;
    check(&["b"], "2:graded", [false, true]).await;
    // What was on its way when the trace was deleted is not kept.
    write().await;
    check(&["b", "b"], "2:graded", [false, true]).await;
    // A day later the id may be another trace's.
    bench.clock.advance_micros(DAY + 1);
    write().await;
    check(&["a", "b", "b", "b"], "1:graded 2:graded", [true, true]).await;
}

#[tokio::test]
async fn d6_a_daily_copy_has_nothing_about_traces_but_what_people_said() {
    let bench = Bench::new().await;
    let (meta, project) = (&bench.meta, &bench.project);
    let done = bench.run_of(0..1).await;
    bench.lease(&done, "w", 1).await;
    bench
        .finish(&done, "w", &[ended(0, ItemEnd::Scored, 5)])
        .await;
    assert!(bench.set(&done, GradingStatus::Completed).await);
    let open = bench.run_of(1..4).await;
    let watch = bench.watch("live").await;
    let one = [item(5)];
    meta.add_grading_items(&watch.run_id, &one).await.unwrap();
    let of = TraceId::new("trace_of_the_secret").unwrap();
    let secret = "what nobody may find";
    bench.annotate(&[note(9, "what people said")]).await;
    meta.keep_judge_answer(project, "k", Some(&of), secret)
        .await
        .unwrap();
    let decided = Decision {
        trace_id: of.clone(),
        why: Some(secret.to_owned()),
        ..bench.decided(1, "graded")
    };
    meta.note_decisions(&watch.id, &[decided], None)
        .await
        .unwrap();

    let copy = bench.folder.path().join("copy.db");
    meta.copy_what_people_made(&copy).await.unwrap();
    let annotated = NewAnnotation {
        trace_id: of.clone(),
        ..note(1, secret)
    };
    bench.annotate(&[annotated]).await;
    let bytes = std::fs::read(&copy).unwrap();
    assert!(memchr::memmem::find(&bytes, b"what people said").is_some());
    for text in [secret, of.as_str(), trace(0).as_str()] {
        assert_eq!(
            memchr::memmem::find(&bytes, text.as_bytes()),
            None,
            "{text}"
        );
    }
    let copied = Meta::open(&copy, bench.clock.clone()).await.unwrap();
    assert_eq!(copied.verify().await.unwrap(), Vec::<String>::new());
    let done = bench.seen(&done).await;
    assert_eq!(copied.grading_run(project, &done.id).await.unwrap(), done);
    let open = copied.grading_run(project, &open.id).await.unwrap();
    assert_eq!((open.status, open.waiting()), (GradingStatus::Canceled, 0));
    let run = copied.grading_run(project, &watch.run_id).await.unwrap();
    assert_eq!((run.status, run.waiting()), (GradingStatus::Queued, 0));
    assert_eq!(copied.watches_on().await.unwrap().len(), 1);
    // And in the store itself the bytes go with the trace.
    let gone = DeletedTrace {
        project_id: project.clone(),
        trace_id: of,
        upto_seq: 1,
        deleted_at: bench.clock.now(),
    };
    let until = Time::from_micros(i64::MAX);
    meta.keep_deleted(&[gone], until).await.unwrap();
    assert!(meta.checkpoint().await.unwrap());
    for name in ["meta.db", "meta.db-wal"] {
        let bytes = std::fs::read(bench.folder.path().join(name)).unwrap_or_default();
        assert_eq!(
            memchr::memmem::find(&bytes, secret.as_bytes()),
            None,
            "{name}"
        );
    }
}

#[tokio::test]
async fn t1_what_others_say_and_watch_is_not_there() {
    let bench = Bench::new().await;
    let (meta, project) = (&bench.meta, &bench.project);
    let other = ProjectId::new("other").unwrap();
    meta.create_project("ada", &other, "Other").await.unwrap();
    let watch = bench.watch("live").await;
    let mine = bench.annotate(&[note(1, "a")]).await;
    let decided = [bench.decided(1, "graded")];
    meta.note_decisions(&watch.id, &decided, None)
        .await
        .unwrap();
    meta.keep_judge_answer(project, "k", None, "yes")
        .await
        .unwrap();

    assert_eq!(meta.judge_answer(&other, "k").await.unwrap(), None);
    meta.annotation(&other, &mine[0].id).await.unwrap_err();
    meta.delete_annotation("eve", &other, &mine[0].id)
        .await
        .unwrap_err();
    let asked = page(None, 9, false);
    let theirs = meta
        .annotations(&other, &AnnotationFilter::default(), &asked)
        .await;
    assert_eq!(theirs.unwrap().entries, []);
    meta.watch(&other, &watch.id).await.unwrap_err();
    let change = WatchChange::default();
    meta.update_watch("eve", &other, &watch.id, &change)
        .await
        .unwrap_err();
    meta.delete_watch("eve", &other, &watch.id)
        .await
        .unwrap_err();
    assert_eq!(meta.watches(&other, &asked).await.unwrap().entries, []);
    let none = DecisionFilter::default();
    let theirs = meta.decisions(&other, &watch.id, &none, &asked).await;
    assert_eq!(theirs.unwrap().entries, []);
    assert_eq!(
        meta.watches(project, &asked).await.unwrap().entries,
        [watch]
    );

    meta.add_annotations("eve", &other, &[note(1, "x")])
        .await
        .unwrap();
    meta.keep_judge_answer(&other, "k", None, "no")
        .await
        .unwrap();
    meta.delete_project("ada", &other).await.unwrap();
    let theirs = meta
        .annotations(&other, &AnnotationFilter::default(), &asked)
        .await;
    assert_eq!(theirs.unwrap().entries, []);
    meta.add_annotations("eve", &other, &[note(1, "x")])
        .await
        .unwrap_err();
    meta.keep_judge_answer(&other, "k", None, "no")
        .await
        .unwrap();
    assert_eq!(meta.judge_answer(&other, "k").await.unwrap(), None);
    assert_eq!(bench.found(AnnotationFilter::default()).await, ["a"]);
}
