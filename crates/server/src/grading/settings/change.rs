//! Changing one thing that is said, the rest as it is.

use serde_json::{Map, Value};

/// The section in which the entries themselves are changed field by field.
const WORKFLOWS: &str = "workflows";

/// Puts what was sent over what is there: entry by entry, of a workflow field by field. A null takes back
/// what was said.
pub(super) fn merge(there: &mut Map<String, Value>, sent: Map<String, Value>) {
    for (section, sent) in sent {
        let depth = if section == WORKFLOWS { 2 } else { 1 };
        lay(there, section, sent, depth);
    }
}

/// Lays one value over another, so many objects deep.
fn lay(there: &mut Map<String, Value>, name: String, sent: Value, depth: u32) {
    match (sent, there.get_mut(&name)) {
        (Value::Null, _) => {
            there.shift_remove(&name);
        }
        (Value::Object(sent), Some(Value::Object(known))) if depth > 0 => {
            for (name, sent) in sent {
                lay(known, name, sent, depth - 1);
            }
            // What says nothing is not kept.
            if known.is_empty() {
                there.shift_remove(&name);
            }
        }
        (Value::Object(sent), None) if depth > 0 => {
            let mut fresh = Map::new();
            for (name, sent) in sent {
                lay(&mut fresh, name, sent, depth - 1);
            }
            if !fresh.is_empty() {
                there.insert(name, Value::Object(fresh));
            }
        }
        (sent, _) => {
            there.insert(name, sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(there: Value, sent: Value, want: Value) {
        let (Value::Object(mut there), Value::Object(sent)) = (there, sent) else {
            panic!("both are objects")
        };
        merge(&mut there, sent);
        assert_eq!(Value::Object(there), want);
    }

    #[test]
    fn entries_are_set_and_taken_back_one_by_one() {
        let there = json!({"tools": {"a": "read", "b": "write"}});
        let sent = json!({"tools": {"b": null, "c": "write"}});
        check(there, sent, json!({"tools": {"a": "read", "c": "write"}}));
        check(
            json!({"tools": {"a": "read"}}),
            json!({"tools": {"a": null}}),
            json!({}),
        );
        check(
            json!({"tools": {"a": "read"}}),
            json!({"tools": null}),
            json!({}),
        );
        check(json!({}), json!({"tools": {"a": null}}), json!({}));
    }

    #[test]
    fn workflows_are_changed_field_by_field_and_schemas_whole() {
        let there = json!({
            "workflows": {"w": {"confirm_writes": true, "muted_detectors": ["D03"]}},
            "schemas": {"s": {"type": "object", "required": ["a"]}},
        });
        let sent = json!({
            "workflows": {"w": {"confirm_writes": null, "verify_writes": true}, "v": {"verify_writes": false}},
            "schemas": {"s": {"type": "array"}},
        });
        let want = json!({
            "workflows": {"w": {"muted_detectors": ["D03"], "verify_writes": true}, "v": {"verify_writes": false}},
            "schemas": {"s": {"type": "array"}},
        });
        check(there, sent, want);
    }
}
