//! Which definitions are graders, and what is said of those that are not.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn problems(definition: &Value, place: Place) -> Vec<String> {
    let problems = Grader::parse(definition, place).expect_err("the definition is wrong");
    assert!(!problems.is_empty());
    problems.list().iter().map(ToString::to_string).collect()
}

fn string_check() -> Value {
    json!({
        "type": "string_check", "name": "s", "operation": "eq",
        "input": "{{sample.output_text}}", "reference": "{{item.label}}",
    })
}

fn similarity(metric: &str) -> Value {
    json!({
        "type": "text_similarity", "name": "t", "evaluation_metric": metric, "pass_threshold": 0.5,
        "input": "{{sample.output_text}}", "reference": "{{item.label}}",
    })
}

fn score_model(model: &str, params: &Value) -> Value {
    json!({
        "type": "score_model", "name": "j", "model": model, "sampling_params": params,
        "input": [{"role": "user", "content": "{{sample.output_text}}"}],
    })
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let multi = json!({
        "type": "multi", "name": "m", "calculate_output": "(a + z",
        "graders": {
            "a": {"type": "string_check", "input": "{{ itm.x }}", "operation": "is"},
            "b": {
                "type": "score_model", "model": 4, "range": [1, 0],
                "input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}, "y"],
            },
            "c": {"type": "multi", "graders": {}},
            "d": 1,
        },
    });
    assert_eq!(
        problems(&multi, Place::GradersRun),
        [
            "graders.a.input: `{{itm.x}}` is no path into `item` or `sample`; write paths such as \
         `{{ item.label }}`, `{{ sample.output_text }}` or `{{ sample.output_tools[0].function.name }}`",
            "graders.a.reference: is missing; write a text, such as `{{ sample.output_text }}`",
            "graders.a.operation: `is` is unknown; write `eq`, `ne`, `like` (contains) or `ilike` (contains, \
         case ignored)",
            "graders.b.model: is a number; write the name of a model",
            "graders.b.input[0].content[0].type: `text` is no kind of content; write `input_text`, \
         `output_text`, `input_image` or `input_audio`",
            "graders.b.input[1]: is a text; write an object with `type` and its fields",
            "graders.b.range: is [1,0]; write two numbers, the lower first, such as `[0, 1]`",
            "graders.c.type: a `multi` cannot be part of a `multi`; write one of `string_check`, \
         `text_similarity`, `python`, `score_model`, `label_model`",
            "graders.d: is a number; write an object with `type` and its fields",
            "calculate_output: `z` is no key of `graders`: a, b, c, d; write a formula over the keys of \
         `graders`, such as `(a + b) / 2`",
        ]
    );
}

#[test]
fn a_definition_that_is_none_is_told_so() {
    assert_eq!(
        problems(&json!([]), Place::Eval),
        ["is a list; write an object with `type` and its fields"]
    );
    assert_eq!(
        problems(&json!({}), Place::Eval),
        [
            "type: is missing; write one of `string_check`, `text_similarity`, `label_model`, \
         `score_model`, `python`",
            "name: is missing; give the grader a name, a text",
        ]
    );
    assert_eq!(
        problems(&json!({"type": "strng", "name": 1}), Place::GradersRun),
        [
            "type: `strng` is no type of grader; write one of `string_check`, `text_similarity`, `python`, \
         `score_model`, `multi`",
            "name: is a number; give the grader a name, a text",
        ]
    );
}

#[test]
fn each_place_has_its_types() {
    let multi = json!({
        "type": "multi", "name": "m", "calculate_output": "a", "graders": {"a": string_check()},
    });
    assert!(problems(&multi, Place::Eval)[0].starts_with("type: `multi` is no testing criterion"));
    parsed(&multi, Place::GradersRun);
    let label = json!({
        "type": "label_model", "name": "l", "model": "m", "labels": ["x", "y"], "passing_labels": ["x"],
        "input": [{"role": "user", "content": "hi"}],
    });
    assert!(
        problems(&label, Place::GradersRun)[0]
            .starts_with("type: `label_model` is accepted in evals")
    );
    parsed(&label, Place::Eval);
}

