//! Where the rows of a run come from: the body of its request, a file, or what was recorded.
//!
//! All of them are read when the run is made. A row that cannot be used is the caller's mistake and is
//! told then, by its place, not in the middle of a run.

use insight::schema_fault;
use model::NanoUsd;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use store::meta::NewItem;

use super::recorded::RecordedQuery;
use super::traces::TracesQuery;
use crate::error::{ApiError, ErrorCode};
use crate::json::in_our_words;
use crate::pages::Metadata;

/// An inline content that is longer is not repeated in answers: output items have its rows.
const ECHO_BYTES_MAX: usize = 256 << 10;

/// The key of a run's metadata that says what it may cost, in US dollars.
const COST_MAX: &str = "max_cost_usd";

/// Where a run's rows come from and what is done with them before they are graded, as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DataSource {
    #[serde(rename = "type")]
    pub(super) kind: String,
    source: Option<Box<RawValue>>,
    pub(super) model: Option<String>,
    pub(super) input_messages: Option<Value>,
    pub(super) sampling_params: Option<Value>,
    max_cost_usd: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Source {
    #[serde(rename = "type")]
    kind: String,
    content: Option<Vec<Box<RawValue>>>,
    id: Option<String>,
}

/// A row as it is sent.
#[derive(Deserialize)]
struct RowSent {
    item: Option<Box<RawValue>>,
    sample: Option<Box<RawValue>>,
}

/// Where the texts of the rows are.
#[derive(Debug)]
pub(super) enum Rows {
    /// They came with the request.
    Inline(Vec<Box<RawValue>>),
    /// They are the lines of a file.
    File(String),
    /// They are calls of models that were recorded.
    Recorded(Box<RecordedQuery>),
    /// They are traces.
    Traces(Box<TracesQuery>),
}

impl DataSource {
    /// Reads a data source, without its rows.
    pub(super) fn parse(sent: &RawValue) -> Result<Self, ApiError> {
        let source: Self = serde_json::from_str(sent.get())
            .map_err(|error| ApiError::invalid("data_source", in_our_words(&error)))?;
        match source.kind.as_str() {
            "jsonl" | "completions" | "responses" | "traces" => Ok(source),
            other => {
                let message =
                    format!("{other:?} is not known; known: jsonl, completions, responses, traces");
                Err(ApiError::invalid("data_source.type", message))
            }
        }
    }

    /// Returns what the run may cost, if it or its metadata says so: clients that know their fields can
    /// send nothing else.
    pub(super) fn cost_max(&self, metadata: &Metadata) -> Result<Option<NanoUsd>, ApiError> {
        let (sent, param) = match (self.max_cost_usd, metadata.get(COST_MAX)) {
            (Some(usd), _) => (usd.to_string(), "data_source.max_cost_usd"),
            (None, Some(text)) => (text.clone(), "metadata.max_cost_usd"),
            (None, None) => return Ok(None),
        };
        let usd = sent.trim().parse::<f64>().ok();
        match usd.filter(|usd| (0.0..=1e9).contains(usd)) {
            Some(usd) => Ok(Some(NanoUsd::from_usd(usd))),
            None => {
                let message = format!("{sent:?} is no amount of US dollars, such as 5 or 0.50");
                Err(ApiError::invalid(param, message))
            }
        }
    }

    /// Takes the rows out, or says where they are.
    pub(super) fn take_rows(&mut self) -> Result<Rows, ApiError> {
        let at = |field: &str| format!("data_source.source{field}");
        let missing = |field: &str| ApiError::invalid(at(field), "it is missing");
        let sent = self.source.take().ok_or_else(|| missing(""))?;
        let unclear = |error: serde_json::Error| ApiError::invalid(at(""), in_our_words(&error));
        let source: Source = serde_json::from_str(sent.get()).map_err(unclear)?;
        match source.kind.as_str() {
            "file_content" => Ok(Rows::Inline(
                source.content.ok_or_else(|| missing(".content"))?,
            )),
            "file_id" => Ok(Rows::File(source.id.ok_or_else(|| missing(".id"))?)),
            "stored_completions" | "responses" => {
                let query = serde_json::from_str(sent.get()).map_err(unclear)?;
                Ok(Rows::Recorded(Box::new(query)))
            }
            "traces" => {
                let query = serde_json::from_str(sent.get()).map_err(unclear)?;
                Ok(Rows::Traces(Box::new(query)))
            }
            other => {
                let message = format!(
                    "{other:?} is not known; known: file_content, file_id, stored_completions, responses, traces"
                );
                Err(ApiError::invalid(at(".type"), message))
            }
        }
    }
}

/// What rows must be like.
#[derive(Debug)]
pub(super) struct RowRules {
    /// The eval's schema of a row.
    pub(super) schema: Value,
    /// Whether a row must bring the answer that is graded.
    pub(super) needs_sample: bool,
}

