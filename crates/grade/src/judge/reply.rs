//! What came back: an answer of either API, read leniently.
//!
//! Providers leave out what they please; only an answer without any words, calls or refusal is none.

use serde_json::{Value, json};

use super::endpoint::Dialect;
use crate::openai::{ModelAnswer, TokenChances, Tokens};

/// Reads an answer, or says why it is none.
pub(super) fn read(dialect: Dialect, body: &[u8], asked: &str) -> Result<ModelAnswer, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
    // Some routers answer 200 and tell of a failure further on in the body.
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        let message = error["message"].as_str().map(str::to_owned);
        return Err(message.unwrap_or_else(|| error.to_string()));
    }
    let mut answer = match dialect {
        Dialect::Chat => chat(&body),
        Dialect::Responses => responses(&body),
    }?;
    answer.model = body["model"].as_str().unwrap_or(asked).to_owned();
    Ok(answer)
}

/// Reads vectors in the order of what was asked.
pub(super) fn vectors(body: &[u8], count: usize) -> Result<Vec<Vec<f32>>, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
    let mut vectors = vec![None; count];
    for (place, data) in body["data"].as_array().into_iter().flatten().enumerate() {
        let index = data["index"].as_u64().map_or(place, |index| index as usize);
        let numbers = data["embedding"].as_array();
        let numbers = numbers.map(|it| it.iter().map(|it| it.as_f64().map(|it| it as f32)));
        let vector: Option<Vec<f32>> = numbers.and_then(Iterator::collect);
        if let Some(slot) = vectors.get_mut(index) {
            *slot = vector.filter(|it| !it.is_empty());
        }
    }
    let vectors: Option<Vec<_>> = vectors.into_iter().collect();
    vectors.ok_or_else(|| format!("the answer has not a vector for each of {count} texts"))
}

fn chat(body: &Value) -> Result<ModelAnswer, String> {
    let choice = &body["choices"][0];
    let message = &choice["message"];
    if !message.is_object() {
        return Err("the answer has no message".to_owned());
    }
    Ok(ModelAnswer {
        model: String::new(),
        text: text(&message["content"]),
        tool_calls: match &message["tool_calls"] {
            Value::Array(calls) => json!(calls),
            _ => json!([]),
        },
        refusal: message["refusal"].as_str().map(str::to_owned),
        finish_reason: choice["finish_reason"].as_str().map(str::to_owned),
        usage: Tokens {
            prompt: tokens(&body["usage"]["prompt_tokens"]),
            completion: tokens(&body["usage"]["completion_tokens"]),
            total: tokens(&body["usage"]["total_tokens"]),
            cached: tokens(&body["usage"]["prompt_tokens_details"]["cached_tokens"]),
        },
        logprobs: chances(&choice["logprobs"]["content"]),
    })
}

fn responses(body: &Value) -> Result<ModelAnswer, String> {
    let Value::Array(output) = &body["output"] else {
        return Err("the answer has no output".to_owned());
    };
    let of_type = |kind: &'static str| output.iter().filter(move |it| it["type"] == kind);
    let parts = of_type("message").flat_map(|it| it["content"].as_array().into_iter().flatten());
    let (mut words, mut refusal) = (String::new(), None);
    for part in parts {
        words.push_str(part["text"].as_str().unwrap_or_default());
        let refused = part["refusal"].as_str().map(str::to_owned);
        refusal = refusal.or(refused);
    }
    let calls = of_type("function_call").map(|it| {
        let function = json!({ "name": it["name"], "arguments": it["arguments"] });
        json!({ "id": it["call_id"], "type": "function", "function": function })
    });
    let calls: Vec<Value> = calls.collect();
    if words.is_empty() && refusal.is_none() && calls.is_empty() && body["status"] == "failed" {
        return Err("the answer failed".to_owned());
    }
    let reason = match body["incomplete_details"]["reason"].as_str() {
        Some("max_output_tokens") => "length",
        Some(other) => other,
        None if !calls.is_empty() => "tool_calls",
        None => "stop",
    };
    Ok(ModelAnswer {
        model: String::new(),
        text: words,
        tool_calls: json!(calls),
        refusal,
        finish_reason: Some(reason.to_owned()),
        usage: Tokens {
            prompt: tokens(&body["usage"]["input_tokens"]),
            completion: tokens(&body["usage"]["output_tokens"]),
            total: tokens(&body["usage"]["total_tokens"]),
            cached: tokens(&body["usage"]["input_tokens_details"]["cached_tokens"]),
        },
        logprobs: of_type("message")
            .flat_map(|it| it["content"].as_array().into_iter().flatten())
            .flat_map(|part| chances(&part["logprobs"]))
            .collect(),
    })
}

