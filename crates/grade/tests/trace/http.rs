//! A judge behind a socket, with all that goes wrong on the wire.

use std::num::NonZeroUsize;
use std::time::Duration;

use grade::judge::{Budget, Client, Desk, Endpoint, Key, MemoryCache, Retry, Tariff};
use grade::trace::{Graded, Halt, Services, Subject};
use insight::{Context, TraceView};
use model::{NanoUsd, Outcome, PriceTable, Time, UnscoredReason};
use serde_json::{Value, json};
use testkit::judge::{Judge, Move};

use crate::court::{notes, parsed, quoting, verdict};
use crate::story::{booking, long};

async fn grade(judge: &Judge, definition: &Value, view: &TraceView) -> Result<Vec<Graded>, Halt> {
    let mut endpoint = Endpoint::new(judge.base_url(), Some(Key::new("sk-1")));
    endpoint.retry = Retry {
        base: Duration::from_millis(2),
        wait_max: Duration::from_millis(10),
        ..Retry::default()
    };
    let client = Client::new(endpoint).unwrap();
    let prices = PriceTable::parse(
        "provider\tmodel\tfrom\tinput_above\tinput\tcached_input\toutput\treasoning\n",
    );
    let prices = prices.unwrap();
    let cache = MemoryCache::new(NonZeroUsize::new(10).unwrap());
    // A model of one's own has no price.
    let budget = Budget::without_cap(NanoUsd::default());
    let services = Services {
        desk: Some(Desk {
            model: &client,
            cache: &cache,
            budget: &budget,
            tariff: Tariff {
                prices: &prices,
                provider: None,
                at: Time::from_micros(1_790_000_000_000_000),
            },
        }),
        python: None,
        model: Some("local-judge"),
    };
    let context = Context::default();
    let subject = Subject::new(view, &context);
    parsed(definition).grade(&subject, &services).await
}

fn polite() -> Value {
    json!({"type": "llm", "criteria": "Did the agent ask before it paid?"})
}

fn calls(name: &str, arguments: &Value) -> Move {
    let function = json!({"name": name, "arguments": arguments.to_string()});
    let call = json!({"id": "call_9", "type": "function", "function": function});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    let body = json!({"choices": [{"message": message, "finish_reason": "tool_calls"}]});
    Move::Fail(200, Vec::new(), body)
}

#[tokio::test]
async fn a_question_goes_over_the_wire_and_its_answer_is_read() {
    let judge = Judge::start([Move::busy(1), Move::Say(verdict("fail"))]).unwrap();
    let graded = grade(&judge, &polite(), &booking())
        .await
        .unwrap()
        .remove(0);
    assert_eq!(graded.verdict.outcome, Outcome::Fail);
    let used = graded.verdict.judge.as_ref().unwrap();
    assert_eq!(
        (used.input_tokens, used.cached_tokens, used.cost),
        (Some(11), Some(3), None)
    );
    let asked = &judge.asked()[1].body;
    assert_eq!(asked["model"], "local-judge");
    assert_eq!(asked["temperature"], 0.0);
    let schema = &asked["response_format"]["json_schema"];
    assert_eq!(
        (&schema["name"], &schema["strict"]),
        (&json!("judgement"), &json!(true))
    );
    assert_eq!(asked["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_provider_without_structured_output_is_asked_in_words() {
    let unknown = "response_format is not supported";
    let words = format!("I looked at it.\n```json\n{}\n```", verdict("pass"));
    let judge = Judge::start([
        Move::error(400, "unsupported_parameter", unknown),
        Move::Say(words),
    ])
    .unwrap();
    let graded = grade(&judge, &polite(), &booking())
        .await
        .unwrap()
        .remove(0);
    assert_eq!(graded.verdict.outcome, Outcome::Pass);
    let last = &judge.asked()[1].body["messages"][2]["content"];
    assert!(last.as_str().unwrap().contains("JSON schema"), "{last}");
}

#[tokio::test]
async fn tools_are_called_over_the_wire() {
    let judge = Judge::start([
        calls("search", &json!({"regex": "needle-7", "selector": ""})),
        Move::Say(quoting("verdict", &json!("fail"), "s10", "needle-7")),
    ])
    .unwrap();
    let graded = grade(&judge, &polite(), &long(20, 40_000))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(graded.verdict.citations[0].as_str(), "f7");
    assert_eq!(notes(&graded)["reading_calls"], 1);
    let second = &judge.asked()[1].body;
    assert_eq!(second["tools"][0]["function"]["name"], "list_spans");
    assert_eq!(second["messages"][2]["tool_calls"][0]["id"], "call_9");
    assert_eq!(second["messages"][3]["tool_call_id"], "call_9");
    assert!(
        second["messages"][3]["content"]
            .as_str()
            .unwrap()
            .contains("needle-7")
    );
}

#[tokio::test]
async fn failures_on_the_wire_are_told_apart() {
    let overflow = Move::error(
        400,
        "context_length_exceeded",
        "maximum context length is 8192",
    );
    let judge = Judge::start([overflow, Move::Say(verdict("unknown"))]).unwrap();
    let graded = grade(&judge, &polite(), &long(10, 6_000))
        .await
        .unwrap()
        .remove(0);
    assert!(notes(&graded)["tier"].as_u64() > Some(0));
    let sizes: Vec<usize> = judge
        .asked()
        .iter()
        .map(|it| it.body.to_string().len())
        .collect();
    assert!(sizes[1] * 3 < sizes[0] * 2, "{sizes:?}");

    let judge = Judge::start([Move::error(401, "invalid_api_key", "wrong key")]).unwrap();
    let halted = grade(&judge, &polite(), &booking()).await.unwrap_err();
    assert!(
        matches!(&halted, Halt::Terminal(why) if why.contains("wrong key")),
        "{halted}"
    );

    let judge = Judge::start([Move::Refuse("I will not judge".into())]).unwrap();
    let told = grade(&judge, &polite(), &booking())
        .await
        .unwrap()
        .remove(0)
        .verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::Refusal));

    let judge = Judge::start([]).unwrap().always(Move::HangUp);
    let told = grade(&judge, &polite(), &booking())
        .await
        .unwrap()
        .remove(0)
        .verdict;
    assert_eq!(told.unscored_reason, Some(UnscoredReason::Provider));
}
