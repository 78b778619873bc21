//! What are the tables, their columns and their order?
//!
//! Table and column names are public API, the same in SQL and JSON. Columns are only ever added, at
//! the end and nullable: a reader finds them by name and takes a missing one as null. Each table has
//! one order for all its files, which is what merging, pruning and the query engine rely on.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};
use model::UnknownWord;
use serde::{Deserialize, Serialize};

use super::columns::{LakeRow, Layout, Spec};
use super::grades::GradeRow;
use super::messages::MessageRow;
use super::spans::SpanRow;
use super::traces::TraceEntry;

/// The version of the columns and their meaning, written into every file. A file with a newer one
/// is refused untouched.
pub const SCHEMA_VERSION: u32 = 1;

/// A table of the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// One row for a span's current version.
    Spans,
    /// One row for each message of a trace.
    Messages,
    /// One row for a trace's current version.
    Traces,
    /// One row for what a grader said of an item of a run.
    Grades,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 4] = [Self::Spans, Self::Messages, Self::Traces, Self::Grades];

    /// Returns the table's name in SQL and in paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Messages => "messages",
            Self::Traces => "traces",
            Self::Grades => "grades",
        }
    }

    /// Returns the table's columns.
    pub(super) fn specs(self) -> impl Iterator<Item = &'static Spec> {
        static SPECS: LazyLock<[Vec<Spec>; Table::ALL.len()]> = LazyLock::new(|| {
            fn of<R: LakeRow>() -> Vec<Spec> {
                R::columns().iter().map(|column| column.spec).collect()
            }
            [
                of::<SpanRow>(),
                of::<MessageRow>(),
                of::<TraceEntry>(),
                of::<GradeRow>(),
            ]
        });
        SPECS[self as usize].iter()
    }

    /// Returns the names of the columns that are read for one trace at a time.
    pub(super) fn payload_columns(self) -> impl Iterator<Item = &'static str> {
        let payload = self.specs().filter(|spec| spec.layout == Layout::Payload);
        payload.map(|spec| spec.name)
    }

    /// Returns the columns that name a row within the table.
    pub const fn key_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &["project_id", "trace_id", "span_id"],
            Self::Messages => &["project_id", "trace_id", "hash"],
            Self::Traces => &["project_id", "trace_id"],
            Self::Grades => &["project_id", "trace_id", "id"],
        }
    }

    /// Returns the column that tells rows of one trace apart for those who replace one of them; `None`
    /// where nobody does.
    pub const fn part_column(self) -> Option<&'static str> {
        match self {
            Self::Spans => Some("span_id"),
            Self::Grades => Some("id"),
            Self::Messages | Self::Traces => None,
        }
    }

    /// Returns the column with the frozen start that decides a row's home day.
    pub const fn home_column(self) -> &'static str {
        match self {
            Self::Spans | Self::Messages | Self::Grades => "trace_started_at",
            Self::Traces => "home_started_at",
        }
    }

    /// Returns the column that a file's time range is taken from: what lists are ordered by.
    pub const fn time_column(self) -> &'static str {
        match self {
            Self::Spans | Self::Messages | Self::Grades => "trace_started_at",
            Self::Traces => "started_at",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Table {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|table| table.as_str() == word)
            .ok_or_else(|| UnknownWord {
                what: "table",
                word: word.to_owned(),
                known: Self::ALL.map(Self::as_str).join(", "),
            })
    }
}

/// One column of a table's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    /// The column.
    pub column: &'static str,
    /// Whether large values come first. Nulls come last either way.
    pub descending: bool,
}

const fn asc(column: &'static str) -> SortKey {
    SortKey {
        column,
        descending: false,
    }
}

const fn desc(column: &'static str) -> SortKey {
    SortKey {
        column,
        descending: true,
    }
}

const SPANS_ORDER: &[SortKey] = &[
    asc("project_id"),
    desc("trace_started_at"),
    asc("trace_id"),
    asc("started_at"),
    asc("seq"),
];
const MESSAGES_ORDER: &[SortKey] = &[asc("project_id"), asc("trace_id"), asc("ordinal")];
const TRACES_ORDER: &[SortKey] = &[asc("project_id"), desc("started_at"), asc("trace_id")];
const GRADES_ORDER: &[SortKey] = &[
    asc("project_id"),
    asc("run_id"),
    asc("grader_id"),
    asc("trace_id"),
    asc("id"),
    asc("seq"),
];