impl RowRules {
    /// Reads the rows of a request.
    pub(super) fn inline(&self, rows: &[Box<RawValue>]) -> Result<Vec<NewItem>, ApiError> {
        let texts = rows.iter().map(|row| row.get()).enumerate();
        let read = |(at, text): (usize, &str)| {
            self.row(text).map_err(|message| {
                ApiError::invalid(format!("data_source.source.content[{at}]"), message)
            })
        };
        some(
            texts.map(read).collect::<Result<_, _>>()?,
            "the content has no rows",
        )
    }

    /// Reads the lines of a file; empty ones are passed over.
    pub(super) fn lines(&self, content: &[u8], id: &str) -> Result<Vec<NewItem>, ApiError> {
        let refuse = |message: String| {
            ApiError::new(ErrorCode::InvalidParameter, message).of_param("data_source.source.id")
        };
        let text = std::str::from_utf8(content)
            .map_err(|_| refuse(format!("{id} is not JSON lines: it is not UTF-8")))?;
        let lines = (1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.trim().is_empty());
        let read = |(number, line): (usize, &str)| {
            let row = self.row(line);
            row.map_err(|message| refuse(format!("line {number} of {id}: {message}")))
        };
        some(
            lines.map(read).collect::<Result<_, _>>()?,
            &format!("{id} has no rows"),
        )
    }

    /// Returns rows that were made here, if they have what the eval wants of its rows.
    pub(super) fn recorded(&self, rows: Vec<NewItem>) -> Result<Vec<NewItem>, ApiError> {
        let known = ["input", "trace_id", "span_id"];
        let required = self.schema.get("required").and_then(Value::as_array);
        let mut required = required.into_iter().flatten().filter_map(Value::as_str);
        if let Some(name) = required.find(|name| !known.contains(name)) {
            let message = format!(
                "rows of recorded calls have no {name:?}, which the eval's item_schema requires; they have input, trace_id, span_id"
            );
            return Err(ApiError::invalid("data_source.source", message));
        }
        some(rows, "no call was recorded that is meant by this")
    }

    /// Refuses an item that does not fit the eval's schema.
    pub(super) fn fit(&self, item: &Value) -> Result<(), String> {
        match schema_fault(&self.schema, item, "its `item`") {
            None => Ok(()),
            Some(fault) => Err(format!(
                "{fault}, which the eval's item_schema does not allow"
            )),
        }
    }

    fn row(&self, text: &str) -> Result<NewItem, String> {
        let row: RowSent = serde_json::from_str(text).map_err(|error| in_our_words(&error))?;
        let item = row
            .item
            .ok_or("it has no `item`: a row is {\"item\": {…}, \"sample\"?: {…}}")?;
        self.fit(&object(&item, "item")?)?;
        let given = row.sample.filter(|sample| sample.get() != "null");
        match &given {
            Some(sample) => drop(object(sample, "sample")?),
            None if self.needs_sample => {
                let message = "it has no `sample`, and without `model` and `input_messages` nothing is sampled";
                return Err(message.to_owned());
            }
            None => {}
        }
        let text = |raw: Box<RawValue>| String::from(Box::<str>::from(raw));
        Ok(NewItem {
            trace_id: None,
            item: text(item),
            given: given.map(text),
        })
    }
}

/// Reads a field of a row that is an object.
fn object(raw: &RawValue, name: &str) -> Result<Value, String> {
    match serde_json::from_str(raw.get()) {
        Ok(fields @ Value::Object(_)) => Ok(fields),
        Ok(_) => Err(format!("its `{name}` is not an object")),
        Err(error) => {
            let why = in_our_words(&error);
            Err(format!("its `{name}` cannot be read: {why}"))
        }
    }
}

fn some(rows: Vec<NewItem>, none: &str) -> Result<Vec<NewItem>, ApiError> {
    match rows.is_empty() {
        false => Ok(rows),
        true => Err(ApiError::invalid("data_source.source", none)),
    }
}

