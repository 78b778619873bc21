//! From memory to Parquet and through merges: what can be read stays the same.

use std::time::Duration;

use model::{Batch, SpanId, SpanType, Time, TraceId};

use super::world::{NOW, Sketch, World, item, span};
use crate::Store;
use crate::lake::{Columns, Level, Table};
use crate::ledger::Share;

fn files(store: &Store, level: Level) -> usize {
    store
        .stats()
        .files
        .iter()
        .filter(|(_, of, _, _)| *of == level)
        .map(|(_, _, n, _)| n)
        .sum()
}

#[tokio::test]
async fn d1_d2_d3_rows_are_readable_at_each_stage_of_their_life() {
    let mut world = World::new().await;
    world
        .send(&[span("t1", "a"), span("t1", "b"), span("t2", "a")])
        .await
        .unwrap();
    world.check("in memory");
    world.store().flush().await.unwrap();
    world.check("flushed");
    assert!(files(world.store(), Level::L0) > 0);
    world
        .send(&[span("t1", "c"), span("t3", "a")])
        .await
        .unwrap();
    world.check("in memory and in Parquet");
    world.restart().await;
    world.check("after a restart");
    for n in 0..10 {
        world
            .send(&[span("t1", &format!("s{n}")), span(&format!("u{n}"), "a")])
            .await
            .unwrap();
        world.store().flush().await.unwrap();
    }
    world.check("many small files");
    assert!(world.store().compact().await.unwrap() > 0);
    assert_eq!(files(world.store(), Level::L0), 0);
    world.check("merged");
    world.restart().await;
    world.check("merged, after a restart");
}

#[tokio::test]
async fn d2_a_later_version_takes_the_place_of_an_earlier_one_wherever_it_lies() {
    let mut world = World::new().await;
    let mut open = span("t", "s");
    open.ended = false;
    world.send(&[open.clone()]).await.unwrap();
    world.check("open, in memory");
    world.store().flush().await.unwrap();
    world.check("open, in Parquet");
    world.send(&[span("t", "s")]).await.unwrap();
    world.check("ended, in memory");
    // An open that comes late does not win over an end, be that in memory or in Parquet.
    world.send(&[open.clone()]).await.unwrap();
    world.check("a late open");
    world.store().flush().await.unwrap();
    world.send(&[open.clone()]).await.unwrap();
    world.check("a late open over Parquet");
    world.restart().await;
    world.send(&[open, span("t", "other")]).await.unwrap();
    world.check("a late open after a restart");
    world.store().flush().await.unwrap();
    world.store().compact().await.unwrap();
    world.check("merged");
}

#[tokio::test]
async fn a_merge_names_the_agent_that_came_after_its_spans_were_written() {
    let mut world = World::new().await;
    let mut call = world.batch(&[span("t", "call")]);
    call.spans[0].parent_id = Some(SpanId::new("agent").unwrap());
    world.send_batch(call).await.unwrap();
    world.store().flush().await.unwrap();
    let mut agent = world.batch(&[span("t", "agent")]);
    agent.spans[0].span_type = SpanType::Agent;
    let name = agent.spans[0].name.clone();
    world.send_batch(agent).await.unwrap();
    world.store().flush().await.unwrap();

    let agents = |world: &World| {
        let snapshot = world.store().snapshot(&world.project);
        let id = TraceId::new("t").unwrap();
        let trace = snapshot.trace(&id).unwrap().unwrap();
        let rows = snapshot.spans(&trace, &Columns::narrow(Table::Spans));
        let rows = rows.unwrap();
        let agents = rows.into_iter().map(|row| row.span.agent.clone());
        agents.collect::<Vec<_>>()
    };
    assert_eq!(agents(&world), [None, Some(name.clone())]);
    for n in 0..8 {
        world
            .send(&[span("other", &format!("s{n}"))])
            .await
            .unwrap();
        world.store().flush().await.unwrap();
    }
    assert!(world.store().compact().await.unwrap() > 0);
    assert_eq!(agents(&world), [Some(name.clone()), Some(name)]);
    world.check("merged");
}

