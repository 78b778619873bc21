//! Definitions: what they mean, what is wrong with them, when two are the same.

use grade::GraderScale;
use grade::trace::{Costs, TraceGrader};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::court::parsed;

const GUIDE: &str = "
Evaluate the entire agent workflow:

1. Did the agent accomplish the user's goal?
2. Were the right tools called in the right order?
3. Were there any unnecessary steps?
4. Was the final response appropriate?

Score: 1-5 (5 = perfect execution)
";

/// The graders of the guide, as it writes them.
fn of_the_guide() -> [Value; 6] {
    let inputs = json!({
        "user_goal": "{original_message}",
        "trace": "{trace}",
        "final_response": "{final_response}",
    });
    [
        json!({"name": "workflow_success", "type": "llm", "model": "gpt-5", "criteria": GUIDE, "inputs": inputs}),
        json!({
            "name": "tool_usage", "type": "llm", "focus": "spans[type=function]",
            "criteria": "Rate the appropriateness of tool usage (1-5)",
        }),
        json!({
            "name": "handoff_quality", "type": "llm", "focus": "spans[type=handoff]",
            "criteria": "Rate the quality of agent handoffs (1-5)",
        }),
        json!({"type": "llm", "criteria": "Overall quality (1-5)"}),
        json!({"type": "rule", "check": "duration_ms < 5000"}),
        json!({"type": "rule", "check": "tool_errors == 0"}),
    ]
}

#[test]
fn the_guides_graders_are_read_and_their_scales_echoed() {
    let stars = GraderScale::Number {
        low: Some(1.0),
        high: Some(5.0),
        pass_threshold: Some(4.0),
    };
    let graders = of_the_guide();
    for definition in &graders[..4] {
        let grader = parsed(definition);
        assert_eq!(
            (grader.scale(), grader.cost()),
            (stars.clone(), Costs::Judge)
        );
        assert_eq!(grader.definition()["range"], json!([1.0, 5.0]));
        assert_eq!(grader.definition()["pass_threshold"], 4.0);
        assert!(grader.needs().content);
    }
    assert_eq!(parsed(&graders[0]).name(), "workflow_success");
    assert_eq!(
        (parsed(&graders[4]).name(), parsed(&graders[4]).kind()),
        ("rule", "rule")
    );
    insta::assert_json_snapshot!("guide", parsed(&graders[0]).definition());
    insta::assert_json_snapshot!("guide_focus", parsed(&graders[1]).definition());
}

#[test]
fn a_criterion_of_several_questions_can_be_split() {
    let grader = parsed(&of_the_guide()[0]);
    let split = parsed(&grader.split().unwrap());
    assert_eq!((split.name(), split.criteria()), ("workflow_success", 4));
    let definition = split.definition();
    assert_eq!(definition["calculate_output"], "(q1 + q2 + q3 + q4) / 4");
    let second = parsed(&definition["graders"]["q2"]);
    assert_eq!(second.scale(), GraderScale::PassFail);
    assert_eq!(
        second.definition()["criteria"],
        "Were the right tools called in the right order?"
    );
    assert_eq!(second.definition()["model"], "gpt-5");
    let steps =
        json!({"type": "llm", "criteria": "How good is it?\n1. Bad.\n2. So so.\n3. Good. (1-3)"});
    assert!(parsed(&steps).split().is_none());
    assert!(parsed(&of_the_guide()[1]).split().is_none());
    assert!(parsed(&of_the_guide()[4]).split().is_none());
}

