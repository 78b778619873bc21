//! What went wrong with a query, said to the person who wrote it: the place in the text, the line with
//! a mark below it, and the name that was probably meant.
//!
//! DataFusion's own texts are passed on where they are about the query or its data. What is about us
//! (a file, a bug) is not: the message says only that, and the cause is kept for the log.

use std::error::Error;
use std::fmt;

use arrow::error::ArrowError;
use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::content::MissingMessage;
use crate::files::FileError;

/// At most so many characters of a line are shown.
const EXCERPT_CHARS_MAX: usize = 80;

/// A place in the text of a query. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
    /// The word that stands there; empty at the end of the text.
    pub near: String,
    /// The line, and below it a caret under the place.
    pub excerpt: String,
}

impl Place {
    /// Returns the place at `line` and `column` of `sql`.
    pub(crate) fn new(sql: &str, line: u64, column: u64) -> Option<Self> {
        let at_line = usize::try_from(line.checked_sub(1)?).ok()?;
        let at = usize::try_from(column.checked_sub(1)?).ok()?;
        let chars: Vec<char> = sql.lines().nth(at_line)?.chars().collect();
        let at = at.min(chars.len());
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        let word: String = chars[at..]
            .iter()
            .take_while(|c| is_word(c))
            .take(64)
            .collect();
        let near = match word.is_empty() {
            true => chars[at..].iter().take(1).collect(),
            false => word,
        };
        let from = at.saturating_sub(EXCERPT_CHARS_MAX / 2);
        let shown: String = chars[from..].iter().take(EXCERPT_CHARS_MAX).collect();
        let excerpt = format!("{shown}\n{}^", " ".repeat(at - from));
        Some(Self {
            line,
            column,
            near,
            excerpt,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A limit that a result ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Too many rows.
    Rows(usize),
    /// Too many bytes.
    Bytes(usize),
}

impl Limit {
    /// Returns the limit's name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows(_) => "rows",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(max) => write!(f, "{max} rows"),
            Self::Bytes(max) => write!(f, "{max} bytes"),
        }
    }
}

/// Why a query gave no result, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The text is not a query that can be run: the author's mistake.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where, as far as it is known.
        place: Option<Place>,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// The statement does more than read.
    #[error("{what} is not allowed: only SELECT, EXPLAIN, SHOW TABLES and DESCRIBE are")]
    Refused {
        /// The kind of statement.
        what: String,
    },
    /// The query is longer or deeper than allowed.
    #[error("the query has more than {max} {what}")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
    /// So many queries run that no other is taken in; try again later.
    #[error("too many queries are running")]
    Busy,
    /// The query took too long and was ended.
    #[error("the query was ended after {seconds} s")]
    TimedOut {
        /// The time it had.
        seconds: u64,
    },
    /// The query needs more memory than it may use.
    #[error("the query needs more than {bytes_max} bytes of memory: select fewer rows or columns")]
    OutOfMemory {
        /// The memory it had.
        bytes_max: usize,
    },
    /// A value in the data does not fit what the query does with it.
    #[error("{message}")]
    Failed {
        /// What does not fit.
        message: String,
    },
    /// A message that a span refers to is not stored (D7).
    #[error(transparent)]
    Missing(#[from] MissingMessage),
    /// The result was cut, and its format has no place to say so.
    #[error("the result was cut at {0}")]
    Cut(Limit),
    /// The files of the view are gone: run the query again.
    #[error("the query took longer than its files are kept")]
    Expired,
    /// Our fault; the cause is for the log.
    #[error("the query failed inside the server")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl SqlError {
    /// Returns what a DataFusion error means to the author of `sql`, who had `memory_bytes`.
    pub(crate) fn new(sql: &str, memory_bytes: usize, error: DataFusionError) -> Self {
        if let Some(ours) = ours(&error) {
            return ours;
        }
        let place = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .and_then(|span| Place::new(sql, span.start.line, span.start.column));
        match error.find_root() {
            DataFusionError::SQL(parser, _) => syntax(sql, parser),
            DataFusionError::SchemaError(schema, _) => names(schema, place),
            DataFusionError::Plan(message) | DataFusionError::Configuration(message) => {
                planning(message, place.or_else(|| place_of_value(sql, message)))
            }
            DataFusionError::NotImplemented(message) => Self::Invalid {
                message: format!("not supported: {message}"),
                place,
                hint: None,
            },
            DataFusionError::ResourcesExhausted(_) => Self::OutOfMemory {
                bytes_max: memory_bytes,
            },
            DataFusionError::Execution(message) => about_data(sql, message.clone()),
            DataFusionError::ArrowError(arrow, _) if is_about_data(arrow) => {
                about_data(sql, arrow.to_string())
            }
            _ => Self::Internal(Box::new(error)),
        }
    }
}

/// Returns whether an error is about the values of the query, and so may be shown.
fn is_about_data(error: &ArrowError) -> bool {
    matches!(
        error,
        ArrowError::CastError(_)
            | ArrowError::ComputeError(_)
            | ArrowError::ParseError(_)
            | ArrowError::InvalidArgumentError(_)
            | ArrowError::ArithmeticOverflow(_)
            | ArrowError::DivideByZero
    )
}

/// Returns the error of a value that does not fit: the author's, if it stands in the query.
fn about_data(sql: &str, message: String) -> SqlError {
    match place_of_value(sql, &message) {
        Some(place) => SqlError::Invalid {
            message,
            place: Some(place),
            hint: None,
        },
        None => SqlError::Failed { message },
    }
}

/// Returns where the value that `message` quotes stands in the query, if it stands there once.
fn place_of_value(sql: &str, message: &str) -> Option<Place> {
    let quoted = message
        .split('\'')
        .nth(1)
        .filter(|value| !value.is_empty())?;
    let literal = format!("'{quoted}'");
    let (at, more) = {
        let mut found = sql.match_indices(&literal).map(|(at, _)| at);
        (found.next()?, found.next())
    };
    if more.is_some() {
        return None;
    }
    let before = &sql[..at];
    let line = before.matches('\n').count() as u64 + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count() as u64
        + 1;
    Place::new(sql, line, column)
}

/// Returns the place where the text of a query ends.
fn end_of(sql: &str) -> Option<Place> {
    let text = sql.trim_end();
    let line = text.lines().count() as u64;
    let column = text.lines().next_back()?.chars().count() as u64 + 1;
    Place::new(text, line, column)
}

/// Returns the error of our own that lies below, if there is one.
fn ours(error: &DataFusionError) -> Option<SqlError> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(missing) = error.downcast_ref::<MissingMessage>() {
            return Some(SqlError::Missing(missing.clone()));
        }
        if let Some(FileError::Gone { .. }) = error.downcast_ref() {
            return Some(SqlError::Expired);
        }
        cause = error.source();
    }
    None
}

