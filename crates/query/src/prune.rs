//! Which files does a scan have to open, and in which order can it read them?
//!
//! Two cheap facts rule files out before they are opened: the time range of the project's rows, and
//! the filter of their trace ids. What is left is laid out in *chains*: each is read front to back by
//! one partition, and its files follow one another in time, so that the chain as a whole is sorted as
//! each file is. A list of the newest traces then merges a few chains and stops in their first files.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use model::{ProjectId, Time, TraceId};
use store::ScanFile;
use store::lake::{Table, TraceHash};

/// Beyond this many chains, merging them costs more than sorting what a query keeps.
const CHAINS_MAX: usize = 64;

/// What is known of files without opening them.
struct Known<'a> {
    table: Table,
    project: &'a ProjectId,
    files: &'a [ScanFile],
}

impl Known<'_> {
    fn times(&self, column: &Column, of: impl Fn(&ScanFile) -> Option<Time>) -> Option<ArrayRef> {
        if column.name != self.table.time_column() {
            return None;
        }
        let micros = self.files.iter().map(|file| of(file).map(Time::as_micros));
        Some(Arc::new(
            micros
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ))
    }

    /// Returns whether a file may hold one of the traces.
    fn may_hold(&self, file: &ScanFile, values: &HashSet<ScalarValue>) -> bool {
        values.iter().any(|value| match value.try_as_str() {
            // A text that is no id names no trace.
            Some(Some(text)) => TraceId::new(text).is_ok_and(|id| {
                let hash = TraceHash::of(self.project, &id);
                file.trace_set
                    .as_ref()
                    .is_none_or(|set| set.maybe_contains(hash))
            }),
            Some(None) => false,
            None => true,
        })
    }
}

impl PruningStatistics for Known<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.times(column, |file| file.min_time)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.times(column, |file| file.max_time)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        if column.name != "trace_id" {
            return None;
        }
        // "Not one of them" is certain, "all of them" never is.
        let answers = self
            .files
            .iter()
            .map(|file| (!self.may_hold(file, values)).then_some(false));
        Some(answers.collect())
    }
}

/// Returns the files that may hold a row for which `predicate` is true.
pub(crate) fn prune(
    table: Table,
    project: &ProjectId,
    files: Vec<ScanFile>,
    predicate: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Result<Vec<ScanFile>, DataFusionError> {
    let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
    let predicate = builder.try_build(Arc::clone(predicate))?;
    let keep = predicate.prune(&Known {
        table,
        project,
        files: &files,
    })?;
    Ok(files
        .into_iter()
        .zip(keep)
        .filter_map(|(file, keep)| keep.then_some(file))
        .collect())
}

/// Files in the order in which one partition reads them.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    pub(crate) files: Vec<ScanFile>,
    bytes: u64,
}

impl Chain {
    fn push(&mut self, file: ScanFile) {
        self.bytes += file.bytes;
        self.files.push(file);
    }

    /// Returns whether all rows of `next` come after all rows of the chain, newest first.
    fn takes<E>(
        &self,
        next: &ScanFile,
        lacks_no_time: &impl Fn(&ScanFile) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let Some(last) = self.files.last() else {
            return Ok(true);
        };
        match (last.min_time, next.max_time) {
            // Rows without a time come last in their file, so no file may follow them.
            (Some(low), Some(high)) if high < low => lacks_no_time(last),
            _ => Ok(false),
        }
    }
}

/// The layout of a scan.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) chains: Vec<Chain>,
    /// Whether each chain is sorted by the table's order.
    pub(crate) is_sorted: bool,
}

/// Lays out files for at least `partitions` readers where there are enough of them. `lacks_no_time`
/// tells whether every row of a file has a time.
pub(crate) fn lay_out<E>(
    mut files: Vec<ScanFile>,
    partitions: usize,
    lacks_no_time: impl Fn(&ScanFile) -> Result<bool, E>,
) -> Result<Layout, E> {
    files.sort_by(|a, b| {
        b.max_time
            .cmp(&a.max_time)
            .then_with(|| a.path.cmp(&b.path))
    });
    let mut chains: Vec<Chain> = Vec::new();
    for file in &files {
        let mut fitting: Option<usize> = None;
        if chains.len() >= partitions {
            for (at, chain) in chains.iter().enumerate() {
                let is_lighter = fitting.is_none_or(|best| chain.bytes < chains[best].bytes);
                if is_lighter && chain.takes(file, &lacks_no_time)? {
                    fitting = Some(at);
                }
            }
        }
        match fitting {
            Some(at) => chains[at].push(file.clone()),
            None if chains.len() == CHAINS_MAX => return Ok(heaps(files, partitions)),
            None => chains.push(Chain {
                bytes: file.bytes,
                files: vec![file.clone()],
            }),
        }
    }
    Ok(Layout {
        chains,
        is_sorted: true,
    })
}