#[tokio::test]
async fn who_waits_for_room_gets_it_from_a_flush() {
    let mut world = World::with(|config| config.buffer_bytes = 10_000).await;
    let mut n = 0;
    let full = loop {
        let mut large = span("t", &format!("s{n}"));
        large.messages = vec![format!("\"{n} {}\"", "x".repeat(5_000))];
        n += 1;
        match world.send(&[large]).await {
            Ok(_) => assert!(n < 100, "two buffers and a third are full"),
            Err(error) => break error,
        }
    };
    assert!(full.to_string().contains("buffers of rows wait"), "{full}");
    let store = world.store().clone();
    let refused = store.wait_for_room(Duration::from_millis(20)).await;
    assert!(refused.is_err(), "nothing was flushed");
    let (room, flushed) = tokio::join!(
        store.wait_for_room(Duration::from_secs(600)),
        world.store().flush()
    );
    room.unwrap();
    flushed.unwrap();
    world.check("after the flush");
}

/// A store whose share for spans of open traces is 335 KB and for hashes of messages 84 KB.
async fn small() -> World {
    World::with(|config| config.memory_bytes_max = 4 << 20).await
}

fn run(trace: &str, spans: std::ops::Range<usize>) -> Vec<Sketch> {
    let open = |n| Sketch {
        ended: false,
        ..span(trace, &format!("s{n}"))
    };
    spans.map(open).collect()
}

#[tokio::test]
async fn traces_that_may_go_on_are_let_go_when_their_share_is_used_up() {
    let mut world = small().await;
    let used = |world: &World| world.store().ledger().used(Share::OpenTraces);
    for trace in ["first", "second"] {
        world.send(&run(trace, 0..300)).await.unwrap();
        world.store().flush().await.unwrap();
        assert!(used(&world) > 300 * size_of::<model::Span>());
        assert!(used(&world) <= world.store().ledger().limit(Share::OpenTraces));
    }
    assert_eq!(
        world.store().stats().live_traces,
        1,
        "the older one has gone"
    );
    // Both can go on: what was let go comes back from Parquet.
    world.send(&run("first", 250..350)).await.unwrap();
    world.send(&run("second", 250..350)).await.unwrap();
    world.check("more of both, in memory");
    world.store().flush().await.unwrap();
    world.check("more of both, in Parquet");
    for trace in ["first", "second"] {
        world.delete(trace).await;
    }
    world.store().flush().await.unwrap();
    assert_eq!(used(&world), 0, "whoever goes takes its weight along");
    assert_eq!(world.store().ledger().used(Share::SeenHashes), 0);
}

#[tokio::test]
async fn a_run_of_more_spans_than_memory_has_room_for_is_sent_away_until_it_is_forgotten() {
    let mut world = small().await;
    let mut sent = 0;
    let full = loop {
        match world.send(&run("t", sent..sent + 100)).await {
            Ok(_) => sent += 100,
            Err(error) => break error,
        }
        // One span more keeps the trace from being idle when the buffer before it is released.
        world.store().flush().await.unwrap();
        assert!(sent < 5_000, "rows and spans of open traces have 1.2 MB");
        world.send(&run("t", sent..sent + 1)).await.unwrap();
        sent += 1;
    };
    assert!(
        full.to_string().contains("spans of traces that go on"),
        "{full}"
    );
    world.store().flush().await.unwrap();
    world.send(&run("t", sent..sent + 1)).await.unwrap();
    world.check("after the flush");
}

#[tokio::test]
async fn d7_a_message_that_is_forgotten_and_comes_again_is_there_once() {
    let mut world = small().await;
    let mut long = run("t", 0..1).remove(0);
    long.messages = (0..3_000).map(|n| format!("\"message {n}\"")).collect();
    world.send(&[long.clone()]).await.unwrap();
    let used = |world: &World| world.store().ledger().used(Share::SeenHashes);
    assert!(used(&world) > world.store().ledger().limit(Share::SeenHashes));
    world.store().flush().await.unwrap();
    assert_eq!(used(&world), 0, "all of them are in Parquet and forgotten");
    long.span = "again".to_owned();
    world.send(&[long]).await.unwrap();
    world.check("written twice");
    world.store().flush().await.unwrap();
    for n in 0..8 {
        world
            .send(&[span("other", &format!("s{n}"))])
            .await
            .unwrap();
        world.store().flush().await.unwrap();
    }
    assert!(world.store().compact().await.unwrap() > 0);
    world.check("merged");
    let stored = world.store().snapshot(&world.project);
    let rows: i64 = stored
        .files(Table::Messages)
        .iter()
        .map(|file| file.rows)
        .sum();
    assert_eq!(rows, 3_001, "a merge drops the copies");
}

