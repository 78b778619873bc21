//! Values that fit a schema, and values that do not.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn check(schema: Value, value: Value, want: Option<&str>) {
    assert_eq!(
        Schema::of(&schema).fault(&value, "arguments").as_deref(),
        want,
        "{schema} {value}"
    );
}

#[test]
fn arguments_are_held_against_their_schema() {
    let schema = json!({
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": ["integer", "null"]},
            "unit": {"enum": ["C", "F"]},
            "stops": {"type": "array", "items": {"$ref": "#/$defs/Stop"}},
            "who": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["city"],
        "additionalProperties": false,
        "$defs": {"Stop": {"type": "object", "required": ["at"]}},
    });
    let cases = [
        (
            json!({"city": "Z", "days": 2.0, "unit": "C", "stops": [{"at": 1}], "who": null}),
            None,
        ),
        (json!({}), Some("arguments lacks city")),
        (
            json!({"city": 7}),
            Some("arguments.city is a number, not string"),
        ),
        (
            json!({"city": "Z", "days": 2.5}),
            Some("arguments.days is a number, not [\"integer\",\"null\"]"),
        ),
        (
            json!({"city": "Z", "unit": "K"}),
            Some("arguments.unit is none of the values that are allowed"),
        ),
        (
            json!({"city": "Z", "stops": [{}]}),
            Some("arguments.stops[] lacks at"),
        ),
        (
            json!({"city": "Z", "who": 7}),
            Some("arguments.who is a number, not null"),
        ),
        (
            json!({"city": "Z", "town": "Z"}),
            Some("arguments has town, which is unknown"),
        ),
        (json!("Z"), Some("arguments is a text, not object")),
    ];
    for (value, want) in cases {
        check(schema.clone(), value, want);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of keywords")]
fn bounds_and_patterns() {
    let check = |schema: Value, good: Value, bad: Value, want: &str| {
        check(schema.clone(), good, None);
        check(schema, bad, Some(want));
    };
    check(
        json!({"const": 1}),
        json!(1.0),
        json!(2),
        "arguments is not 1",
    );
    check(
        json!({"enum": [[1, {"a": 2}]]}),
        json!([1.0, {"a": 2.0}]),
        json!([1]),
        "arguments is none of the values that are allowed",
    );
    check(
        json!({"minimum": 1}),
        json!(1),
        json!(0.5),
        "arguments is less than 1",
    );
    check(
        json!({"maximum": 1}),
        json!(1),
        json!(1.5),
        "arguments is more than 1",
    );
    check(
        json!({"exclusiveMinimum": 1}),
        json!(1.1),
        json!(1),
        "arguments is not more than 1",
    );
    check(
        json!({"exclusiveMaximum": 1}),
        json!(0),
        json!(1),
        "arguments is not less than 1",
    );
    check(
        json!({"minimum": 1, "exclusiveMinimum": true}),
        json!(2),
        json!(1),
        "arguments is not more than 1",
    );
    check(
        json!({"multipleOf": 0.1}),
        json!(0.3),
        json!(0.35),
        "arguments is no multiple of 0.1",
    );
    check(
        json!({"minLength": 2}),
        json!("éé"),
        json!("é"),
        "arguments has 1 characters, fewer than 2",
    );
    check(
        json!({"maxLength": 2}),
        json!("éé"),
        json!("ééé"),
        "arguments has 3 characters, more than 2",
    );
    check(
        json!({"pattern": "^W\\d+$"}),
        json!("W12"),
        json!("W"),
        "arguments does not match ^W\\d+$",
    );
    check(
        json!({"minItems": 1}),
        json!([1]),
        json!([]),
        "arguments has 0 items, fewer than 1",
    );
    check(
        json!({"maxItems": 1}),
        json!([1]),
        json!([1, 2]),
        "arguments has 2 items, more than 1",
    );
    check(
        json!({"uniqueItems": true}),
        json!([1, "1"]),
        json!([1, 1.0]),
        "arguments has an item twice",
    );
    check(
        json!({"minProperties": 1}),
        json!({"a": 1}),
        json!({}),
        "arguments has 0 properties, fewer than 1",
    );
    check(
        json!({"maxProperties": 1}),
        json!({"a": 1}),
        json!({"a": 1, "b": 1}),
        "arguments has 2 properties, more than 1",
    );
    check(
        json!({"not": {"type": "string"}}),
        json!(1),
        json!("a"),
        "arguments is what it must not be",
    );
    let text = json!({"type": "string"});
    check(
        json!({"additionalProperties": text}),
        json!({"a": "b"}),
        json!({"a": 1}),
        "arguments.a is a number, not string",
    );
    check(
        json!({"patternProperties": {"^x-": text}, "additionalProperties": false}),
        json!({"x-a": "b"}),
        json!({"y": "b"}),
        "arguments has y, which is unknown",
    );
    check(
        json!({"patternProperties": {"^x-": text}}),
        json!({"y": 1}),
        json!({"x-y": 1}),
        "arguments.x-y is a number, not string",
    );
    check(
        json!({"prefixItems": [text], "items": false}),
        json!(["a"]),
        json!(["a", 1]),
        "arguments[] is not allowed",
    );
    // What does not apply to a value says nothing of it.
    let of_others =
        json!({"minimum": 9, "minLength": 9, "minItems": 9, "minProperties": 9, "pattern": "z"});
    self::check(of_others.clone(), json!(true), None);
    self::check(of_others, json!(10), None);
}

#[test]
fn alternatives_are_weighed_beside_what_else_is_said() {
    let any =
        json!({"anyOf": [{"type": "string", "minLength": 3}, {"type": "null"}], "maxLength": 4});
    check(any.clone(), json!(null), None);
    check(any.clone(), json!("abc"), None);
    check(
        any.clone(),
        json!("ab"),
        Some("arguments is a text, not null"),
    );
    let long = "arguments has 5 characters, more than 4";
    check(any, json!("abcde"), Some(long));
    let one = json!({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]});
    check(one.clone(), json!(4), None);
    check(one.clone(), json!(5), Some("arguments is no multiple of 3"));
    let both = "arguments fits 2 alternatives, of which one is meant";
    check(one, json!(6), Some(both));
    let all = json!({"allOf": [{"minimum": 1}, {"maximum": 2}]});
    check(all, json!(3), Some("arguments is more than 2"));
    // Each level has two alternatives: without a bound the steps would double at each.
    let wide = json!({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]});
    let deep = (0..30).fold(json!(1), |inner, _| json!({"a": inner}));
    check(wide, deep, None);
}

