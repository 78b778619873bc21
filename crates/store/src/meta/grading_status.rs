//! From which state may a grading run come into which?
//!
//! A state is only ever changed from one that it may follow, by a statement that says which, so of two who
//! change it at once one does it and the other learns that it was too late.
//!
//! | from | to | when |
//! |---|---|---|
//! | selecting | queued | its items are chosen |
//! | selecting | failed, canceled | they cannot be chosen; somebody does not want them any more |
//! | queued | in_progress | a worker takes it up |
//! | queued | paused, failed, canceled | before anybody took it up |
//! | in_progress | completed | nothing waits; or it may stop early, and what it was to find out is known |
//! | in_progress | paused | somebody asks for it; the money is gone; a judge refuses whatever it is asked |
//! | in_progress | failed, canceled | it cannot go on; somebody stops it |
//! | paused | queued | somebody lets it go on |
//! | paused | canceled | somebody stops it |
//! | completed, failed | queued | what has no verdict is tried again |
//!
//! Everything else is forbidden: nothing follows `canceled`, and no state follows itself.

use std::fmt;
use std::str::FromStr;

/// Where a grading run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GradingStatus {
    /// Its items are being chosen.
    Selecting,
    /// It waits for its turn.
    Queued,
    /// Its items are being graded.
    InProgress,
    /// It stands still until somebody lets it go on.
    Paused,
    /// Nothing waits any more.
    Completed,
    /// Somebody stopped it for good.
    Canceled,
    /// It could not go on.
    Failed,
}

/// A word that is no status of a grading run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not selecting, queued, in_progress, paused, completed, canceled or failed")]
pub struct UnknownGradingStatus(String);

impl GradingStatus {
    /// Every status, in the order of a run's life.
    pub const ALL: [GradingStatus; 7] = [
        GradingStatus::Selecting,
        GradingStatus::Queued,
        GradingStatus::InProgress,
        GradingStatus::Paused,
        GradingStatus::Completed,
        GradingStatus::Canceled,
        GradingStatus::Failed,
    ];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            GradingStatus::Selecting => "selecting",
            GradingStatus::Queued => "queued",
            GradingStatus::InProgress => "in_progress",
            GradingStatus::Paused => "paused",
            GradingStatus::Completed => "completed",
            GradingStatus::Canceled => "canceled",
            GradingStatus::Failed => "failed",
        }
    }

    /// Returns whether a run in this state may come into that one.
    pub const fn may_become(self, next: GradingStatus) -> bool {
        use GradingStatus::{Canceled, Completed, Failed, InProgress, Paused, Queued, Selecting};
        match self {
            Selecting => matches!(next, Queued | Failed | Canceled),
            Queued => matches!(next, InProgress | Paused | Failed | Canceled),
            InProgress => matches!(next, Completed | Paused | Failed | Canceled),
            Paused => matches!(next, Queued | Canceled),
            Completed | Failed => matches!(next, Queued),
            Canceled => false,
        }
    }

    /// Returns whether it is over, unless somebody has it tried again.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            GradingStatus::Completed | GradingStatus::Canceled | GradingStatus::Failed
        )
    }
}

impl FromStr for GradingStatus {
    type Err = UnknownGradingStatus;

    fn from_str(word: &str) -> Result<Self, UnknownGradingStatus> {
        let known = Self::ALL.into_iter().find(|status| status.as_str() == word);
        known.ok_or_else(|| UnknownGradingStatus(word.to_owned()))
    }
}

impl fmt::Display for GradingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
