//! The requests that OpenAI's own clients sent, and whether they are answered in the form that they read.

use std::collections::BTreeSet;

use super::*;

/// Returns an eval, a run that is over, one of its items and a file, by the names that captures have.
async fn world(bench: &Bench, hangs: bool) -> Vec<(String, String)> {
    let mut eval = exact();
    if hangs {
        let input = json!([{"role": "user", "content": "x"}]);
        eval["testing_criteria"] =
            json!([{"type": "score_model", "name": "s", "model": "slow", "input": input}]);
    }
    let before = bench.make("/v1/evals", &exact()).await;
    let made = bench.make("/v1/evals", &eval).await;
    let runs = format!("/v1/evals/{}/runs", text(&made, "id"));
    let run = bench.make(&runs, &inline(rows(1))).await;
    let mut names = vec![
        ("eval_0".to_owned(), text(&before, "id")),
        ("eval_1".to_owned(), text(&made, "id")),
        ("evalrun_1".to_owned(), text(&run, "id")),
    ];
    if !hangs {
        bench.ended(&run).await;
        let items = bench.get(&format!("{}/output_items", path_of(&run))).await;
        names.push(("outputitem_1".to_owned(), text(&items, "first_id")));
    }
    let file = bench.upload("{\"item\": {\"label\": \"a\"}}\n").await;
    names.push(("file-1".to_owned(), text(&file, "id")));
    names
}

fn renamed(text: &str, names: &[(String, String)]) -> String {
    names
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn keys(value: &Value) -> BTreeSet<String> {
    let object = value.as_object();
    object
        .into_iter()
        .flat_map(|fields| fields.keys().cloned())
        .collect()
}

async fn replay(bench: &Bench, request: &Value, names: &[(String, String)]) -> (u16, Value) {
    let method = Method::from_bytes(text(request, "method").as_bytes()).unwrap();
    let mut sent = bench.request(method, &renamed(&text(request, "path"), names));
    for name in [
        "content-type",
        "accept",
        "user-agent",
        "openai-organization",
        "authorization",
    ] {
        if let Some(value) = request["headers"][name].as_str() {
            sent = sent.header(name, value);
        }
    }
    let body = match &request["body"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    send(sent.body(renamed(&body, names))).await
}

async fn check(version: &str) {
    let bench = Bench::new().await;
    let captured = std::fs::read_to_string(testdata(&format!("openai-{version}.json"))).unwrap();
    let captured: Value = serde_json::from_str(&captured).unwrap();
    let mut replayed = 0;
    for call in captured["calls"].as_array().unwrap() {
        let name = text(call, "call");
        // What a client makes of errors is its own affair, and agent sessions are another API.
        if name.starts_with("error ") || name.starts_with("beta.") {
            continue;
        }
        let names = world(&bench, name == "runs.cancel").await;
        let (status, got) = replay(&bench, &call["requests"][0], &names).await;
        replayed += 1;
        // They query what was recorded, which is nothing, for an eval whose rows have a label.
        let queries = ["runs.create completions", "runs.create responses"];
        if queries.contains(&&*name) {
            assert_eq!(
                (status, &got["error"]["param"]),
                (400, &json!("data_source.source")),
                "{name}: {got}"
            );
            continue;
        }
        let reply = &call["reply"];
        let want = reply["status"].as_u64().unwrap_or(200);
        assert_eq!(u64::from(status), want, "{version} {name}: {got}");
        let missing: Vec<_> = keys(&reply["body"])
            .difference(&keys(&got))
            .cloned()
            .collect();
        assert!(
            missing.is_empty(),
            "{version} {name}: no {missing:?} in {got}"
        );
        if let Some(object) = reply["body"].get("object") {
            assert_eq!(got["object"], *object, "{version} {name}");
        }
        if let Some(entry) = reply["body"]["data"].get(0)
            && let Some(got) = got["data"].get(0)
        {
            let missing: Vec<_> = keys(entry).difference(&keys(got)).cloned().collect();
            assert!(
                missing.is_empty(),
                "{version} {name}: no {missing:?} in {got}"
            );
        }
    }
    assert!(replayed >= 20, "{replayed}");
    bench.stop().await;
}

#[tokio::test]
async fn what_the_newest_client_sends_is_answered_in_its_form() {
    check("3.52.0").await;
}

#[tokio::test]
async fn what_an_older_client_sends_is_answered_in_its_form() {
    check("2.8.0").await;
}
