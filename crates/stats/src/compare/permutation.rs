//! If the versions' names were dealt out anew, how often would they differ as much?

use super::paired::{DRAWS, threshold};
use crate::contrast::joined;
use crate::distribution::ln_choose;
use crate::rng::Chance;
use crate::{Refusal, Row, Rows};

/// Up to so many groups all arrangements are tried.
const EXACT_MAX: usize = 14;

/// The outcome of a permutation of labels over groups.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Permutation {
    /// The share of arrangements whose means differ no less than those seen.
    pub p_value: f64,
    /// Whether all arrangements were counted.
    pub exact: bool,
}

/// What a group has in one arm.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    sum: f64,
    n: f64,
}

impl Part {
    fn of(rows: &[Row]) -> Self {
        Self {
            sum: rows.iter().map(|row| row.value).sum(),
            n: rows.len() as f64,
        }
    }

    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.n += other.n;
    }

    fn mean(self) -> f64 {
        self.sum / self.n
    }
}

/// The groups of both arms as they can be dealt.
struct Deck {
    /// Groups of one arm only; of these `in_b` go to B.
    apart: Vec<Part>,
    in_b: usize,
    /// Groups in both arms, whose two parts change places.
    straddling: Vec<(Part, Part)>,
    total: Part,
}

/// Tests whether two versions have the same mean, by permuting their labels over whole groups.
///
/// The statistic is |mean(B) − mean(A)| over values. A group that is in both versions keeps its two
/// parts, which change places; other groups are dealt anew, as many to each version as it had. Single
/// passes and fails are counted out by the hypergeometric distribution, and up to 14 groups by trying all
/// arrangements; else it is (1 + hits)/(1 + 20,000) of random ones. Assumes that groups
/// could have come to either version. Checked against scipy `permutation_test` on independent values.
pub fn label_permutation(a: &Rows, b: &Rows, seed: u64) -> Result<Permutation, Refusal> {
    let deck = Deck::new(a, b);
    let units = deck.apart.len() + deck.straddling.len();
    if units < 2 {
        return Err(Refusal::OneGroup);
    }
    let observed = (b.mean() - a.mean()).abs();
    let scale = a
        .values()
        .chain(b.values())
        .fold(0.0, |most: f64, value| most.max(value.abs()));
    let least = threshold(observed, scale);
    if deck.straddling.is_empty()
        && !(a.is_grouped() || b.is_grouped())
        && a.is_binary()
        && b.is_binary()
    {
        return Ok(Permutation {
            p_value: deck.counted(least),
            exact: true,
        });
    }
    if units <= EXACT_MAX {
        let (mut hits, mut all) = (0_u32, 0_u32);
        for labels in 0_u32..1 << units {
            let Some(difference) = deck.dealt(labels) else {
                continue;
            };
            all += 1;
            hits += u32::from(difference.abs() >= least);
        }
        return Ok(Permutation {
            p_value: f64::from(hits) / f64::from(all),
            exact: true,
        });
    }
    let mut chance = Chance::new(seed);
    let mut order: Vec<usize> = (0..deck.apart.len()).collect();
    let hits = (0..DRAWS)
        .filter(|_| deck.shuffled(&mut order, &mut chance).abs() >= least)
        .count();
    Ok(Permutation {
        p_value: (hits + 1) as f64 / (DRAWS + 1) as f64,
        exact: false,
    })
}

impl Deck {
    fn new(a: &Rows, b: &Rows) -> Self {
        let mut deck = Self {
            apart: Vec::new(),
            in_b: 0,
            straddling: Vec::new(),
            total: Part::default(),
        };
        for (in_a, in_b) in joined(a, b) {
            let (of_a, of_b) = (Part::of(in_a), Part::of(in_b));
            deck.total.add(of_a);
            deck.total.add(of_b);
            match (in_a.is_empty(), in_b.is_empty()) {
                (false, false) => deck.straddling.push((of_a, of_b)),
                (true, _) => {
                    deck.apart.push(of_b);
                    deck.in_b += 1;
                }
                (_, true) => deck.apart.push(of_a),
            }
        }
        deck
    }

    /// The share of all deals of single passes and fails whose difference is no smaller than `least`.
    ///
    /// A deal is told by the passes that B gets, whose chance is hypergeometric.
    fn counted(&self, least: f64) -> f64 {
        let (n_b, passes) = (self.in_b as f64, self.total.sum);
        let all = ln_choose(self.total.n, n_b);
        let fewest = (n_b + passes - self.total.n).max(0.0) as u64;
        let share: f64 = (fewest..=passes.min(n_b) as u64)
            .map(|of_b| of_b as f64)
            .filter(|&sum| self.difference(Part { sum, n: n_b }).abs() >= least)
            .map(|of_b| {
                let fails = self.total.n - passes;
                (ln_choose(passes, of_b) + ln_choose(fails, n_b - of_b) - all).exp()
            })
            .sum();
        share.min(1.0)
    }

