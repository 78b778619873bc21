//! Whom to believe where the spans of one trace say different things of it.
//!
//! Senders of OpenTelemetry tell session, user and names on spans, and two spans of a run may differ:
//! an agent inside another has a conversation of its own. The outermost is believed. Spans come in any
//! order and in any number of requests, so each fact of an item keeps how far out it was told.

use std::fmt;
use std::str::FromStr;

use crate::Time;

/// How far out in a run something was told: what sorts first is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Rank {
    /// Of the trace itself.
    #[default]
    Trace,
    /// On a span without a parent.
    Root,
    /// On a span inside: which starts earlier, or else ends later, is further out.
    Span {
        /// Its start in microseconds.
        start: i64,
        /// Its end in microseconds, negated.
        minus_end: i64,
    },
}

impl Rank {
    /// Returns the rank of what a span tells.
    pub fn of_span(is_root: bool, started_at: Option<Time>, ended_at: Option<Time>) -> Self {
        if is_root {
            return Self::Root;
        }
        Self::Span {
            start: started_at.map_or(i64::MAX, Time::as_micros),
            minus_end: ended_at.map_or(i64::MIN, |end| end.as_micros().saturating_neg()),
        }
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace => f.write_str("trace"),
            Self::Root => f.write_str("root"),
            Self::Span { start, minus_end } => write!(f, "{start}/{minus_end}"),
        }
    }
}

/// A text that is none of the ranks of an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not say how far out facts were told")]
pub struct BadRanks(String);

/// The ranks of the facts of a trace item that spans can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ranks {
    pub(crate) workflow_name: Rank,
    pub(crate) group_id: Rank,
    pub(crate) user_id: Rank,
    pub(crate) version: Rank,
    pub(crate) environment: Rank,
    pub(crate) tags: Rank,
    pub(crate) metadata: Rank,
}

impl Ranks {
    /// Returns the ranks of an item all of whose facts were told in one place.
    pub fn all(rank: Rank) -> Self {
        Self::from([rank; 7])
    }

    /// Returns the ranks as they are stored; `None` where every fact was told of the trace itself.
    pub fn to_text(&self) -> Option<String> {
        let told = <[Rank; 7]>::from(*self).map(|rank| rank.to_string());
        (*self != Self::default()).then(|| told.join(" "))
    }
}

impl From<[Rank; 7]> for Ranks {
    fn from(ranks: [Rank; 7]) -> Self {
        let [
            workflow_name,
            group_id,
            user_id,
            version,
            environment,
            tags,
            metadata,
        ] = ranks;
        Self {
            workflow_name,
            group_id,
            user_id,
            version,
            environment,
            tags,
            metadata,
        }
    }
}

impl From<Ranks> for [Rank; 7] {
    fn from(ranks: Ranks) -> Self {
        [
            ranks.workflow_name,
            ranks.group_id,
            ranks.user_id,
            ranks.version,
            ranks.environment,
            ranks.tags,
            ranks.metadata,
        ]
    }
}

impl FromStr for Ranks {
    type Err = BadRanks;

    fn from_str(text: &str) -> Result<Self, BadRanks> {
        let one = |word: &str| {
            Some(match word {
                "trace" => Rank::Trace,
                "root" => Rank::Root,
                span => {
                    let (start, minus_end) = span.split_once('/')?;
                    Rank::Span {
                        start: start.parse().ok()?,
                        minus_end: minus_end.parse().ok()?,
                    }
                }
            })
        };
        let ranks: Option<Vec<Rank>> = text.split(' ').map(one).collect();
        let ranks = ranks.and_then(|ranks| <[Rank; 7]>::try_from(ranks).ok());
        ranks
            .map(Self::from)
            .ok_or_else(|| BadRanks(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_further_out_sorts_first() {
        let at = |start, end| {
            let time = |micros: i64| Some(Time::from_micros(micros));
            Rank::of_span(false, time(start), time(end))
        };
        let unknown = Rank::of_span(false, None, None);
        let root = Rank::of_span(true, None, None);
        let outermost_first = [Rank::Trace, root, at(1, 9), at(1, 5), at(2, 9), unknown];
        assert!(outermost_first.is_sorted());
    }

    #[test]
    fn ranks_come_back_from_their_text() {
        let mut ranks = Ranks::default();
        assert_eq!(ranks.to_text(), None);
        ranks.tags = Rank::Root;
        ranks.user_id = Rank::of_span(false, Some(Time::from_micros(-5)), None);
        let text = ranks.to_text().unwrap();
        assert_eq!(
            text,
            "trace trace -5/-9223372036854775808 trace trace root trace"
        );
        assert_eq!(text.parse(), Ok(ranks));
        for bad in [
            "",
            "root",
            "root root root root root root 1/x",
            "a b c d e f g",
        ] {
            assert!(bad.parse::<Ranks>().is_err(), "{bad}");
        }
    }
}
