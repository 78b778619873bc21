//! What a decoder hands to the store: the good part of a request, and an account of the rest.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::{Message, Span, TraceId, TraceItem};

/// The decoded content of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// How many items of the request were taken. What we derive ourselves is not counted.
    pub accepted: usize,
    /// Trace items, in the order they came.
    pub traces: Vec<TraceItem>,
    /// Spans, in the order they came; a later one with the same id supersedes.
    pub spans: Vec<Span>,
    /// Every message that a span of this batch refers to, once per trace.
    pub messages: Vec<Message>,
    /// Items that were refused.
    pub rejected: Rejections,
}

/// Items that were refused: all of them counted, the first ones each with its reason. A request of
/// nothing but bad items has millions of them, and nobody reads them all. It is the list of the first
/// ones for whoever looks into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejections {
    listed: Vec<Rejection>,
    counts: BTreeMap<&'static str, usize>,
}

impl Rejections {
    /// So many are told one by one.
    pub const LISTED_MAX: usize = 1_000;

    /// Counts one more.
    pub fn push(&mut self, rejection: Rejection) {
        *self.counts.entry(rejection.code).or_default() += 1;
        if self.listed.len() < Self::LISTED_MAX {
            self.listed.push(rejection);
        }
    }

    /// Takes over those of another list, each to the place that `moved` gives to its place there.
    pub fn append(&mut self, other: Self, moved: impl Fn(usize) -> usize) {
        for (code, count) in other.counts {
            *self.counts.entry(code).or_default() += count;
        }
        let room = Self::LISTED_MAX - self.listed.len();
        let more = other.listed.into_iter().take(room);
        self.listed.extend(more.map(|rejection| Rejection {
            index: moved(rejection.index),
            ..rejection
        }));
    }

    /// Returns how many there are, those that are not listed with the others.
    pub fn count(&self) -> usize {
        self.counts.values().sum()
    }

    /// Returns how many there are of each code.
    pub fn counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.counts
    }

    /// Returns the list and the counts.
    pub fn into_parts(self) -> (Vec<Rejection>, BTreeMap<&'static str, usize>) {
        (self.listed, self.counts)
    }
}

impl Deref for Rejections {
    type Target = [Rejection];

    fn deref(&self) -> &[Rejection] {
        &self.listed
    }
}

/// One item that was refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rejection {
    /// Its place in the request's list, from 0.
    pub index: usize,
    /// A stable word for the ledger, such as `bad_time`.
    #[serde(skip)]
    pub code: &'static str,
    /// What was wrong with it, for the person who sent it.
    pub reason: String,
    /// Its trace, where that is the reason.
    #[serde(skip)]
    pub trace_id: Option<TraceId>,
}

impl Rejection {
    /// The code of items whose trace was deleted.
    pub const TRACE_DELETED: &str = "trace_deleted";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_ones_are_listed() {
        let rejection = |index| Rejection {
            index,
            code: if index % 2 == 0 { "even" } else { "odd" },
            reason: "bad".into(),
            trace_id: None,
        };
        let mut rejected = Rejections::default();
        for index in 0..5_001 {
            rejected.push(rejection(index));
        }
        let mut all = Rejections::default();
        all.push(rejection(7));
        all.append(rejected, |index| index + 10);
        assert_eq!((all.count(), all.len()), (5_002, Rejections::LISTED_MAX));
        assert_eq!((all[0].index, all[1].index), (7, 10));
        assert_eq!(
            all.counts(),
            &BTreeMap::from([("even", 2_501), ("odd", 2_501)])
        );
    }
}
