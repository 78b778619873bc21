//! Many questions were asked: which answers still count?
//!
//! Of twenty graders one "differs" by luck. A gate must not be stopped by any: Holm. Who explores wants
//! few of the leads to be luck: Benjamini and Hochberg, or with e-values, which may have been looked at
//! all the time, e-BH.

use crate::Refusal;

/// The share of false leads that exploration accepts.
pub const EXPLORATION_Q: f64 = 0.10;

/// Returns Holm's adjusted p values: reject those ≤ α, and any false rejection has chance ≤ α.
///
/// max_{j ≤ i} min(1, (m − j + 1)·p_(j)) over sorted p; no assumption on dependence. Checked against
/// statsmodels `multipletests(method="holm")`.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, Refusal> {
    let order = sorted_order(p_values)?;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut most = 0.0_f64;
    for (before, &place) in order.iter().enumerate() {
        let left = (p_values.len() - before) as f64;
        most = most.max((left * p_values[place]).min(1.0));
        adjusted[place] = most;
    }
    Ok(adjusted)
}

/// Returns Benjamini and Hochberg's adjusted p values: of those ≤ q a share of at most q is luck.
///
/// min_{j ≥ i} min(1, m/j·p_(j)) over sorted p; assumes tests independent or positively dependent.
/// Checked against statsmodels `multipletests(method="fdr_bh")`.
pub fn benjamini_hochberg(p_values: &[f64]) -> Result<Vec<f64>, Refusal> {
    let order = sorted_order(p_values)?;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least = 1.0_f64;
    for (before, &place) in order.iter().enumerate().rev() {
        least = least.min(p_values.len() as f64 / (before + 1) as f64 * p_values[place]);
        adjusted[place] = least;
    }
    Ok(adjusted)
}

/// Returns which e-values count at a share `q` of false ones, whatever their dependence.
///
/// The k largest, for the greatest k with k·e_(k) ≥ m/q (Wang and Ramdas 2022, arXiv 2009.02824).
pub fn e_benjamini_hochberg(e_values: &[f64], q: f64) -> Result<Vec<bool>, Refusal> {
    check(q, 0.0, 1.0)?;
    for &e in e_values {
        // infinite evidence is evidence
        if e.is_nan() || e < 0.0 {
            return Err(Refusal::OutOfRange {
                value: e,
                low: 0.0,
                high: f64::INFINITY,
            });
        }
    }
    let mut sorted = e_values.to_vec();
    sorted.sort_by(|one, other| other.total_cmp(one));
    let bar = e_values.len() as f64 / q;
    let least = sorted
        .iter()
        .enumerate()
        .rev()
        .find(|(before, e)| (before + 1) as f64 * **e >= bar)
        .map(|(_, e)| *e);
    Ok(e_values
        .iter()
        .map(|e| least.is_some_and(|least| *e >= least))
        .collect())
}

/// Returns the p value that an e-value is worth: min(1, 1/e).
pub fn e_to_p(e_value: f64) -> f64 {
    if e_value > 1.0 { 1.0 / e_value } else { 1.0 }
}

fn sorted_order(p_values: &[f64]) -> Result<Vec<usize>, Refusal> {
    for &p in p_values {
        check(p, 0.0, 1.0)?;
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&one, &other| p_values[one].total_cmp(&p_values[other]));
    Ok(order)
}

fn check(value: f64, low: f64, high: f64) -> Result<(), Refusal> {
    if low <= value && value <= high {
        Ok(())
    } else {
        Err(Refusal::OutOfRange { value, low, high })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn e_values_count_together() {
        // m/q = 30: 20 alone would not do, two of them do
        assert_eq!(
            e_benjamini_hochberg(&[20.0, 1.0, 20.0], 0.1).unwrap(),
            [true, false, true]
        );
        assert_eq!(
            e_benjamini_hochberg(&[20.0, 1.0, 2.0], 0.1).unwrap(),
            [false, false, false]
        );
        assert_eq!(
            e_benjamini_hochberg(&[f64::INFINITY, 0.0], 0.1).unwrap(),
            [true, false]
        );
        assert!(e_benjamini_hochberg(&[f64::NAN], 0.1).is_err());
        assert_eq!(
            (e_to_p(20.0), e_to_p(0.3), e_to_p(f64::INFINITY)),
            (0.05, 1.0, 0.0)
        );
    }

    #[test]
    fn what_is_no_p_value_is_refused_and_none_is_none() {
        assert!(holm(&[0.1, f64::NAN]).is_err());
        assert!(benjamini_hochberg(&[1.1]).is_err());
        assert_eq!(holm(&[]), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn adjusting_keeps_the_order_and_never_lowers(p in prop::collection::vec(0.0..=1.0_f64, 1..40)) {
            let (holm, bh) = (holm(&p).unwrap(), benjamini_hochberg(&p).unwrap());
            for i in 0..p.len() {
                prop_assert!(p[i] <= bh[i] + 1e-15 && bh[i] <= holm[i] + 1e-15 && holm[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || (bh[i] <= bh[j] && holm[i] <= holm[j]));
                }
            }
        }
    }
}
