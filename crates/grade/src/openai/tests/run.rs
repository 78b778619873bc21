//! What comes out of running a grader, and what when it cannot.

use super::*;

fn no_services() -> Services<'static> {
    Services::default()
}

fn with(model: &ScriptedModel) -> Services<'_> {
    Services {
        model: Some(model),
        python: None,
    }
}

fn string_check(operation: &str, input: &str, reference: &str) -> Value {
    json!({
        "type": "string_check", "name": "s", "operation": operation, "input": input,
        "reference": reference,
    })
}

fn judge(more: &Value) -> Value {
    let mut judge = json!({
        "type": "score_model", "name": "j", "model": "gpt-4.1-mini", "range": [0, 10],
        "sampling_params": {"temperature": 0, "seed": 1, "max_completions_tokens": 256},
        "input": [
            {"role": "developer", "content": "Score it."},
            {"role": "user", "content": {"type": "input_text", "text": "{{sample.output_text}}, {{item.n}}"}},
        ],
    });
    for (key, value) in more.as_object().unwrap() {
        judge[key] = value.clone();
    }
    judge
}

/// Returns the names of the flags that are raised.
fn flags(report: &GraderReport) -> Vec<String> {
    let errors = report.errors.to_json();
    let raised = errors.as_object().unwrap().iter();
    let raised = raised.filter(|(_, value)| **value == true);
    raised.map(|(key, _)| key.clone()).collect()
}

/// Checks that grading failed with these flags.
#[track_caller]
fn failed(report: &GraderReport, expected: &[&str], reason: &str) {
    assert_eq!((report.reward, report.passed), (0.0, None));
    assert_eq!(flags(report), expected);
    assert_eq!(report.errors.reasons, [reason]);
    assert!(report.errors.any());
}

#[test]
fn texts_are_compared_as_they_are() {
    for (operation, input, reference, expected) in [
        ("eq", "right", "{{ item.label }}", true),
        ("eq", "right ", "{{item.label}}", false),
        ("eq", "Right", "{{item.label}}", false),
        ("ne", "Right", "{{item.label}}", true),
        ("neq", "right", "{{item.label}}", false),
        ("like", "{{sample.output_text}}", "{{item.label}}", true),
        ("like", "{{item.label}}", "{{sample.output_text}}", false),
        ("like", "a right", "Right", false),
        ("like", "100% right", "%", true),
        ("like", "100 right", "%", false),
        ("ilike", "ALL RIGHT Ä", "right ä", true),
        ("ilike", "wrong", "right", false),
        (
            "eq",
            "{{item.n}} {{item.tags}}",
            r#"3 ["a",{"b":"c"}]"#,
            true,
        ),
        ("eq", "{{ item.tags[1].b }}{{item['tags'][0]}}", "ca", true),
        (
            "eq",
            "{{sample.choices[0].message.content}}",
            "right answer",
            true,
        ),
        ("eq", "a {{ b", "a {{ b", true),
    ] {
        let definition = string_check(operation, input, reference);
        let report = run(&definition, &no_services());
        assert_eq!(report.passed, Some(expected), "{definition}");
        assert_eq!(
            (report.reward, flags(&report).len()),
            (f64::from(u8::from(expected)), 0)
        );
    }
}

#[test]
fn a_path_that_leads_nowhere_is_a_flag_and_not_an_empty_text() {
    let report = run(
        &string_check("eq", "{{item.nope}}", "{{item.nope}}"),
        &no_services(),
    );
    failed(
        &report,
        &["invalid_variable_error"],
        "the row has no `item.nope`",
    );
    let report = run(
        &string_check("ne", "{{ item.tags[2] }}", ""),
        &no_services(),
    );
    failed(
        &report,
        &["invalid_variable_error"],
        "the row has no `item.tags[2]`",
    );
    let report = run(
        &string_check("eq", "{{sample.output_json.email}}", "x"),
        &no_services(),
    );
    failed(
        &report,
        &["sample_parse_error", "invalid_variable_error"],
        "the sample is no JSON, and the grader asks for `sample.output_json.email`",
    );
    // null is a value
    let sample = json!({"output_text": null});
    let subject = Subject {
        item: &json!({}),
        sample: &sample,
    };
    let grader = parsed(
        &string_check("eq", "{{sample.output_text}}", "null"),
        Place::Eval,
    );
    assert_eq!(block_on(grader.run(subject, &no_services())).reward, 1.0);
}

