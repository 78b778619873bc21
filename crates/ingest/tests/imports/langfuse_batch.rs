//! What SDK 2 of Langfuse sends, request by request, with the rows in between stored as a store would.

use std::collections::HashMap;

use ingest::imports::{EventAnswer, Known, LangfuseBatch};
use ingest::otlp::Sent;
use model::{Batch, Message, Span, SpanId, TraceId, TraceItem};

use crate::support::{context, import, restored, sample, story};

/// The rows that a store would have: of each span and each trace the last.
#[derive(Default)]
struct Rows {
    spans: HashMap<(TraceId, SpanId), Span>,
    items: HashMap<TraceId, TraceItem>,
    messages: Vec<Message>,
}

impl Rows {
    fn take(&mut self, body: &str) -> Vec<EventAnswer> {
        let batch = LangfuseBatch::read(body.to_owned().into()).unwrap();
        let data: HashMap<_, _> = self
            .spans
            .iter()
            .map(|(key, span)| (key.clone(), restored(span, &self.messages)))
            .collect();
        let mut known = Known::default();
        for (trace, spans) in batch.traces() {
            known.items.extend(
                self.items
                    .get(&trace)
                    .map(|item| (trace.clone(), item.clone())),
            );
            for id in spans {
                let key = (trace.clone(), id);
                if let Some(span) = self.spans.get(&key) {
                    let data = data[&key].as_deref();
                    known.spans.insert(key, Sent { span, data });
                }
            }
        }
        let (imported, answers) = batch.decode(&known, &context());
        assert_eq!(
            imported.batch.accepted
                + imported.batch.rejected.len()
                + imported.ignored.iter().map(|(_, n)| n).sum::<usize>(),
            answers.len()
        );
        self.messages.extend(imported.batch.messages);
        for span in imported.batch.spans {
            let key = (span.trace_id.clone(), span.span_id.clone());
            if self
                .spans
                .get(&key)
                .is_none_or(|known| span.supersedes(known))
            {
                self.spans.insert(key, span);
            }
        }
        for item in imported.batch.traces {
            match self.items.get_mut(&item.trace_id) {
                Some(known) => known.merge(&item),
                None => drop(self.items.insert(item.trace_id.clone(), item)),
            }
        }
        answers
    }

    fn story(&self) -> String {
        let mut traces: Vec<_> = self.items.values().cloned().collect();
        traces.sort_by(|a, b| a.workflow_name.cmp(&b.workflow_name));
        let batch = Batch {
            traces,
            spans: self.spans.values().cloned().collect(),
            messages: self.messages.clone(),
            ..Batch::default()
        };
        story(&batch)
    }
}

fn requests() -> String {
    String::from_utf8(sample("langfuse-v2/requests.jsonl").to_vec()).unwrap()
}

#[test]
fn what_sdk_2_sends_is_whole_though_an_end_comes_later_than_its_beginning() {
    let mut rows = Rows::default();
    for request in requests().lines() {
        let answers = rows.take(request);
        assert!(
            answers.iter().all(|answer| answer.refused.is_none()),
            "{answers:?}"
        );
    }
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("langfuse-v2/requests.jsonl", rows.story());
    });
}

/// Whatever is sent twice or in one piece makes the same rows.
#[test]
fn how_events_are_put_into_requests_makes_no_difference() {
    let mut one_by_one = Rows::default();
    let mut all = Vec::new();
    for request in requests().lines() {
        let request: serde_json::Value = serde_json::from_str(request).unwrap();
        for event in request["batch"].as_array().unwrap() {
            one_by_one.take(&serde_json::json!({ "batch": [event] }).to_string());
            all.push(event.clone());
        }
    }
    let mut at_once = Rows::default();
    let request = serde_json::json!({ "batch": all }).to_string();
    at_once.take(&request);
    assert_eq!(one_by_one.story(), at_once.story());
    at_once.take(&request);
    assert_eq!(one_by_one.story(), at_once.story());
}

/// The same traces, exported by the API, have the same spans.
#[test]
fn an_export_tells_what_the_batches_told() {
    let mut rows = Rows::default();
    requests()
        .lines()
        .for_each(|request| drop(rows.take(request)));
    let exported = import(sample("langfuse/traces.jsonl")).batch;
    assert_eq!(exported.spans.len(), rows.spans.len());
    for span in exported.spans {
        let live = &rows.spans[&(span.trace_id.clone(), span.span_id.clone())];
        assert_eq!(
            (
                &span.name,
                &span.parent_id,
                span.started_at,
                span.ended_at,
                span.status,
                &span.model,
                &span.input_preview,
                &span.output_preview
            ),
            (
                &live.name,
                &live.parent_id,
                live.started_at,
                live.ended_at,
                live.status,
                &live.model,
                &live.input_preview,
                &live.output_preview
            )
        );
    }
}

#[test]
fn an_odd_event_costs_itself_and_is_answered() {
    let mut rows = Rows::default();
    let answers = rows.take(
        r#"{"batch":[{"id":"1","type":"span-create","body":{"id":"s","traceId":"t","startTime":"2024-01-01T00:00:00Z"}},
        {"id":"2","type":"span-update","body":{"id":"s","traceId":"t","endTime":"later"}},
        {"id":"3","type":"span-create","body":{"id":"s2"}},
        {"id":"4","type":"nobody-knows","body":{}},
        {"id":"5","type":"score-create","body":{"name":"good","value":1}},
        7]}"#,
    );
    let refused: Vec<_> = answers
        .iter()
        .map(|a| (a.id.as_str(), a.refused.is_some()))
        .collect();
    assert_eq!(
        refused,
        [
            ("1", false),
            ("2", true),
            ("3", true),
            ("4", true),
            ("5", false),
            ("", true)
        ]
    );
    assert_eq!(rows.spans.len(), 1);
    assert!(LangfuseBatch::read(r#"{"metadata":{}}"#.into()).is_err());
    assert!(LangfuseBatch::read("[".into()).is_err());
}
