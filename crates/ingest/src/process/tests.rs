//! The steps together: what is planted in captured requests is gone, and everything else holds.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::{Source, Time, payload};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::agents_sdk::{Context, decode};
use crate::otlp::{Encoding, decode_logs, decode_traces, record_rows};

/// Stands for a secret in every text of a capture.
const PLANTED: &str = "planted.secret@example.com";

fn context(source: Source) -> Context<'static> {
    Context::new(source, Time::from_micros(0))
}

fn agents(body: &Value) -> Batch {
    let body = Bytes::from(body.to_string());
    decode(body, &context(Source::Openai)).unwrap()
}

fn traces(body: &Value) -> Batch {
    let body = Bytes::from(body.to_string());
    decode_traces(body, Encoding::Json, &context(Source::Otlp)).unwrap()
}

fn logs(body: &Value) -> Batch {
    let logs = decode_logs(Bytes::from(body.to_string()), Encoding::Json).unwrap();
    record_rows(logs, Source::Otlp).batch
}

/// How one request of a capture is decoded, and its body.
type Request = (fn(&Value) -> Batch, Value);

fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata")
        .join(folder);
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            ),
            false => found.push(path),
        }
    }
    found.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    found.sort();
    found
}

/// Every request of every capture.
fn captured() -> Vec<(String, Request)> {
    let read =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let mut all: Vec<(String, Request)> = Vec::new();
    for path in ["openai-agents", "openai-agents-js"]
        .into_iter()
        .flat_map(files)
    {
        for request in read(&path)["requests"].as_array().unwrap() {
            all.push((
                path.display().to_string(),
                (agents as fn(&Value) -> Batch, request["body"].clone()),
            ));
        }
    }
    for path in files("otlp") {
        let name = path.display().to_string();
        if name.ends_with(".traces.json") {
            all.push((name, (traces, read(&path))));
        } else if name.ends_with(".logs.json") {
            all.push((name, (logs, read(&path))));
        }
    }
    assert!(all.len() > 110, "{} requests are too few", all.len());
    all
}

/// Puts the secret into every text that is not an id, a time or a word of the protocol.
fn plant(value: &mut Value, secret: &str) {
    const KEPT: [&str; 22] = [
        "object",
        "id",
        "trace_id",
        "parent_id",
        "started_at",
        "ended_at",
        "type",
        "role",
        "traceId",
        "spanId",
        "parentSpanId",
        "key",
        "intValue",
        "doubleValue",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "timeUnixNano",
        "observedTimeUnixNano",
        "schemaUrl",
        "eventName",
        "first_content_at",
        "data",
    ];
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(mut inner) if inner.is_object() || inner.is_array() => {
                plant(&mut inner, secret);
                *text = inner.to_string();
            }
            _ => text.push_str(&format!(" {secret}")),
        },
        Value::Array(items) => items.iter_mut().for_each(|item| plant(item, secret)),
        Value::Object(members) => {
            for (key, member) in members {
                if !(member.is_string() && KEPT.contains(&key.as_str())) {
                    plant(member, secret);
                }
            }
        }
        _ => {}
    }
}

fn rules(settings: &ProcessSettings) -> ProcessRules {
    ProcessRules::compile(settings).unwrap()
}

fn redacting() -> ProcessRules {
    rules(&ProcessSettings {
        redact: Recogniser::ALL.to_vec(),
        ..ProcessSettings::default()
    })
}

/// All that is stored of a batch, as one text.
fn stored(batch: &Batch) -> String {
    let messages: Vec<_> = batch
        .messages
        .iter()
        .map(|message| message.text())
        .collect();
    format!(
        "{:?} {:?} {}",
        batch.spans,
        batch.traces,
        messages.join("\n")
    )
}

/// The data of a span with its messages.
fn restored(batch: &Batch, span: &Span) -> Option<String> {
    let content = |hash: &MessageHash| {
        let mut found = batch.messages.iter();
        let found =
            found.find(|message| message.hash == *hash && message.trace_id == span.trace_id);
        found.map(model::Message::text)
    };
    let stored = &span.payload;
    let data = stored.data.as_ref()?.as_str();
    Some(payload::restore(data, &stored.input_refs, &stored.output_refs, content).unwrap())
}

