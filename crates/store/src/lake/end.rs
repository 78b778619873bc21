//! What does the end of a file say?
//!
//! Row groups, page index, and what the file says of itself: read once, checked against each other, and kept
//! apart from the open file, so that a cache can hold it and opening costs nothing.

use std::ops::Range;
use std::sync::Arc;

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::ColumnPath;

use super::footer::{BadInfo, FileInfo, METADATA_KEY, ProjectSummary};
use super::schema::Table;
use super::seal::{Blocks, Tail};

/// The end of a file, read once and kept.
#[derive(Debug)]
pub struct LakeMeta {
    pub(super) parquet: ArrowReaderMetadata,
    pub(super) info: FileInfo,
    pub(super) projects: Vec<ProjectSummary>,
    pub(super) blocks: Arc<Blocks>,
    /// Where the payload lies, in order.
    payload: Vec<Range<u64>>,
}

impl LakeMeta {
    /// Returns how many of these bytes of the file are payload: what a list has no business reading.
    pub fn payload_bytes(&self, range: &Range<u64>) -> u64 {
        let first = self
            .payload
            .partition_point(|chunk| chunk.end <= range.start);
        let met = self.payload[first..].iter();
        met.take_while(|chunk| chunk.start < range.end)
            .map(|chunk| chunk.end.min(range.end) - chunk.start.max(range.start))
            .sum()
    }

    /// Returns the bytes it takes in memory, about, for the ledger.
    pub fn memory_bytes(&self) -> usize {
        self.parquet.metadata().memory_size() + self.blocks.memory_bytes()
    }

    /// Returns the Parquet metadata with its page index, for the query engine.
    pub fn parquet(&self) -> &ArrowReaderMetadata {
        &self.parquet
    }
}

/// Returns what a file says of itself after a check that it fits the Parquet metadata.
pub(super) fn understand(parquet: ArrowReaderMetadata, tail: &Tail) -> Result<LakeMeta, BadInfo> {
    let metadata = parquet.metadata().file_metadata();
    let entries = metadata.key_value_metadata().into_iter().flatten();
    let text = entries
        .filter(|entry| entry.key == METADATA_KEY)
        .find_map(|entry| entry.value.as_ref());
    let (info, projects) = FileInfo::from_json(text.ok_or(BadInfo::Absent)?)?;
    let row_groups = parquet.metadata().row_groups();
    let in_groups: i64 = row_groups.iter().map(RowGroupMetaData::num_rows).sum();
    if info.rows as i64 != in_groups || projects.iter().map(|p| p.rows).sum::<u64>() != info.rows {
        return Err(BadInfo::Mismatch("the number of rows"));
    }
    // T1 rests on this list: each row group belongs to one project, and none to nobody.
    let listed = projects.iter().flat_map(|project| &project.row_groups);
    if !listed.copied().eq(0..row_groups.len() as u32) {
        return Err(BadInfo::Mismatch("the projects of the row groups"));
    }
    if info
        .filter_at
        .checked_add(info.filter_bytes)
        .is_none_or(|end| end > tail.at())
    {
        return Err(BadInfo::Mismatch("the place of the trace filter"));
    }
    let blocks = tail
        .blocks()
        .ok_or(BadInfo::Mismatch("the place of the checksums"))?;
    let payload = payload_chunks(info.footer.table, row_groups);
    Ok(LakeMeta {
        payload,
        parquet,
        info,
        projects,
        blocks: Arc::new(blocks),
    })
}

/// Returns the places of all chunks of payload columns. A trace row is small and listed whole: what it
/// has of JSON is none.
fn payload_chunks(table: Table, row_groups: &[RowGroupMetaData]) -> Vec<Range<u64>> {
    if table == Table::Traces {
        return Vec::new();
    }
    let names: Vec<&str> = table.payload_columns().collect();
    let is_payload =
        |path: &ColumnPath| path.parts().first().is_some_and(|n| names.contains(&&**n));
    let columns = row_groups.iter().flat_map(RowGroupMetaData::columns);
    let chunks = columns.filter(|column| is_payload(column.column_path()));
    let place = |(start, bytes): (u64, u64)| start..start + bytes;
    let mut places: Vec<_> = chunks.map(|column| place(column.byte_range())).collect();
    places.sort_by_key(|chunk| chunk.start);
    places
}