/// Returns a data source as it is stored and answered: as it was sent, but for an inline content that is
/// too long to be repeated.
pub(super) fn echoed(sent: &RawValue) -> Result<String, ApiError> {
    if sent.get().len() <= ECHO_BYTES_MAX {
        return Ok(sent.get().to_owned());
    }
    let mut value: Value = serde_json::from_str(sent.get())
        .map_err(|error| ApiError::invalid("data_source", in_our_words(&error)))?;
    if let Some(Value::Object(source)) = value.get_mut("source")
        && let Some(Value::Array(rows)) = source.get_mut("content")
    {
        let count = std::mem::take(rows).len();
        source.insert("content_rows_omitted".to_owned(), count.into());
    }
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(needs_sample: bool) -> RowRules {
        RowRules {
            schema: serde_json::json!({"type": "object", "required": ["label"],
                "properties": {"n": {"type": "integer", "minimum": 0}}}),
            needs_sample,
        }
    }

    #[test]
    fn what_a_run_may_cost_is_said_by_its_source_or_its_metadata() {
        let check = |source: Option<f64>,
                     metadata: Option<&str>,
                     want: Result<Option<f64>, &str>| {
            let mut sent = serde_json::json!({"type": "jsonl"});
            if let Some(usd) = source {
                sent["max_cost_usd"] = usd.into();
            }
            let sent = RawValue::from_string(sent.to_string()).unwrap();
            let pairs = metadata.map(|text| (COST_MAX.to_owned(), text.to_owned()));
            let got = DataSource::parse(&sent)
                .unwrap()
                .cost_max(&pairs.into_iter().collect());
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want.map(NanoUsd::from_usd)),
                (Err(got), Err(param)) => assert!(format!("{got:?}").contains(param), "{got:?}"),
                (got, want) => panic!("{got:?} is not {want:?}"),
            }
        };
        check(None, None, Ok(None));
        check(Some(0.5), Some("7"), Ok(Some(0.5)));
        check(None, Some(" 7 "), Ok(Some(7.0)));
        check(Some(-1.0), None, Err("data_source.max_cost_usd"));
        for text in ["much", "-1", "inf", "NaN", ""] {
            check(None, Some(text), Err("metadata.max_cost_usd"));
        }
    }

    #[test]
    fn a_field_of_a_source_that_is_not_known_is_refused_by_its_name() {
        let sent = r#"{"type":"completions","sampling_parameters":{}}"#;
        let sent = RawValue::from_string(sent.to_owned()).unwrap();
        let error = DataSource::parse(&sent).unwrap_err().to_string();
        assert!(error.contains("sampling_parameters"), "{error}");
    }

    fn check(text: &str, needs_sample: bool, want: Result<usize, &str>) {
        let got = rules(needs_sample).lines(text.as_bytes(), "file-1");
        match (got, want) {
            (Ok(rows), Ok(count)) => assert_eq!(rows.len(), count, "{text}"),
            (Err(error), Err(words)) => {
                let told = error.to_string();
                assert!(told.contains(words), "{told}");
            }
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn a_line_that_cannot_be_used_is_told_by_its_number() {
        let good = r#"{"item":{"label":"a"},"sample":{"output_text":"a"}}"#;
        let bare = r#"{"item":{"label":"a"},"sample":null}"#;
        check(&format!("{good}\r\n\n  \n{good}"), true, Ok(2));
        check(bare, false, Ok(1));
        check(
            &format!("{good}\n{bare}"),
            true,
            Err("line 2 of file-1: it has no `sample`"),
        );
        check(&format!("\n{good}\n{{"), false, Err("line 3 of file-1: "));
        check(r#"{"label":"a"}"#, false, Err("it has no `item`"));
        check(r#"{"item":[1]}"#, false, Err("not an object"));
        check("7", false, Err("expected an object"));
        check(
            r#"{"item":{"label":"\ud800"}}"#,
            false,
            Err("`item` cannot be read: "),
        );
        check(
            r#"{"item":{"label":"a"},"sample":{"output_text":"\ud800"}}"#,
            false,
            Err("`sample` cannot be read: "),
        );
        check(r#"{"item":{}}"#, false, Err("`item` lacks label"));
        check(
            r#"{"item":{"label":"a","n":"x"}}"#,
            false,
            Err("`item`.n is a text, not integer"),
        );
        check(
            r#"{"item":{"label":"a","n":-1}}"#,
            false,
            Err("`item`.n is less than 0"),
        );
        check(
            r#"{"item":{"label":1},"sample":"a"}"#,
            false,
            Err("`sample` is not an object"),
        );
        check(" \n", false, Err("file-1 has no rows"));
        let error = rules(false).lines(b"\xff", "file-1").unwrap_err();
        assert!(error.to_string().contains("UTF-8"));
    }

    #[test]
    fn texts_of_rows_stay_as_they_were_sent() {
        let sent = r#"{"item":{"label":1.10,"b":1e2},"sample":{ "output_text":"ä" }}"#;
        let rows = rules(true).lines(sent.as_bytes(), "f").unwrap();
        assert_eq!(rows[0].item, r#"{"label":1.10,"b":1e2}"#);
        assert_eq!(rows[0].given.as_deref(), Some(r#"{ "output_text":"ä" }"#));
    }

    #[test]
    fn a_long_content_is_counted_and_not_repeated() {
        let row = r#"{"item":{"label":"a"}}"#;
        let source = |count: usize| {
            let rows = vec![row; count].join(",");
            let text = format!(
                r#"{{"type":"jsonl","source":{{"type":"file_content","content":[{rows}]}}}}"#
            );
            RawValue::from_string(text).unwrap()
        };
        let short = source(2);
        assert_eq!(echoed(&short).unwrap(), short.get());
        let long: Value = serde_json::from_str(&echoed(&source(20_000)).unwrap()).unwrap();
        assert_eq!(long["source"]["content"], serde_json::json!([]));
        assert_eq!(long["source"]["content_rows_omitted"], 20_000);
        let mut parsed = DataSource::parse(&source(3)).unwrap();
        let Rows::Inline(rows) = parsed.take_rows().unwrap() else {
            panic!("{parsed:?}")
        };
        assert_eq!(rows.len(), 3);
    }
}