/// Checks what holds of every batch that can be stored.
fn check_whole(name: &str, batch: &Batch) {
    let is_json =
        |text: &JsonText| assert!(JsonText::parse(text.as_str()).is_ok(), "{name}: {text:?}");
    for span in &batch.spans {
        // D7: every reference resolves.
        if let Some(data) = restored(batch, span) {
            is_json(&JsonText::from_trusted(data));
        }
        let stored = &span.payload;
        let texts = [
            &stored.data,
            &stored.attributes,
            &stored.resource,
            &stored.scope,
            &stored.events,
            &stored.links,
            &stored.extra,
        ];
        texts.into_iter().flatten().for_each(is_json);
        span.error
            .iter()
            .filter_map(|error| error.data.as_ref())
            .for_each(is_json);
    }
    for item in &batch.traces {
        [&item.metadata, &item.extra]
            .into_iter()
            .flatten()
            .for_each(is_json);
    }
    let mut seen = HashSet::new();
    for message in &batch.messages {
        assert_eq!(message.hash, MessageHash::of(&message.content), "{name}");
        assert!(
            seen.insert((&message.trace_id, message.hash)),
            "{name}: a message is there twice"
        );
        assert!(
            JsonText::parse(message.text()).is_ok(),
            "{name}: {}",
            message.text()
        );
    }
}

#[test]
fn d7_of_what_was_planted_nothing_is_left_anywhere() {
    let rules = redacting();
    for (name, (decode, mut body)) in captured() {
        plant(&mut body, PLANTED);
        let mut batch = decode(&body);
        assert!(
            batch.spans.is_empty() || stored(&batch).contains("planted.secret"),
            "{name}"
        );
        let report = process(&rules, &Switches::default(), &mut batch);
        let left = stored(&batch);
        assert!(!left.contains("planted.sec"), "{name}: {left}");
        check_whole(&name, &batch);
        assert!(
            batch.spans.is_empty() || report.redacted["email"] > 0,
            "{name}"
        );
        let note = |span: &Span| {
            span.payload
                .extra
                .as_ref()
                .map(|extra| extra.as_str().contains("\"email\":"))
        };
        assert!(
            batch.spans.is_empty() || batch.spans.iter().any(|span| note(span) == Some(true)),
            "{name}"
        );

        let before = batch.clone();
        let again = process(&rules, &Switches::default(), &mut batch);
        assert_eq!(again, Report::default(), "{name}");
        assert_eq!(batch, before, "{name}");
    }
}

#[test]
fn a_batch_with_nothing_to_do_is_the_same() {
    let never = rules(&ProcessSettings {
        redact_rules: vec![RuleSettings {
            name: "never".into(),
            regex: Some("nobody says this".into()),
            path: None,
            action: Action::Redact,
        }],
        ..ProcessSettings::default()
    });
    for (name, (decode, body)) in captured() {
        let before = decode(&body);
        for rules in [&rules(&ProcessSettings::default()), &never] {
            let mut batch = before.clone();
            assert_eq!(
                process(rules, &Switches::default(), &mut batch),
                Report::default(),
                "{name}"
            );
            assert_eq!(batch, before, "{name}");
        }
    }
}

