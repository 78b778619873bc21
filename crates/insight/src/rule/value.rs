//! What an expression can be worth, and what it means that two values are equal or in order.
//!
//! Values are copied and borrow from the trace, the rule or the arenas of one evaluation, so none of
//! them is freed. `Null` is missing data; what asks about it has no answer (`None`), not a wrong one.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;

use model::Time;
use serde_json::Value as Json;

/// A value during an evaluation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// Missing, and the third truth value.
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    Time(Time),
    /// A span by its place.
    Span(u32),
    /// The error of the span at this place.
    SpanError(u32),
    /// The error of the trace.
    TraceError,
    /// An object or a list of JSON; the other values of JSON are ours.
    Json(&'a Json),
    /// The first spans of the trace, as many.
    AllSpans(u32),
    /// Spans by their places.
    Spans(&'a [u32]),
    List(&'a [Value<'a>]),
}

impl<'a> Value<'a> {
    /// Returns the value that a JSON value stands for.
    pub(super) fn of_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(bool) => Self::Bool(*bool),
            Json::Number(number) => match number.as_i64() {
                Some(int) => Self::Int(int),
                None => number.as_f64().map_or(Self::Null, Self::Double),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(_) | Json::Object(_) => Self::Json(json),
        }
    }

    /// Returns a text, or that it is missing.
    pub(super) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    /// Returns an integer, or that it is missing.
    pub(super) fn int(int: Option<i64>) -> Self {
        int.map_or(Self::Null, Self::Int)
    }

    /// Returns a number, or that it is missing.
    pub(super) fn double(double: Option<f64>) -> Self {
        double.map_or(Self::Null, Self::Double)
    }

    /// Returns a moment, or that it is missing.
    pub(super) fn time(time: Option<Time>) -> Self {
        time.map_or(Self::Null, Self::Time)
    }

    /// Returns a truth value, or that it is unknown.
    pub(super) fn bool(bool: Option<bool>) -> Self {
        bool.map_or(Self::Null, Self::Bool)
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns how many elements a list has.
    pub(super) fn len(self) -> Option<usize> {
        Some(match self {
            Self::AllSpans(count) => count as usize,
            Self::Spans(places) => places.len(),
            Self::List(all) => all.len(),
            Self::Json(Json::Array(all)) => all.len(),
            _ => return None,
        })
    }

    /// Returns an element of a list.
    pub(super) fn get(self, at: usize) -> Option<Self> {
        match self {
            Self::AllSpans(count) => {
                let at = u32::try_from(at).ok()?;
                (at < count).then_some(Self::Span(at))
            }
            Self::Spans(places) => places.get(at).copied().map(Self::Span),
            Self::List(all) => all.get(at).copied(),
            Self::Json(Json::Array(all)) => all.get(at).map(Self::of_json),
            _ => None,
        }
    }

    /// Returns the number as a double.
    pub(super) fn as_double(self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(int as f64),
            Self::Double(double) => Some(double),
            _ => None,
        }
    }
}

/// Returns whether two values are equal; values of different kinds are not, and of `Null` nobody knows.
/// What it takes is added to `steps`.
#[inline]
pub(super) fn equal(left: Value<'_>, right: Value<'_>, steps: &Cell<u32>) -> Option<bool> {
    match (left, right) {
        // Most comparisons: a name, a status.
        (Value::Text(left), Value::Text(right)) if left.len().min(right.len()) < 256 => {
            Some(left == right)
        }
        _ => equal_of_any(left, right, steps),
    }
}

fn equal_of_any(left: Value<'_>, right: Value<'_>, steps: &Cell<u32>) -> Option<bool> {
    use Value as V;
    Some(match (left, right) {
        (V::Null, _) | (_, V::Null) => return None,
        (V::Bool(left), V::Bool(right)) => left == right,
        (V::Text(left), V::Text(right)) => {
            charge(steps, left.len().min(right.len()) >> 8);
            left == right
        }
        (V::Time(left), V::Time(right)) => left == right,
        (V::Span(left), V::Span(right)) | (V::SpanError(left), V::SpanError(right)) => {
            left == right
        }
        (V::TraceError, V::TraceError) => true,
        (V::Int(_) | V::Double(_), V::Int(_) | V::Double(_)) => {
            compare_numbers(left, right) == Some(Ordering::Equal)
        }
        (V::Json(left), V::Json(right)) => json_equal(left, right, steps),
        _ => return lists_equal(left, right, steps),
    })
}

fn charge(steps: &Cell<u32>, more: usize) {
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    steps.set(steps.get().saturating_add(more));
}

/// Two lists differ if an element surely differs; else a missing element leaves it open.
fn lists_equal(left: Value<'_>, right: Value<'_>, steps: &Cell<u32>) -> Option<bool> {
    let (Some(length), Some(other)) = (left.len(), right.len()) else {
        return Some(false);
    };
    if length != other {
        return Some(false);
    }
    let mut is_known = true;
    for at in 0..length {
        charge(steps, 1);
        let two = left.get(at).zip(right.get(at));
        match two.map(|(left, right)| equal(left, right, steps)) {
            Some(Some(true)) => {}
            Some(None) => is_known = false,
            _ => return Some(false),
        }
    }
    is_known.then_some(true)
}

/// Returns whether two JSON values are the same data: `1` is `1.0`, the order of keys says nothing, and
/// a `null` inside is a value as any other.
fn json_equal(left: &Json, right: &Json, steps: &Cell<u32>) -> bool {
    charge(steps, 1);
    match (left, right) {
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && {
                let mut two = left.iter().zip(right);
                two.all(|(left, right)| json_equal(left, right, steps))
            }
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| {
                    let right = right.get(key);
                    right.is_some_and(|right| json_equal(left, right, steps))
                })
        }
        (Json::Null, Json::Null) => true,
        (left, right) => {
            let two = (Value::of_json(left), Value::of_json(right));
            equal(two.0, two.1, steps).unwrap_or(false)
        }
    }
}

