//! How is a filter read, and what is said of one that cannot be?
//!
//! Query strings and JSON go the same way: JSON is turned into pairs first, so that no field can mean
//! one thing here and another there. A message names the field, shows the value, and says what would
//! do.

use serde_json::Value;

use super::{FilterError, TraceFilter};
use crate::{Bound, GroupId, NanoUsd, Time, TraceId, TraceStatus, Zone, parse_bound};

/// Every field as pairs and JSON name it, for messages.
pub(super) const FIELDS: &str = "id, ids, workflow_name, group_id, user_id, agent_id, agent, version, \
     environment, tag, model, tool, status, error_type, has_errors, min_duration_ms, \
     max_duration_ms, min_cost_usd, max_cost_usd, min_tokens, max_tokens, metadata.KEY, start_date, \
     end_date, tz";

/// Fields and their values, as a query string has them.
type Pairs<'a> = Vec<(&'a str, &'a str)>;

impl TraceFilter {
    /// Reads the pairs of a query string that name a field, and returns the other ones unread. Dates
    /// such as `-7d` are reckoned back from `now`.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Time,
    ) -> Result<(Self, Pairs<'a>), FilterError> {
        let pairs: Pairs<'a> = pairs.into_iter().collect();
        let mut reader = Reader {
            filter: Self::default(),
            now,
            zone: zone_of(&pairs)?,
        };
        let mut unread = Vec::new();
        for (field, value) in pairs {
            if !reader.read(field, value)? {
                unread.push((field, value));
            }
        }
        reader.filter.check_order()?;
        Ok((reader.filter, unread))
    }

    /// Reads a JSON object with the same fields: a value or a list of values each, and `metadata` as
    /// an object too. A field that is none is an error.
    pub fn from_json(json: &Value, now: Time) -> Result<Self, FilterError> {
        let object = json
            .as_object()
            .ok_or_else(|| error("filter", "must be an object".to_owned()))?;
        let mut pairs = Vec::new();
        for (field, value) in object {
            match (field.as_str(), value) {
                ("metadata", Value::Object(wanted)) => {
                    for (key, value) in wanted {
                        push_json(&format!("metadata.{key}"), value, &mut pairs)?;
                    }
                }
                // The elements of a list are whole ids, commas and all.
                ("ids", Value::Array(_)) => push_json("id", value, &mut pairs)?,
                _ => push_json(field, value, &mut pairs)?,
            }
        }
        let (filter, unread) = Self::from_pairs(pairs.iter().map(|(f, v)| (&**f, &**v)), now)?;
        match unread.first() {
            Some((field, _)) => Err(error(
                field,
                format!("is not a field of a filter; the fields are {FIELDS}"),
            )),
            None => Ok(filter),
        }
    }

    fn text_mut(&mut self, field: &str) -> Option<&mut Vec<String>> {
        Some(match field {
            "workflow_name" => &mut self.workflow_name,
            "user_id" => &mut self.user_id,
            "agent_id" => &mut self.agent_id,
            "agent" => &mut self.agent,
            "version" => &mut self.version,
            "environment" => &mut self.environment,
            "tag" => &mut self.tag,
            "model" => &mut self.model,
            "tool" => &mut self.tool,
            "error_type" => &mut self.error_type,
            _ => return None,
        })
    }

    /// Refuses ranges that hold nothing: they are a slip, and would answer with an empty list.
    fn check_order(&self) -> Result<(), FilterError> {
        fn check<T: PartialOrd>(
            field: &str,
            min: Option<T>,
            max: Option<T>,
        ) -> Result<(), FilterError> {
            match min.zip(max) {
                Some((min, max)) if min > max => {
                    Err(error(field, "the range ends before it begins".to_owned()))
                }
                _ => Ok(()),
            }
        }
        check(
            "max_duration_ms",
            self.duration_ms.min,
            self.duration_ms.max,
        )?;
        check("max_cost_usd", self.cost_usd.min, self.cost_usd.max)?;
        check("max_tokens", self.tokens.min, self.tokens.max)?;
        check("end_date", self.started_from, self.started_until)
    }
}

fn error(field: &str, message: String) -> FilterError {
    FilterError {
        field: field.chars().take(64).collect(),
        message,
    }
}

fn zone_of(pairs: &[(&str, &str)]) -> Result<Zone, FilterError> {
    let mut named = pairs.iter().filter(|(field, _)| *field == "tz");
    match (named.next(), named.next()) {
        (None, _) => Ok(Zone::utc()),
        (Some((field, name)), None) => Zone::named(name).map_err(|e| error(field, e.to_string())),
        (Some((field, _)), Some(_)) => Err(error(field, TWICE.to_owned())),
    }
}

const TWICE: &str = "is given twice, and can hold one value only";

/// A filter that is being read.
struct Reader {
    filter: TraceFilter,
    now: Time,
    zone: Zone,
}

