//! Which files should be merged next? A pure decision over what the catalog knows.
//!
//! Levels are places to arrive at, not timers: L0 holds files as they were flushed, `hour` holds
//! files of one home hour, `day` files of one home day. A row moves L0 → hour → day, so a byte is
//! written three times at most, but for stragglers. Grades pass the same levels, by day from the first.

use std::collections::BTreeMap;

use model::Time;

use crate::catalog::{FileEntry, FileId};
use crate::lake::{Level, Partition, Table};

const L0_FILES_MIN: usize = 8;
const L0_BYTES_MIN: u64 = 128 << 20;
/// Old L0 files are merged even if they are few: a quiet store becomes tidy.
const L0_AGE_MICROS: i64 = 10 * 60_000_000;
const HOUR_FILES_MIN: usize = 8;
const HOUR_BYTES_MIN: u64 = 256 << 20;
/// One job reads at most this many files, for each takes memory, and about this many bytes.
const INPUT_FILES_MAX: usize = 24;
const INPUT_BYTES_MAX: u64 = 1 << 30;

/// One merge: inputs of one table become files of a higher level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MergeJob {
    pub(crate) table: Table,
    pub(crate) to: Level,
    pub(crate) inputs: Vec<FileId>,
}

/// Returns the most useful merge, or `None` if all is tidy.
pub(crate) fn next_merge<'a>(
    files: impl Fn(Table) -> Vec<&'a FileEntry>,
    now: Time,
) -> Option<MergeJob> {
    Table::ALL.iter().find_map(|&table| {
        let files = files(table);
        let of = |level, skewed: bool| {
            let is_there = move |file: &&&FileEntry| {
                file.level == level && (file.partition == Partition::Skewed) == skewed
            };
            files.iter().filter(is_there).copied().collect::<Vec<_>>()
        };
        // Skewed files have no hour to be sorted into: they go to the last level at once.
        merge_l0(table, of(Level::L0, false), Level::Hour, now)
            .or_else(|| merge_l0(table, of(Level::L0, true), Level::Day, now))
            .or_else(|| merge_hours(table, &of(Level::Hour, false), &of(Level::Day, false)))
    })
}

fn merge_l0(table: Table, mut files: Vec<&FileEntry>, to: Level, now: Time) -> Option<MergeJob> {
    files.sort_by_key(|file| file.lo_seq);
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let old = files.len() >= 2
        && files
            .first()
            .is_some_and(|f| f.added_at.plus_micros(L0_AGE_MICROS) <= now);
    if files.len() < L0_FILES_MIN && bytes < L0_BYTES_MIN && !old {
        return None;
    }
    job(table, to, files.into_iter())
}

fn merge_hours(table: Table, hours: &[&FileEntry], days: &[&FileEntry]) -> Option<MergeJob> {
    let mut by_day: BTreeMap<Option<i32>, Vec<&FileEntry>> = BTreeMap::new();
    for &file in hours {
        by_day.entry(file.partition.day()).or_default().push(file);
    }
    let ripe = |files: &&Vec<&FileEntry>| {
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        files.len() >= HOUR_FILES_MIN || bytes >= HOUR_BYTES_MIN
    };
    let (day, mut inputs) = by_day
        .iter()
        .find(|(_, files)| ripe(files))
        .map(|(d, f)| (*d, f.clone()))?;
    // A straggler's file may lie across files of the day level: take those along, so that the ranges
    // of a level stay disjoint, as long as they are not many times what is being added.
    let added: u64 = inputs.iter().map(|file| file.bytes).sum();
    let (from, until) = range(&inputs);
    let across: Vec<_> = days
        .iter()
        .copied()
        .filter(|file| {
            file.partition.day() == day && file.min_time <= until && file.max_time >= from
        })
        .collect();
    if across.iter().map(|file| file.bytes).sum::<u64>() <= 4 * added {
        inputs.extend(across);
    }
    job(table, Level::Day, inputs.into_iter())
}

fn range(files: &[&FileEntry]) -> (Option<Time>, Option<Time>) {
    (
        files.iter().filter_map(|f| f.min_time).min(),
        files.iter().filter_map(|f| f.max_time).max(),
    )
}

