//! Every capture against what really happened, which was written down without the decoder.

use model::{Span, SpanStatus, SpanType};
use serde_json::Value;

use crate::support::{Capture, Request, Run, captures};

/// What is wrong with the reading of a capture.
struct Check<'a> {
    capture: &'a Capture,
    run: &'a Run,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn spans(&self, span_type: SpanType) -> Vec<&Span> {
        let spans = self.run.spans.iter();
        spans
            .filter(|span| span.span_type == span_type && span.is_counted())
            .collect()
    }

    fn equal(&mut self, what: &str, got: impl Into<Value>, want: &Value) {
        let got = got.into();
        if got != *want {
            let name = &self.capture.name;
            self.wrong
                .push(format!("{name}: {what}: got {got}, want {want}"));
        }
    }

    fn count(&mut self, what: &str, got: usize, want: &Value) {
        let fits = match want.as_u64() {
            Some(count) => got as u64 == count,
            None => (want["min"].as_u64().unwrap()..=want["max"].as_u64().unwrap())
                .contains(&(got as u64)),
        };
        if !fits {
            self.equal(what, got, want);
        }
    }

    fn sum(
        &mut self,
        what: &str,
        of: SpanType,
        count: impl Fn(&Span) -> Option<i64>,
        want: &Value,
    ) {
        let counts = self.spans(of).into_iter().filter_map(count);
        let sum = counts.reduce(|a, b| a + b);
        self.equal(what, sum, want);
    }

    fn all(&mut self) {
        let expected = self.capture.expected.clone();
        let spans = &expected["spans"];
        for (what, span_type) in [
            ("agent", SpanType::Agent),
            ("generation", SpanType::Generation),
            ("tool", SpanType::Function),
            ("handoff", SpanType::Handoff),
            ("guardrail", SpanType::Guardrail),
            ("retrieval", SpanType::Retrieval),
            ("embedding", SpanType::Embedding),
            ("mcp_tools", SpanType::McpTools),
        ] {
            let found = self.spans(span_type);
            let (count, failed) = (found.len(), failed(&found));
            self.count(what, count, &spans[what]["count"]);
            if let Some(want) = spans[what].get("failed") {
                self.equal(&format!("{what} failed"), failed, want);
            }
        }
        self.names(spans);
        self.models(&spans["generation"]);
        self.tools(&spans["tool"]["calls"]);
        self.usage(&expected["usage"]);
        self.run_facts(&expected["run"], &expected["payload"]);
        self.errors(expected["errors"].as_array().unwrap());
        self.documents(&spans["retrieval"]);
    }

    fn names(&mut self, spans: &Value) {
        for (what, span_type) in [
            ("agent", SpanType::Agent),
            ("guardrail", SpanType::Guardrail),
        ] {
            let names = sorted(self.spans(span_type).iter().map(|span| span.name.clone()));
            self.equal(&format!("{what} names"), names, &spans[what]["names"]);
        }
        let edges = self.spans(SpanType::Handoff);
        let edges: Vec<Value> = edges
            .iter()
            .map(|span| serde_json::json!({"from": span.handoff_from, "to": span.handoff_to}))
            .collect();
        self.equal("handoffs", edges, &spans["handoff"]["edges"]);
    }

    fn models(&mut self, want: &Value) {
        let generations = self.spans(SpanType::Generation);
        let answered = generations
            .iter()
            .filter(|span| span.status == SpanStatus::Success);
        let used = sorted(answered.filter_map(|span| span.model.clone()));
        let requested = generations
            .iter()
            .filter_map(|span| self.run.sent(span, ingest::otlp::requested_model));
        let requested = sorted(requested);
        // Some report the answer's model in place of the one asked for, or nothing of it.
        let asked: Vec<String> = serde_json::from_value(want["request_models"].clone()).unwrap();
        let is_known = |model: &String| {
            asked
                .iter()
                .any(|asked| model == asked || model.starts_with(&format!("{asked}-2")))
        };
        if !requested.iter().all(is_known) {
            self.equal("request models", requested, &want["request_models"]);
        }
        let answers: Vec<String> = serde_json::from_value(want["response_models"].clone()).unwrap();
        let is_answer = |model: &String| answers.contains(model) || asked.contains(model);
        if !used.iter().all(is_answer) || (used.is_empty() && !answers.is_empty()) {
            self.equal("response models", used, &want["response_models"]);
        }
    }

    fn tools(&mut self, want: &Value) {
        let spans = self.spans(SpanType::Function);
        let parse =
            |json: Option<model::JsonText>| json.map_or(Value::Null, |json| json.to_value());
        let mut got: Vec<(String, Value, Value, bool, String)> = spans
            .iter()
            .map(|span| {
                let told = self.run.sent(span, ingest::otlp::contents);
                let message = span.error.as_ref().map(|error| error.message.clone());
                (
                    span.name.clone(),
                    parse(told.arguments),
                    parse(told.result),
                    span.status == SpanStatus::Error,
                    message.unwrap_or_default(),
                )
            })
            .collect();
        for call in want.as_array().unwrap() {
            let fits = |got: &(String, Value, Value, bool, String)| {
                let words = call["error_message"].as_str().unwrap_or_default();
                got.0 == call["name"]
                    && (call["arguments"].is_null() || got.1 == call["arguments"])
                    && (call["result"].is_null() || got.2 == call["result"])
                    && got.3 == call["error"]
                    && (!got.3 || got.4.contains(words))
            };
            match got.iter().position(fits) {
                Some(at) => drop(got.remove(at)),
                None => self.wrong.push(format!(
                    "{}: tool call {call} is not among {got:?}",
                    self.capture.name
                )),
            }
        }
    }

    fn usage(&mut self, want: &Value) {
        let of = SpanType::Generation;
        self.sum("input", of, |s| s.usage.input_tokens, &want["input"]);
        self.sum("output", of, |s| s.usage.output_tokens, &want["output"]);
        self.sum("cached", of, |s| s.usage.cached_tokens, &want["cached"]);
        self.sum(
            "reasoning",
            of,
            |s| s.usage.reasoning_tokens,
            &want["reasoning"],
        );
        let embedding = &want["embedding_input"];
        self.sum(
            "embedding",
            SpanType::Embedding,
            |s| s.usage.input_tokens,
            embedding,
        );
    }

    fn run_facts(&mut self, want: &Value, payload: &Value) {
        self.equal(
            "traces",
            self.run
                .spans
                .iter()
                .map(|span| &span.trace_id)
                .collect::<std::collections::HashSet<_>>()
                .len(),
            &payload["traces"],
        );
        let items: Vec<_> = self.run.traces.values().cloned().collect();
        for item in &items {
            if items.len() > 1 && item.group_id.is_none() {
                continue;
            }
            let group = item
                .group_id
                .as_ref()
                .map(|group| group.as_str().to_owned());
            self.equal("session", group, &want["session_id"]);
            self.equal("user", item.user_id.clone(), &want["user_id"]);
            if !want["workflow"].is_null() {
                self.equal("workflow", item.workflow_name.clone(), &want["workflow"]);
            }
        }
        let Some(answer) = want["final_output"].as_str() else {
            return;
        };
        let answers = |span: &&Span| {
            let of_run = matches!(span.span_type, SpanType::Generation | SpanType::Agent)
                || span.parent_id.is_none();
            of_run && span.output_preview.is_some() && span.status == SpanStatus::Success
        };
        let mut found = self.run.spans.iter().filter(answers);
        let is_found = found.any(|span| {
            let preview = span.output_preview.as_deref().unwrap_or_default();
            preview == answer
        });
        if !is_found {
            let told: Vec<_> = self
                .run
                .spans
                .iter()
                .filter_map(|span| span.output_preview.clone())
                .collect();
            self.wrong.push(format!(
                "{}: final output {answer:?} not among {told:?}",
                self.capture.name
            ));
        }
    }

    fn errors(&mut self, want: &[Value]) {
        for error in want {
            let (place, name) = (error["where"].as_str().unwrap(), &error["name"]);
            let span_type = match place {
                "tool" => SpanType::Function,
                _ => SpanType::Generation,
            };
            let words = error["message_contains"].as_str().unwrap();
            let is_told = self.spans(span_type).iter().any(|span| {
                let model = span.model.as_deref().unwrap_or_default();
                let told = span.error.as_ref();
                (span.name == *name || model == *name)
                    && told.is_some_and(|told| told.message.contains(words))
            });
            if !is_told {
                let told: Vec<_> = self
                    .spans(span_type)
                    .iter()
                    .map(|span| (span.name.clone(), span.error.clone()))
                    .collect();
                self.wrong.push(format!(
                    "{}: error {error} not among {told:?}",
                    self.capture.name
                ));
            }
        }
    }

    fn documents(&mut self, want: &Value) {
        let spans = self.spans(SpanType::Retrieval);
        let counts = spans
            .iter()
            .map(|span| self.run.sent(span, ingest::otlp::contents).documents.len());
        let count: usize = counts.sum();
        self.equal("documents", count, &want["documents"]);
    }
}

