//! What is a column? Its name, its type, how it is written, and how a row gives and takes its value:
//! said once, in one line of a table's list, so that schema, encoder and decoder cannot disagree.
//!
//! A value travels through plain function pointers. That is one indirect call a value, which the
//! copy into the Arrow buffer outweighs; in return both directions are written once for all tables.

use std::cmp::Ordering;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use model::{MessageHash, ProjectId, SpanId, Time, TraceId};

use super::schema::Table;

/// What a setter answers: a value that is not of its column is refused with the reason.
pub(super) type Taken = Result<(), Box<dyn Error + Send + Sync>>;

/// A row of one of the lake's tables.
pub trait LakeRow: Clone + fmt::Debug + Send + Sync + 'static {
    /// The table it is a row of.
    const TABLE: Table;

    /// The row while its columns are filled in.
    type Draft;

    /// Returns the columns of the table, in the order of the schema.
    fn columns() -> &'static [Column<Self>];

    /// Returns a row of which only the identity is known. `part_id` is given where the table has a
    /// [`Table::part_column`].
    fn draft(project: ProjectId, trace_id: TraceId, part_id: Option<SpanId>) -> Self::Draft;

    /// Returns the finished row.
    fn finish(draft: Self::Draft) -> Self;

    /// Returns about how many bytes the row's payload has: what makes one row larger than another.
    fn payload_bytes(&self) -> usize;

    /// Returns the order of two rows in the table's files.
    fn file_order(&self, other: &Self) -> Ordering;
}

/// The Arrow type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// A signed 64-bit integer.
    Int,
    /// A double.
    Float,
    /// True or false.
    Bool,
    /// Microseconds since the epoch, UTC.
    Time,
    /// Days since the epoch.
    Date,
    /// The hash of a message: 16 bytes.
    Hash,
    /// A list of hashes.
    Hashes,
    /// A list of texts.
    Texts,
}

impl Kind {
    /// Returns the Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::Hash => DataType::FixedSizeBinary(16),
            Self::Hashes => DataType::List(item_field(DataType::FixedSizeBinary(16))),
            Self::Texts => DataType::List(item_field(DataType::Utf8)),
        }
    }
}

/// Returns the field of a list's elements.
pub(super) fn item_field(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, true))
}

/// How a column is written. The choice is between the size of the index and what it can skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Values that repeat and are looked up: dictionary, statistics for every page.
    Key,
    /// Integers and times that files are sorted or pruned by: delta encoded, statistics for every page.
    Order,
    /// Values from a small set: dictionary, statistics for every row group.
    Word,
    /// Numbers that hardly repeat: plain, statistics for every row group.
    Measure,
    /// Short texts that hardly repeat: plain, no statistics.
    Phrase,
    /// What is read for one trace at a time: plain, large pages, no statistics.
    Payload,
}

/// What is said of a column without naming the row type.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The name: public API.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// Whether every row has a value. Columns that are added later never are: older files lack them.
    pub required: bool,
    /// How it is written.
    pub layout: Layout,
}

/// How a row of type `R` gives a column's value and takes it back. A derived column takes nothing.
pub enum Access<R: LakeRow> {
    /// Text.
    Text(
        for<'a> fn(&'a R) -> Option<&'a str>,
        fn(&mut R::Draft, &str) -> Taken,
    ),
    /// Text that a row does not hold as such.
    Written(fn(&R) -> Option<String>, fn(&mut R::Draft, &str) -> Taken),
    /// Integer.
    Int(fn(&R) -> Option<i64>, fn(&mut R::Draft, i64) -> Taken),
    /// Double.
    Float(fn(&R) -> Option<f64>, fn(&mut R::Draft, f64)),
    /// Boolean.
    Bool(fn(&R) -> Option<bool>, fn(&mut R::Draft, bool)),
    /// Time.
    Time(fn(&R) -> Option<Time>, fn(&mut R::Draft, Time)),
    /// Day, always derived.
    Date(fn(&R) -> Option<i32>),
    /// Hash.
    Hash(fn(&R) -> MessageHash, fn(&mut R::Draft, MessageHash)),
    /// Hashes.
    Hashes(
        for<'a> fn(&'a R) -> &'a [MessageHash],
        fn(&mut R::Draft, Vec<MessageHash>),
    ),
    /// Texts.
    Texts(
        for<'a> fn(&'a R) -> Option<&'a [String]>,
        fn(&mut R::Draft, Vec<String>),
    ),
    /// Ids of spans, as a list of texts.
    Ids(
        for<'a> fn(&'a R) -> &'a [SpanId],
        fn(&mut R::Draft, Vec<SpanId>),
    ),
}