/// Returns the order of the rows in every file of `table`. Nulls come last.
pub const fn sort_keys(table: Table) -> &'static [SortKey] {
    match table {
        Table::Spans => SPANS_ORDER,
        Table::Messages => MESSAGES_ORDER,
        Table::Traces => TRACES_ORDER,
        Table::Grades => GRADES_ORDER,
    }
}

/// Returns the Arrow schema of `table`.
pub fn schema(table: Table) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; Table::ALL.len()]> = LazyLock::new(|| {
        Table::ALL.map(|table| {
            let field = |spec: &Spec| Field::new(spec.name, spec.kind.data_type(), !spec.required);
            Arc::new(Schema::new(table.specs().map(field).collect::<Vec<_>>()))
        })
    });
    Arc::clone(&SCHEMAS[table as usize])
}

/// A column that its table does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table {table} has no column {column:?}")]
pub struct UnknownColumn {
    /// The table.
    pub table: Table,
    /// The name or the number that was asked for.
    pub column: String,
}

/// A choice of a table's columns, in the order they are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    table: Table,
    indices: Arc<[usize]>,
    schema: SchemaRef,
}

impl Columns {
    /// Returns every column.
    pub fn all(table: Table) -> Self {
        Self {
            table,
            indices: (0..table.specs().count()).collect(),
            schema: schema(table),
        }
    }

    /// Returns every column that lists and filters read: all but the payload.
    pub fn narrow(table: Table) -> Self {
        Self::narrow_and(table, &[])
    }

    /// Returns the same and some columns of the payload.
    pub(crate) fn narrow_and(table: Table, payload: &[&str]) -> Self {
        let is_narrow = |(i, spec): (usize, &Spec)| {
            (spec.layout != Layout::Payload || payload.contains(&spec.name)).then_some(i)
        };
        Self::of(
            table,
            table.specs().enumerate().filter_map(is_narrow).collect(),
        )
    }

    /// Returns the columns that tell who a row is: what [`super::RowKeys`] needs.
    pub fn keys(table: Table) -> Self {
        let whole = schema(table);
        let names = ["project_id", "trace_id"]
            .into_iter()
            .chain(table.part_column());
        let names = names.chain(["seq"]);
        let indices = names.filter_map(|name| whole.index_of(name).ok());
        Self::of(table, indices.collect())
    }

    /// Returns the named columns.
    pub fn named(table: Table, names: &[&str]) -> Result<Self, UnknownColumn> {
        let whole = schema(table);
        let find = |name: &&str| {
            whole.index_of(name).map_err(|_| UnknownColumn {
                table,
                column: (*name).to_owned(),
            })
        };
        Ok(Self::of(
            table,
            names.iter().map(find).collect::<Result<_, _>>()?,
        ))
    }

    /// Returns the columns at these places of [`schema`].
    pub fn at(table: Table, indices: &[usize]) -> Result<Self, UnknownColumn> {
        let count = table.specs().count();
        match indices.iter().find(|&&index| index >= count) {
            Some(index) => Err(UnknownColumn {
                table,
                column: index.to_string(),
            }),
            None => Ok(Self::of(table, indices.to_vec())),
        }
    }

    /// Returns this choice with the table's key columns added where they are missing.
    pub fn with_keys(&self) -> Self {
        self.with(self.table.key_columns())
    }

    /// Returns this choice with the columns added that a merge goes by.
    pub fn with_order(&self) -> Self {
        let sorted_by: Vec<&str> = sort_keys(self.table).iter().map(|key| key.column).collect();
        let others = ["seq", self.table.home_column(), self.table.time_column()];
        self.with_keys().with(&sorted_by).with(&others)
    }

