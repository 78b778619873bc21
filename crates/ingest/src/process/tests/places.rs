//! Places in a payload: paths, references, deep ones, and texts that only look like one.

use super::*;

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