impl<R: LakeRow> fmt::Debug for Access<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}

/// One column of a table whose rows are `R`.
#[derive(Debug)]
pub struct Column<R: LakeRow> {
    /// Name, type and layout.
    pub spec: Spec,
    /// How a row gives and takes the value.
    pub access: Access<R>,
}

impl<R: LakeRow> Column<R> {
    const fn new(name: &'static str, kind: Kind, layout: Layout, access: Access<R>) -> Self {
        Self {
            spec: Spec {
                name,
                kind,
                required: false,
                layout,
            },
            access,
        }
    }

    pub(super) const fn text(
        name: &'static str,
        layout: Layout,
        get: for<'a> fn(&'a R) -> Option<&'a str>,
        set: fn(&mut R::Draft, &str) -> Taken,
    ) -> Self {
        Self::new(name, Kind::Text, layout, Access::Text(get, set))
    }

    pub(super) const fn written(
        name: &'static str,
        get: fn(&R) -> Option<String>,
        set: fn(&mut R::Draft, &str) -> Taken,
    ) -> Self {
        Self::new(name, Kind::Text, Layout::Phrase, Access::Written(get, set))
    }

    pub(super) const fn int(
        name: &'static str,
        layout: Layout,
        get: fn(&R) -> Option<i64>,
        set: fn(&mut R::Draft, i64) -> Taken,
    ) -> Self {
        Self::new(name, Kind::Int, layout, Access::Int(get, set))
    }

    pub(super) const fn float(
        name: &'static str,
        get: fn(&R) -> Option<f64>,
        set: fn(&mut R::Draft, f64),
    ) -> Self {
        Self::new(name, Kind::Float, Layout::Measure, Access::Float(get, set))
    }

    pub(super) const fn bool(
        name: &'static str,
        get: fn(&R) -> Option<bool>,
        set: fn(&mut R::Draft, bool),
    ) -> Self {
        Self::new(name, Kind::Bool, Layout::Measure, Access::Bool(get, set))
    }

    pub(super) const fn time(
        name: &'static str,
        get: fn(&R) -> Option<Time>,
        set: fn(&mut R::Draft, Time),
    ) -> Self {
        Self::new(name, Kind::Time, Layout::Order, Access::Time(get, set))
    }

    pub(super) const fn date(name: &'static str, get: fn(&R) -> Option<i32>) -> Self {
        Self::new(name, Kind::Date, Layout::Word, Access::Date(get))
    }

    pub(super) const fn hash(
        name: &'static str,
        get: fn(&R) -> MessageHash,
        set: fn(&mut R::Draft, MessageHash),
    ) -> Self {
        Self::new(name, Kind::Hash, Layout::Phrase, Access::Hash(get, set))
    }

    pub(super) const fn hashes(
        name: &'static str,
        get: for<'a> fn(&'a R) -> &'a [MessageHash],
        set: fn(&mut R::Draft, Vec<MessageHash>),
    ) -> Self {
        Self::new(
            name,
            Kind::Hashes,
            Layout::Payload,
            Access::Hashes(get, set),
        )
    }

    pub(super) const fn texts(
        name: &'static str,
        get: for<'a> fn(&'a R) -> Option<&'a [String]>,
        set: fn(&mut R::Draft, Vec<String>),
    ) -> Self {
        Self::new(name, Kind::Texts, Layout::Word, Access::Texts(get, set))
    }

    pub(super) const fn ids(
        name: &'static str,
        get: for<'a> fn(&'a R) -> &'a [SpanId],
        set: fn(&mut R::Draft, Vec<SpanId>),
    ) -> Self {
        required(Self::new(
            name,
            Kind::Texts,
            Layout::Word,
            Access::Ids(get, set),
        ))
    }
}

/// Returns the column as one that every row has a value for.
pub(super) const fn required<R: LakeRow>(mut column: Column<R>) -> Column<R> {
    column.spec.required = true;
    column
}