#[test]
fn a_scale_is_told_by_fields_or_by_the_text() {
    let check = |fields: Value, expected: GraderScale| {
        let mut definition = json!({"type": "llm", "criteria": "Was it polite?"});
        merge(&mut definition, fields);
        assert_eq!(parsed(&definition).scale(), expected, "{definition}");
    };
    let number = |low, high, least| GraderScale::Number {
        low: Some(low),
        high: Some(high),
        pass_threshold: Some(least),
    };
    check(json!({}), GraderScale::PassFail);
    check(json!({"range": [0, 1]}), number(0.0, 1.0, 0.5));
    check(
        json!({"range": [0, 1], "pass_threshold": 0.7}),
        number(0.0, 1.0, 0.7),
    );
    check(
        json!({"range": [0, 10], "integer": false}),
        number(0.0, 10.0, 5.0),
    );
    check(
        json!({"criteria": "Rate it out of 10"}),
        number(0.0, 10.0, 6.0),
    );
    check(
        json!({"criteria": "Rate it (1-5)", "pass_threshold": 3}),
        number(1.0, 5.0, 3.0),
    );
    check(
        json!({"criteria": "Rate it (1-5)", "scale": "pass_fail"}),
        GraderScale::PassFail,
    );
    check(
        json!({"levels": {"1": "rude", "3": "kind"}}),
        number(1.0, 3.0, 3.0),
    );
    let labels = vec!["good".to_owned(), "bad".to_owned()];
    check(
        json!({"labels": labels, "passing_labels": ["good"]}),
        GraderScale::Labels {
            labels: labels.clone(),
            passing: vec!["good".to_owned()],
        },
    );
    check(
        json!({"labels": labels}),
        GraderScale::Labels {
            labels,
            passing: vec![],
        },
    );
}

