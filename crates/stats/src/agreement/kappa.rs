//! Cohen's kappa: how much two raters agree beyond what luck gives.

use std::collections::BTreeMap;

use crate::bootstrap::percentiles;
use crate::rows::{Row, Rows};
use crate::{Figure, Interval, Level, Method, Refusal};

/// An item that two raters gave a label each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    /// The first rater's.
    pub first: u32,
    /// The second rater's.
    pub second: u32,
    /// Items of one key are alike.
    pub group: Option<u64>,
}

/// Returns κ = (p_o − p_e)/(1 − p_e) with a bootstrap interval over groups.
///
/// p_o is the share of equal labels, p_e what it would be if each rater dealt out his labels by luck
/// (Cohen 1960). Percentiles of 2,000 resamples; those in which κ is not defined are left out. If all
/// labels agree no resample says otherwise and the interval is a point: the agreement's own says more.
/// Checked
/// against statsmodels `cohens_kappa`. Refused if both raters gave one and the same label only.
pub fn kappa(labels: &[Labels], level: Level, seed: u64) -> Result<Figure, Refusal> {
    weighted_kappa(labels, &vec![1.0; labels.len()], level, seed)
}

/// Returns the same of items that stand for different numbers of others, as a label that was asked for
/// with a known chance does for one over it.
pub fn weighted_kappa(
    labels: &[Labels],
    weights: &[f64],
    level: Level,
    seed: u64,
) -> Result<Figure, Refusal> {
    if labels.len() != weights.len() {
        return Err(Refusal::Lengths(labels.len(), weights.len()));
    }
    if labels.is_empty() {
        return Err(Refusal::Empty);
    }
    // the table of a group is all that a resample needs
    let mut cells: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for item in labels {
        let next = cells.len();
        cells.entry((item.first, item.second)).or_insert(next);
    }
    let names: Vec<(u32, u32)> = {
        let mut names = vec![(0, 0); cells.len()];
        for (&name, &place) in &cells {
            names[place] = name;
        }
        names
    };
    let mut tables: BTreeMap<(u64, u64), Vec<f64>> = BTreeMap::new();
    for (place, (item, weight)) in labels.iter().zip(weights).enumerate() {
        let key = item.group.map_or((1, place as u64), |group| (0, group));
        let table = tables.entry(key).or_insert_with(|| vec![0.0; names.len()]);
        table[cells[&(item.first, item.second)]] += weight;
    }
    let tables: Vec<Vec<f64>> = tables.into_values().collect();
    let chosen = |which: &[usize]| {
        let mut sum = vec![0.0; names.len()];
        for &group in which {
            for (total, count) in sum.iter_mut().zip(&tables[group]) {
                *total += count;
            }
        }
        Shares::of(&names, &sum).kappa()
    };
    let all: Vec<usize> = (0..tables.len()).collect();
    let estimate = chosen(&all).ok_or(Refusal::NoSpread)?;
    let (low, high) = percentiles(tables.len(), level, seed, chosen)?;
    let ends = (low.min(estimate), high.max(estimate));
    Ok(Figure {
        estimate,
        interval: Interval::new(ends, level, Method::BootstrapPercentile),
        n: labels.len(),
        groups: tables.len(),
        design_effect: design_effect(labels, weights)?,
    })
}

/// A table of two raters as shares.
struct Shares {
    agree: f64,
    /// Each label's share with the first and the second rater.
    margins: BTreeMap<u32, (f64, f64)>,
}

impl Shares {
    fn of(names: &[(u32, u32)], counts: &[f64]) -> Self {
        let n: f64 = counts.iter().sum();
        let mut shares = Self {
            agree: 0.0,
            margins: BTreeMap::new(),
        };
        for (&(first, second), count) in names.iter().zip(counts) {
            if first == second {
                shares.agree += count / n;
            }
            shares.margins.entry(first).or_default().0 += count / n;
            shares.margins.entry(second).or_default().1 += count / n;
        }
        shares
    }

    fn by_luck(&self) -> f64 {
        self.margins
            .values()
            .map(|(first, second)| first * second)
            .sum()
    }

    fn kappa(&self) -> Option<f64> {
        let by_luck = self.by_luck();
        // not == 1: the shares of equal labels may not sum to one in the last bit
        (by_luck < 1.0 - 1e-12).then(|| (self.agree - by_luck) / (1.0 - by_luck))
    }
}

/// By what each item moves κ: the variance of that over groups, against over items.
fn design_effect(labels: &[Labels], weights: &[f64]) -> Result<f64, Refusal> {
    let names: Vec<(u32, u32)> = labels
        .iter()
        .map(|item| (item.first, item.second))
        .collect();
    let shares = Shares::of(&names, weights);
    let mean_weight = weights.iter().sum::<f64>() / weights.len() as f64;
    let (agree, by_luck) = (shares.agree, shares.by_luck());
    let influence = |item: &Labels| {
        let margin = |label| shares.margins.get(&label).copied().unwrap_or_default();
        let luck = margin(item.first).1 + margin(item.second).0 - 2.0 * by_luck;
        let same = f64::from(u8::from(item.first == item.second)) - agree;
        same / (1.0 - by_luck) - (1.0 - agree) * luck / (1.0 - by_luck).powi(2)
    };
    let rows = Rows::new(labels.iter().zip(weights).map(|(item, weight)| Row {
        value: influence(item) * weight / mean_weight,
        group: item.group,
    }))?;
    // against as many independent items of equal weight
    let alone = Rows::independent(labels.iter().map(influence))?;
    let over_groups = rows.variance_of_mean().ok_or(Refusal::OneGroup)?;
    let alone = alone.variance().unwrap_or(0.0) / labels.len() as f64;
    Ok(
        match alone > 0.0 && (rows.is_grouped() || over_groups > alone * (1.0 + 1e-9)) {
            true => over_groups / alone,
            false => 1.0,
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(u32, u32, u64)]) -> Vec<Labels> {
        let group = |group: u64| (group > 0).then_some(group);
        pairs
            .iter()
            .map(|&(first, second, key)| Labels {
                first,
                second,
                group: group(key),
            })
            .collect()
    }

    #[test]
    fn items_told_twice_give_the_same_interval_and_a_design_effect_of_two() {
        let once: Vec<(u32, u32, u64)> = (0..60)
            .map(|i| (u32::from(i % 3 == 0), u32::from(i % 4 == 0), i + 1))
            .collect();
        let twice: Vec<(u32, u32, u64)> = once.iter().flat_map(|&item| [item, item]).collect();
        let (one, two) = (
            kappa(&labels(&once), Level::P95, 1).unwrap(),
            kappa(&labels(&twice), Level::P95, 1).unwrap(),
        );
        assert!((one.interval.width() - two.interval.width()).abs() < 1e-9);
        assert!((two.design_effect - 2.0).abs() < 0.05, "{two:?}");
    }

    #[test]
    fn raters_who_know_one_label_only_are_refused() {
        assert_eq!(
            kappa(&labels(&[(1, 1, 0), (1, 1, 0)]), Level::P95, 1),
            Err(Refusal::NoSpread)
        );
        assert_eq!(kappa(&[], Level::P95, 1), Err(Refusal::Empty));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_labels_give_a_kappa_or_a_refusal(pairs in prop::collection::vec((0_u32..3, 0_u32..3, 0_u64..5), 0..25)) {
            if let Ok(figure) = kappa(&labels(&pairs), Level::P95, 1) {
                prop_assert!(figure.interval.contains(figure.estimate));
                prop_assert!((-1.0..=1.0 + 1e-12).contains(&figure.estimate), "{figure:?}");
            }
        }
    }
}
