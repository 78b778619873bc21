//! Intervals, tests, e-processes and weighted samples: numbers in, numbers out.
//!
//! Nothing here knows what a trace is. Each estimator names its formula, what it assumes, and the
//! reference that it is checked against. What comes out is a [`Figure`], which has its interval, its n,
//! its groups and its design effect beside it, or a [`Refusal`], which says why there is none. Chance
//! comes from seeds, so every result can be had again.
//!
//! Each module answers one question: how sure is a rate ([`interval`], [`cluster`]), a quantile
//! ([`quantile`]), a skewed mean ([`bootstrap`]), a stratified sample ([`strata`], drawn by [`sample`]);
//! is one version better ([`compare`]), after many questions ([`multiple`]), and what could be seen at all
//! ([`power`]); is the judge right ([`agreement`]) and what if not ([`ppi`], [`rogan_gladen`]); what may be
//! said while looking all the time ([`eprocess`], [`gate`], [`detector`]) and on a dashboard
//! ([`baseline`]); how often does a task succeed ([`reliability`]).

pub mod agreement;
pub mod baseline;
pub mod bootstrap;
pub mod cluster;
pub mod compare;
mod contrast;
pub mod detector;
mod distribution;
pub mod eprocess;
mod figure;
pub mod gate;
pub mod interval;
pub mod multiple;
pub mod power;
pub mod ppi;
pub mod quantile;
#[cfg(test)]
mod reference;
mod refusal;
pub mod reliability;
pub mod rng;
pub mod rogan_gladen;
mod rows;
pub mod sample;
pub mod strata;

pub use figure::{Figure, GROUPS_MIN, Interval, Level, Method};
pub use refusal::Refusal;
pub use rows::{Row, Rows};
