//! Which files of a lake make up the store, when the list of them is lost? A pure decision over what
//! the files and the log say of themselves.
//!
//! A merge names the files whose place it takes, and those are removed only after its commit, in the
//! order of commits. So outputs count if one of their inputs is gone, or if all of them are there; and
//! inputs of outputs that count do not. A flush says which stretch of the log it wrote: if the log has
//! all of it still, the log's word is taken, which is right whether the flush was committed or not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;

use model::Time;

use crate::lake::{Footer, Level, Table};

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// The paths of the files that count.
    pub(super) live: BTreeSet<String>,
    /// The last sequence number of each node whose rows are in them.
    pub(super) cursors: BTreeMap<String, i64>,
}

/// The files of one merge.
#[derive(Debug)]
struct Merged<'a> {
    inputs: &'a [String],
    outputs: Vec<(&'a str, &'a Footer)>,
}

/// Decides which of these files count, given the runs of sequence numbers in the log of `node`.
pub(super) fn judge(
    files: &BTreeMap<String, Footer>,
    node: &str,
    log: &[RangeInclusive<i64>],
) -> Verdict {
    let merges = merges(files);
    let replaced: HashSet<&str> = merges
        .iter()
        .flat_map(|merge| merge.inputs)
        .map(String::as_str)
        .collect();
    let mut verdict = Verdict::default();
    for (path, footer) in merges.iter().flat_map(|merge| &merge.outputs) {
        advance(&mut verdict.cursors, footer);
        if !replaced.contains(path) {
            verdict.live.insert((*path).to_owned());
        }
    }
    let flushed = flushed(files);
    let in_log = |footer: &Footer| {
        footer.node == node
            && log
                .iter()
                .any(|run| run.contains(&footer.lo) && run.contains(&footer.hi))
    };
    for (_, footer) in flushed.iter().filter(|(_, footer)| !in_log(footer)) {
        advance(&mut verdict.cursors, footer);
    }
    let is_covered = |footer: &Footer| {
        verdict
            .cursors
            .get(&footer.node)
            .is_some_and(|&cursor| footer.hi <= cursor)
    };
    let kept = flushed
        .iter()
        .filter(|(path, footer)| is_covered(footer) && !replaced.contains(path));
    let kept: Vec<_> = kept.map(|(path, _)| (*path).to_owned()).collect();
    verdict.live.extend(kept);
    verdict
}

fn advance(cursors: &mut BTreeMap<String, i64>, footer: &Footer) {
    let cursor = cursors.entry(footer.node.clone()).or_insert(footer.hi);
    *cursor = footer.hi.max(*cursor);
}

/// Returns the merges that took place. Of two that claim the same file the later one did: it found
/// the file active, so the earlier one had not been committed.
fn merges(files: &BTreeMap<String, Footer>) -> Vec<Merged<'_>> {
    type Name<'a> = (i64, Time, Table, &'a [String]);
    let mut by_name: BTreeMap<Name<'_>, Merged<'_>> = BTreeMap::new();
    for (path, footer) in files.iter().filter(|(_, footer)| !footer.inputs.is_empty()) {
        let name = (
            footer.hides_applied_v,
            footer.created_at,
            footer.table,
            footer.inputs.as_slice(),
        );
        let merged = by_name.entry(name).or_insert_with(|| Merged {
            inputs: &footer.inputs,
            outputs: Vec::new(),
        });
        merged.outputs.push((path, footer));
    }
    let mut taken = HashSet::new();
    let mut done: Vec<_> = by_name
        .into_values()
        .rev()
        .filter(|merged| {
            let is_done = took_place(merged, files)
                && !merged.inputs.iter().any(|input| taken.contains(input));
            if is_done {
                taken.extend(merged.inputs);
            }
            is_done
        })
        .collect();
    done.reverse();
    done
}

fn took_place(merged: &Merged<'_>, files: &BTreeMap<String, Footer>) -> bool {
    let parts = merged.outputs.iter().map(|(_, footer)| footer.parts).max();
    let is_complete = parts.is_some_and(|parts| merged.outputs.len() as u32 >= parts);
    is_complete || merged.inputs.iter().any(|input| !files.contains_key(input))
}

