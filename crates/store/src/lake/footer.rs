//! What a file says of itself: enough to rebuild the catalog from the files alone.
//!
//! Everything is one JSON text under one key of the Parquet metadata; the trace filter lies in front
//! of it in the file, where other Parquet readers skip it. File names repeat a part of this so that a
//! directory can be understood without opening anything.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use model::{ProjectId, Time};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::schema::{SCHEMA_VERSION, Table};

/// The key of the Parquet metadata.
pub(super) const METADATA_KEY: &str = "tracegrade.file";

/// How far a file's rows have come on their way from the flush to their home day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As flushed: any time, compressed fast.
    L0,
    /// Merged into home hours; grades into home days, in files that are small yet.
    Hour,
    /// Merged into home days.
    Day,
}

impl Level {
    /// Every level, in the order in which rows pass them.
    pub const ALL: [Self; 3] = [Self::L0, Self::Hour, Self::Day];

    /// Returns the word used in paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L0 => "l0",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Returns the partition at this level of traces with the home start `home`.
    pub const fn partition(self, home: Time) -> Partition {
        match self {
            Self::L0 => Partition::Mixed,
            Self::Hour => Partition::Hour(home.hour()),
            Self::Day => Partition::Day(home.day()),
        }
    }
}

/// Which home times a file holds. In names: `mixed`, `h490896`, `d20454`, `skewed`; a number before
/// 1970 has `m` for its minus, because `-` separates the parts of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Partition {
    /// Any.
    Mixed,
    /// One hour, in hours since 1970.
    Hour(i32),
    /// One day, in days since 1970.
    Day(i32),
    /// Traces whose start is missing or too far ahead to be believed.
    Skewed,
}

impl Partition {
    /// Returns the one day that all rows are at home in, counted from 1970-01-01.
    pub const fn day(self) -> Option<i32> {
        match self {
            Self::Hour(hour) => Some(hour.div_euclid(24)),
            Self::Day(day) => Some(day),
            Self::Mixed | Self::Skewed => None,
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = |letter: char, n: i32| {
            let sign = if n < 0 { "m" } else { "" };
            write!(f, "{letter}{sign}{}", n.unsigned_abs())
        };
        match *self {
            Self::Hour(hour) => number('h', hour),
            Self::Day(day) => number('d', day),
            Self::Mixed => f.write_str("mixed"),
            Self::Skewed => f.write_str("skewed"),
        }
    }
}

/// A text that is not the name of a partition or of a file of the lake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name of the lake's")]
pub struct BadName(pub String);

impl FromStr for Partition {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let number = |digits: &str| -> Option<i32> {
            let value: i64 = digits.strip_prefix('m').unwrap_or(digits).parse().ok()?;
            i32::try_from(if digits.starts_with('m') {
                -value
            } else {
                value
            })
            .ok()
        };
        let parsed = match text {
            "mixed" => Some(Self::Mixed),
            "skewed" => Some(Self::Skewed),
            _ => match text.split_at_checked(1) {
                Some(("h", digits)) => number(digits).map(Self::Hour),
                Some(("d", digits)) => number(digits).map(Self::Day),
                _ => None,
            },
        };
        // One name for one thing: `d+1`, `d01` and `dm0` are refused.
        parsed
            .filter(|p| p.to_string() == text)
            .ok_or_else(|| BadName(text.to_owned()))
    }
}

impl TryFrom<String> for Partition {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Partition> for String {
    fn from(partition: Partition) -> Self {
        partition.to_string()
    }
}

/// The path of a file below `lake/`:
/// `{table}/{level}/{node}-{lo:016x}-{hi:016x}-{partition}-{part}-{uuid}.parquet`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName {
    /// The table.
    pub table: Table,
    /// The level.
    pub level: Level,
    /// The node that wrote it: letters, digits and `_`.
    pub node: String,
    /// The first sequence number of the log range it was made from.
    pub lo: i64,
    /// The last one.
    pub hi: i64,
    /// The partition.
    pub partition: Partition,
    /// Its number among the files of one commit.
    pub part: u32,
    /// Makes the name unique, whatever was written before.
    pub uuid: Uuid,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            level,
            node,
            lo,
            hi,
            partition,
            part,
            uuid,
        } = self;
        let (level, uuid) = (level.as_str(), uuid.simple());
        write!(
            f,
            "{table}/{level}/{node}-{lo:016x}-{hi:016x}-{partition}-{part}-{uuid}.parquet"
        )
    }
}