#[test]
fn a_threshold_is_asked_of_a_similarity_in_evals_only() {
    let mut close = similarity("bleu");
    close.as_object_mut().unwrap().remove("pass_threshold");
    parsed(&close, Place::GradersRun);
    assert_eq!(
        problems(&close, Place::Eval),
        ["pass_threshold: is missing; write the score from which on a row passes, such as `0.8`"]
    );
    close["pass_threshold"] = json!("high");
    assert_eq!(
        problems(&close, Place::Eval),
        ["pass_threshold: is a text; write a number: a score from it on passes"]
    );
}

#[test]
fn cosine_is_for_evals_and_needs_embeddings() {
    assert_eq!(
        problems(&similarity("cosine"), Place::GradersRun),
        [
            "evaluation_metric: `cosine` is for evals only; choose a metric that compares words, such as \
         `fuzzy_match`"
        ]
    );
    let cosine = parsed(&similarity("cosine"), Place::Eval);
    let model = ScriptedModel::default();
    let with = Services {
        model: Some(&model),
        python: None,
    };
    assert_eq!(cosine.check(&with), Ok(()));
    let problems = cosine.check(&Services::default()).unwrap_err();
    assert_eq!(problems.list()[0].path, "evaluation_metric");
    assert_eq!(
        parsed(&similarity("bleu"), Place::Eval).check(&Services::default()),
        Ok(())
    );
    assert!(Grader::parse(&similarity("rouge_6"), Place::Eval).is_err());
}

#[test]
fn spellings_that_are_documented_somewhere_are_accepted() {
    let mut check = string_check();
    check["operation"] = json!("neq");
    parsed(&check, Place::Eval);
    for key in ["max_completions_tokens", "max_completion_tokens"] {
        let grader = score_model("m", &json!({key: 7}));
        let model = ScriptedModel::saying(&["{\"result\": 1}"]);
        run(
            &grader,
            &Services {
                model: Some(&model),
                python: None,
            },
        );
        assert_eq!(model.asked()[0].params, json!({"max_completion_tokens": 7}));
    }
    let nameless = json!({"type": "python", "source": "def grade(sample, item): return 1.0"});
    assert_eq!(parsed(&nameless, Place::GradersRun).name(), "python");
}

#[test]
fn python_must_hold_a_grader_of_bounded_size() {
    let source =
        |source: &str| json!({"type": "python", "name": "p", "source": source, "image_tag": 1});
    let image = "image_tag: is a number; write a text, or leave it out";
    let long = format!(
        "def grade(sample, item): return 1.0\n#{}",
        "x".repeat(256 * 1024)
    );
    assert_eq!(
        problems(&source(&long), Place::Eval),
        ["source: is 262181 bytes long; keep it under 256 kB", image]
    );
    assert_eq!(
        problems(&source("x = 1"), Place::Eval),
        [
            "source: has no function `grade`; write a module that holds `def grade(sample, item) -> float`",
            image
        ]
    );
}

#[test]
fn labels_that_pass_are_labels() {
    let grader = json!({
        "type": "label_model", "name": "l", "model": "m", "labels": ["x"], "passing_labels": ["x", "y"],
        "input": [{"role": "user", "content": "hi"}],
    });
    assert_eq!(
        problems(&grader, Place::Eval),
        ["passing_labels: `y` is none of `labels`; write those of `labels` that pass"]
    );
    let mut twice = grader;
    twice["labels"] = json!(["x", "y", "x"]);
    assert_eq!(
        problems(&twice, Place::Eval),
        ["labels: `x` stands there twice; write each label once"]
    );
}

#[test]
fn parameters_are_refused_that_the_model_would_refuse() {
    let all = json!({"temperature": 0.2, "top_p": 1, "reasoning_effort": "low", "seed": "x"});
    let at = "sampling_params";
    assert_eq!(
        problems(&score_model("o3-mini-2025-01-31", &all), Place::Eval),
        [
            format!("{at}.temperature: is not taken by models that reason; leave it out"),
            format!("{at}.seed: is a text; write a whole number"),
        ]
    );
    assert_eq!(
        problems(&score_model("gpt-4.1-nano-2025-04-14", &all), Place::Eval),
        [
            format!("{at}.seed: is a text; write a whole number"),
            format!(
                "{at}.reasoning_effort: is for models that reason, and this one does not; leave it out"
            ),
        ]
    );
    // of other models nothing is known: their provider decides
    assert_eq!(
        problems(&score_model("my-model", &all), Place::Eval),
        [format!("{at}.seed: is a text; write a whole number"),]
    );
    parsed(
        &score_model("o3", &json!({"temperature": 1, "reasoning_effort": "high"})),
        Place::Eval,
    );
    parsed(
        &score_model(
            "gpt-5.1",
            &json!({"temperature": 0, "reasoning_effort": "none"}),
        ),
        Place::Eval,
    );
    parsed(
        &score_model(
            "gpt-4o",
            &json!({"temperature": null, "reasoning_effort": null}),
        ),
        Place::Eval,
    );
}

