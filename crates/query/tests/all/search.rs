//! Search over messages, names, errors and data, in memory and in files.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::fixture::*;
use futures::executor::block_on;
use model::{TraceFilter, TraceId};
use query::{Engine, Found, HitPlace, Search, View};
use store::lake::{MessageRow, SpanRow, Table};

static ENGINE: LazyLock<Engine> = LazyLock::new(engine);
const DAY: i64 = 86_400;

fn search(text: &str) -> Search {
    let time = Duration::from_secs(60);
    Search {
        text: text.to_owned(),
        filter: TraceFilter::default(),
        limit: 100,
        after: None,
        time,
    }
}

fn found(view: &Arc<dyn View>, search: Search) -> Found {
    block_on(ENGINE.search(Arc::clone(view), search)).unwrap()
}

fn ids(found: &Found) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.trace_id.as_str()).collect()
}

/// Nine traces over three days; every third says "refund" somewhere else.
fn rows() -> (Vec<MessageRow>, Vec<SpanRow>) {
    let mine = project("mine");
    let (mut messages, mut spans) = (Vec::new(), Vec::new());
    for n in 0..9 {
        let start = at(n / 3 * DAY + n);
        let id = format!("t{n}");
        let word = if n % 3 == 0 {
            "a REFUND, please"
        } else {
            "nothing"
        };
        let text = serde_json::json!({"role": "user", "content": word}).to_string();
        messages.push(MessageRow {
            trace_started_at: start,
            ..message(&mine, &id, &text, n)
        });
        messages.push(MessageRow {
            trace_started_at: start,
            ..message(&mine, &id, "\"other\"", n + 100)
        });
        spans.push(with_span(span(&mine, &id, "s1", start, n), |span| {
            if n % 3 == 1 {
                span.name = "issue_refund".to_owned();
            }
            if n == 8 {
                span.error = Some(failure("tool_error", "Refund failed"));
            }
        }));
    }
    (messages, spans)
}

#[test]
fn the_answer_is_the_same_before_and_after_compaction() {
    let mine = project("mine");
    let (messages, spans) = rows();
    let mut live = Lake::new().view(&mine, at(10 * DAY));
    (live.messages, live.spans) = (messages.clone(), spans.clone());
    let live = live.into_view();
    let mut small = Lake::new();
    messages
        .iter()
        .for_each(|row| drop(small.write(vec![row.clone()])));
    spans
        .iter()
        .for_each(|row| drop(small.write(vec![row.clone()])));
    let mut compact = Lake::new();
    compact.write(messages);
    compact.write(spans);
    let views = [
        live,
        small.view(&mine, at(0)).into_view(),
        compact.view(&mine, at(0)).into_view(),
    ];
    let answers = views.each_ref().map(|view| found(view, search("refund")));
    assert_eq!(ids(&answers[0]), ["t8", "t7", "t6", "t4", "t3", "t1", "t0"]);
    assert_eq!(answers[0].hits[0].place, HitPlace::Error);
    assert_eq!(answers[0].hits[1].snippet, "issue_refund");
    assert_eq!(answers[0].hits[2].snippet, "a REFUND, please");
    assert!(!answers[0].partial && answers[0].next.is_none());
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    for nothing in ["user", "content", "  ", "zzz"] {
        assert_eq!(
            ids(&found(&views[2], search(nothing))),
            [""; 0],
            "{nothing}"
        );
    }
    assert_eq!(found(&views[2], search("ZÜRICH")).hits.len(), 9);
}

#[test]
fn a_search_goes_on_where_it_ended() {
    let mine = project("mine");
    let (messages, spans) = rows();
    let mut lake = Lake::new();
    lake.write(messages);
    lake.write(spans);
    let view = lake.view(&mine, at(0)).into_view();
    for (limit, time) in [(1, 60_000), (2, 60_000), (100, 0), (3, 0)] {
        let mut all = Vec::new();
        let mut next = Search {
            limit,
            time: Duration::from_millis(time),
            ..search("refund")
        };
        for _ in 0..20 {
            let page = found(&view, next.clone());
            assert!(!page.partial || time == 0);
            all.extend(page.hits.iter().map(|hit| hit.trace_id.as_str().to_owned()));
            match page.next {
                Some(_) => next.after = page.next,
                None => break,
            }
        }
        assert_eq!(
            all,
            ["t8", "t7", "t6", "t4", "t3", "t1", "t0"],
            "{limit} {time}"
        );
    }
}

#[test]
fn hidden_rows_and_traces_that_are_not_meant_are_not_found() {
    let mine = project("mine");
    let (messages, spans) = rows();
    let mut lake = Lake::new();
    lake.write(messages);
    lake.write(spans);
    lake.write(
        (0..9)
            .map(|n| trace(&mine, &format!("t{n}"), Some(at(n / 3 * DAY + n)), n))
            .collect(),
    );
    let mut view = lake.view(&mine, at(0));
    view.hide(Table::Messages, "t6", None, 1_000);
    view.hide(Table::Spans, "t4", Some("s1"), 1_000);
    let view = view.into_view();
    assert_eq!(
        ids(&found(&view, search("refund"))),
        ["t8", "t7", "t3", "t1", "t0"]
    );
    let few = ["t8", "t0", "t6"].map(|id| TraceId::new(id).unwrap());
    let filter = TraceFilter {
        ids: few.to_vec(),
        ..TraceFilter::default()
    };
    assert_eq!(
        ids(&found(
            &view,
            Search {
                filter,
                ..search("refund")
            }
        )),
        ["t8", "t0"]
    );
}