impl FromStr for FileName {
    type Err = BadName;
    fn from_str(path: &str) -> Result<Self, BadName> {
        parse_name(path)
            .filter(|name| name.to_string() == path)
            .ok_or_else(|| BadName(path.to_owned()))
    }
}

fn parse_name(path: &str) -> Option<FileName> {
    let mut folders = path.splitn(3, '/');
    let (table, level, name) = (folders.next()?, folders.next()?, folders.next()?);
    let mut parts = name.strip_suffix(".parquet")?.split('-');
    let name = FileName {
        table: table.parse().ok()?,
        level: Level::ALL
            .into_iter()
            .find(|known| known.as_str() == level)?,
        node: parts.next()?.to_owned(),
        lo: i64::from_str_radix(parts.next()?, 16).ok()?,
        hi: i64::from_str_radix(parts.next()?, 16).ok()?,
        partition: parts.next()?.parse().ok()?,
        part: parts.next()?.parse().ok()?,
        uuid: Uuid::try_parse(parts.next()?).ok()?,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (parts.next().is_none() && !name.node.is_empty() && name.node.chars().all(is_plain))
        .then_some(name)
}

/// What a file says of where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// The version of the columns; first, because it decides whether the rest can be understood.
    pub schema_version: u32,
    /// The store it belongs to.
    pub store_id: String,
    /// The table.
    pub table: Table,
    /// The level.
    pub level: Level,
    /// The node that wrote it.
    pub node: String,
    /// The first sequence number of the log range it was made from.
    pub lo: i64,
    /// The last one.
    pub hi: i64,
    /// The partition.
    pub partition: Partition,
    /// Its number among the files of one commit, from 0.
    pub part: u32,
    /// How many files the commit has; set when the file is finished.
    pub parts: u32,
    /// The paths of the files whose place it takes.
    pub inputs: Vec<String>,
    /// The catalog version whose hides were applied when its inputs were read.
    pub hides_applied_v: i64,
    /// When it was written.
    #[serde(with = "micros")]
    pub created_at: Time,
}

impl Footer {
    /// Returns the name of the file under which `uuid` makes it unique.
    pub fn file_name(&self, uuid: Uuid) -> FileName {
        FileName {
            table: self.table,
            level: self.level,
            node: self.node.clone(),
            lo: self.lo,
            hi: self.hi,
            partition: self.partition,
            part: self.part,
            uuid,
        }
    }
}

/// The rows of one project in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectSummary {
    /// The project.
    pub project: ProjectId,
    /// How many rows.
    pub rows: u64,
    /// The earliest time of the table's time column, if any row has one.
    pub min_time: Option<Time>,
    /// The latest one.
    pub max_time: Option<Time>,
    /// The row groups, which hold no other project's rows.
    pub row_groups: Vec<u32>,
}

/// What the catalog keeps of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSummary {
    /// Where it comes from.
    pub footer: Footer,
    /// How many rows.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// The earliest time of the table's time column, if any row has one.
    pub min_time: Option<Time>,
    /// The latest one.
    pub max_time: Option<Time>,
    /// The lowest sequence number of a row.
    pub min_seq: i64,
    /// The highest one.
    pub max_seq: i64,
    /// Its projects, in order.
    pub projects: Vec<ProjectSummary>,
    /// The bytes of its [`super::TraceSet`].
    pub trace_filter: Vec<u8>,
    /// The BLAKE3 hash of the whole file.
    pub checksum: [u8; 32],
}

/// The JSON text under [`METADATA_KEY`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileInfo {
    #[serde(flatten)]
    pub(super) footer: Footer,
    pub(super) rows: u64,
    pub(super) min_seq: i64,
    pub(super) max_seq: i64,
    projects: Vec<ProjectInfo>,
    /// Where the trace filter lies in the file.
    pub(super) filter_at: u64,
    pub(super) filter_bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProjectInfo {
    project: String,
    rows: u64,
    min_time: Option<i64>,
    max_time: Option<i64>,
    row_groups: Vec<u32>,
}

/// The counts of a file that a writer has kept.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) min_seq: i64,
    pub(super) max_seq: i64,
    pub(super) projects: Vec<ProjectSummary>,
}

