//! The rows of a project, all of them, against each other.
//!
//! Keys are compared by hashes of 64 bits, and a share of the traces at a time, so that memory stays
//! bounded however many spans there are.

use hashbrown::{HashMap, HashSet};
use model::MessageHash;

use super::Check;
use crate::engine::StoreError;
use crate::lake::{Columns, GradeRow, LakeFile, MessageRow, SpanRow, Table, TraceEntry};
use crate::snapshot::{ReadError, Snapshot};

/// About this many spans, or grades, are compared at once.
const ROWS_AT_ONCE: i64 = 2_000_000;

/// What one share of a project's traces has.
#[derive(Default)]
struct Share {
    spans: HashSet<u64>,
    spans_of: HashMap<u64, i64>,
    references: HashMap<u64, String>,
}

/// Checks the visible rows of each project.
pub(super) fn check(snapshots: impl Iterator<Item = Snapshot>) -> Result<Vec<Check>, StoreError> {
    let mut twice = Check::new("rows that are there twice (D2)");
    let mut unresolved = Check::new("message references (D7)");
    let mut counts = Check::new("spans counted by their traces");
    for snapshot in snapshots {
        let rows = |table| snapshot.files(table).iter().map(|file| file.rows).sum();
        let rows: i64 = i64::max(rows(Table::Spans), rows(Table::Grades));
        let shares = (rows / ROWS_AT_ONCE + 1) as u64;
        for share in 0..shares {
            let is_mine = |trace: &str| hash(&[trace]) % shares == share;
            let mut found = Share::default();
            read_spans(&snapshot, is_mine, &mut found, &mut twice, &mut unresolved)?;
            drop_resolved(&snapshot, is_mine, &mut found)?;
            for span in found.references.values() {
                unresolved.fault(|| {
                    format!(
                        "{}/{span} has a message that is not there",
                        snapshot.project()
                    )
                });
            }
            compare_counts(&snapshot, is_mine, &mut found, &mut counts)?;
            read_grades(&snapshot, is_mine, &mut twice)?;
        }
    }
    Ok(vec![twice, unresolved, counts])
}

fn read_spans(
    snapshot: &Snapshot,
    is_mine: impl Fn(&str) -> bool,
    found: &mut Share,
    twice: &mut Check,
    references: &mut Check,
) -> Result<(), StoreError> {
    let columns = columns(Table::Spans, &["input_refs", "output_refs"])?;
    snapshot.each_row(&columns, |row: SpanRow| {
        let (trace, span) = (row.span.trace_id.as_str(), row.span.span_id.as_str());
        if !is_mine(trace) {
            return;
        }
        twice.looked_at += 1;
        if !found.spans.insert(hash(&[trace, span])) {
            twice.fault(|| format!("{}/{trace}/{span}", snapshot.project()));
        }
        *found.spans_of.entry(hash(&[trace])).or_default() += 1;
        let payload = &row.span.payload;
        for reference in payload.input_refs.iter().chain(&payload.output_refs) {
            references.looked_at += 1;
            found
                .references
                .entry(message_key(trace, reference))
                .or_insert_with(|| format!("{trace}/{span}"));
        }
    })?;
    Ok(())
}

fn read_grades(
    snapshot: &Snapshot,
    is_mine: impl Fn(&str) -> bool,
    twice: &mut Check,
) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    snapshot.each_row(&columns(Table::Grades, &[])?, |row: GradeRow| {
        let (trace, id) = (row.trace_id.as_str(), row.id.as_str());
        if !is_mine(trace) {
            return;
        }
        twice.looked_at += 1;
        if !seen.insert(hash(&[trace, id])) {
            twice.fault(|| format!("{}/{trace}/{id}", snapshot.project()));
        }
    })?;
    Ok(())
}

fn drop_resolved(
    snapshot: &Snapshot,
    is_mine: impl Fn(&str) -> bool,
    found: &mut Share,
) -> Result<(), StoreError> {
    let columns = columns(Table::Messages, &["hash"])?;
    snapshot.each_row(&columns, |row: MessageRow| {
        let trace = row.message.trace_id.as_str();
        if is_mine(trace) {
            found
                .references
                .remove(&message_key(trace, &row.message.hash));
        }
    })?;
    Ok(())
}

fn compare_counts(
    snapshot: &Snapshot,
    is_mine: impl Fn(&str) -> bool,
    found: &mut Share,
    counts: &mut Check,
) -> Result<(), StoreError> {
    let columns = columns(Table::Traces, &["span_count"])?;
    let mut seen = HashSet::new();
    snapshot.each_row(&columns, |entry: TraceEntry| {
        let trace = entry.row.item.trace_id.as_str();
        if !is_mine(trace) {
            return;
        }
        counts.looked_at += 1;
        let key = hash(&[trace]);
        let there = found.spans_of.remove(&key).unwrap_or(0);
        if !seen.insert(key) {
            counts.fault(|| format!("{}/{trace} has two rows", snapshot.project()));
        } else if there != entry.row.span_count {
            let said = entry.row.span_count;
            counts.fault(|| {
                format!(
                    "{}/{trace} says {said} spans and has {there}",
                    snapshot.project()
                )
            });
        }
    })?;
    for there in found.spans_of.values() {
        counts.fault(|| {
            format!(
                "{}: a trace with {there} spans has no row",
                snapshot.project()
            )
        });
    }
    Ok(())
}

/// Returns how many rows a file has, by reading their keys.
pub(super) fn count(file: &LakeFile) -> Result<u64, ReadError> {
    let columns = Columns::all(file.footer().table);
    let unreadable = |error| ReadError::of(file.name(), error);
    let mut rows = 0;
    for batch in file.scan(&columns, None).map_err(unreadable)? {
        rows += batch.map_err(unreadable)?.num_rows() as u64;
    }
    Ok(rows)
}

fn columns(table: Table, names: &[&str]) -> Result<Columns, StoreError> {
    let named = Columns::named(table, &[names, &["seq"]].concat()).map_err(ReadError::from)?;
    Ok(named.with_keys())
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let bytes = hasher.finalize();
    u64::from_le_bytes(
        bytes.as_bytes()[..8]
            .try_into()
            .expect("eight bytes are eight bytes"),
    )
}

fn message_key(trace: &str, message: &MessageHash) -> u64 {
    hash(&[trace, &message.to_string()])
}