#[test]
fn previews_made_anew_are_those_that_were() {
    // Something changes in every span, and it is nothing that a preview shows.
    let changing = rules(&ProcessSettings {
        redact_rules: vec![RuleSettings {
            name: "touched".into(),
            regex: None,
            path: Some("$.touched".into()),
            action: Action::Redact,
        }],
        ..ProcessSettings::default()
    });
    for (name, (decode, body)) in captured() {
        let before = decode(&body);
        let mut batch = before.clone();
        for span in &mut batch.spans {
            span.payload.links = Some(JsonText::from_trusted(r#"[{"attributes":{"touched":1}}]"#));
        }
        process(&changing, &Switches::default(), &mut batch);
        for (new, old) in batch.spans.iter().zip(&before.spans) {
            assert!(
                new.payload
                    .links
                    .as_ref()
                    .unwrap()
                    .as_str()
                    .contains("[redacted:touched]")
            );
            let previews = |span: &Span| (span.input_preview.clone(), span.output_preview.clone());
            assert_eq!(previews(new), previews(old), "{name} {}", new.name);
        }
    }
}

#[test]
fn without_content_the_structure_is_left() {
    let off = Switches {
        include_sensitive_data: false,
        ..Switches::default()
    };
    for (name, (decode, body)) in captured() {
        let before = decode(&body);
        let mut batch = before.clone();
        process(&rules(&ProcessSettings::default()), &off, &mut batch);
        check_whole(&name, &batch);
        let of_names = |batch: &Batch| batch.messages.iter().filter(|m| m.role != "other").count();
        assert_eq!(of_names(&batch), 0, "{name}: {:?}", batch.messages);
        let left = stored(&batch);
        for (new, old) in batch.spans.iter().zip(&before.spans) {
            let kept = Span {
                input_preview: old.input_preview.clone(),
                output_preview: old.output_preview.clone(),
                payload: old.payload.clone(),
                error: old.error.clone(),
                ..new.clone()
            };
            assert_eq!(kept, *old, "{name}");
            assert_eq!((&new.input_preview, &new.output_preview), (&None, &None));
            let kind = |span: &Span| span.error.as_ref().map(|error| error.kind.clone());
            assert_eq!(kind(new), kind(old));
            for said in [&old.input_preview, &old.output_preview]
                .into_iter()
                .flatten()
            {
                let said = said.lines().next().unwrap_or_default();
                let is_name = before.spans.iter().any(|span| span.name.contains(said))
                    || before
                        .traces
                        .iter()
                        .any(|item| format!("{item:?}").contains(said));
                assert!(
                    said.len() < 24 || is_name || !left.contains(said),
                    "{name}: {said:?} is in {left}"
                );
            }
        }
        let again = process(&rules(&ProcessSettings::default()), &off, &mut batch);
        assert_eq!(again, Report::default(), "{name}");
    }
}

#[test]
fn audio_goes_and_its_length_is_told() {
    let off = Switches {
        include_audio: false,
        ..Switches::default()
    };
    let base64 = "UklGRiQA".repeat(20);
    let part = json!({"type": "input_audio", "input_audio": {"data": base64, "format": "wav"}});
    let body = json!({"data": [
        {"object": "trace.span", "id": "a", "trace_id": "t", "span_data": {"type": "transcription",
            "input": {"data": base64, "format": "pcm"}, "output": "hello there", "model": "m"}},
        {"object": "trace.span", "id": "b", "trace_id": "t", "span_data": {"type": "speech",
            "input": "hello", "output": {"data": "UklGRg==", "format": "pcm"}}},
        {"object": "trace.span", "id": "c", "trace_id": "t", "span_data": {"type": "generation",
            "input": [{"role": "user", "content": [part, {"type": "text", "text": format!("see data:audio/wav;base64,{base64} end")}]}],
            "output": [{"role": "assistant", "content": "words", "audio": {"id": "x", "data": base64, "transcript": "what was said"}}]}},
    ]});
    let mut batch = agents(&body);
    let report = process(&rules(&ProcessSettings::default()), &off, &mut batch);
    check_whole("audio", &batch);
    let left = stored(&batch);
    assert!(!left.contains("UklGR"), "{left}");
    assert_eq!(report.redacted, BTreeMap::from([("audio".to_owned(), 5)]));
    let data = |at: usize| restored(&batch, &batch.spans[at]).unwrap();
    assert!(data(0).contains("[redacted:audio 120 bytes]") && data(0).contains("hello there"));
    assert!(data(1).contains("[redacted:audio 4 bytes]"), "{}", data(1));
    assert!(
        data(2).contains("see [redacted:audio 120 bytes] end") && data(2).contains("what was said")
    );
    let again = process(&rules(&ProcessSettings::default()), &off, &mut batch);
    assert_eq!(again, Report::default());
}

fn otlp(attributes: Value, scope: &str) -> Value {
    let attributes: Vec<Value> = attributes
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => json!({"key": key, "value": {"stringValue": text}}),
            other => json!({"key": key, "value": {"intValue": other}}),
        })
        .collect();
    json!({"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": [{
        "traceId": "00000000000000000000000000000001", "spanId": "0000000000000001", "name": "chat",
        "startTimeUnixNano": "1000000", "endTimeUnixNano": "2000000", "attributes": attributes,
    }]}]}]})
}