#[tokio::test]
async fn d7_a_failed_batch_takes_no_message_from_a_later_one() {
    let mut world = World::with(|config| config.memory_bytes_max = 64 << 20).await;
    let mut huge = span("t", "a");
    huge.messages = vec!["\"shared\"".to_owned()];
    // The disk has no space for the segment, so the batch is refused after its messages were chosen.
    world.disk.set_free(0);
    let mut batch = world.batch(&[huge.clone()]);
    batch.spans[0].payload.extra = Some(model::JsonText::from_trusted(format!(
        "\"{}\"",
        "x".repeat(1 << 20)
    )));
    assert!(world.send_batch(batch).await.is_err());
    world.disk.set_free(u64::MAX);
    world.store().tidy().await.unwrap();
    let mut later = span("t", "b");
    later.messages = huge.messages;
    world.send(&[later]).await.unwrap();
    world.check("after a refused batch");
    world.restart().await;
    world.check("after a refused batch and a restart");
}

#[tokio::test]
async fn messages_are_logged_once_per_trace() {
    let mut world = World::new().await;
    let long = format!("\"{}\"", "x".repeat(100_000));
    for n in 0..20 {
        let mut turn = span("t", &format!("turn{n}"));
        turn.messages = vec![long.clone()];
        world.send(&[turn]).await.unwrap();
    }
    let wal_bytes = world.store().stats().wal_bytes;
    assert!(
        wal_bytes < 150_000,
        "the history is in the log once, not twenty times: {wal_bytes}"
    );
    world.check("one message, twenty spans");
}

#[tokio::test]
async fn items_are_merged_field_by_field_and_a_trace_may_have_no_span() {
    let mut world = World::new().await;
    let mut first = item("t", "support");
    first.user_id = Some("u1".to_owned());
    let batch = |item| Batch {
        traces: vec![item],
        ..Batch::default()
    };
    world.send_batch(batch(first)).await.unwrap();
    world.store().flush().await.unwrap();
    let mut second = item("t", "renamed");
    second.user_id = None;
    world.send_batch(batch(second)).await.unwrap();
    for stage in ["memory", "parquet", "restart"] {
        let trace_id = TraceId::new("t").unwrap();
        let row = world
            .store()
            .snapshot(&world.project)
            .trace(&trace_id)
            .unwrap()
            .unwrap()
            .row;
        assert_eq!(
            row.item.workflow_name.as_deref(),
            Some("renamed"),
            "{stage}"
        );
        assert_eq!(row.item.user_id.as_deref(), Some("u1"), "{stage}");
        assert_eq!(row.span_count, 0, "{stage}");
        match stage {
            "memory" => world.store().flush().await.unwrap(),
            _ => world.restart().await,
        }
    }
}