/// Returns the order of two numbers by their exact values; `None` with what is not a number.
pub(super) fn compare_numbers(left: Value<'_>, right: Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(&right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(&right),
        (Value::Int(left), Value::Double(right)) => compare_int(left, right),
        (Value::Double(left), Value::Int(right)) => compare_int(right, left).map(Ordering::reverse),
        _ => None,
    }
}

fn compare_int(int: i64, double: f64) -> Option<Ordering> {
    // The first double that no integer reaches.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        return None;
    }
    if double >= END {
        return Some(Ordering::Less);
    }
    if double < -END {
        return Some(Ordering::Greater);
    }
    let whole = double.trunc();
    let by_fraction = || whole.partial_cmp(&double).unwrap_or(Ordering::Equal);
    Some(int.cmp(&(whole as i64)).then_with(by_fraction))
}

/// The answer to which of two values comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Known(Ordering),
    /// Not a number: no comparison holds.
    Nowhere,
    /// A value is missing.
    Unknown,
    /// The two have no order.
    Mixed,
}

/// Returns the order of two values.
#[inline]
pub(super) fn order(left: Value<'_>, right: Value<'_>) -> Order {
    /// A double holds every integer up to here.
    const EXACT: u64 = 1 << 53;
    match (left, right) {
        // Most comparisons: a time against a limit.
        (Value::Double(left), Value::Int(right)) if right.unsigned_abs() < EXACT => {
            let order = left.partial_cmp(&(right as f64));
            order.map_or(Order::Nowhere, Order::Known)
        }
        _ => order_of_any(left, right),
    }
}

fn order_of_any(left: Value<'_>, right: Value<'_>) -> Order {
    use Value as V;
    match (left, right) {
        (V::Null, _) | (_, V::Null) => Order::Unknown,
        (V::Int(_) | V::Double(_), V::Int(_) | V::Double(_)) => {
            compare_numbers(left, right).map_or(Order::Nowhere, Order::Known)
        }
        (V::Text(left), V::Text(right)) => Order::Known(left.cmp(right)),
        (V::Time(left), V::Time(right)) => Order::Known(left.cmp(&right)),
        (V::Bool(left), V::Bool(right)) => Order::Known(left.cmp(&right)),
        _ => Order::Mixed,
    }
}

/// A text in a sentence is cut at this many characters.
const SHOWN_CHARS_MAX: usize = 60;

impl fmt::Display for Value<'_> {
    /// Writes the value as a person reads it in a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("missing"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Int(int) => write!(f, "{int}"),
            Self::Double(double) => write!(f, "{double}"),
            Self::Text(text) => {
                let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                let more = if cut.len() < text.len() { "…" } else { "" };
                write!(f, "{cut:?}{more}")
            }
            Self::Time(time) => write!(f, "{time}"),
            Self::Span(_) => f.write_str("a span"),
            Self::SpanError(_) | Self::TraceError => f.write_str("an error"),
            Self::Json(Json::Object(_)) => f.write_str("an object"),
            Self::AllSpans(_) | Self::Spans(_) => {
                write!(f, "{} spans", self.len().unwrap_or_default())
            }
            Self::List(all) if all.len() <= 8 => {
                f.write_str("[")?;
                for (number, value) in all.iter().enumerate() {
                    write!(f, "{}{value}", if number > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::List(_) | Self::Json(_) => {
                write!(f, "a list of {}", self.len().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_and_a_double_are_compared_by_their_exact_values() {
        let big = 9_007_199_254_740_993_i64; // 2^53 + 1: its double is 2^53
        let check = |int: i64, double: f64, wanted: Option<Ordering>| {
            let found = compare_numbers(Value::Int(int), Value::Double(double));
            assert_eq!(found, wanted, "{int} and {double}");
            let turned = compare_numbers(Value::Double(double), Value::Int(int));
            assert_eq!(turned, wanted.map(Ordering::reverse), "{double} and {int}");
        };
        check(1, 1.0, Some(Ordering::Equal));
        check(1, 1.5, Some(Ordering::Less));
        check(-1, -1.5, Some(Ordering::Greater));
        check(0, -0.0, Some(Ordering::Equal));
        check(big, 9_007_199_254_740_992.0, Some(Ordering::Greater));
        check(i64::MAX, 9_223_372_036_854_775_808.0, Some(Ordering::Less));
        check(
            i64::MIN,
            -9_223_372_036_854_775_808.0,
            Some(Ordering::Equal),
        );
        check(i64::MIN, f64::NEG_INFINITY, Some(Ordering::Greater));
        check(0, f64::NAN, None);
    }

    #[test]
    fn json_is_compared_as_data() {
        let check = |left: &str, right: &str, wanted: bool| {
            let parse = |text: &str| serde_json::from_str::<Json>(text).unwrap();
            let (left, right) = (parse(left), parse(right));
            let steps = Cell::new(0);
            let found = equal(Value::of_json(&left), Value::of_json(&right), &steps);
            assert_eq!(found, Some(wanted), "{left} {right}");
        };
        check(r#"{"a":1,"b":[null]}"#, r#"{"b":[null],"a":1.0}"#, true);
        check(r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false);
        check(r#"["1"]"#, "[1]", false);
        check("[1,2]", "[2,1]", false);
    }
}