#[test]
fn the_sample_of_a_text_has_its_json() {
    let sample = sample_of_text(r#"{"email": "a@b.c"}"#);
    let subject = Subject {
        item: &json!({}),
        sample: &sample,
    };
    let grader = parsed(
        &string_check("eq", "{{sample.output_json.email}}", "a@b.c"),
        Place::Eval,
    );
    assert_eq!(block_on(grader.run(subject, &no_services())).reward, 1.0);
    let plain = sample_of_text("not json");
    assert!(plain.get("output_json").is_none());
    assert_eq!(plain["output_tools"], json!([]));
}

#[test]
fn a_similarity_passes_from_its_threshold_on() {
    let close = |threshold: f64| {
        json!({
            "type": "text_similarity", "name": "t", "evaluation_metric": "fuzzy_match",
            "pass_threshold": threshold, "input": "{{sample.output_text}}", "reference": "{{item.label}}",
        })
    };
    let report = run(&close(0.9), &no_services());
    assert_eq!((report.reward, report.passed), (0.9, Some(true)));
    assert_eq!(run(&close(0.91), &no_services()).passed, Some(false));
}

#[test]
fn long_texts_are_compared_elsewhere_and_too_long_ones_are_flagged() {
    let definition = json!({
        "type": "text_similarity", "name": "t", "evaluation_metric": "fuzzy_match",
        "pass_threshold": 0.5, "input": "{{item.long}}", "reference": "{{sample.output_text}}",
    });
    let grader = parsed(&definition, Place::Eval);
    let grade = |long: String, text: String| {
        let (item, sample) = (json!({"long": long}), sample_of_text(&text));
        let subject = Subject {
            item: &item,
            sample: &sample,
        };
        block_on(grader.run(subject, &no_services()))
    };
    let report = grade("a b".repeat(2000), format!("x{}", "a b".repeat(2000)));
    assert!(report.reward > 0.99 && report.passed == Some(true));
    let report = grade("ab".repeat(500_000), "cd".repeat(500_000));
    let reason = "the texts are too long to be compared by this metric: it would take over \
                  1000000000 steps";
    failed(&report, &["other_error"], reason);
}

#[test]
fn cosine_asks_for_both_vectors() {
    let definition = json!({
        "type": "text_similarity", "name": "t", "evaluation_metric": "cosine", "pass_threshold": 0.5,
        "input": "abc", "reference": "abc",
    });
    let report = run(&definition, &with(&ScriptedModel::default()));
    assert!((report.reward - 1.0).abs() < 1e-12 && report.passed == Some(true));
    failed(
        &run(&definition, &no_services()),
        &["model_grader_server_error"],
        &ModelError::Absent.to_string(),
    );
}

#[test]
fn a_judge_is_asked_by_structured_output_and_its_call_is_kept() {
    let text = r#"{"steps":[{"description":"look","conclusion":"good"}],"result":7.5}"#;
    let model = ScriptedModel::saying(&[text]);
    let report = run(&judge(&json!({"pass_threshold": 7})), &with(&model));
    assert_eq!((report.reward, report.passed), (7.5, Some(true)));
    assert_eq!(
        report.steps,
        [Step {
            description: "look".into(),
            conclusion: "good".into()
        }]
    );
    let asked = model.asked().remove(0);
    assert_eq!(asked.model, "gpt-4.1-mini");
    assert_eq!(
        asked.messages,
        [
            json!({"role": "developer", "content": "Score it."}),
            json!({"role": "user", "content": "right answer, 3"}),
        ]
    );
    assert_eq!(
        asked.params,
        json!({"temperature": 0, "seed": 1, "max_completion_tokens": 256})
    );
    let (name, schema) = asked.schema.unwrap();
    let order: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    // the reasoning comes first, or it would be made up for the result
    assert_eq!(
        (name.as_str(), order[0].as_str(), order[1].as_str()),
        ("score", "steps", "result")
    );
    assert_eq!(schema["properties"]["result"], json!({"type": "number"}));
    let usage = json!({
        "prompt_tokens": 10, "total_tokens": 15, "completion_tokens": 5, "cached_tokens": 4,
    });
    assert_eq!(
        report.call.as_ref().unwrap().to_json(),
        json!({
            "input": asked.messages, "output": [{"role": "assistant", "content": text}],
            "finish_reason": "stop", "model": "gpt-4.1-mini-2025-04-14", "usage": usage, "error": null,
            "temperature": 0, "max_completion_tokens": 256, "top_p": null, "seed": 1,
        })
    );
    let answer = report.to_run_answer();
    assert_eq!(
        answer["metadata"]["sampled_model_name"],
        "gpt-4.1-mini-2025-04-14"
    );
    assert_eq!(answer["metadata"]["token_usage"], usage);
    assert_eq!(
        answer["model_grader_token_usage_per_model"],
        json!({"gpt-4.1-mini-2025-04-14": usage})
    );
}

#[test]
fn pictures_and_sounds_reach_the_judge() {
    let model = ScriptedModel::saying(&["1"]);
    run(
        &judge(&json!({"input": [{"role": "user", "content": [
            "{{item.label}}", {"type": "output_text", "text": "b"},
            {"type": "input_image", "image_url": "data:{{item.label}}", "detail": "low"},
            {"type": "input_image", "image_url": "http://x"},
            {"type": "input_audio", "input_audio": {"data": "{{item.n}}", "format": "wav"}},
        ]}]})),
        &with(&model),
    );
    assert_eq!(
        model.asked()[0].messages,
        [json!({"role": "user", "content": [
            {"type": "text", "text": "right"}, {"type": "text", "text": "b"},
            {"type": "image_url", "image_url": {"url": "data:right", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "http://x"}},
            {"type": "input_audio", "input_audio": {"data": "3", "format": "wav"}},
        ]})]
    );
}

#[test]
fn a_number_is_read_wherever_it_stands_and_clamped() {
    for (said, reward, passed) in [
        (r#"{"steps":[],"result":11}"#, 10.0, true),
        (r#"{"result":-3,"steps":[]}"#, 0.0, false),
        // without a threshold it passes from the middle of the range on
        (r#"{"result":5}"#, 5.0, true),
        (r#"{"result":4.99}"#, 4.99, false),
        (r#"{"result":"6.5"}"#, 6.5, true),
        (" 8 ", 8.0, true),
        // of several the last counts, and one inside of another is none of them
        (
            "First {\"result\": 9}. No: ```json\n{\"result\": 2, \"x\": {\"result\": 7}}\n``` {so}",
            2.0,
            false,
        ),
    ] {
        let model = ScriptedModel::saying(&[said]);
        let report = run(&judge(&json!({})), &with(&model));
        assert_eq!(
            (report.reward, report.passed),
            (reward, Some(passed)),
            "{said}"
        );
        assert!(!report.errors.any());
    }
}

#[test]
fn what_a_judge_says_that_is_no_number_is_a_flag() {
    for (said, reason) in [
        (
            r#"{"result":"good"}"#,
            r#"the model's result is no number: "good""#,
        ),
        (
            r#"{"result":"NaN"}"#,
            r#"the model's result is no number: "NaN""#,
        ),
        (
            r#"{"result":null}"#,
            "the model's result is no number: null",
        ),
        (r#"{"score":1}"#, "the model's answer holds no `result`"),
        ("", "the model's answer holds no `result`"),
        // what is whole inside of what was cut off is no verdict
        (
            r#"{"steps":[{"result": 1}, {"result": 9"#,
            "the model's answer holds no `result`",
        ),
    ] {
        let report = run(&judge(&json!({})), &with(&ScriptedModel::saying(&[said])));
        failed(&report, &["model_grader_parse_error"], reason);
        // it was paid for all the same
        assert_eq!(report.usage["gpt-4.1-mini-2025-04-14"].total, 15);
        assert_eq!(report.call.unwrap().output, said);
    }
}

#[test]
fn refusals_and_failures_of_the_provider_have_flags_of_their_own() {
    let ask = |answer| {
        run(
            &judge(&json!({})),
            &with(&ScriptedModel::answering([answer])),
        )
    };
    let mut refused = answer("");
    refused.refusal = Some("I will not.".into());
    let report = ask(Ok(refused));
    failed(
        &report,
        &["model_grader_refusal_error"],
        "the model refused: I will not.",
    );
    assert_eq!(report.call.unwrap().output, "I will not.");
    let mut filtered = answer("{\"result\": 5}");
    filtered.finish_reason = Some("content_filter".into());
    let reason = "the model refused: a content filter stopped the answer";
    failed(&ask(Ok(filtered)), &["model_grader_refusal_error"], reason);
    let mut cut = answer("{\"steps\": [");
    cut.finish_reason = Some("length".into());
    let reason = "the model's answer was cut off before its result";
    failed(&ask(Ok(cut)), &["model_grader_parse_error"], reason);
    for error in [
        ModelError::Unavailable("429".into()),
        ModelError::Refused("401".into()),
    ] {
        let report = ask(Err(error.clone()));
        failed(&report, &["model_grader_server_error"], &error.to_string());
        let details = report.errors.model_grader_server_error_details;
        assert_eq!(details, Some(error.to_string()));
    }
    let report = run(&judge(&json!({})), &no_services());
    failed(
        &report,
        &["model_grader_server_error"],
        &ModelError::Absent.to_string(),
    );
}

#[test]
fn a_prompt_with_a_hole_asks_nobody() {
    let model = ScriptedModel::default();
    let prompt = json!({"input": [{"role": "user", "content": "{{item.nope}}"}]});
    failed(
        &run(&judge(&prompt), &with(&model)),
        &["invalid_variable_error"],
        "the row has no `item.nope`",
    );
    assert_eq!(model.asked(), []);
}

#[test]
fn a_label_passes_if_it_is_one_that_passes() {
    let definition = json!({
        "type": "label_model", "name": "l", "model": "m", "labels": ["good", "bad"],
        "passing_labels": ["good"], "input": [{"role": "user", "content": "{{sample.output_text}}"}],
    });
    for (said, label, reward) in [("good", Some("good"), 1.0), ("bad", Some("bad"), 0.0)] {
        let said = json!({"steps": [], "result": said}).to_string();
        let model = ScriptedModel::saying(&[&said]);
        let report = run(&definition, &with(&model));
        assert_eq!((report.reward, report.passed), (reward, Some(reward > 0.0)));
        assert_eq!(report.label.as_deref(), label);
        let (name, schema) = model.asked().remove(0).schema.unwrap();
        assert_eq!(name, "label");
        let result = &schema["properties"]["result"];
        assert_eq!(*result, json!({"type": "string", "enum": ["good", "bad"]}));
    }
    let report = run(
        &definition,
        &with(&ScriptedModel::saying(&[r#"{"result":"Good"}"#])),
    );
    let reason = r#"the model's result is none of the labels: "Good""#;
    failed(&report, &["model_grader_parse_error"], reason);
    assert_eq!(report.label, None);
}

#[test]
fn code_is_run_and_its_failures_are_told_apart() {
    let definition = json!({
        "type": "python", "name": "p", "source": "def grade(sample, item):\n    return 1.0\n",
    });
    let python = |answer| {
        let python = ScriptedPython(answer);
        run(
            &definition,
            &Services {
                model: None,
                python: Some(&python),
            },
        )
    };
    let report = python(Ok(0.5));
    assert_eq!((report.reward, report.passed), (0.5, Some(true)));
    assert_eq!(python(Ok(0.49)).passed, Some(false));
    let runtime = ["python_grader_runtime_error"];
    let report = python(Err(PythonError::Runtime("Traceback: x".into())));
    failed(&report, &runtime, "Traceback: x");
    let details = report.errors.python_grader_runtime_error_details;
    assert_eq!(details.as_deref(), Some("Traceback: x"));
    let stopped = python(Err(PythonError::Stopped("2 minutes".into())));
    failed(
        &stopped,
        &runtime,
        "the grader's code was stopped: 2 minutes",
    );
    failed(
        &python(Ok(f64::NAN)),
        &runtime,
        "the grader's code returned NaN, which is no score",
    );
    let server = ["python_grader_server_error"];
    let absent = python(Err(PythonError::Absent("no bwrap".into())));
    failed(&absent, &server, "Python graders cannot run here: no bwrap");
    assert!(absent.errors.python_grader_server_error_type.is_some());
    let nowhere = "Python graders cannot run here: no sandbox is configured";
    failed(&run(&definition, &no_services()), &server, nowhere);
}

#[test]
fn a_formula_puts_parts_together() {
    let definition = json!({
        "type": "multi", "name": "m", "calculate_output": "(exact + 3 * judge) / 4 + tone",
        "graders": {
            "exact": string_check("like", "{{sample.output_text}}", "{{item.label}}"),
            "judge": judge(&json!({"range": [0, 1]})),
            "tone": {
                "type": "label_model", "model": "m", "labels": ["x"], "passing_labels": ["x"],
                "input": [{"role": "user", "content": "hi"}],
            },
        },
    });
    let model = ScriptedModel::saying(&[r#"{"result":0.5}"#, r#"{"result":"x"}"#]);
    let report = run(&definition, &with(&model));
    assert_eq!(
        (report.reward, report.passed, report.errors.any()),
        (1.625, None, false)
    );
    let answer = report.to_run_answer();
    assert_eq!(
        answer["sub_rewards"],
        json!({"exact": 1.0, "judge": 0.5, "tone": 1.0})
    );
    assert_eq!(answer["metadata"]["type"], "multi");
    assert_eq!(answer["metadata"]["token_usage"]["total_tokens"], 30);
    let by_model = &answer["model_grader_token_usage_per_model"]["gpt-4.1-mini-2025-04-14"];
    assert_eq!(by_model["cached_tokens"], 8);
}

#[test]
fn a_part_that_fails_counts_as_nothing_and_is_flagged() {
    let formula = |formula: &str| {
        json!({
            "type": "multi", "name": "m", "calculate_output": formula,
            "graders": {
                "a": string_check("eq", "x", "x"), "b": string_check("eq", "{{item.nope}}", "x"),
                "c": {"type": "python", "source": "def grade(sample, item): return 1.0"},
            },
        })
    };
    let report = run(&formula("a + b + c"), &no_services());
    assert_eq!((report.reward, report.passed), (1.0, None));
    assert_eq!(
        flags(&report),
        ["invalid_variable_error", "python_grader_server_error"]
    );
    assert_eq!(
        report.errors.reasons,
        [
            "b: the row has no `item.nope`",
            "c: Python graders cannot run here: no sandbox is configured",
        ]
    );
    let report = run(&formula("a / b"), &no_services());
    assert_eq!(report.reward, 0.0);
    assert!(report.errors.formula_parse_error);
    let reason = report.errors.reasons.last().unwrap();
    assert_eq!(reason, "the formula has no finite value for these scores");
}

#[test]
fn a_run_may_move_between_threads() {
    fn moves<T: Send>(_: &T) {}
    let grader = parsed(&judge(&json!({})), Place::Eval);
    let (item, model) = (json!({}), ScriptedModel::default());
    let services = with(&model);
    moves(&grader.run(
        Subject {
            item: &item,
            sample: &item,
        },
        &services,
    ));
}
