//! One grader.
use super::*;
pub(super) fn compare_all(
    baseline: &Collected,
    candidate: &Collected,
    options: &CompareOptions,
) -> Comparison {
    unimplemented!("{baseline:?} {candidate:?} {options:?}")
}
