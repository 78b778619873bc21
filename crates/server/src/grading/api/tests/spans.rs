//! What was said of spans stands on the spans.

use super::*;

/// A question about each call of a tool.
fn each_call() -> Value {
    json!({"type": "llm", "name": "each call", "criteria": "Did the call find what was looked for?",
        "focus": "spans[type=function]", "per": "span"})
}

fn span<'a>(spans: &'a Value, id: &str) -> &'a Value {
    let mut spans = spans.as_array().unwrap().iter();
    spans.find(|span| span["id"] == id).unwrap()
}

fn names(object: &Value) -> Vec<&str> {
    let grades = object["grades"].as_array().unwrap().iter();
    grades
        .map(|grade| grade["grader_name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn grades_and_annotations_of_a_span_are_told_with_the_span() {
    let bench = Bench::with_traces(2).await;
    bench
        .grade(&json!({"graders": [rule(), each_call()], "trace_ids": ["trace_0", "trace_1"]}))
        .await;
    let note = json!({"trace_id": "trace_1", "span_id": "call1", "rating": "bad", "note": "lost"});
    bench.post("/v1/annotations", &note).await;
    let whole = json!({"trace_id": "trace_1", "rating": "bad"});
    bench.post("/v1/annotations", &whole).await;

    let told = bench.get("/v1/traces/trace_1?include=grades").await;
    assert_eq!(names(&told), ["each call", "no tool failed"]);
    assert_eq!(told["annotations"].as_array().map(Vec::len), Some(2));
    let call = span(&told["spans"], "call1");
    assert_eq!(names(call), ["each call"]);
    assert_eq!(
        (&call["grades"][0]["outcome"], &call["grades"][0]["span_id"]),
        (&json!("fail"), &json!("call1"))
    );
    assert_eq!(call["annotations"].as_array().map(Vec::len), Some(1));
    assert_eq!(call["annotations"][0]["note"], "lost");
    let other = span(&told["spans"], "gen1");
    assert_eq!(
        (&other["grades"], &other["annotations"]),
        (&json!([]), &json!([]))
    );

    // A list of spans and one span tell the same.
    let list = bench.get("/v1/traces/trace_1/spans?include=grades").await;
    assert_eq!(list["data"], told["spans"]);
    let one = bench
        .get("/v1/traces/trace_1/spans/call1?include=grades")
        .await;
    assert_eq!(&one, call);
    // Nobody is told who does not ask.
    for path in ["/v1/traces/trace_1/spans/call1", "/v1/traces/trace_1/spans"] {
        let bare = bench.get(path).await.to_string();
        assert!(
            !bare.contains("\"annotations\"") && !bare.contains("\"grades\""),
            "{bare}"
        );
    }
    refused(
        bench
            .try_get("/v1/traces/trace_1/spans/call1?include=merged")
            .await,
        400,
        "include",
    );
    assert_eq!(
        bench
            .try_get("/v1/traces/trace_1/spans/none?include=grades")
            .await
            .0,
        404
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_draft_is_tried_span_by_span() {
    let bench = Bench::with_traces(3).await;
    let told = bench
        .post("/v1/graders/try", &json!({"grader": each_call()}))
        .await;
    let spans: Vec<(&Value, &Value)> = (told["data"].as_array().unwrap().iter())
        .map(|verdict| (&verdict["span_id"], &verdict["outcome"]))
        .collect();
    let want = [("call2", "pass"), ("call1", "fail"), ("call0", "pass")];
    let want = want.map(|(span, outcome)| (json!(span), json!(outcome)));
    assert_eq!(
        spans,
        want.each_ref().map(|(span, outcome)| (span, outcome))
    );
    // Calls of one conversation are not independent.
    assert_eq!(told["pass_rate_figure"]["groups"], 2, "{told}");
    bench.stop().await;
}
