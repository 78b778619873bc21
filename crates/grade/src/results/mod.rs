//! What a run of graders says: rates, means and labels, each with how sure it is.
//!
//! Pure: grades in, figures out. A number gets out as a [`FigureObject`] only, which has its interval, its
//! n, its groups and its design effect beside it. Where there is none, `withheld` says why. No verdict is
//! not a fail: grades without one are counted by reason and are in no rate. Samples that were drawn by
//! strata are always reweighted.

mod by_key;
mod cell;
mod collected;
mod doubt;
mod figure;
mod interner;
mod items;
mod judge_use;
mod of_grader;
mod outlook;
mod pairwise;
mod panel;
mod sample;
mod summary;

#[cfg(test)]
pub(crate) mod made;
#[cfg(test)]
pub(crate) mod tests;

pub use by_key::{OfTries, Segment, Segments, TaskReliability};
pub(crate) use cell::Cell;
pub(crate) use collected::Graded;
pub use collected::{
    Collected, GraderFacts, ResultsBuilder, ResultsOptions, Stratum, UNSCORED_SHARE_MAX,
};
pub(crate) use doubt::doubts;
pub use figure::FigureObject;
pub(crate) use figure::{decimal, keep, setting, significant, value};
pub use items::{ItemFilter, ItemGrade, ItemResult};
pub use judge_use::JudgeTotals;
pub use outlook::{Outlook, Plan};
pub use pairwise::PairwiseResults;
pub use panel::PanelAgreement;
pub(crate) use sample::{Said, Sample};
pub use summary::{
    AtLeast, Bar, Counts, FlipRate, GraderResults, GraderStratum, LabelShare, RunResults,
    StratumResults, Weighting,
};

/// Figures that cannot be given, by name, each with the reason.
pub type Withheld = std::collections::BTreeMap<String, String>;
