//! Lists, sums, exports and deletions that a rule narrows.

use serde_json::{Value, json};

use crate::support::{Answer, TestServer};

/// Puts in eight traces: each calls a tool, in every second one it fails, and the later the longer.
async fn filled() -> TestServer {
    let server = TestServer::new().await;
    for number in 0..8 {
        let trace = format!("trace_{number}");
        let error = match number % 2 {
            0 => Value::Null,
            _ => json!({"message": "Error running tool", "data": {"error": "no such order"}}),
        };
        let at = |second: u32| format!("2026-01-02T03:0{number}:0{second}+00:00");
        let body = json!({"data": [
            {"object": "trace", "id": trace, "workflow_name": "orders", "group_id": format!("g{}", number / 4)},
            {"object": "trace.span", "id": format!("call{number}"), "trace_id": trace, "parent_id": null,
             "started_at": at(1), "ended_at": at(1 + number), "error": error,
             "span_data": {"type": "function", "name": "find_order", "input": format!("{{\"id\":{number}}}"),
                "output": "it's \"there\""}},
        ]});
        assert_eq!(server.ingest(body.to_string()).await.status, 200);
    }
    server
}

async fn get(server: &TestServer, path: &str, query: &[(&str, &str)]) -> Answer {
    let pairs = query.iter().map(|(name, value)| {
        let value: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("{name}={value}")
    });
    let pairs: Vec<String> = pairs.collect();
    server.get(&format!("{path}?{}", pairs.join("&"))).await
}

fn ids(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().unwrap();
    data.iter().map(|one| one["id"].as_str().unwrap()).collect()
}

/// Reads a list to its end, page by page.
async fn listed(server: &TestServer, rule: &str, limit: &str) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let mut query = vec![("rule", rule), ("limit", limit)];
        if !after.is_empty() {
            query.push(("after", &after));
        }
        let answer = get(server, "/v1/traces", &query).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let page = answer.json();
        all.extend(ids(&page).into_iter().map(str::to_owned));
        assert_eq!(page["has_more"], json!(page["next_cursor"].is_string()));
        match page["next_cursor"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_rule_narrows_a_list_whoever_answers_it() {
    let server = filled().await;
    // The storage answers these.
    for (rule, want) in [
        (
            "tool_errors > 0 && duration_ms >= 5000",
            &["trace_7", "trace_5"][..],
        ),
        ("status == \"timeout\" || total_cost_usd > 1", &[]),
        (
            "started_at < timestamp(\"2026-01-02T03:01:30Z\")",
            &["trace_1", "trace_0"],
        ),
        ("!(user_id == \"u\")", &[]),
        ("workflow_name == \"' OR 1=1; --\"", &[]),
        ("id in [\"trace_3\", \"trace_9\"]", &["trace_3"]),
        // These are asked of each trace.
        (
            "calls.exists(s, s.status == \"error\")",
            &["trace_7", "trace_5", "trace_3", "trace_1"],
        ),
        (
            "duration_ms > 4000 && calls.all(s, json(s.input).id != 6)",
            &["trace_7", "trace_5"],
        ),
        (
            "calls(\"find_order\").all(s, s.output.contains(\"it's\")) && tool_errors == 1 && group_id == \"g0\"",
            &["trace_3", "trace_1"],
        ),
    ] {
        for limit in ["1", "2", "20"] {
            assert_eq!(listed(&server, rule, limit).await, want, "{rule}");
        }
    }
    let query = [("rule", "calls.size() == 1"), ("limit", "3")];
    let page = get(&server, "/v1/traces", &query).await.json();
    assert_eq!(
        (page["partial"].clone(), ids(&page).len()),
        (json!(false), 3)
    );
    assert_eq!(page["data"][0]["workflow_name"], "orders");
    let page = get(&server, "/v1/traces", &[("rule", "duration_ms > 0")]).await;
    assert!(page.json().get("partial").is_none());
}

#[tokio::test]
async fn sums_exports_searches_trials_and_deletions_take_what_the_storage_answers() {
    let server = filled().await;
    let rule = ("rule", "tool_errors > 0 && group_id != \"g1\"");
    let groups = get(&server, "/v1/groups", &[rule]).await.json();
    assert_eq!(ids(&groups), ["g0"]);
    assert_eq!(groups["data"][0]["trace_count"], 2);
    let lines = get(&server, "/v1/export", &[rule]).await.text;
    assert_eq!(lines.lines().count(), 2);
    let found = get(&server, "/v1/traces", &[rule, ("q", "no such order")]).await;
    assert_eq!(ids(&found.json()), ["trace_3", "trace_1"]);
    let tried = json!({"grader": {"type": "rule", "check": "true"}, "filter": {"rule": rule.1}});
    let tried = server.post("/v1/graders/try", &tried).await.json();
    assert_eq!(tried["counts"]["pass"], 2);
    let delete = json!({"filter": {"rule": rule.1}, "dry_run": true});
    let would = server.post("/v1/traces/delete", &delete).await.json();
    assert_eq!(would["traces"], 2);
    let delete = json!({"filter": {"rule": rule.1}});
    let deleted = server.post("/v1/traces/delete", &delete).await.json();
    assert_eq!(deleted["traces"], 2);
    assert_eq!(
        listed(&server, "tool_errors > 0", "20").await,
        ["trace_7", "trace_5"]
    );
}

async fn check_refused(server: &TestServer, path: &str, query: &[(&str, &str)], says: &[&str]) {
    let answer = get(server, path, query).await;
    assert_eq!(answer.status, 400, "{path} {query:?}: {}", answer.text);
    let error = &answer.json()["error"];
    assert_eq!(error["param"], "rule", "{error}");
    for part in says {
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_told_with_its_place() {
    let server = TestServer::new().await;
    let check = async |path: &str, query: &[(&str, &str)], says: &[&str]| {
        check_refused(&server, path, query, says).await;
    };
    let slip = ("rule", "tool_eror > 0");
    check("/v1/traces", &[slip], &["^^^^^^^^^", "tool_errors"]).await;
    check("/v1/groups", &[slip], &["tool_errors"]).await;
    check("/v1/traces", &[("rule", "duration_ms")], &["condition"]).await;
    check("/v1/traces", &[("rule", "")], &[]).await;
    check(
        "/v1/traces",
        &[("rule", "true"), ("rule", "true")],
        &["twice"],
    )
    .await;
    check(
        "/v1/traces",
        &[("rule", "detector(\"D05\")")],
        &["D05", "/v1/graders/try"],
    )
    .await;
    let spans = ("rule", "tool_errors > 0 && calls.any()");
    for path in ["/v1/groups", "/v1/workflows", "/v1/export"] {
        check(path, &[spans], &["calls.any()", "^^^^", "/v1/graders/try"]).await;
    }
    check("/v1/traces", &[spans, ("q", "x")], &["beside q"]).await;
}
