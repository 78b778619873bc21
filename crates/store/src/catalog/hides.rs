//! Which rows of files are gone or replaced?
//!
//! A hide says that of one key the rows up to a sequence number must not be seen, in whatever file
//! they lie. Every scan asks, so a reader first takes what concerns its table and project (usually
//! nothing, and then it need not ask again), and a reader of sorted rows takes a trace's hides once.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{GRADE_RUN_BYTES, ProjectId, SpanId, TraceId};

use super::file::{FileEntry, Version};
use super::sharded::ShardedMap;
use crate::lake::Table;

/// What a hide is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HideKey {
    /// The table.
    pub table: Table,
    /// The project.
    pub project_id: ProjectId,
    /// The trace; of grades, also a run, by its part of their ids.
    pub trace_id: TraceId,
    /// The span, or the grade; `None` hides all rows of the trace.
    pub span_id: Option<SpanId>,
}

/// Rows of a key that must not be seen: those with `seq <= upto_seq`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hide {
    /// Whose rows.
    pub key: HideKey,
    /// The last sequence number that is hidden.
    pub upto_seq: i64,
}

impl Hide {
    /// Returns whether a file of its table may hold what it hides, by when the file was written and whose
    /// rows it has; `added_v` brought the hide.
    pub fn may_reach(&self, file: &FileEntry, added_v: Version) -> bool {
        file.hides_applied_v < added_v
            && file.lo_seq <= self.upto_seq
            && file.project(&self.key.project_id).is_some()
    }
}

/// A hide's reach, and the version that brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) upto_seq: i64,
    pub(super) added_v: Version,
}

/// The hides of one trace in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceHides {
    whole: Option<Mark>,
    spans: HashMap<SpanId, Mark>,
}

impl TraceHides {
    /// Returns whether a row of the trace is hidden.
    pub fn hidden(&self, span_id: Option<&str>, seq: i64) -> bool {
        let covers = |mark: &Mark| seq <= mark.upto_seq;
        self.whole.as_ref().is_some_and(covers)
            || span_id
                .and_then(|id| self.spans.get(id))
                .is_some_and(covers)
    }

    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.spans.is_empty()
    }

    fn get(&self, span_id: Option<&SpanId>) -> Option<Mark> {
        match span_id {
            None => self.whole,
            Some(id) => self.spans.get(id).copied(),
        }
    }

    fn set(&mut self, span_id: Option<&SpanId>, mark: Option<Mark>) {
        match (span_id, mark) {
            (None, mark) => self.whole = mark,
            (Some(id), Some(mark)) => drop(self.spans.insert(id.clone(), mark)),
            (Some(id), None) => drop(self.spans.remove(id)),
        }
    }
}

/// The hides of one project in one table; never empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProjectHides(ShardedMap<TraceId, TraceHides>);

impl ProjectHides {
    /// Returns the hides of a trace, if it has any.
    pub fn trace(&self, trace_id: &str) -> Option<&TraceHides> {
        self.0.get(trace_id)
    }

    /// Returns whether a row is hidden.
    pub fn hidden(&self, trace_id: &str, span_id: Option<&str>, seq: i64) -> bool {
        self.trace(trace_id)
            .is_some_and(|hides| hides.hidden(span_id, seq))
    }

    /// Returns whether a grade is hidden, by itself, with its trace or with its run.
    pub fn hides_grade(&self, trace_id: &str, id: &str, seq: i64) -> bool {
        self.hidden(trace_id, Some(id), seq)
            || id
                .get(..GRADE_RUN_BYTES)
                .is_some_and(|run| self.hidden(run, None, seq))
    }

    /// Returns whether a row of a table is hidden.
    pub fn hides(&self, table: Table, trace_id: &str, part_id: Option<&str>, seq: i64) -> bool {
        match (table, part_id) {
            (Table::Grades, Some(id)) => self.hides_grade(trace_id, id, seq),
            _ => self.hidden(trace_id, part_id, seq),
        }
    }
}