/// Spreads files over `partitions` readers by size, in no order.
pub(crate) fn heaps(files: Vec<ScanFile>, partitions: usize) -> Layout {
    let mut chains: Vec<Chain> = (0..partitions.max(1)).map(|_| Chain::default()).collect();
    for file in files {
        if let Some(lightest) = chains.iter_mut().min_by_key(|chain| chain.bytes) {
            lightest.push(file);
        }
    }
    Layout {
        chains,
        is_sorted: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::catalog::FileId;
    use store::lake::TraceSet;

    /// A file by its name, its range of times, and whether all its rows have one.
    type Given = (&'static str, Option<(i64, i64)>, bool);

    fn check(partitions: usize, files: &[Given], expected: &[&[&str]]) {
        let scan = |(name, times, _): &Given| ScanFile {
            id: FileId(0),
            path: name.into(),
            bytes: 1,
            rows: 1,
            row_groups: vec![0],
            min_time: times.map(|(min, _)| Time::from_micros(min)),
            max_time: times.map(|(_, max)| Time::from_micros(max)),
            trace_set: Some(Arc::new(TraceSet::build([]))),
        };
        let lacks_no_time = |file: &ScanFile| {
            let given = files
                .iter()
                .find(|(name, ..)| file.path.as_os_str() == *name);
            Ok::<_, ()>(given.unwrap().2)
        };
        let layout = lay_out(files.iter().map(scan).collect(), partitions, lacks_no_time).unwrap();
        assert!(layout.is_sorted);
        let names = |chain: &Chain| {
            let names = chain
                .files
                .iter()
                .map(|file| file.path.to_string_lossy().into_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(
            layout.chains.iter().map(names).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn files_that_follow_one_another_make_a_chain() {
        let (a, b, c) = (
            ("a", Some((20, 29)), true),
            ("b", Some((10, 19)), true),
            ("c", Some((0, 9)), true),
        );
        check(1, &[c, a, b], &[&["a", "b", "c"]]);
        check(2, &[c, a, b], &[&["a", "c"], &["b"]]);
        check(4, &[c, a, b], &[&["a"], &["b"], &["c"]]);
    }

    #[test]
    fn files_that_overlap_touch_or_may_lack_times_do_not() {
        check(
            1,
            &[("a", Some((10, 20)), true), ("b", Some((0, 15)), true)],
            &[&["a"], &["b"]],
        );
        check(
            1,
            &[("a", Some((10, 20)), true), ("b", Some((0, 10)), true)],
            &[&["a"], &["b"]],
        );
        check(
            1,
            &[("a", Some((10, 20)), false), ("b", Some((0, 5)), true)],
            &[&["a"], &["b"]],
        );
        check(
            1,
            &[("a", None, false), ("b", Some((0, 5)), true)],
            &[&["b"], &["a"]],
        );
        check(
            1,
            &[("a", Some((10, 20)), true), ("b", Some((0, 5)), false)],
            &[&["a", "b"]],
        );
    }

    #[test]
    fn too_many_chains_are_not_merged() {
        let trace_set = Arc::new(TraceSet::build([]));
        let file = |n: i64| ScanFile {
            id: FileId(n),
            path: n.to_string().into(),
            bytes: 1,
            rows: 1,
            row_groups: vec![0],
            min_time: Some(Time::from_micros(0)),
            max_time: Some(Time::from_micros(n)),
            trace_set: Some(Arc::clone(&trace_set)),
        };
        let all = (0..=CHAINS_MAX as i64).map(file).collect();
        let layout = lay_out(all, 2, |_| Ok::<_, ()>(true)).unwrap();
        assert_eq!((layout.is_sorted, layout.chains.len()), (false, 2));
    }
}