#[test]
fn attributes_go_by_their_names_and_what_they_told_goes_too() {
    let long = "word ".repeat(100);
    let body = otlp(
        json!({"user.id": "u-7", "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "input.value": long,
            "langfuse.trace.metadata.who": "u-7", "n": 7}),
        "s",
    );
    let lists = |allow: &[&str], deny: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        rules(&ProcessSettings {
            attributes_allow: owned(allow),
            attributes_deny: owned(deny),
            ..ProcessSettings::default()
        })
    };
    let mut batch = traces(&body);
    assert_eq!(batch.traces[0].user_id.as_deref(), Some("u-7"));
    assert!(batch.spans[0].input_preview.is_some());
    let report = process(
        &lists(&[], &["user.*", "input.value"]),
        &Switches::default(),
        &mut batch,
    );
    check_whole("deny", &batch);
    let left = stored(&batch);
    assert!(!left.contains("word word"), "{left}");
    assert_eq!(batch.traces[0].user_id, None);
    assert!(
        !batch.traces[0]
            .metadata
            .iter()
            .any(|metadata| metadata.as_str().contains("u-7")),
        "{left}"
    );
    assert!(batch.messages.is_empty());
    assert_eq!(report.redacted["attribute"], 4);
    let span = &batch.spans[0];
    assert_eq!(
        (span.model.as_deref(), &span.input_preview),
        (Some("m"), &None)
    );
    assert_eq!(
        span.payload.attributes.as_ref().unwrap().as_str(),
        r#"{"gen_ai.operation.name":"chat","gen_ai.request.model":"m","langfuse.trace.metadata.who":"u-7","n":7}"#
    );

    let mut batch = traces(&body);
    process(
        &lists(&["gen_ai.*", "n"], &["gen_ai.request.*"]),
        &Switches::default(),
        &mut batch,
    );
    let left = batch.spans[0].payload.attributes.as_ref().unwrap();
    assert_eq!(left.as_str(), r#"{"gen_ai.operation.name":"chat","n":7}"#);
}

#[test]
fn spans_of_unwanted_scopes_and_traces_outside_the_sample_go_and_are_counted() {
    let scopes = rules(&ProcessSettings {
        drop_scopes: vec!["opentelemetry.instrumentation.*".into()],
        ..ProcessSettings::default()
    });
    let mut batch = traces(&otlp(
        json!({"user.id": "u"}),
        "opentelemetry.instrumentation.httpx",
    ));
    let report = process(&scopes, &Switches::default(), &mut batch);
    assert_eq!(report.ignored, [(SCOPE_DROPPED, 1)]);
    assert_eq!(
        (batch.spans.len(), batch.traces.len(), batch.accepted),
        (0, 0, 1)
    );
    let mut batch = traces(&otlp(json!({"user.id": "u"}), "mine"));
    assert_eq!(
        process(&scopes, &Switches::default(), &mut batch),
        Report::default()
    );
    assert_eq!((batch.spans.len(), batch.traces.len()), (1, 1));

    let none = Switches {
        sample_rate: 0.0,
        ..Switches::default()
    };
    let plain = rules(&ProcessSettings::default());
    let report = process(&plain, &none, &mut batch);
    assert_eq!(report.ignored, [(SAMPLED_OUT, 1)]);
    assert_eq!((batch.spans.len(), batch.traces.len()), (0, 0));
    // With a rule that looks at whole traces nothing is decided yet.
    let tail = rules(&ProcessSettings {
        tail: TailRules {
            errors: true,
            ..TailRules::default()
        },
        ..ProcessSettings::default()
    });
    let mut batch = traces(&otlp(json!({}), "mine"));
    assert_eq!(process(&tail, &none, &mut batch), Report::default());
    assert_eq!(batch.spans.len(), 1);
}

fn path_rules(paths: &[(&str, &str, Action)]) -> ProcessRules {
    let rule = |(name, path, action): &(&str, &str, Action)| RuleSettings {
        name: (*name).to_owned(),
        regex: None,
        path: Some((*path).to_owned()),
        action: *action,
    };
    rules(&ProcessSettings {
        redact_rules: paths.iter().map(rule).collect(),
        ..ProcessSettings::default()
    })
}

