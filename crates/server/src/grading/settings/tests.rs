//! What a project says is understood, what is wrong with it told, and what it changes known.

use grade::trace::TraceGrader;
use serde_json::json;

use super::*;

fn read(told: &Value) -> GradingSettings {
    let mut problems = Vec::new();
    let settings = read::settings(told, &mut problems);
    assert_eq!(problems, Vec::<String>::new());
    settings
}

fn grader(definition: Value) -> TraceGrader {
    TraceGrader::parse(&definition).unwrap()
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let told = json!({
        "tools": {"a": "writes", "b": "read", " ": "read"},
        "workflows": {"w": {"muted_detectors": ["D99", "d03"], "confirm_writes": 1, "mute": []}, "v": 1},
        "schemas": {"s": "{}"},
        "context_windows": {"m": 0},
        "effects": {},
    });
    let mut problems = Vec::new();
    let settings = read::settings(&told, &mut problems);
    for place in [
        "tools.a:",
        "tools: a name",
        "workflows.w.muted_detectors:",
        "workflows.w.confirm_writes:",
        "workflows.w.mute:",
        "workflows.v:",
        "schemas.s:",
        "context_windows.m:",
        "effects:",
    ] {
        let is_told = |problem: &&String| problem.starts_with(place);
        assert_eq!(
            problems.iter().filter(is_told).count(),
            1,
            "{place} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 9, "{problems:#?}");
    // The rest is understood.
    assert!(!settings.context().effects.is_write("b"));
    let other = json!({GRADING: {"tools": []}, JUDGE_MODEL: 7});
    assert_eq!(problems_of(other.as_object().unwrap()).len(), 2);
}

#[test]
fn what_a_workflow_does_not_say_all_of_them_say() {
    let told = json!({"workflows": {
        "*": {"muted_detectors": ["D03"], "confirm_writes": true},
        "w": {"verify_writes": true, "muted_detectors": []},
        "v": {"confirm_writes": false},
    }});
    let context = read(&told).context();
    let (w, v, other) = (
        &context.workflows["w"],
        &context.workflows["v"],
        &context.other_workflows,
    );
    assert_eq!(
        (w.confirms_writes, w.verifies_writes, w.muted.len()),
        (true, true, 0)
    );
    assert_eq!(
        (v.confirms_writes, v.verifies_writes, v.muted.len()),
        (false, false, 1)
    );
    assert_eq!(
        (
            other.confirms_writes,
            other.verifies_writes,
            other.muted.len()
        ),
        (true, false, 1)
    );
    assert!(!context.workflows.contains_key("*"));
}

#[test]
fn what_can_change_a_verdict_is_a_part_of_the_hash() {
    let silent = GradingSettings::default();
    let detector = grader(json!({"type": "detector", "detector": "D17"}));
    let plain = grader(json!({"type": "rule", "check": "tool_errors == 0"}));
    let asking = grader(json!({"type": "rule", "check": "!detector(\"D17\")"}));
    let schema = grader(json!({"type": "rule", "check": "valid(final_output, \"s\")"}));
    let all = [&detector, &plain, &asking, &schema];
    assert!(all.iter().all(|one| silent.hash_of(one) == one.hash()));
    let tools = read(&json!({"tools": {"a": "write"}}));
    let changed = all.map(|one| tools.hash_of(one) != one.hash());
    assert_eq!(changed, [true, false, true, false]);
    let schemas = |kind: &str| read(&json!({"schemas": {"s": {"type": kind}, "t": {}}}));
    let changed = all.map(|one| schemas("object").hash_of(one) != one.hash());
    assert_eq!(changed, [false, false, false, true]);
    assert_ne!(
        schemas("object").hash_of(&schema),
        schemas("array").hash_of(&schema)
    );
}

#[test]
fn a_judges_answer_depends_on_what_is_said_of_its_workflow_alone() {
    let told = read(&json!({"workflows": {"w": {"muted_detectors": ["D03"]}}}));
    assert!(told.key_of(Some("w")).is_some());
    assert_eq!(told.key_of(Some("v")), None);
    assert_eq!(told.key_of(None), None);
    let windows = read(&json!({"context_windows": {"m": 5}}));
    assert!(windows.key_of(None).is_some());
}

#[test]
fn a_schema_that_is_not_there_is_named_and_what_is_not_looked_at_too() {
    let told = read(
        &json!({"schemas": {"ticket.v1": {"type": "object", "properties": {
        "format": {"type": "string", "pattern": "^a", "format": "email"}, "enum": {"contains": {}}}}}}),
    );
    let asks = grader(json!({"type": "rule", "check": "valid(final_output, \"ticket.v2\")"}));
    let lacking = told.lacking(&asks);
    assert!(
        lacking[0].contains("`ticket.v2`") && lacking[0].contains("ticket.v1"),
        "{lacking:?}"
    );
    assert_eq!(
        read::warnings(&told),
        ["schemas.ticket.v1: `contains`, `format` is not looked at"]
    );
}
