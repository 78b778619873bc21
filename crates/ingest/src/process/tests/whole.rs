//! What is planted is gone, what has nothing to do with it stays, and every batch stays whole.

use super::*;

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