/// All hides of a catalog version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hides {
    /// By table, in the order of [`Table::ALL`].
    tables: [HashMap<ProjectId, Arc<ProjectHides>>; Table::ALL.len()],
}

impl Hides {
    /// Returns whether a row of a file is hidden.
    pub fn hidden(
        &self,
        table: Table,
        project_id: &ProjectId,
        trace_id: &str,
        span_id: Option<&str>,
        seq: i64,
    ) -> bool {
        self.of(table, project_id)
            .is_some_and(|hides| hides.hides(table, trace_id, span_id, seq))
    }

    /// Returns the hides of a project in a table, or `None` if nothing of it is hidden there.
    pub fn of(&self, table: Table, project_id: &ProjectId) -> Option<&Arc<ProjectHides>> {
        self.of_text(table, project_id.as_str())
    }

    /// Returns the hides of a project, given by its text as it stands in a file.
    pub fn of_text(&self, table: Table, project_id: &str) -> Option<&Arc<ProjectHides>> {
        self.tables[table as usize].get(project_id)
    }

    /// Returns how far a whole trace is hidden in a table, and since which version.
    pub fn whole_trace(
        &self,
        table: Table,
        project_id: &ProjectId,
        trace_id: &TraceId,
    ) -> Option<(i64, Version)> {
        let mark = self
            .of(table, project_id)?
            .trace(trace_id.as_str())?
            .whole?;
        Some((mark.upto_seq, mark.added_v))
    }

