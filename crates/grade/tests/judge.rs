//! The client against a judge that does on the wire what providers do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use grade::judge::{Client, Dialect, Endpoint, JudgeError, Key, Retry};
use grade::openai::{Grader, Model as _, ModelError, ModelRequest, Place, Services, Subject};
use serde_json::{Value, json};
use testkit::judge::{Judge, Move};

const SECRET: &str = "sk-secret-that-nobody-may-see";

/// Back-off in milliseconds: what is waited for is tested in `backoff.rs`.
fn endpoint(judge: &Judge) -> Endpoint {
    let mut endpoint = Endpoint::new(judge.base_url(), Some(Key::new(SECRET)));
    endpoint.timeout = Duration::from_millis(500);
    endpoint.retry = Retry {
        base: Duration::from_millis(2),
        wait_max: Duration::from_millis(10),
        ..Retry::default()
    };
    endpoint
}

fn judge(script: impl IntoIterator<Item = Move>) -> (Judge, Client) {
    let judge = Judge::start(script).expect("a port is free");
    let client = Client::new(endpoint(&judge)).expect("the endpoint is well configured");
    (judge, client)
}

fn request() -> ModelRequest {
    ModelRequest {
        model: "judge-1".to_owned(),
        messages: vec![json!({"role": "user", "content": "Is it polite?"})],
        params: json!({"temperature": 0}),
        schema: None,
    }
}

fn with_schema() -> ModelRequest {
    let schema = json!({
        "type": "object", "required": ["verdict"], "additionalProperties": false,
        "properties": {"verdict": {"enum": ["pass", "fail"]}},
    });
    ModelRequest {
        schema: Some(("verdict".to_owned(), schema)),
        ..request()
    }
}

fn good() -> Move {
    Move::Say("yes".to_owned())
}

#[tokio::test]
async fn questions_are_answered_in_either_api() {
    for (dialect, path) in [
        (Dialect::Chat, "/v1/chat/completions"),
        (Dialect::Responses, "/v1/responses"),
    ] {
        let judge = Judge::start([good(), Move::Refuse("I will not".into())]).unwrap();
        let mut endpoint = endpoint(&judge);
        endpoint.dialect = dialect;
        endpoint.organization = Some("org-1".into());
        endpoint.project = Some("proj-1".into());
        let client = Client::new(endpoint).unwrap();
        let answer = client.ask(&request()).await.unwrap();
        assert_eq!((&*answer.text, &*answer.model), ("yes", "judge-1"));
        let usage = answer.usage;
        assert_eq!(
            (usage.prompt, usage.completion, usage.total, usage.cached),
            (11, 7, 18, 3)
        );
        assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
        let refused = client.ask(&request()).await.unwrap();
        assert_eq!(refused.refusal.as_deref(), Some("I will not"));

        let asked = &judge.asked()[0];
        assert_eq!(asked.path, path);
        assert_eq!(
            asked.header("authorization"),
            Some(&*format!("Bearer {SECRET}"))
        );
        assert_eq!(asked.header("openai-organization"), Some("org-1"));
        assert_eq!(asked.header("openai-project"), Some("proj-1"));
        assert_eq!(asked.body["model"], "judge-1");
        assert_eq!(asked.body["temperature"], 0);
    }
}

#[tokio::test]
async fn structured_answers_are_asked_for_and_given() {
    let verdict = json!({"verdict": "pass"});
    let (judge, client) = judge([Move::Object(verdict.clone())]);
    let answer = client.ask(&with_schema()).await.unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&answer.text).unwrap(),
        verdict
    );
    let format = &judge.asked()[0].body["response_format"];
    assert_eq!(format["json_schema"]["schema"]["required"][0], "verdict");
}

/// A provider without structured output is asked in words, and is not asked for it again.
#[tokio::test]
async fn without_structured_output_the_last_object_counts() {
    let refused = Move::error(400, "", "response_format json_schema is not supported");
    let said =
        "I thought {\"verdict\": \"fail\"}, but: ```json\n{\"verdict\": \"pass\"}\n``` {\"n\": 1}";
    let (judge, client) = judge([
        refused,
        Move::Say(said.into()),
        Move::Say("no object".into()),
    ]);
    let answer = client.ask(&with_schema()).await.unwrap();
    assert_eq!(answer.text, "{\"verdict\":\"pass\"}");
    let raw = client.ask(&with_schema()).await.unwrap();
    assert_eq!(raw.text, "no object");
    let asked = judge.asked();
    assert_eq!(asked.len(), 3);
    for asked in &asked[1..] {
        assert_eq!(asked.body.get("response_format"), None);
        let last = &asked.body["messages"][1]["content"];
        assert!(last.as_str().unwrap().contains("JSON schema"));
    }
}