/// Returns the files of flushes; of one that was written twice, the later.
fn flushed(files: &BTreeMap<String, Footer>) -> Vec<(&str, &Footer)> {
    let mut latest: HashMap<_, (&str, &Footer)> = HashMap::new();
    let is_flushed =
        |(_, footer): &(&String, &Footer)| footer.level == Level::L0 && footer.inputs.is_empty();
    for (path, footer) in files.iter().filter(is_flushed) {
        let stretch = (
            footer.table,
            &footer.node,
            footer.part,
            footer.lo,
            footer.hi,
        );
        let known = latest.entry(stretch).or_insert((path, footer));
        if known.1.created_at < footer.created_at {
            *known = (path, footer);
        }
    }
    latest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::Partition;

    /// `f3-5`: a flush of the log from 3 to 5. `m3-9@2<a,b`: a merge that read version 2.
    fn footer(table: Table, lo: i64, hi: i64) -> Footer {
        Footer {
            schema_version: 1,
            store_id: "s".to_owned(),
            table,
            level: Level::L0,
            node: "n0".to_owned(),
            lo,
            hi,
            partition: Partition::Mixed,
            part: 0,
            parts: 1,
            inputs: Vec::new(),
            hides_applied_v: 0,
            created_at: Time::from_micros(hi),
        }
    }

    fn flush(lo: i64, hi: i64) -> (String, Footer) {
        (format!("f{lo}-{hi}"), footer(Table::Spans, lo, hi))
    }

    fn merge(name: &str, inputs: &[&str], hi: i64, version: i64, parts: u32) -> (String, Footer) {
        let merged = Footer {
            level: Level::Hour,
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            hides_applied_v: version,
            parts,
            ..footer(Table::Spans, 1, hi)
        };
        (name.to_owned(), merged)
    }

    fn check(files: &[(String, Footer)], log: RangeInclusive<i64>, live: &[&str], cursor: i64) {
        let files = files.iter().cloned().collect();
        let log = if log.is_empty() { vec![] } else { vec![log] };
        let verdict = judge(&files, "n0", &log);
        let found: Vec<_> = verdict.live.iter().map(String::as_str).collect();
        assert_eq!(found, live);
        assert_eq!(verdict.cursors.get("n0").copied().unwrap_or(0), cursor);
    }

    #[test]
    fn what_the_log_has_whole_is_taken_from_the_log() {
        let files = [flush(1, 4), flush(5, 9)];
        check(&files, 5..=12, &["f1-4"], 4);
        check(&files, 1..=12, &[], 0);
        check(&files, 6..=12, &["f1-4", "f5-9"], 9);
        #[expect(clippy::reversed_empty_ranges, reason = "an empty log")]
        check(&files, 1..=0, &["f1-4", "f5-9"], 9);
    }

    #[test]
    fn a_flush_behind_a_merge_was_committed_even_if_the_log_has_it() {
        let files = [
            flush(1, 4),
            flush(5, 9),
            flush(10, 11),
            merge("m", &["f5-9"], 9, 2, 1),
        ];
        check(&files, 1..=11, &["f1-4", "m"], 9);
    }

    #[test]
    fn outputs_count_if_they_are_complete_or_an_input_is_gone() {
        let inputs = ["f1-4", "f5-9"];
        let (a, b) = (merge("a", &inputs, 9, 2, 2), merge("b", &inputs, 9, 2, 2));
        let both = [flush(1, 4), flush(5, 9)];
        let with = |more: &[&(String, Footer)]| -> Vec<_> {
            both.iter().chain(more.iter().copied()).cloned().collect()
        };
        check(&with(&[&a, &b]), 20..=21, &["a", "b"], 9);
        // Half of a merge that never finished.
        check(&with(&[&a]), 20..=21, &["f1-4", "f5-9"], 9);
        // Its other half went on into another merge.
        check(&[flush(5, 9), a.clone()], 20..=21, &["a"], 9);
    }

    #[test]
    fn a_chain_of_merges_leaves_its_end() {
        let files = [
            flush(1, 4),
            merge("hour", &["f1-4"], 4, 2, 1),
            merge("day", &["hour"], 4, 3, 1),
        ];
        check(&files, 5..=6, &["day"], 4);
    }

    #[test]
    fn of_two_merges_of_one_file_the_later_took_place() {
        let files = [
            merge("early", &["f1-4"], 4, 2, 1),
            merge("late", &["f1-4", "f5-9"], 9, 3, 1),
        ];
        check(&files, 10..=11, &["late"], 9);
    }
}