#[test]
fn a_path_leads_through_references_and_through_json_in_texts() {
    let long = "x".repeat(300);
    let body = json!({"data": [
        {"object": "trace.span", "id": "a", "trace_id": "t", "span_data": {"type": "generation", "input": [
            {"role": "system", "content": long}, {"role": "user", "content": "the first"}, {"role": "user", "content": "the second"}]}},
        {"object": "trace.span", "id": "b", "trace_id": "t", "span_data": {"type": "function", "name": "f",
            "input": json!({"user": "u", "password": "pw-1", "pad": long}).to_string(), "output": "{\"password\": \"pw-2\"}"}},
        {"object": "trace.span", "id": "c", "trace_id": "t", "metadata": {"card": {"pin": 1234}},
            "span_data": {"type": "custom", "name": "x", "data": {"password": {"deep": ["pw-3"]}}}},
    ]});
    let mut batch = agents(&body);
    let rules = path_rules(&[
        ("second", "$.input[2].content", Action::Redact),
        ("password", "$..password", Action::Redact),
        ("pin", "$.card.pin", Action::Drop),
    ]);
    let report = process(&rules, &Switches::default(), &mut batch);
    check_whole("paths", &batch);
    let data = |at: usize| restored(&batch, &batch.spans[at]).unwrap();
    assert!(
        data(0).contains("the first") && data(0).contains(r#""content":"[redacted:second]""#),
        "{}",
        data(0)
    );
    assert_eq!(
        batch.spans[0].input_preview.as_deref(),
        Some("[redacted:second]")
    );
    assert!(!stored(&batch).contains("pw-"), "{}", stored(&batch));
    assert!(
        data(1).contains(r#"\"password\":\"[redacted:password]\""#),
        "{}",
        data(1)
    );
    assert!(
        batch.spans[2]
            .payload
            .attributes
            .as_ref()
            .unwrap()
            .as_str()
            .contains(r#"{"pin":null}"#)
    );
    let counts = [("password", 3), ("pin", 1), ("second", 1)];
    assert_eq!(
        report.redacted,
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    );
    assert_eq!(
        batch.spans[2].payload.extra.as_ref().unwrap().as_str(),
        r#"{"tracegrade.redacted":{"password":1,"pin":1}}"#
    );
    assert_eq!(
        process(&rules, &Switches::default(), &mut batch),
        Report::default()
    );
}

#[test]
fn attributes_with_dots_are_reached_step_by_step() {
    let messages =
        json!([{"role": "user", "parts": [{"type": "text", "content": "word ".repeat(80)}]}]);
    let mut batch = traces(&otlp(
        json!({"gen_ai.input.messages": messages.to_string(), "db.password": "pw-1"}),
        "s",
    ));
    let rules = path_rules(&[
        (
            "said",
            "$.gen_ai.input.messages[*].parts[*].content",
            Action::Redact,
        ),
        ("password", "$.db.password", Action::Redact),
    ]);
    process(&rules, &Switches::default(), &mut batch);
    check_whole("dots", &batch);
    assert!(!stored(&batch).contains("word word") && !stored(&batch).contains("pw-1"));
    assert!(
        restored(&batch, &batch.spans[0])
            .unwrap()
            .contains("[redacted:said]")
    );
}

#[test]
fn a_text_that_looks_like_a_reference_stays_one() {
    let body = json!({"data": [{"object": "trace.span", "id": "a", "trace_id": "t", "span_data": {"type": "custom", "name": "x",
        "data": {"a": "$ref:i0 to a@b.co", "b": "say \"$ref:o1\" to a@b.co", "c": "$ref:i0", "$ref:": "a@b.co"}}}]});
    let mut batch = agents(&body);
    process(&redacting(), &Switches::default(), &mut batch);
    check_whole("escapes", &batch);
    let data: Value = serde_json::from_str(&restored(&batch, &batch.spans[0]).unwrap()).unwrap();
    assert_eq!(
        data["data"],
        json!({"a": "$ref:i0 to [redacted:email]", "b": "say \"$ref:o1\" to [redacted:email]", "c": "$ref:i0", "$ref:": "[redacted:email]"})
    );
}

#[test]
fn a_secret_that_the_cut_of_a_preview_halves_is_gone_all_the_same() {
    let text = format!("{} sk-abcdefghij0123456789abcdefghij", "word ".repeat(48));
    let body = json!({"data": [{"object": "trace.span", "id": "a", "trace_id": "t",
        "span_data": {"type": "generation", "input": [{"role": "user", "content": text}]}}]});
    let mut batch = agents(&body);
    assert!(
        batch.spans[0]
            .input_preview
            .as_ref()
            .unwrap()
            .contains("sk-abc")
    );
    process(&redacting(), &Switches::default(), &mut batch);
    let preview = batch.spans[0].input_preview.as_ref().unwrap();
    assert!(preview.ends_with("[redacted:key]"), "{preview}");
}

#[test]
fn numbers_keys_and_equal_messages_are_thought_of() {
    let message = |n: u32| json!({"role": "user", "content": format!("I am user{n}@example.com")});
    let span = |id: &str, n: u32| {
        json!({"object": "trace.span", "id": id, "trace_id": "t",
        "span_data": {"type": "generation", "input": [message(n)], "output": [{"card": 4_111_111_111_111_111_u64, "a@b.co": 1}]}})
    };
    let mut batch = agents(&json!({"data": [span("a", 1), span("b", 2)]}));
    let report = process(&redacting(), &Switches::default(), &mut batch);
    check_whole("equal", &batch);
    assert_eq!(batch.messages.len(), 2, "{:?}", batch.messages);
    assert_eq!(
        batch.spans[0].payload.input_refs,
        batch.spans[1].payload.input_refs
    );
    assert!(
        stored(&batch).contains(r#"{"card":"[redacted:card]","[redacted:email]":1}"#),
        "{}",
        stored(&batch)
    );
    assert_eq!(
        report.redacted,
        BTreeMap::from([("card".to_owned(), 1), ("email".to_owned(), 3)])
    );
}

#[test]
fn what_is_as_deep_as_a_decoder_takes_is_read_to_its_end() {
    let deep = |levels: usize| format!("{}\"a@b.co\"{}", "[".repeat(levels), "]".repeat(levels));
    let body = format!(
        r#"{{"data":[{{"object":"trace.span","id":"a","trace_id":"t","span_data":{{"type":"function","name":"f","data":{},"input":{}}}}}]}}"#,
        deep(250),
        Value::String(deep(100)),
    );
    let mut batch = decode(Bytes::from(body), &context(Source::Openai)).unwrap();
    assert_eq!(batch.spans.len(), 1, "{:?}", batch.rejected);
    let report = process(&redacting(), &Switches::default(), &mut batch);
    check_whole("deep", &batch);
    assert_eq!(report.redacted["email"], 2);
    assert!(!stored(&batch).contains("a@b.co"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Into::into),
        "(planted\\.secret@example\\.com |\\$ref:|[\"\\\\{}\\[\\]:,@ .0-9a-zé\n]){0,12}"
            .prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::vec(
                (
                    "(input|output|content|data|a@b\\.co|[a-z.]{0,4})",
                    inner.clone()
                ),
                0..5
            )
            .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner.prop_map(|inner| Value::String(inner.to_string())),
        ]
    })
}

proptest! {
    #[test]
    fn any_batch_is_whole_and_without_the_secret(input in any_json(), output in any_json(), kind in "(generation|function|custom|agent|speech)",
        content in any::<bool>(), audio in any::<bool>()) {
        let body = json!({"data": [{"object": "trace.span", "id": "a", "trace_id": "t", "metadata": output, "error": {"message": "no", "data": input},
            "further": input, "span_data": {"type": kind, "input": input, "output": output, "data": input}}]});
        let mut batch = agents(&body);
        let switches = Switches { include_sensitive_data: content, include_audio: audio, ..Switches::default() };
        process(&redacting(), &switches, &mut batch);
        check_whole("any", &batch);
        let left = stored(&batch);
        prop_assert!(!left.contains("planted.secret@example.com"), "{left}");
        let before = batch.clone();
        prop_assert_eq!(process(&redacting(), &switches, &mut batch), Report::default());
        prop_assert_eq!(batch, before);
    }
}

#[test]
fn a_number_that_became_a_mark_stays_one() {
    for card in [4_775_149_370_786_923_567_i64, -4_184_346_383_216_236_209] {
        let card = json!(card);
        let body = json!({"data": [{"object": "trace.span", "id": "a", "trace_id": "t",
        "span_data": {"type": "generation", "input": card, "output": card}}]});
        let mut batch = agents(&body);
        let switches = Switches {
            include_sensitive_data: false,
            ..Switches::default()
        };
        process(&redacting(), &switches, &mut batch);
        let before = batch.clone();
        assert!(stored(&before).contains("[redacted:card]"));
        assert_eq!(
            process(&redacting(), &switches, &mut batch),
            Report::default()
        );
        assert_eq!(batch, before);
    }
}
