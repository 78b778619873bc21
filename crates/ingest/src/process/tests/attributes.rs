//! Attributes, scopes and traces that go by their names.

use super::*;

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