    fn with(&self, names: &[&str]) -> Self {
        let mut indices = self.indices.to_vec();
        for (index, field) in schema(self.table).fields().iter().enumerate() {
            if names.contains(&field.name().as_str()) && !indices.contains(&index) {
                indices.push(index);
            }
        }
        Self::of(self.table, indices)
    }

    fn of(table: Table, indices: Vec<usize>) -> Self {
        let fields: Vec<_> = indices
            .iter()
            .map(|&index| Arc::clone(&schema(table).fields()[index]))
            .collect();
        Self {
            table,
            indices: indices.into(),
            schema: Arc::new(Schema::new(fields)),
        }
    }

    /// Returns the table.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Returns the places of the columns in [`schema`].
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// Returns the schema of the choice.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_name_columns_and_keys_are_required() {
        for table in Table::ALL {
            let whole = schema(table);
            sort_keys(table)
                .iter()
                .for_each(|key| assert!(whole.index_of(key.column).is_ok()));
            for key in table.key_columns() {
                assert!(
                    !whole.field_with_name(key).unwrap().is_nullable(),
                    "{table}.{key}"
                );
            }
            for name in [table.home_column(), table.time_column(), "seq"] {
                assert!(whole.index_of(name).is_ok(), "{table}.{name}");
            }
            assert_eq!(table.as_str().parse::<Table>().unwrap(), table);
        }
    }

    #[test]
    fn the_published_column_names_are_these() {
        let names = |table| {
            let whole = schema(table);
            whole
                .fields()
                .iter()
                .map(|f| f.name().clone())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            names(Table::Spans),
            "project_id trace_id span_id parent_id type source_type name agent started_at ended_at \
             duration_ms status error_type error_message model provider input_tokens cached_tokens \
             output_tokens reasoning_tokens cost_nano_usd cost_assumed finish_reason ttft_ms \
             tool_call_id handoff_from handoff_to triggered guardrail_type input_preview \
             output_preview noise derived merged_into input_refs output_refs data attributes \
             resource scope events links error_data extra dropped_attributes dropped_events \
             dropped_links source trace_started_at received_at seq"
        );
        assert_eq!(
            names(Table::Messages),
            "project_id trace_id hash role content bytes ordinal trace_started_at seq"
        );
        assert_eq!(
            names(Table::Traces),
            "project_id trace_id workflow_name group_id user_id agent_id version environment tags \
             metadata extra ended_told told_at status rooted error_type error_message error_span_id \
             started_at ended_at duration_ms llm_ms tool_ms overhead_ms span_count \
             generation_count tool_call_count tool_errors handoff_count guardrail_trips open_spans \
             lost_spans input_tokens cached_tokens output_tokens reasoning_tokens tokens_source \
             cost_nano_usd cost_complete cost_assumed models agents tool_sequence \
             handoff_sequence lists_cut input_preview output_preview content source \
             first_received_at last_received_at home_started_at home_day first_seq seq"
        );
        assert_eq!(
            names(Table::Grades),
            "project_id id run_id item_id attempt grader_id grader_name grader_version grader_hash \
             trace_id has_trace span_id group_id stratum weight outcome score label \
             unscored_reason reasoning citations confidence vacuous judge_model judge_params \
             judge_prompt_hash judge_input_tokens judge_cached_tokens judge_output_tokens \
             judge_cost_nano_usd judge_latency_ms judge_cached created_at trace_started_at seq"
        );
    }

    #[test]
    fn columns_are_chosen_by_name_or_place_and_wrong_ones_are_named() {
        let two = Columns::named(Table::Messages, &["content", "role"]).unwrap();
        assert_eq!(two.indices(), [4, 3]);
        assert_eq!(two, Columns::at(Table::Messages, &[4, 3]).unwrap());
        assert_eq!(two.with_keys().indices(), [4, 3, 0, 1, 2]);
        assert!(
            Columns::narrow(Table::Messages)
                .schema()
                .index_of("content")
                .is_err()
        );
        let wrong = Columns::named(Table::Traces, &["kontent"]).unwrap_err();
        assert_eq!(wrong.to_string(), "table traces has no column \"kontent\"");
        assert!(Columns::at(Table::Traces, &[1_000]).is_err());
    }
}
