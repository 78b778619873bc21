//! What the real clients send is read, and what they read is sent.

use super::*;

const CAPTURES: [&str; 2] = ["openai-3.52.0.json", "openai-2.8.0.json"];

/// Every recorded call with its first request's body.
fn calls(file: &str) -> Vec<(Value, Value)> {
    let capture: Value = serde_json::from_str(&testdata(file)).unwrap();
    let calls = capture["calls"].as_array().unwrap().clone();
    let with_body = |call: Value| {
        let body = call["requests"][0]["body"].clone();
        (call, body)
    };
    calls.into_iter().map(with_body).collect()
}

#[test]
fn every_recorded_grader_is_read_and_echoed() {
    for file in CAPTURES {
        let (mut criteria, mut graders) = (0, 0);
        for (_, body) in calls(file) {
            for criterion in body["testing_criteria"].as_array().into_iter().flatten() {
                criteria += 1;
                let echo = parsed(criterion, Place::Eval).to_json();
                if criterion["type"] != "label_model" {
                    assert_eq!(echo, *criterion);
                    continue;
                }
                // the only one whose messages are plain texts
                let mut long = criterion.clone();
                for message in long["input"].as_array_mut().unwrap() {
                    let content = message["content"].take();
                    message["type"] = json!("message");
                    message["content"] = json!({"type": "input_text", "text": content});
                }
                assert_eq!(echo, long);
            }
            if let Some(grader) = body.get("grader") {
                graders += 1;
                assert_eq!(parsed(grader, Place::GradersRun).to_json(), *grader);
            }
        }
        assert_eq!((criteria, graders), (7, 2), "{file}");
    }
}

#[test]
fn the_recorded_run_is_graded_and_answered_in_the_recorded_shape() {
    for file in CAPTURES {
        let (call, body) = (calls(file).into_iter())
            .find(|(call, _)| call["call"] == "graders.run multi")
            .unwrap();
        let sample = sample_of_text(body["model_sample"].as_str().unwrap());
        let subject = Subject {
            item: &body["item"],
            sample: &sample,
        };
        let grader = parsed(&body["grader"], Place::GradersRun);
        let answer = block_on(grader.run(subject, &Services::default())).to_run_answer();
        assert_eq!(answer["reward"], 1.0);
        assert_eq!(answer["sub_rewards"], json!({"a": 1.0, "b": 1.0}));
        let expected = &call["reply"]["body"];
        for pointer in ["", "/metadata", "/metadata/errors"] {
            let keys = |answer: &Value| {
                let object = answer.pointer(pointer).and_then(Value::as_object).unwrap();
                let mut keys: Vec<String> = object.keys().cloned().collect();
                keys.sort_unstable();
                keys
            };
            assert_eq!(keys(&answer), keys(expected), "{pointer} of {file}");
        }
        assert_eq!(answer["metadata"]["errors"], expected["metadata"]["errors"]);
    }
}

#[test]
fn unknown_fields_come_back_in_their_order() {
    let text = r#"{"type":"string_check","name":"s","x_ours":{"b":1,"a":[2.50,null]},"input":"{{ item.a }}","id":"s-1",
        "reference":"b","operation":"like","pass_threshold":null}"#;
    let definition: Value = serde_json::from_str(text).unwrap();
    let echo = parsed(&definition, Place::Eval).to_json();
    assert_eq!(echo.to_string(), definition.to_string());
}

#[test]
fn messages_come_back_in_the_long_form() {
    let message = json!({"role": "user", "content": "hi {{item.x}}", "extra": 1});
    let long = json!({
        "type": "message", "role": "user", "content": {"type": "input_text", "text": "hi {{item.x}}"},
        "extra": 1,
    });
    let judge = |message: &Value| json!({"type": "score_model", "name": "j", "model": "m", "input": [message]});
    assert_eq!(
        parsed(&judge(&message), Place::Eval).to_json(),
        judge(&long)
    );
    let by_name = |part: Value| {
        json!({
            "type": "multi", "name": "m", "calculate_output": "j", "graders": {"j": part},
        })
    };
    assert_eq!(
        parsed(&by_name(judge(&message)), Place::GradersRun).to_json(),
        by_name(judge(&long))
    );
    // the schema's single grader
    let single = |part: Value| {
        json!({
            "type": "multi", "name": "m", "calculate_output": "j", "graders": part,
        })
    };
    assert_eq!(
        parsed(&single(judge(&message)), Place::GradersRun).to_json(),
        single(judge(&long))
    );
}