impl FileInfo {
    pub(super) fn new(footer: Footer, counts: &Counts, filter: Range<u64>) -> Self {
        let project = |project: &ProjectSummary| ProjectInfo {
            project: project.project.to_string(),
            rows: project.rows,
            min_time: project.min_time.map(Time::as_micros),
            max_time: project.max_time.map(Time::as_micros),
            row_groups: project.row_groups.clone(),
        };
        let projects = counts.projects.iter().map(project).collect();
        let Counts {
            rows,
            min_seq,
            max_seq,
            ..
        } = *counts;
        let (filter_at, filter_bytes) = (filter.start, filter.end - filter.start);
        Self {
            footer,
            rows,
            min_seq,
            max_seq,
            projects,
            filter_at,
            filter_bytes,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and lists always become JSON")
    }

    /// Returns what a file says of itself, or why that cannot be used.
    pub(super) fn from_json(text: &str) -> Result<(Self, Vec<ProjectSummary>), BadInfo> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let Version { schema_version } = serde_json::from_str(text).map_err(BadInfo::Json)?;
        if schema_version > SCHEMA_VERSION {
            return Err(BadInfo::Newer {
                found: schema_version,
            });
        }
        let info: Self = serde_json::from_str(text).map_err(BadInfo::Json)?;
        let projects = info.projects.iter().map(|p| {
            let project = ProjectId::new(&p.project).map_err(BadInfo::Project)?;
            Ok(ProjectSummary {
                project,
                rows: p.rows,
                min_time: p.min_time.map(Time::from_micros),
                max_time: p.max_time.map(Time::from_micros),
                row_groups: p.row_groups.clone(),
            })
        });
        let projects = projects.collect::<Result<Vec<_>, _>>()?;
        Ok((info, projects))
    }
}

/// Why the JSON text in a file's metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadInfo {
    /// A newer version wrote the file.
    #[error("it has schema version {found}, this version reads up to {SCHEMA_VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// The file has no such text: another program wrote it.
    #[error("it has no entry {METADATA_KEY}")]
    Absent,
    /// The text is not what we write.
    #[error("its entry {METADATA_KEY} is damaged")]
    Json(#[source] serde_json::Error),
    /// A project in it has no possible name.
    #[error("its entry {METADATA_KEY} names an impossible project")]
    Project(#[source] model::IdError),
    /// The text and the Parquet metadata disagree.
    #[error("its entry {METADATA_KEY} does not match the file: {0}")]
    Mismatch(&'static str),
}

mod micros {
    use model::Time;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Time, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(time.as_micros())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        i64::deserialize(d).map(Time::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_refused() {
        let footer = super::super::samples::footer(Table::Spans, Level::Hour);
        for (partition, text) in [
            (Partition::Mixed, "mixed"),
            (Partition::Hour(490_896), "h490896"),
            (Partition::Day(-1), "dm1"),
            (Partition::Day(i32::MIN), "dm2147483648"),
            (Partition::Skewed, "skewed"),
        ] {
            assert_eq!(partition.to_string(), text);
            let name = Footer {
                partition,
                ..footer.clone()
            }
            .file_name(Uuid::from_u128(7));
            let path = name.to_string();
            assert_eq!(path.parse::<FileName>().unwrap(), name);
            assert_eq!(
                path,
                format!(
                    "spans/hour/n1-0000000000000001-00000000000000ff-{text}-0-{:032x}.parquet",
                    7
                )
            );
        }
        for bad in [
            "",
            "spans/hour/x.parquet",
            "spans/l9/n1-0000000000000001-00000000000000ff-mixed-0-00000000000000000000000000000007.parquet",
            "spans/l0/n1-1-00000000000000ff-mixed-0-00000000000000000000000000000007.parquet",
            "spans/l0/../-0000000000000001-00000000000000ff-mixed-0-00000000000000000000000000000007.parquet",
            "spans/l0/n1-0000000000000001-00000000000000ff-d01-0-00000000000000000000000000000007.parquet",
            "spans/l0/n1-0000000000000001-00000000000000ff-mixed-0-00000000000000000000000000000007.tmp",
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_newer_file_is_refused_before_the_rest_is_read() {
        let newer = FileInfo::from_json(r#"{"schema_version":2,"shape":"unknown to us"}"#);
        assert!(matches!(newer, Err(BadInfo::Newer { found: 2 })));
        assert!(matches!(FileInfo::from_json("{}"), Err(BadInfo::Json(_))));
    }
}