/// The parser says where in its text: `… at Line: 1, Column: 8`.
fn syntax(sql: &str, error: &ParserError) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return SqlError::TooLarge {
                what: "levels of nesting",
                max: 50,
            };
        }
    };
    let (text, place) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => (text, place),
        None => (message.as_str(), ""),
    };
    let mut numbers = place.split(", Column: ").map(|n| n.trim().parse::<u64>());
    let place = match (numbers.next(), numbers.next()) {
        (Some(Ok(line)), Some(Ok(column))) => Place::new(sql, line, column),
        _ => text.contains("EOF").then(|| end_of(sql)).flatten(),
    };
    SqlError::Invalid {
        message: text.replace("EOF", "the end of the query"),
        place,
        hint: None,
    }
}

fn names(error: &SchemaError, place: Option<Place>) -> SqlError {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => SqlError::Invalid {
            message: format!("there is no column {}", quoted(field)),
            place,
            hint: nearest(&field.name, valid_fields),
        },
        SchemaError::AmbiguousReference { field } => SqlError::Invalid {
            message: format!("column {} is in more than one table", quoted(field)),
            place,
            hint: Some("write the table before it".to_owned()),
        },
        other => SqlError::Invalid {
            message: other.to_string(),
            place,
            hint: None,
        },
    }
}

fn quoted(column: &Column) -> String {
    format!("\"{}\"", column.flat_name().replace('"', ""))
}

/// Returns the columns that are written most like `name`.
fn nearest(name: &str, valid: &[Column]) -> Option<String> {
    let wanted = name.to_lowercase();
    let distance = |column: &Column| levenshtein(&wanted, &column.name.to_lowercase());
    let best = valid.iter().min_by_key(|column| distance(column))?;
    match distance(best) <= 1 + wanted.chars().count() / 3 {
        true => Some(format!("did you mean {}?", quoted(best))),
        false => {
            let mut names: Vec<&str> = valid.iter().map(|column| column.name.as_str()).collect();
            names.truncate(100);
            Some(format!("columns: {}", names.join(", ")))
        }
    }
}

fn planning(message: &str, place: Option<Place>) -> SqlError {
    // The catalog and schema in front of a table's name are ours and say nothing.
    let message = message.replace("tracegrade.public.", "");
    let message = without_guess(&message);
    let is_table = message.starts_with("table '") && message.ends_with("not found");
    let hint = is_table.then(|| "tables: messages, spans, traces".to_owned());
    SqlError::Invalid {
        message,
        place,
        hint,
    }
}

/// Takes a name that was guessed out of a message, unless it is written much like the one that was
/// meant: `Invalid function 'now2'.\nDid you mean 'now'?`
fn without_guess(message: &str) -> String {
    let Some((error, guess)) = message.split_once("\nDid you mean ") else {
        return message.to_owned();
    };
    let name = |text: &str| text.split('\'').nth(1).unwrap_or_default().to_lowercase();
    let (meant, guessed) = (name(error), name(guess));
    match levenshtein(&meant, &guessed) <= 1 + meant.chars().count() / 3 {
        true => message.to_owned(),
        false => error.to_owned(),
    }
}