/// Several find out at one time what the provider does not know: none of them fails of it.
#[tokio::test]
async fn questions_that_are_refused_together_are_answered_together() {
    let refused = Move::error(400, "", "json_schema is not supported");
    let refused = Move::Stall(Duration::from_millis(100), Box::new(refused));
    let (judge, client) = judge(std::iter::repeat_n(refused, 3));
    let judge = judge.always(Move::Say("{\"verdict\": \"pass\"}".into()));
    let asked = with_schema();
    let answers = tokio::join!(client.ask(&asked), client.ask(&asked), client.ask(&asked));
    assert!(
        answers.0.is_ok() && answers.1.is_ok() && answers.2.is_ok(),
        "{answers:?}"
    );
    assert_eq!(judge.asked().len(), 6);
}

#[tokio::test]
async fn a_parameter_that_is_not_known_is_left_out_once_and_for_all() {
    let body = json!({"error": {
        "message": "Unsupported value", "param": "temperature", "code": "unsupported_value",
    }});
    let (judge, client) = judge([Move::Fail(400, vec![], body), good(), good()]);
    client.ask(&request()).await.unwrap();
    client.ask(&request()).await.unwrap();
    let heats: Vec<_> = judge
        .asked()
        .iter()
        .map(|it| it.body.get("temperature").cloned())
        .collect();
    assert_eq!(heats, [Some(json!(0)), None, None]);
}

#[tokio::test]
async fn failures_that_pass_are_waited_out() {
    let (judge, client) = judge([
        Move::error(500, "", "oops"),
        Move::error(408, "", "late"),
        Move::error(409, "", "conflict"),
        Move::HangUp,
        Move::CutOff("yes".into()),
        Move::Garbage("<html>".into()),
        Move::Stall(Duration::from_secs(2), Box::new(good())),
        good(),
    ]);
    let answer = client.ask(&request()).await.unwrap();
    assert_eq!(answer.text, "yes");
    assert_eq!(judge.asked().len(), 8);
}

#[tokio::test]
async fn after_eight_tries_it_is_enough() {
    let (judge, client) = judge([]);
    let judge = judge.always(Move::error(503, "", "overloaded"));
    let error = client.answer(&request()).await.unwrap_err();
    assert!(
        matches!(&error, JudgeError::Unavailable { tries: 8, why } if why.contains("overloaded"))
    );
    assert_eq!(judge.asked().len(), 8);
    assert!(matches!(
        ModelError::from(error),
        ModelError::Unavailable(_)
    ));
}

#[tokio::test]
async fn a_provider_is_left_alone_as_long_as_it_asks() {
    let (judge, client) = judge([Move::busy(300), good()]);
    let begun = Instant::now();
    client.ask(&request()).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(judge.asked().len(), 2);

    let too_long = vec![("retry-after", "3600".to_owned())];
    let (judge, client) = self::judge([Move::Fail(429, too_long, json!({})), good()]);
    let error = client.answer(&request()).await.unwrap_err();
    assert!(
        matches!(error, JudgeError::Unavailable { tries: 1, .. }),
        "{error}"
    );
    assert_eq!(judge.asked().len(), 1);
}

#[tokio::test]
async fn failures_that_do_not_pass_are_not_asked_again() {
    for (failure, kind) in [
        (Move::error(400, "", "messages: too few"), "Request"),
        (Move::error(401, "invalid_api_key", "no"), "Key"),
        (Move::error(403, "", "not in your country"), "Key"),
        (Move::error(404, "model_not_found", "gone"), "Gone"),
        (Move::error(429, "insufficient_quota", "pay"), "Credit"),
        (
            Move::error(400, "context_length_exceeded", "long"),
            "TooLong",
        ),
    ] {
        let (judge, client) = judge([failure]);
        let error = client.answer(&request()).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(kind), "{error:?}");
        assert_eq!(
            error.is_terminal(),
            !["TooLong", "Filtered"].contains(&kind)
        );
        assert_eq!(judge.asked().len(), 1);
        let told = match kind {
            "TooLong" => matches!(ModelError::from(error), ModelError::TooLong(_)),
            "Filtered" => matches!(ModelError::from(error), ModelError::Filtered(_)),
            _ => matches!(ModelError::from(error), ModelError::Refused(_)),
        };
        assert!(told, "{kind}");
    }
}