/// The setter of an integer that follows from other columns.
pub(super) fn derived<D>(_: &mut D, _: i64) -> Taken {
    Ok(())
}

// The shapes that most columns have. Each takes the column's name and the path of the field, which
// is the same in a row and in its draft.

/// A text that the draft was made with.
macro_rules! given {
    ($name:literal, $layout:ident, $($field:ident).+) => {
        required(Column::text($name, Layout::$layout, |r| Some(r.$($field).+.as_str()), |_, _| Ok(())))
    };
}
/// An optional text.
macro_rules! maybe_text {
    ($name:literal, $layout:ident, $($field:ident).+) => {
        Column::text($name, Layout::$layout, |r| r.$($field).+.as_deref(), |d, v| {
            d.$($field).+ = Some(v.to_owned());
            Ok(())
        })
    };
}
/// An optional id.
macro_rules! maybe_id {
    ($name:literal, $layout:ident, $($field:ident).+) => {
        Column::text($name, Layout::$layout, |r| r.$($field).+.as_ref().map(|id| id.as_str()), |d, v| {
            d.$($field).+ = Some(v.parse()?);
            Ok(())
        })
    };
}
/// A word of a closed set.
macro_rules! word {
    ($name:literal, $($field:ident).+) => {
        required(Column::text($name, Layout::Word, |r| Some(r.$($field).+.as_str()), |d, v| {
            d.$($field).+ = v.parse()?;
            Ok(())
        }))
    };
}
/// An optional JSON text.
macro_rules! maybe_json {
    ($name:literal, $($field:ident).+) => {
        Column::text($name, Layout::Payload, |r| r.$($field).+.as_ref().map(JsonText::as_str), |d, v| {
            d.$($field).+ = Some(JsonText::from_trusted(v));
            Ok(())
        })
    };
}
/// An integer.
macro_rules! count {
    ($name:literal, $layout:ident, $($field:ident).+) => {
        required(Column::int($name, Layout::$layout, |r| Some(r.$($field).+), |d, v| {
            d.$($field).+ = v;
            Ok(())
        }))
    };
}
/// An optional integer.
macro_rules! maybe_count {
    ($name:literal, $($field:ident).+) => {
        Column::int($name, Layout::Measure, |r| r.$($field).+, |d, v| {
            d.$($field).+ = Some(v);
            Ok(())
        })
    };
}
/// An optional amount.
macro_rules! maybe_money {
    ($name:literal, $($field:ident).+) => {
        Column::int($name, Layout::Measure, |r| r.$($field).+.map(|amount| amount.0), |d, v| {
            d.$($field).+ = Some(NanoUsd(v));
            Ok(())
        })
    };
}
/// A double.
macro_rules! measure {
    ($name:literal, $($field:ident).+) => {
        required(Column::float($name, |r| Some(r.$($field).+), |d, v| d.$($field).+ = v))
    };
}
/// A boolean.
macro_rules! flag {
    ($name:literal, $($field:ident).+) => {
        required(Column::bool($name, |r| Some(r.$($field).+), |d, v| d.$($field).+ = v))
    };
}
/// An optional boolean.
macro_rules! maybe_flag {
    ($name:literal, $($field:ident).+) => {
        Column::bool($name, |r| r.$($field).+, |d, v| d.$($field).+ = Some(v))
    };
}
/// A time.
macro_rules! moment {
    ($name:literal, $($field:ident).+) => {
        required(Column::time($name, |r| Some(r.$($field).+), |d, v| d.$($field).+ = v))
    };
}
/// An optional time.
macro_rules! maybe_moment {
    ($name:literal, $($field:ident).+) => {
        Column::time($name, |r| r.$($field).+, |d, v| d.$($field).+ = Some(v))
    };
}
/// A list of texts.
macro_rules! list {
    ($name:literal, $($field:ident).+) => {
        required(Column::texts($name, |r| Some(&r.$($field).+), |d, v| d.$($field).+ = v))
    };
}
pub(super) use {
    count, flag, given, list, maybe_count, maybe_flag, maybe_id, maybe_json, maybe_moment,
    maybe_money, maybe_text, measure, moment, word,
};

/// Returns the order of two optional times where a missing one comes last either way.
pub(super) fn missing_last(
    a: Option<Time>,
    b: Option<Time>,
    order: fn(&Time, &Time) -> Ordering,
) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => order(&a, &b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}