#[test]
fn a_pattern_that_nobody_can_look_for_allows_all() {
    check(json!({"pattern": "(?=x)"}), json!("a"), None);
    check(json!({"pattern": "a".repeat(2_000)}), json!("b"), None);
    let open = json!({"patternProperties": {"(?=x)": {}}, "additionalProperties": false});
    check(open, json!({"a": 1}), None);
    let many: serde_json::Map<String, Value> = (0..2_000)
        .map(|n| (format!("k{n}"), json!({"pattern": "a{1,500}"})))
        .collect();
    let values: serde_json::Map<String, Value> =
        many.keys().map(|key| (key.clone(), json!("a"))).collect();
    check(json!({"properties": many}), Value::Object(values), None);
}

/// Returns values of all kinds, the keys of which are words of schemas.
fn any_json() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "type",
        "enum",
        "const",
        "items",
        "prefixItems",
        "properties",
        "required",
        "pattern",
        "patternProperties",
        "additionalProperties",
        "anyOf",
        "allOf",
        "oneOf",
        "not",
        "$ref",
        "minimum",
        "maxLength",
        "uniqueItems",
        "multipleOf",
        "a",
    ];
    let key = proptest::sample::select(WORDS);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i8..4).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a(^+#/]{0,4}|string|object|#/properties/a".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let members = proptest::collection::vec((key.clone(), inner.clone()), 0..4);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
            members.prop_map(|all| {
                let all = all.into_iter().map(|(key, value)| (key.to_owned(), value));
                Value::Object(all.collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_schema_says_something_of_any_value(schema in any_json(), value in any_json()) {
        drop(schema_fault(&schema, &value, "it"));
    }

    #[test]
    fn a_value_is_what_it_is_said_to_be_alone(value in any_json()) {
        prop_assert_eq!(schema_fault(&json!({"const": value}), &value, "it"), None);
        prop_assert_eq!(schema_fault(&json!({"enum": [value]}), &value, "it"), None);
        let denied = json!({"not": {"const": value}});
        prop_assert!(schema_fault(&denied, &value, "it").is_some());
    }
}

#[test]
fn what_is_no_schema_or_has_no_end_fits() {
    let endless = json!({"$ref": "#"});
    check(endless, json!({"a": 1}), None);
    let nested = json!({"properties": {"a": {"$ref": "#"}}});
    let deep = (0..100).fold(json!(1), |inner, _| json!({"a": inner}));
    check(nested, deep, None);
    check(
        json!({"properties": {"city": "[MaxDepth]"}}),
        json!({"city": 7}),
        None,
    );
    check(json!(true), json!({"city": 7}), None);
}