    fn difference(&self, b: Part) -> f64 {
        let a = Part {
            sum: self.total.sum - b.sum,
            n: self.total.n - b.n,
        };
        b.mean() - a.mean()
    }

    /// The difference under one choice of labels, a bit for each group; nothing if it gives B another
    /// number of groups.
    fn dealt(&self, labels: u32) -> Option<f64> {
        let chosen = labels & ((1 << self.apart.len()) - 1);
        if chosen.count_ones() as usize != self.in_b {
            return None;
        }
        let mut b = Part::default();
        for (place, part) in self.apart.iter().enumerate() {
            if labels >> place & 1 == 1 {
                b.add(*part);
            }
        }
        for (place, (one, other)) in self.straddling.iter().enumerate() {
            let swapped = labels >> (self.apart.len() + place) & 1 == 1;
            b.add(if swapped { *one } else { *other });
        }
        Some(self.difference(b))
    }

    /// The difference under random labels; `order` is any order of the groups apart, and is shuffled.
    fn shuffled(&self, order: &mut [usize], chance: &mut Chance) -> f64 {
        let mut b = Part::default();
        for place in 0..self.in_b {
            order.swap(place, place + chance.below(order.len() - place));
            b.add(self.apart[order[place]]);
        }
        for (one, other) in &self.straddling {
            b.add(if chance.coin(0.5) { *one } else { *other });
        }
        self.difference(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[(f64, u64)]) -> Rows {
        Rows::new(values.iter().map(|&(value, group)| Row {
            value,
            group: (group > 0).then_some(group),
        }))
        .unwrap()
    }

    #[test]
    fn whole_groups_are_dealt() {
        // four groups of two, two each: six deals, of which two are as far apart
        let a = rows(&[(0.0, 1), (0.0, 1), (1.0, 2), (1.0, 2)]);
        let b = rows(&[(5.0, 3), (5.0, 3), (6.0, 4), (6.0, 4)]);
        let test = label_permutation(&a, &b, 0).unwrap();
        assert_eq!((test.p_value, test.exact), (2.0 / 6.0, true));
    }

    #[test]
    fn single_passes_are_counted_as_if_all_deals_were_tried() {
        for passed in [(0, 4), (1, 5), (3, 3), (2, 7)] {
            let passes = |passed: usize| {
                let values = (0..7).map(|i| (f64::from(u8::from(i < passed)), 0));
                rows(&values.collect::<Vec<_>>())
            };
            let (a, b) = (passes(passed.0), passes(passed.1));
            let deck = Deck::new(&a, &b);
            let least = threshold((b.mean() - a.mean()).abs(), 1.0);
            let deals: Vec<f64> = (0_u32..1 << 14)
                .filter_map(|labels| deck.dealt(labels))
                .collect();
            let hits = deals
                .iter()
                .filter(|difference| difference.abs() >= least)
                .count();
            let tried = hits as f64 / deals.len() as f64;
            let counted = label_permutation(&a, &b, 0).unwrap();
            assert!(
                counted.exact && (counted.p_value - tried).abs() < 1e-9,
                "{passed:?}"
            );
        }
    }

    #[test]
    fn a_group_in_both_versions_swaps_its_parts() {
        let a = rows(&[(0.0, 1), (1.0, 2), (2.0, 3)]);
        let b = rows(&[(5.0, 1), (6.0, 2), (7.0, 3)]);
        // eight swaps, of which two are as far apart: as the signs of three differences
        assert_eq!(label_permutation(&a, &b, 0).unwrap().p_value, 2.0 / 8.0);
    }

    #[test]
    fn random_deals_come_near_the_exact_count() {
        let values = |from: u64, shift: f64| -> Vec<(f64, u64)> {
            (0..7)
                .map(|i| (((i * 7 + from) % 5) as f64 + shift, 0))
                .collect()
        };
        let (a, b) = (rows(&values(1, 0.0)), rows(&values(2, 1.0)));
        let exact = label_permutation(&a, &b, 0).unwrap();
        assert!(exact.exact);
        let deck = Deck::new(&a, &b);
        let mut order: Vec<usize> = (0..14).collect();
        let mut chance = Chance::new(5);
        let least = threshold((b.mean() - a.mean()).abs(), 5.0);
        let hits = (0..DRAWS)
            .filter(|_| deck.shuffled(&mut order, &mut chance).abs() >= least)
            .count();
        let (p, seen) = (exact.p_value, hits as f64 / DRAWS as f64);
        assert!(
            (p - seen).abs() < 4.0 * (p * (1.0 - p) / DRAWS as f64).sqrt(),
            "{p} {seen}"
        );
    }
}