#[test]
fn the_hash_is_of_the_meaning_of_the_json() {
    let a = parsed(&similarity("bleu"), Place::Eval);
    let text = r#"{"name":"t","type":"text_similarity","pass_threshold":5e-1,"evaluation_metric":"bleu",
        "reference":"{{item.label}}","input":"{{sample.output_text}}"}"#;
    let b = parsed(&serde_json::from_str(text).unwrap(), Place::GradersRun);
    assert_eq!(a.hash(), b.hash());
    assert_ne!(a.hash(), parsed(&similarity("gleu"), Place::Eval).hash());
    assert_eq!(
        (a.hash().len(), a.kind(), a.name()),
        (64, Kind::TextSimilarity, "t")
    );
}

/// Every kind of grader, whole.
fn whole() -> Vec<Value> {
    let label = json!({
        "type": "label_model", "name": "l", "model": "m", "labels": ["x", "y"], "passing_labels": ["x"],
        "input": [
            {"role": "system", "content": {"type": "input_text", "text": "a {{item.x}}"}},
            {"type": "message", "role": "user", "content": [
                "b", {"type": "input_image", "image_url": "{{item.url}}", "detail": "low"},
                {"type": "input_audio", "input_audio": {"data": "{{item.wav}}", "format": "wav"}},
            ]},
        ],
    });
    let code =
        json!({"type": "python", "name": "p", "source": "def grade(sample, item): return 1.0"});
    let params = json!({"seed": 1, "top_p": 0.5, "temperature": 0, "max_completions_tokens": 9});
    let multi = json!({
        "type": "multi", "name": "m", "calculate_output": "min(a, b) + c * d ^ 2",
        "graders": {"a": string_check(), "b": similarity("meteor"), "c": label, "d": code},
    });
    vec![
        string_check(),
        similarity("rouge_l"),
        score_model("m", &params),
        label,
        code,
        multi,
    ]
}

#[test]
fn whole_definitions_are_read_and_those_with_a_hole_are_not() {
    for definition in whole() {
        let place = match definition["type"].as_str() {
            Some("multi") => Place::GradersRun,
            _ => Place::Eval,
        };
        parsed(&definition, place);
        for key in definition.as_object().unwrap().keys() {
            let mut holed = definition.clone();
            holed.as_object_mut().unwrap().shift_remove(key);
            let optional =
                key == "sampling_params" || (key == "name" && definition["type"] == "python");
            assert_eq!(
                Grader::parse(&holed, place).is_ok(),
                optional,
                "{key} of {definition}"
            );
        }
    }
}

/// Puts `junk` in the place of the `n`th value of a definition.
fn spoiled(value: &mut Value, n: &mut usize, junk: &Value) {
    if *n == 0 {
        *value = junk.clone();
    }
    *n = n.wrapping_sub(1);
    match value {
        Value::Object(object) => object
            .values_mut()
            .for_each(|value| spoiled(value, n, junk)),
        Value::Array(list) => list.iter_mut().for_each(|value| spoiled(value, n, junk)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_definition_makes_it_panic(
        which in 0_usize..6,
        at in 0_usize..60,
        junk in proptest::sample::select(vec![
            json!(null), json!(true), json!(-1.5), json!(""), json!("{{"), json!("{{item[0]}} }}"),
            json!("multi"), json!([]), json!([[]]), json!({}), json!({"type": "multi"}), json!("a^"),
        ]),
    ) {
        let mut definition = whole().swap_remove(which);
        spoiled(&mut definition, &mut { at }, &junk);
        for place in [Place::Eval, Place::GradersRun] {
            match Grader::parse(&definition, place) {
                Ok(grader) => {
                    // what is echoed is read the same again
                    let echo = grader.to_json();
                    prop_assert_eq!(parsed(&echo, place).to_json(), echo);
                }
                Err(problems) => prop_assert!(!problems.is_empty()),
            }
        }
    }
}
