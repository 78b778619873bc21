//! How sure is the difference between the means of two arms whose groups may reach into both?
//!
//! A mean moves with each group by that group's sum of deviations. Where no group is in both arms the
//! two variances add up. Where one is, its effects on both arms are taken together first, so what moves
//! both alike cancels: that is what pairing gains.

use std::cmp::Ordering;

use crate::rows::{Row, Rows, correction};

/// mean(b) − mean(a).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contrast {
    pub(crate) difference: f64,
    pub(crate) variance: f64,
    /// Degrees of freedom for Student's t.
    pub(crate) freedom: f64,
    /// Groups, those in both arms counted once.
    pub(crate) groups: usize,
    /// Groups that are in both arms.
    pub(crate) straddling: usize,
}

/// Returns the difference and its variance; nothing if an arm has one group only.
///
/// No group in both arms: V_A + V_B of [`Rows::variance_of_mean`], degrees by Welch and Satterthwaite
/// over groups. Otherwise C/(C−1) · Σ_c(z_B − z_A)² with z the sum of a group's deviations over its
/// arm's n, and C − 1 degrees. Checked against statsmodels OLS on an indicator, `cov_type="cluster"`.
pub(crate) fn contrast(a: &Rows, b: &Rows) -> Option<Contrast> {
    weighted_contrast(a, b, 1.0, 1.0)
}

/// As [`contrast`], of `weight_b` · mean(b) − `weight_a` · mean(a).
pub(crate) fn weighted_contrast(
    a: &Rows,
    b: &Rows,
    weight_a: f64,
    weight_b: f64,
) -> Option<Contrast> {
    let difference = weight_b * b.mean() - weight_a * a.mean();
    let effects = effects(a, b);
    let groups = effects.len();
    let straddling = effects.iter().filter(|effect| effect.in_both).count();
    if straddling > 0 {
        if groups < 2 {
            return None;
        }
        let squares: f64 = effects
            .iter()
            .map(|effect| (weight_b * effect.on_b - weight_a * effect.on_a).powi(2))
            .sum();
        return Some(Contrast {
            difference,
            variance: correction(groups) * squares,
            freedom: groups as f64 - 1.0,
            groups,
            straddling,
        });
    }
    let of_a = weight_a * weight_a * a.variance_of_mean()?;
    let of_b = weight_b * weight_b * b.variance_of_mean()?;
    let sum = of_a + of_b;
    let (free_a, free_b) = (a.groups() as f64 - 1.0, b.groups() as f64 - 1.0);
    let freedom = if sum > 0.0 {
        // shares, for squares of tiny variances are zero
        let (part_a, part_b) = (of_a / sum, of_b / sum);
        1.0 / (part_a * part_a / free_a + part_b * part_b / free_b)
    } else {
        free_a + free_b
    };
    Some(Contrast {
        difference,
        variance: sum,
        freedom,
        groups,
        straddling,
    })
}

/// What a group adds to the means of both arms.
struct Effect {
    on_a: f64,
    on_b: f64,
    in_both: bool,
}

fn effects(a: &Rows, b: &Rows) -> Vec<Effect> {
    let (mean_a, mean_b) = (a.mean(), b.mean());
    joined(a, b)
        .into_iter()
        .map(|(in_a, in_b)| Effect {
            on_a: sum_of_deviations(in_a, mean_a) / a.n() as f64,
            on_b: sum_of_deviations(in_b, mean_b) / b.n() as f64,
            in_both: !in_a.is_empty() && !in_b.is_empty(),
        })
        .collect()
}

fn sum_of_deviations(rows: &[Row], mean: f64) -> f64 {
    rows.iter().map(|row| row.value - mean).sum()
}

/// Returns every group of either arm with its rows in both; the list is empty where it has none.
pub(crate) fn joined<'a>(a: &'a Rows, b: &'a Rows) -> Vec<(&'a [Row], &'a [Row])> {
    let mut groups = Vec::with_capacity(a.groups() + b.groups());
    let (mut in_a, mut in_b) = (a.by_group().peekable(), b.by_group().peekable());
    loop {
        let order = match (in_a.peek(), in_b.peek()) {
            (None, None) => return groups,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            // both sorted with the keyless first, and no two keyless are of one group
            (Some(one), Some(other)) => match (one[0].group, other[0].group) {
                (None, _) => Ordering::Less,
                (_, None) => Ordering::Greater,
                (one, other) => one.cmp(&other),
            },
        };
        let one = if order.is_le() { in_a.next() } else { None };
        let other = if order.is_ge() { in_b.next() } else { None };
        groups.push((one.unwrap_or_default(), other.unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[(f64, Option<u64>)]) -> Rows {
        Rows::new(values.iter().map(|&(value, group)| Row { value, group })).unwrap()
    }

    #[test]
    fn pairs_of_groups_give_the_variance_of_their_differences() {
        let a = rows(&[(1.0, Some(1)), (4.0, Some(2)), (2.0, Some(3))]);
        let b = rows(&[(2.0, Some(3)), (3.0, Some(1)), (5.0, Some(2))]);
        let contrast = contrast(&a, &b).unwrap();
        // differences 2, 1, 0: s²/3 = 1/3
        assert!((contrast.difference - 1.0).abs() < 1e-15);
        assert!((contrast.variance - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(
            (contrast.groups, contrast.straddling, contrast.freedom),
            (3, 3, 2.0)
        );
    }

    #[test]
    fn rows_without_a_key_are_never_joined() {
        let a = rows(&[(1.0, None), (4.0, None), (2.0, Some(9))]);
        let b = rows(&[(1.0, None), (4.0, Some(9)), (5.0, Some(10))]);
        assert_eq!(
            contrast(&a, &b).map(|contrast| (contrast.groups, contrast.straddling)),
            Some((5, 1))
        );
    }
}