#[tokio::test]
async fn the_key_is_never_shown() {
    let message = format!("Incorrect API key provided: {SECRET}.");
    let garbage = Move::Garbage(format!("{{\"error\": \"bad {SECRET}\"}}"));
    let (judge, client) = judge([Move::error(401, "", &message)]);
    let judge = judge.always(garbage);
    let mut shown = format!("{client:?}");
    shown += &format!("{:?}", client.answer(&request()).await.unwrap_err());
    shown += &client.answer(&request()).await.unwrap_err().to_string();
    assert!(
        shown.contains("[key]") && !shown.contains("secret"),
        "{shown}"
    );
    drop(judge);
    let mut nobody = Endpoint::new("http://user:hidden@127.0.0.1:1/v1", Some(Key::new(SECRET)));
    nobody.retry.tries_max = 1;
    let error = Client::new(nobody)
        .unwrap()
        .answer(&request())
        .await
        .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        !text.contains("secret") && !text.contains("hidden"),
        "{text}"
    );
    let unsendable = Endpoint::new("http://127.0.0.1:1", Some(Key::new("two\nlines")));
    let error = Client::new(unsendable).unwrap_err();
    assert!(
        matches!(&error, JudgeError::Config(why) if !why.contains("lines")),
        "{error}"
    );
}

#[tokio::test]
async fn four_are_asked_at_one_time_at_first() {
    let stall = Move::Stall(Duration::from_millis(60), Box::new(good()));
    let (judge, client) = judge([]);
    let judge = judge.always(stall);
    let client = Arc::new(client);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let client = client.clone();
        tasks.spawn(async move { client.answer(&request()).await });
    }
    for answer in tasks.join_all().await {
        answer.unwrap();
    }
    assert_eq!((judge.asked().len(), judge.working_max()), (12, 4));
}

#[tokio::test]
async fn what_is_told_of_tokens_is_believed() {
    let (judge, client) = judge([Move::Lie("yes".into(), -5, 0)]);
    let usage = client.ask(&request()).await.unwrap().usage;
    assert_eq!((usage.prompt, usage.completion, usage.total), (0, 0, 0));
    assert_eq!(judge.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_none() {
    let judge = Judge::start([])
        .unwrap()
        .always(Move::Say("x".repeat(10_000)));
    let mut endpoint = endpoint(&judge);
    endpoint.answer_bytes_max = 1_000;
    endpoint.retry.tries_max = 2;
    let error = Client::new(endpoint)
        .unwrap()
        .answer(&request())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("more than 1000 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn vectors_come_in_the_order_of_their_texts() {
    let judge = Judge::start([]).unwrap().always(good());
    let mut endpoint = endpoint(&judge);
    let none = Client::new(endpoint.clone())
        .unwrap()
        .vectors(&["a"])
        .await
        .unwrap_err();
    assert!(matches!(none, JudgeError::Config(_)));
    endpoint.embedding_model = Some("embedder".into());
    let client = Client::new(endpoint).unwrap();
    let texts: Vec<String> = (0..300).map(|n| "a".repeat(n % 7) + "b").collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = client.embed(&texts).await.unwrap();
    let expected = texts
        .iter()
        .map(|it| vec![it.len() as f32, it.len() as f32 - 1.0]);
    assert_eq!(vectors, expected.collect::<Vec<_>>());
    assert_eq!(judge.asked().len(), 2);
}

/// What a client of OpenAI sends, all the way.
#[tokio::test]
async fn graders_of_openai_ask_the_judge() {
    let (judge, client) = judge([
        Move::error(500, "", "oops"),
        Move::Object(json!({"steps": [], "result": 0.75})),
        Move::Refuse("I will not".into()),
    ]);
    let grader = json!({
        "type": "score_model", "name": "g", "model": "gpt-4o", "pass_threshold": 0.5,
        "input": [{"role": "user", "content": "Rate {{sample.output_text}}"}],
    });
    let grader = Grader::parse(&grader, Place::Eval).unwrap();
    let services = Services {
        model: Some(&client),
        ..Services::default()
    };
    let (item, sample) = (json!({}), json!({"output_text": "this"}));
    let subject = Subject {
        item: &item,
        sample: &sample,
    };
    let report = grader.run(subject, &services).await;
    assert_eq!(
        (report.reward, report.passed),
        (0.75, Some(true)),
        "{report:?}"
    );
    let refused = grader.run(subject, &services).await;
    assert!(refused.errors.any(), "{refused:?}");
    let asked = judge.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[1].body["messages"][0]["content"], "Rate this");
}