/// The tokens of an answer with what might have stood in their place; none if nobody asked.
fn chances(content: &Value) -> Vec<TokenChances> {
    let tokens = content.as_array().into_iter().flatten();
    let chance = |it: &Value| Some((it["token"].as_str()?.to_owned(), it["logprob"].as_f64()?));
    let tokens = tokens.filter_map(|it| {
        let (token, logprob) = chance(it)?;
        let others = it["top_logprobs"].as_array().into_iter().flatten();
        let mut top: Vec<(String, f64)> = others.filter_map(chance).collect();
        if top.iter().all(|(other, _)| *other != token) {
            top.push((token.clone(), logprob));
        }
        Some(TokenChances { token, top })
    });
    tokens.collect()
}

/// A text, or the texts of its parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|it| it["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// Nobody read fewer than none.
fn tokens(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0).max(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Dialect, ModelAnswer, Tokens, read, vectors};

    fn check(dialect: Dialect, body: &Value) -> Result<ModelAnswer, String> {
        read(dialect, body.to_string().as_bytes(), "asked")
    }

    #[test]
    fn answers_of_chat_are_read() {
        let body = json!({
            "model": "m-1",
            "choices": [{"finish_reason": "stop", "message": {"content": "yes", "refusal": null}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": -2, "total_tokens": 7},
        });
        let answer = check(Dialect::Chat, &body).unwrap();
        assert_eq!(
            (&*answer.model, &*answer.text, answer.refusal),
            ("m-1", "yes", None)
        );
        let usage = Tokens {
            prompt: 5,
            completion: 0,
            total: 7,
            cached: 0,
        };
        assert_eq!(answer.usage, usage);
        let bare = json!({"choices": [{"message": {"content": [{"text": "a"}, {"text": "b"}]}}]});
        let answer = check(Dialect::Chat, &bare).unwrap();
        assert_eq!((&*answer.model, &*answer.text), ("asked", "ab"));
        let refused = json!({"choices": [{"message": {"content": null, "refusal": "no"}}]});
        assert_eq!(
            check(Dialect::Chat, &refused).unwrap().refusal.as_deref(),
            Some("no")
        );
    }

    #[test]
    fn chances_of_tokens_are_read_from_either_api() {
        let content = json!([
            {"token": "4", "logprob": -0.5, "top_logprobs": [{"token": "5", "logprob": -1.0}]},
            {"token": "}", "logprob": 0.0},
        ]);
        let of_chat = json!({"choices": [{
            "message": {"content": "4}"}, "logprobs": {"content": content},
        }]});
        let of_responses = json!({"output": [{
            "type": "message",
            "content": [{"type": "output_text", "text": "4}", "logprobs": content}],
        }]});
        for (dialect, body) in [(Dialect::Chat, of_chat), (Dialect::Responses, of_responses)] {
            let chances = check(dialect, &body).unwrap().logprobs;
            let both = [("5".to_owned(), -1.0), ("4".to_owned(), -0.5)];
            assert_eq!((&*chances[0].token, &*chances[0].top), ("4", &both[..]));
            assert_eq!(chances[1].top, [("}".to_owned(), 0.0)]);
        }
    }

    #[test]
    fn answers_of_responses_are_read() {
        let body = json!({
            "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"},
            "output": [
                {"type": "reasoning", "summary": [{"text": "hidden"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "ye"}, {"text": "s"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            ],
            "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7,
                      "input_tokens_details": {"cached_tokens": 4}},
        });
        let answer = check(Dialect::Responses, &body).unwrap();
        assert_eq!(
            (&*answer.text, answer.finish_reason.as_deref()),
            ("yes", Some("length"))
        );
        assert_eq!(answer.tool_calls[0]["function"]["name"], "f");
        assert_eq!(answer.usage.cached, 4);
    }

    #[test]
    fn what_is_no_answer_says_why() {
        for dialect in [Dialect::Chat, Dialect::Responses] {
            assert!(
                read(dialect, b"<html>", "m")
                    .unwrap_err()
                    .contains("not JSON")
            );
            assert!(check(dialect, &json!({})).is_err());
            assert!(check(dialect, &json!([1])).is_err());
            let failed = json!({"error": {"message": "upstream"}});
            assert_eq!(check(dialect, &failed).unwrap_err(), "upstream");
        }
        let failed = json!({"output": [], "status": "failed"});
        assert!(check(Dialect::Responses, &failed).is_err());
    }

    #[test]
    fn vectors_are_put_in_order_and_counted() {
        let body = json!({"data": [
            {"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0, 0.5]},
        ]});
        let body = body.to_string();
        assert_eq!(
            vectors(body.as_bytes(), 2).unwrap(),
            [vec![1.0, 0.5], vec![2.0]]
        );
        assert!(vectors(body.as_bytes(), 3).is_err());
        let broken = json!({"data": [{"index": 0, "embedding": "AAAA"}]}).to_string();
        assert!(vectors(broken.as_bytes(), 1).is_err());
    }
}