#[tokio::test]
async fn odd_clocks_and_times_lose_nothing() {
    let mut world = World::new().await;
    let mut sketches = Vec::new();
    for (n, at) in [
        None,
        Some(Time::from_micros(0)),
        Some(Time::from_micros(-1)),
        Some(Time::parse_rfc3339("2100-12-31T23:59:59Z").unwrap()),
        Some(NOW.plus_micros(-90 * 86_400_000_000)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut sketch = span(&format!("t{n}"), "s");
        sketch.started_at = at;
        sketches.push(sketch);
    }
    for n in 0..12 {
        world.clock.advance_micros(if n % 2 == 0 {
            7_200_000_000
        } else {
            -10_800_000_000
        });
        world.send(&sketches).await.unwrap();
        world.store().flush().await.unwrap();
        world.check("odd times");
    }
    world.store().compact().await.unwrap();
    world.check("odd times, merged");
    // A trace spread over days has one home.
    for day in 0..4 {
        let mut late = span("t0", &format!("day{day}"));
        late.started_at = Some(NOW.plus_micros(day * 86_400_000_000));
        world.send(&[late]).await.unwrap();
        world.store().flush().await.unwrap();
    }
    world.check("a trace spread over days");
    world.restart().await;
    world.store().compact().await.unwrap();
    world.check("a trace spread over days, merged");
}

#[tokio::test]
async fn two_merges_of_the_same_files_lose_and_double_nothing() {
    let mut world = World::new().await;
    for n in 0..9 {
        world
            .send(&[span("t", &format!("s{n}")), span(&format!("u{n}"), "a")])
            .await
            .unwrap();
        world.store().flush().await.unwrap();
    }
    let (a, b) = (world.store().clone(), world.store().clone());
    let (a, b) = tokio::join!(a.compact(), b.compact());
    assert!(a.unwrap() + b.unwrap() > 0);
    world.check("two compactors");
    let rows: usize = world
        .store()
        .stats()
        .files
        .iter()
        .filter(|f| f.0 == Table::Traces)
        .map(|f| f.2)
        .sum();
    assert!(rows > 0);
}

#[tokio::test]
async fn a_clean_stop_leaves_nothing_to_replay() {
    let mut world = World::new().await;
    world.send(&[span("t", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.send(&[span("u", "a")]).await.unwrap();
    let store = world.store.take().unwrap();
    store.shutdown().await.unwrap();
    let log = crate::wal::Wal::survey(&world.disk, world.dir(), store_id(&store)).unwrap();
    assert!(log.is_empty(), "{log:?}");
    world.open().await.unwrap();
    world.check("after a clean stop");
}

fn store_id(store: &crate::Store) -> crate::wal::StoreId {
    crate::wal::StoreId(*store.meta().store_id().as_bytes())
}

#[tokio::test]
async fn rows_beyond_their_share_of_memory_are_refused_and_taken_again_after_a_flush() {
    let mut world = World::with(|config| config.memory_bytes_max = 16 << 10).await;
    let mut refused = None;
    for n in 0..100 {
        if let Err(error) = world.send(&[span(&format!("t{n}"), "a")]).await {
            refused = Some(error.to_string());
            break;
        }
    }
    let refused = refused.expect("memory is bounded");
    assert!(refused.contains("not in Parquet yet"), "{refused}");
    world.store().flush().await.unwrap();
    world.send(&[span("later", "a")]).await.unwrap();
    world.check("after a flush");
}

#[tokio::test]
async fn a_deleted_project_leaves_no_row_in_memory_or_in_files() {
    let mut world = World::new().await;
    world.send(&[span("stored", "a")]).await.unwrap();
    world.store().flush().await.unwrap();
    world.send(&[span("memory", "a")]).await.unwrap();
    let project = world.project.clone();
    assert_eq!(
        world.store().delete_project_rows(&project).await.unwrap(),
        2
    );
    for trace in ["stored", "memory"] {
        world.note_deleted(&model::TraceId::new(trace).unwrap());
    }
    world.check("deleted with its project");
    world.store().erase().await.unwrap();
    world.restart().await;
    world.check("deleted with its project, after a restart");
}

#[tokio::test]
async fn d2_many_traces_at_once_are_what_each_of_them_is() {
    let mut world = World::new().await;
    for round in 0..4 {
        let sent: Vec<_> = (0..20)
            .flat_map(|n| {
                let trace = format!("t{:02}", n + round * 5);
                [
                    span(&trace, &format!("a{round}")),
                    span(&trace, &format!("b{round}")),
                ]
            })
            .collect();
        world.send(&sent).await.unwrap();
        world.check_bulk("in memory");
        world.store().flush().await.unwrap();
        world.check_bulk("flushed");
    }
    let mut open = span("t07", "late");
    open.ended = false;
    world.send(&[open]).await.unwrap();
    world.delete("t03").await;
    world.check_bulk("one deleted, one written to again");
    world.store().flush().await.unwrap();
    world.send(&[span("t07", "late")]).await.unwrap();
    world.check_bulk("an end over Parquet");
    world.store().compact().await.unwrap();
    world.check_bulk("merged");
}