impl Reader {
    /// Takes in one pair, and returns whether it names a field.
    fn read(&mut self, field: &str, value: &str) -> Result<bool, FilterError> {
        if let Some(key) = field.strip_prefix("metadata.") {
            if key.is_empty() {
                return Err(error(
                    field,
                    "names no key: write metadata.KEY=VALUE".to_owned(),
                ));
            }
            self.filter
                .metadata
                .entry(key.to_owned())
                .or_default()
                .push(value.to_owned());
            return Ok(true);
        }
        let list = self.filter.text_mut(field);
        let is_known = list.is_some() || FIELDS.split(", ").any(|known| known == field);
        if is_known && value.is_empty() {
            return Err(error(
                field,
                "has no value: give one or leave the field out".to_owned(),
            ));
        }
        match list {
            Some(list) => list.push(value.to_owned()),
            None => return self.read_typed(field, value).map(|()| is_known),
        }
        Ok(true)
    }

    fn read_typed(&mut self, field: &str, value: &str) -> Result<(), FilterError> {
        let bad = |why: String| error(field, why);
        let filter = &mut self.filter;
        match field {
            "id" => filter
                .ids
                .push(TraceId::new(value).map_err(|e| bad(e.to_string()))?),
            // An empty one among them is refused: `ids=,` must not come to mean every trace.
            "ids" => {
                for id in value.split(',').map(str::trim) {
                    filter
                        .ids
                        .push(TraceId::new(id).map_err(|e| bad(e.to_string()))?);
                }
            }
            "group_id" => filter
                .group_id
                .push(GroupId::new(value).map_err(|e| bad(e.to_string()))?),
            "status" => {
                let status = value
                    .parse::<TraceStatus>()
                    .map_err(|e| bad(e.to_string()))?;
                filter.status.push(status);
            }
            "has_errors" => set(&mut filter.has_errors, truth(field, value)?, field)?,
            "min_duration_ms" => set(&mut filter.duration_ms.min, number(field, value)?, field)?,
            "max_duration_ms" => set(&mut filter.duration_ms.max, number(field, value)?, field)?,
            "min_cost_usd" => set(&mut filter.cost_usd.min, usd(field, value)?, field)?,
            "max_cost_usd" => set(&mut filter.cost_usd.max, usd(field, value)?, field)?,
            "min_tokens" => set(&mut filter.tokens.min, whole(field, value)?, field)?,
            "max_tokens" => set(&mut filter.tokens.max, whole(field, value)?, field)?,
            "start_date" => {
                let from = parse_bound(value, Bound::From, self.now, &self.zone);
                set(
                    &mut filter.started_from,
                    from.map_err(|e| bad(e.to_string()))?,
                    field,
                )?;
            }
            "end_date" => {
                let until = parse_bound(value, Bound::Until, self.now, &self.zone);
                set(
                    &mut filter.started_until,
                    until.map_err(|e| bad(e.to_string()))?,
                    field,
                )?;
            }
            // `tz` was read before the dates that it bears on, and any other field is not ours.
            _ => {}
        }
        Ok(())
    }
}

fn set<T>(slot: &mut Option<T>, value: T, field: &str) -> Result<(), FilterError> {
    match slot.replace(value) {
        Some(_) => Err(error(field, TWICE.to_owned())),
        None => Ok(()),
    }
}

fn refused(field: &str, value: &str, want: &str) -> FilterError {
    let value: String = value.chars().take(64).collect();
    error(field, format!("{value:?} is not {want}"))
}

fn truth(field: &str, value: &str) -> Result<bool, FilterError> {
    value
        .parse()
        .map_err(|_| refused(field, value, "true or false"))
}

fn number(field: &str, value: &str) -> Result<f64, FilterError> {
    let number = value
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| refused(field, value, "a number of 0 or more, such as 1500"))
}

fn usd(field: &str, value: &str) -> Result<NanoUsd, FilterError> {
    number(field, value).map(NanoUsd::from_usd).map_err(|_| {
        refused(
            field,
            value,
            "an amount in US dollars of 0 or more, such as 0.25",
        )
    })
}

fn whole(field: &str, value: &str) -> Result<i64, FilterError> {
    let number = value.parse::<i64>().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| refused(field, value, "a whole number of 0 or more"))
}

/// Appends a JSON value, or each element of a list, as pairs; `null` asks nothing.
fn push_json(
    field: &str,
    value: &Value,
    pairs: &mut Vec<(String, String)>,
) -> Result<(), FilterError> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(error(
            field,
            "must be a text, a number, true, false, or a list of these".to_owned(),
        )),
    };
    match value {
        Value::Null => {}
        Value::Array(values) => {
            if values.is_empty() {
                let message = "is an empty list, which no trace is in: leave it out for all";
                return Err(error(field, message.to_owned()));
            }
            for value in values {
                pairs.push((field.to_owned(), scalar(value)?));
            }
        }
        value => pairs.push((field.to_owned(), scalar(value)?)),
    }
    Ok(())
}
