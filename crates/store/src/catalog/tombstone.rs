//! Deleted traces: what must still be done to them, and for how long they are refused.
//!
//! Agents resend their history, so a deleted trace would come back with the next turn. A tombstone
//! keeps it out for a day and, until the bytes are gone from disk, reminds us of the work.

use std::str::FromStr;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{ProjectId, Time, TraceId};
use uuid::Uuid;

use super::file::BadWord;
use super::sharded::ShardedMap;

/// Whether a deleted trace's bytes are still on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Erasure {
    /// Unreadable, but some file or the log still has its bytes.
    Pending,
    /// Its bytes are gone.
    Done,
}

impl Erasure {
    /// Returns the word used in the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Erasure::Pending => "pending",
            Erasure::Done => "done",
        }
    }
}

impl FromStr for Erasure {
    type Err = BadWord;

    fn from_str(word: &str) -> Result<Self, BadWord> {
        match word {
            "pending" => Ok(Erasure::Pending),
            "done" => Ok(Erasure::Done),
            _ => Err(BadWord(word.to_owned(), "state of a deletion")),
        }
    }
}

/// A deleted trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The project.
    pub project_id: ProjectId,
    /// The trace.
    pub trace_id: TraceId,
    /// When the deletion was acked.
    pub deleted_at: Time,
    /// Until when items of the trace are refused.
    pub expires_at: Time,
    /// The deletion's sequence number: rows up to it are deleted.
    pub upto_seq: i64,
    /// Whether its bytes are gone.
    pub erasure: Erasure,
}

/// A request to delete, as people follow it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Its id.
    pub id: Uuid,
    /// The project.
    pub project_id: ProjectId,
    /// What was to be deleted, in the words of the request.
    pub what: String,
    /// How many traces that was at the ack; what comes later is not meant.
    pub traces: i64,
    /// When it was acked.
    pub requested_at: Time,
    /// By when the bytes must be gone from disk.
    pub deadline: Time,
    /// When they were.
    pub done_at: Option<Time>,
}

/// All tombstones of a catalog version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tombstones(HashMap<ProjectId, Arc<ShardedMap<TraceId, Tombstone>>>);

impl Tombstones {
    /// Returns the tombstone of a trace, if it was deleted.
    pub fn get(&self, project_id: &ProjectId, trace_id: &TraceId) -> Option<&Tombstone> {
        self.0.get(project_id)?.get(trace_id)
    }

    /// Returns whether nothing was deleted of late.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether items of the trace are refused at `now`.
    pub fn refuses(&self, project_id: &ProjectId, trace_id: &TraceId, now: Time) -> bool {
        self.get(project_id, trace_id)
            .is_some_and(|tombstone| now < tombstone.expires_at)
    }

    /// Returns every tombstone, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Tombstone> {
        self.0
            .values()
            .flat_map(|traces| traces.iter().map(|(_, tombstone)| tombstone))
    }

    /// Returns the traces whose bytes are still to be removed.
    pub fn pending(&self) -> impl Iterator<Item = &Tombstone> {
        self.iter()
            .filter(|tombstone| tombstone.erasure == Erasure::Pending)
    }

    /// Returns the tombstones that have done their duty at `now`.
    pub fn expired(&self, now: Time) -> impl Iterator<Item = &Tombstone> {
        self.iter()
            .filter(move |t| t.erasure == Erasure::Done && t.expires_at <= now)
    }

    /// Sets a tombstone, unless a later deletion of the trace is known.
    pub(super) fn set(&mut self, tombstone: &Tombstone) {
        let traces = Arc::make_mut(self.0.entry(tombstone.project_id.clone()).or_default());
        let shard = traces.shard_mut(&tombstone.trace_id);
        let former = shard.get(&tombstone.trace_id);
        if former.is_none_or(|former| former.upto_seq <= tombstone.upto_seq) {
            shard.insert(tombstone.trace_id.clone(), tombstone.clone());
        }
    }

    /// Drops a tombstone, unless the trace was deleted again since.
    pub(super) fn drop_one(&mut self, tombstone: &Tombstone) {
        let Some(traces) = self.0.get_mut(&tombstone.project_id) else {
            return;
        };
        let known = traces.get(&tombstone.trace_id);
        if known.is_none_or(|known| known.upto_seq != tombstone.upto_seq) {
            return;
        }
        let traces = Arc::make_mut(traces);
        traces
            .shard_mut(&tombstone.trace_id)
            .remove(&tombstone.trace_id);
        if traces.is_empty() {
            self.0.remove(&tombstone.project_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(upto_seq: i64, erasure: Erasure) -> Tombstone {
        Tombstone {
            project_id: ProjectId::new("p").unwrap(),
            trace_id: TraceId::new("t").unwrap(),
            deleted_at: Time::from_micros(0),
            expires_at: Time::from_micros(100),
            upto_seq,
            erasure,
        }
    }

    #[test]
    fn a_deleted_trace_is_refused_until_its_day_is_over() {
        let mut all = Tombstones::default();
        let one = tombstone(5, Erasure::Pending);
        all.set(&one);
        let refuses =
            |micros| all.refuses(&one.project_id, &one.trace_id, Time::from_micros(micros));
        assert_eq!([refuses(0), refuses(99), refuses(100)], [true, true, false]);
        let other = TraceId::new("other").unwrap();
        assert!(!all.refuses(&one.project_id, &other, Time::from_micros(0)));
    }

    #[test]
    fn a_trace_deleted_twice_is_erased_twice() {
        let mut all = Tombstones::default();
        all.set(&tombstone(5, Erasure::Pending));
        all.set(&tombstone(9, Erasure::Pending));
        all.set(&tombstone(5, Erasure::Done));
        assert_eq!(
            all.pending().collect::<Vec<_>>(),
            [&tombstone(9, Erasure::Pending)]
        );
        all.set(&tombstone(9, Erasure::Done));
        assert_eq!(all.pending().count(), 0);
        assert_eq!(all.expired(Time::from_micros(99)).count(), 0);
        assert_eq!(all.expired(Time::from_micros(100)).count(), 1);
        all.drop_one(&tombstone(5, Erasure::Done));
        assert_eq!(all.iter().count(), 1);
        all.drop_one(&tombstone(9, Erasure::Done));
        assert_eq!(all, Tombstones::default());
    }
}