    /// Returns whether nothing is hidden anywhere.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(HashMap::is_empty)
    }

    /// Returns how many hides there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns every hide and the version that brought it, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Hide, Version)> {
        let projects = Table::ALL
            .into_iter()
            .zip(&self.tables)
            .flat_map(|(table, projects)| {
                projects
                    .iter()
                    .map(move |(project_id, hides)| (table, project_id, hides))
            });
        projects.flat_map(|(table, project_id, hides)| {
            hides.0.iter().flat_map(move |(trace_id, of_trace)| {
                let spans = of_trace.spans.iter().map(|(id, mark)| (Some(id), mark));
                let marks = of_trace.whole.iter().map(|mark| (None, mark)).chain(spans);
                marks.map(move |(span_id, mark)| {
                    let key = HideKey {
                        table,
                        project_id: project_id.clone(),
                        trace_id: trace_id.clone(),
                        span_id: span_id.cloned(),
                    };
                    (
                        Hide {
                            key,
                            upto_seq: mark.upto_seq,
                        },
                        mark.added_v,
                    )
                })
            })
        })
    }

    /// Adds a hide; one that reaches as far or farther stays as it is.
    pub(super) fn add(&mut self, hide: &Hide, added_v: Version) {
        let key = &hide.key;
        let projects = &mut self.tables[key.table as usize];
        let project = Arc::make_mut(projects.entry(key.project_id.clone()).or_default());
        let shard = project.0.shard_mut(key.trace_id.as_str());
        let of_trace = shard.entry(key.trace_id.clone()).or_default();
        let former = of_trace.get(key.span_id.as_ref());
        if former.is_none_or(|mark| mark.upto_seq < hide.upto_seq) {
            let mark = Mark {
                upto_seq: hide.upto_seq,
                added_v,
            };
            of_trace.set(key.span_id.as_ref(), Some(mark));
        }
    }

    /// Takes a hide away, unless it has been extended since.
    pub(super) fn clear(&mut self, hide: &Hide) {
        let key = &hide.key;
        let projects = &mut self.tables[key.table as usize];
        let Some(project) = projects.get_mut(&key.project_id) else {
            return;
        };
        let trace_id = key.trace_id.as_str();
        let mark = project
            .trace(trace_id)
            .and_then(|hides| hides.get(key.span_id.as_ref()));
        if mark.is_none_or(|mark| mark.upto_seq != hide.upto_seq) {
            return;
        }
        let project = Arc::make_mut(project);
        let shard = project.0.shard_mut(trace_id);
        if let Some(of_trace) = shard.get_mut(trace_id) {
            of_trace.set(key.span_id.as_ref(), None);
            if of_trace.is_empty() {
                shard.remove(trace_id);
            }
        }
        if project.0.is_empty() {
            projects.remove(&key.project_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(table: Table, project: &str, trace: &str, span: Option<&str>, upto_seq: i64) -> Hide {
        let key = HideKey {
            table,
            project_id: ProjectId::new(project).unwrap(),
            trace_id: TraceId::new(trace).unwrap(),
            span_id: span.map(|id| SpanId::new(id).unwrap()),
        };
        Hide { key, upto_seq }
    }

    #[test]
    fn a_hide_covers_its_last_seq_and_nothing_beside_it() {
        let mut hides = Hides::default();
        hides.add(&hide(Table::Spans, "p", "t", Some("s"), 10), Version(1));
        hides.add(&hide(Table::Spans, "p", "u", None, 20), Version(1));
        let check = |table, project, trace, span, seq, want| {
            let project = ProjectId::new(project).unwrap();
            let got = hides.hidden(table, &project, trace, span, seq);
            assert_eq!(got, want, "{table} {project} {trace} {span:?} {seq}");
        };
        check(Table::Spans, "p", "t", Some("s"), 9, true);
        check(Table::Spans, "p", "t", Some("s"), 10, true);
        check(Table::Spans, "p", "t", Some("s"), 11, false);
        check(Table::Spans, "p", "t", Some("other"), 1, false);
        check(Table::Spans, "p", "t", None, 1, false);
        check(Table::Spans, "p", "u", Some("any"), 20, true);
        check(Table::Spans, "p", "u", None, 20, true);
        check(Table::Spans, "p", "u", Some("any"), 21, false);
        check(Table::Traces, "p", "u", None, 1, false);
        check(Table::Spans, "q", "u", None, 1, false);
    }

    #[test]
    fn the_farther_reach_wins_and_keeps_its_version() {
        let mut hides = Hides::default();
        hides.add(&hide(Table::Traces, "p", "t", None, 10), Version(1));
        hides.add(&hide(Table::Traces, "p", "t", None, 8), Version(2));
        hides.add(&hide(Table::Traces, "p", "t", None, 10), Version(3));
        let all = |hides: &Hides| hides.iter().collect::<Vec<_>>();
        assert_eq!(
            all(&hides),
            [(hide(Table::Traces, "p", "t", None, 10), Version(1))]
        );
        hides.add(&hide(Table::Traces, "p", "t", None, 12), Version(4));
        let farther = hide(Table::Traces, "p", "t", None, 12);
        assert_eq!(all(&hides), [(farther.clone(), Version(4))]);
        let HideKey {
            project_id,
            trace_id,
            ..
        } = &farther.key;
        let whole = |table| hides.whole_trace(table, project_id, trace_id);
        assert_eq!(
            (whole(Table::Traces), whole(Table::Spans)),
            (Some((12, Version(4))), None)
        );
    }

    #[test]
    fn a_hide_that_was_extended_since_is_not_cleared() {
        let mut hides = Hides::default();
        let (short, long) = (
            hide(Table::Spans, "p", "t", Some("s"), 5),
            hide(Table::Spans, "p", "t", Some("s"), 9),
        );
        hides.add(&short, Version(1));
        hides.add(&long, Version(2));
        hides.clear(&short);
        assert_eq!(hides.len(), 1);
        hides.clear(&hide(Table::Spans, "p", "t", None, 9));
        assert_eq!(hides.len(), 1);
        hides.clear(&long);
        assert!(hides.is_empty());
        assert_eq!(hides.of(Table::Spans, &long.key.project_id), None);
    }
}