fn failed(spans: &[&Span]) -> usize {
    let failed = spans.iter().filter(|span| span.status == SpanStatus::Error);
    failed.count()
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// Returns a request for each span, in the order of a request.
fn split(request: &Request) -> Vec<Request> {
    if request.is_logs {
        return vec![request.clone()];
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let mut requests = Vec::new();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    for mut resource in list(&body, "resourceSpans") {
        for mut scope in list(&resource, "scopeSpans") {
            for span in list(&scope, "spans") {
                scope["spans"] = serde_json::json!([span]);
                resource["scopeSpans"] = serde_json::json!([scope]);
                let body = serde_json::json!({"resourceSpans": [resource]}).to_string();
                let body = body.into();
                requests.push(Request {
                    body,
                    ..request.clone()
                });
            }
        }
    }
    requests
}

/// As sent, in the opposite order, twice, as canonical JSON, and a span a request.
fn deliveries(capture: &Capture) -> [Vec<Request>; 5] {
    let sent = capture.requests.clone();
    let backwards = sent.iter().rev().cloned().collect();
    let twice = [sent.clone(), sent.clone()].concat();
    let alone = capture.as_json.iter().flat_map(split).collect();
    [sent, backwards, twice, capture.as_json.clone(), alone]
}

#[test]
fn every_capture_tells_what_happened() {
    let (mut wrong, mut met) = (Vec::new(), 0);
    for capture in captures() {
        let before = wrong.len();
        for requests in deliveries(&capture) {
            let run = Run::of(&requests);
            let mut check = Check {
                capture: &capture,
                run: &run,
                wrong: Vec::new(),
            };
            check.all();
            wrong.extend(check.wrong);
        }
        met += usize::from(wrong.len() == before);
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{met} met\n{}", wrong.join("\n"));
}