fn job<'a>(
    table: Table,
    to: Level,
    files: impl Iterator<Item = &'a FileEntry>,
) -> Option<MergeJob> {
    let mut bytes = 0;
    let inputs: Vec<_> = files
        .take(INPUT_FILES_MAX)
        .take_while(|file| {
            let fits = bytes == 0 || bytes + file.bytes <= INPUT_BYTES_MAX;
            bytes += file.bytes;
            fits
        })
        .map(|file| file.id)
        .collect();
    (!inputs.is_empty()).then_some(MergeJob { table, to, inputs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{FileFacts, Version};

    fn file(
        id: i64,
        level: Level,
        partition: Partition,
        bytes: u64,
        minutes: (i64, i64),
    ) -> FileEntry {
        let time = |minute: i64| Some(Time::from_micros(minute * 60_000_000));
        let facts = FileFacts {
            table: Table::Spans,
            level,
            path: format!("{id}"),
            node: "n0".to_owned(),
            lo_seq: id,
            hi_seq: id,
            partition,
            part: 0,
            parts: 1,
            min_time: time(minutes.0),
            max_time: time(minutes.1),
            rows: 1,
            bytes,
            schema_version: 1,
            hides_applied_v: Version(0),
            checksum: [0; 32],
            projects: Vec::new(),
        };
        FileEntry {
            id: FileId(id),
            added_v: Version(1),
            added_at: Time::from_micros(0),
            facts,
        }
    }

    fn check(files: &[FileEntry], now_minute: i64, want: Option<(Level, &[i64])>) {
        let of = |table| files.iter().filter(|f| f.table == table).collect();
        let got = next_merge(of, Time::from_micros(now_minute * 60_000_000));
        let got = got.map(|job| (job.to, job.inputs.iter().map(|id| id.0).collect::<Vec<_>>()));
        assert_eq!(got, want.map(|(to, ids)| (to, ids.to_vec())));
    }

    #[test]
    fn small_files_wait_for_company_size_or_age() {
        let l0 = |n: i64, bytes| -> Vec<_> {
            (1..=n)
                .map(|id| file(id, Level::L0, Partition::Mixed, bytes, (id, id)))
                .collect()
        };
        check(&l0(7, 1), 1, None);
        check(&l0(8, 1), 1, Some((Level::Hour, &[1, 2, 3, 4, 5, 6, 7, 8])));
        check(&l0(2, 64 << 20), 1, Some((Level::Hour, &[1, 2])));
        check(&l0(2, 1), 10, Some((Level::Hour, &[1, 2])));
        check(&l0(1, 1), 1_000, None);
    }

    #[test]
    fn hours_become_days_and_take_along_what_they_lie_across() {
        let mut files: Vec<_> = (1..=8)
            .map(|id| file(id, Level::Hour, Partition::Hour(0), 10, (id, id + 1)))
            .collect();
        files.push(file(20, Level::Day, Partition::Day(0), 10, (5, 6)));
        files.push(file(21, Level::Day, Partition::Day(0), 10, (50, 60)));
        files.push(file(22, Level::Day, Partition::Day(1), 10, (5, 6)));
        check(&files, 1, Some((Level::Day, &[1, 2, 3, 4, 5, 6, 7, 8, 20])));
        files.last_mut().unwrap().facts.partition = Partition::Day(0);
        files.retain(|file| file.id.0 != 8);
        check(&files, 1, None);
    }

    #[test]
    fn skewed_files_keep_to_themselves() {
        let files: Vec<_> = (1..=16)
            .map(|id| {
                let partition = if id % 2 == 0 {
                    Partition::Skewed
                } else {
                    Partition::Mixed
                };
                file(id, Level::L0, partition, 1, (id, id))
            })
            .collect();
        check(&files, 1, Some((Level::Hour, &[1, 3, 5, 7, 9, 11, 13, 15])));
        let skewed: Vec<_> = files
            .into_iter()
            .filter(|f| f.partition == Partition::Skewed)
            .collect();
        check(
            &skewed,
            1,
            Some((Level::Day, &[2, 4, 6, 8, 10, 12, 14, 16])),
        );
    }
}