/// A definition is refused with so many problems, and each tells one of these words.
#[track_caller]
fn refuse(definition: &Value, wanted: &[&str]) {
    let problems = TraceGrader::parse(definition).unwrap_err();
    let text = problems.to_string();
    for words in wanted {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(problems.0.len(), wanted.len(), "{text}");
}

#[test]
fn every_mistake_is_told() {
    refuse(&json!(3), &["is a number; write an object"]);
    refuse(&json!({}), &["type: is missing; write rule, detector"]);
    refuse(
        &json!({"type": "judge"}),
        &["type: `judge` is no type of grader"],
    );
    refuse(
        &json!({"type": "rule", "check": "duration_m < 5", "strict": 1, "x": 2, "name": ""}),
        &[
            "x: is unknown",
            "strict: is a number",
            "duration_ms",
            "name: is empty",
        ],
    );
    refuse(&json!({"type": "rule"}), &["check: is missing"]);
    refuse(&json!({"type": "detector", "detector": "D99"}), &["D99"]);
    refuse(
        &json!({"type": "trajectory", "metric": "speed", "x": 1}),
        &["unknown field `x`", "speed"],
    );
    refuse(
        &json!({
            "type": "multi", "calculate_output": "a + z",
            "graders": {
                "a": {"type": "rule", "check": "tru"},
                "b": {"type": "multi"},
                "c": {"type": "label_model", "input": [], "labels": ["x"], "passing_labels": ["y"]},
            },
        }),
        &[
            "calculate_output: `z`",
            "graders.a.check: cannot be understood",
            "graders.b.graders: is missing",
            "graders.b.calculate_output: is missing",
            "graders.c.input: is empty",
            "graders.c.passing_labels: `y`",
        ],
    );
    refuse(
        &json!({"type": "string_check", "input": "{{spams}}", "reference": "x", "operation": "is"}),
        &[
            "input: `{{spams}}` is no path into `item` or `sample` or `trace` or `spans`",
            "operation: `is`",
        ],
    );
    refuse(
        &json!({"type": "code", "source": "x = 1", "entry": "main()", "labels": ["a", "b"], "range": [0, 1]}),
        &[
            "source: has no function `grade`",
            "entry: is \"main()\"",
            "labels: stand beside",
        ],
    );
}

#[test]
fn every_mistake_in_a_criterion_is_told() {
    refuse(
        &json!({
            "type": "llm", "question": "a", "criteria": "b", "levels": {"one": "x"}, "focus": "spanz",
            "per": "call", "inputs": {"a": "{{item.x y}} {{itm.x}}", "b": 3}, "judges": [], "samples": 0,
            "samples_share": 2, "logprobs": "yes", "budget_tokens": 5, "examples": [{"excerpt": "e"}],
            "range": [5, 1], "models": "gpt",
        }),
        &[
            "models: is unknown",
            "question: stands beside",
            "levels: is",
            "focus: cannot be understood",
            "per: is \"call\"",
            "inputs.a: names `itm.x`",
            "inputs.b: is a number",
            "judges: is empty",
            "samples: is 0",
            "samples_share: is no share",
            "logprobs: is a text",
            "budget_tokens: is 5",
            "examples[0].reasoning: is missing",
            "examples[0].decision: is missing",
            "range: is [5,1]",
        ],
    );
    refuse(
        &json!({"type": "llm", "criteria": "Good?", "pass_threshold": 0.5, "per": "span"}),
        &["pass_threshold: has no scale", "per: is \"span\""],
    );
    refuse(
        &json!({
            "type": "llm", "criteria": "Rate (1-5)", "levels": {"7": "x"},
            "examples": [{"excerpt": "e", "reasoning": "r", "decision": "pass"}],
        }),
        &["levels: tell of 7", "examples[0].decision: is \"pass\""],
    );
    refuse(
        &json!({"type": "llm", "criteria": "Which?", "labels": ["a", "b"], "passing_labels": ["c"]}),
        &["passing_labels: `c`"],
    );
}

#[test]
fn what_means_the_same_has_the_same_hash() {
    let same = [
        json!({"type": "llm", "criteria": "Rate it (1-5)"}),
        json!({"question": "Rate it (1-5)", "type": "llm", "name": "other"}),
        json!({"type": "llm", "criteria": "Rate it (1-5)", "range": [1, 5], "pass_threshold": 4.0}),
        json!({"type": "llm", "criteria": "Rate it (1-5)", "samples": 1, "logprobs": false}),
    ];
    let hash = parsed(&same[0]).hash().to_owned();
    for definition in &same {
        assert_eq!(parsed(definition).hash(), hash, "{definition}");
    }
    for other in [
        json!({"type": "llm", "criteria": "Rate it (1-4)"}),
        json!({"type": "llm", "criteria": "Rate it (1-5)", "model": "gpt-5"}),
        json!({"type": "llm", "criteria": "Rate it (1-5)", "focus": "spans"}),
    ] {
        assert_ne!(parsed(&other).hash(), hash, "{other}");
    }
    // A hash that changes makes every stored judgement that of another grader.
    assert_eq!(
        parsed(&json!({"type": "rule", "check": "tool_errors == 0"})).hash(),
        "66a49fb392a1bc22c7d79d655ef7b4f2e98cc29337a2cb19c459c0816ee203f1"
    );
}

fn merge(definition: &mut Value, fields: Value) {
    let (Value::Object(definition), Value::Object(fields)) = (definition, fields) else {
        panic!("both are objects");
    };
    definition.extend(fields);
}

/// Returns an object with its keys, and those of objects in it, in another order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev();
            let fields: Map<String, Value> = fields
                .map(|(key, value)| (key.clone(), reversed(value)))
                .collect();
            fields.into()
        }
        Value::Array(values) => values.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

fn option<S: Strategy<Value = Value> + 'static>(
    key: &'static str,
    value: S,
) -> BoxedStrategy<Option<(String, Value)>> {
    proptest::option::of(value.prop_map(move |value| (key.to_owned(), value))).boxed()
}

fn words() -> BoxedStrategy<Value> {
    "[a-zA-Z?(][a-zA-Z0-9 .?()-]{0,20}"
        .prop_map(Value::from)
        .boxed()
}

fn llm() -> BoxedStrategy<Value> {
    let scales = prop_oneof![
        Just(json!({})),
        Just(json!({"range": [0, 1], "pass_threshold": 0.25})),
        Just(json!({"range": [1, 5]})),
        Just(json!({"range": [0.5, 3]})),
        Just(json!({"labels": ["a", "b"], "passing_labels": ["b"]})),
        Just(json!({"levels": {"2": "bad", "10": "good"}})),
    ];
    let judges = prop_oneof![
        Just(json!({})),
        Just(json!({"model": "gpt-5"})),
        Just(json!({"judges": ["a", {"model": "b", "sampling_params": {"temperature": 0.5}}]})),
        Just(json!({"judges": [{"sampling_params": {"max_completions_tokens": 50}}]})),
    ];
    let more = vec![
        option("name", words()),
        option("pass_when", words()),
        option("policy", words()),
        option("reference", Just(json!("{{item.reference.answer}}"))),
        option("focus", Just(json!("spans[type=function]"))),
        option(
            "inputs",
            Just(json!({"b": "{trace}", "a": "{final_response}"})),
        ),
        option("samples", (1..5).prop_map(Value::from)),
        option("needs_search", any::<bool>().prop_map(Value::from)),
        option("budget_tokens", (1_000..9_000).prop_map(Value::from)),
    ];
    let asked = prop_oneof![Just("criteria"), Just("question")];
    (asked, words(), scales, judges, more)
        .prop_map(|(key, words, scale, judges, more)| {
            let mut definition = json!({"type": "llm", key: words});
            merge(&mut definition, scale);
            merge(&mut definition, judges);
            merge(
                &mut definition,
                more.into_iter().flatten().collect::<Map<_, _>>().into(),
            );
            definition
        })
        .boxed()
}

fn part() -> BoxedStrategy<Value> {
    let message = json!({"role": "user", "content": "{{trace}} {{item.output}}"});
    prop_oneof![
        llm(),
        Just(json!({"type": "rule", "check": "tool_errors == 0", "strict": true})),
        Just(json!({"type": "detector", "detector": "d05"})),
        Just(json!({"type": "trajectory", "metric": "f1", "tools": ["x"]})),
        Just(json!({"type": "code", "source": "def grade(trace): return 1", "range": [0, 3]})),
        Just(json!({"type": "python", "source": "def grade(sample, item):\n    return 1"})),
        Just(json!({"type": "score_model", "input": [message], "range": [1, 7]})),
        Just(json!({"type": "label_model", "model": "m", "input": [message], "labels": ["a", "b"], "passing_labels": ["a"]})),
        Just(json!({"type": "string_check", "input": "{{item.output}}", "reference": "x", "operation": "like"})),
        Just(json!({"type": "text_similarity", "input": "a", "reference": "b", "evaluation_metric": "bleu"})),
    ]
    .boxed()
}

fn any_grader() -> BoxedStrategy<Value> {
    let multi = (part(), part(), proptest::option::of(0.0..1.0_f64)).prop_map(|(a, b, least)| {
        let graders = json!({"a": a, "b": b});
        let mut multi =
            json!({"type": "multi", "graders": graders, "calculate_output": "(a + b) / 2"});
        if let Some(least) = least {
            multi["pass_threshold"] = least.into();
        }
        multi
    });
    prop_oneof![4 => part(), 1 => multi].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What is echoed is the same grader, and is echoed as it is.
    #[test]
    fn reading_what_was_echoed_changes_nothing(definition in any_grader()) {
        // A text that happens to tell a scale may not go with the levels.
        let Ok(grader) = TraceGrader::parse(&definition) else {
            return Err(TestCaseError::reject("no grader"));
        };
        let again = TraceGrader::parse(grader.definition()).unwrap();
        prop_assert_eq!(again.definition().to_string(), grader.definition().to_string());
        prop_assert_eq!(again.hash(), grader.hash());
        prop_assert_eq!(again.scale(), grader.scale());
        prop_assert_eq!(again.needs(), grader.needs());
        prop_assert_eq!(again.name(), grader.name());
    }

    #[test]
    fn a_hash_ignores_the_name_and_the_order_of_keys(definition in any_grader(), name in "[a-z]{1,8}") {
        let Ok(grader) = TraceGrader::parse(&definition) else {
            return Err(TestCaseError::reject("no grader"));
        };
        let mut renamed = reversed(&definition);
        renamed["name"] = name.clone().into();
        let renamed = TraceGrader::parse(&renamed).unwrap();
        prop_assert_eq!(renamed.hash(), grader.hash());
        prop_assert_eq!(renamed.name(), name);
    }
}
