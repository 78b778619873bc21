//! Is it in the right order?

/// Returns the length of the longest common subsequence.
///
/// By Hyyrö's bit-parallel form (2004): `masks(at)` has a bit for each expected call that the made call
/// at this place does for. One step a made call and 64 expected ones.
pub(super) fn common_subsequence<'a>(
    made: usize,
    expected: usize,
    masks: impl Fn(usize) -> &'a [u64],
) -> usize {
    let words = expected.div_ceil(64);
    // a zero stands where the subsequence grew
    let mut grown = vec![u64::MAX; words];
    for at in 0..made {
        let mut carry = false;
        for (grown, mask) in grown.iter_mut().zip(masks(at)) {
            let hit = *grown & mask;
            let (sum, over) = grown.overflowing_add(hit);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            carry = over || again;
            *grown = sum | (*grown & !mask);
        }
    }
    let zeros: u32 = grown.iter().map(|word| word.count_zeros()).sum();
    zeros as usize
}

/// Returns the largest weight of a common subsequence, where each pair has a weight from 0 to 1.
pub(super) fn common_weight(
    made: usize,
    expected: usize,
    weight: impl Fn(usize, usize) -> f64,
) -> f64 {
    let mut before = vec![0.0f64; expected + 1];
    let mut now = before.clone();
    for m in 0..made {
        for e in 0..expected {
            let paired = before[e] + weight(m, e);
            now[e + 1] = paired.max(before[e + 1]).max(now[e]);
        }
        std::mem::swap(&mut before, &mut now);
    }
    before[expected]
}

/// Returns Kendall's τ of pairs that are distinct on both sides; `None` of fewer than two, which have no
/// order.
pub(super) fn kendall_tau(pairs: &[(u32, u32)]) -> Option<f64> {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    let mut places: Vec<u32> = pairs.into_iter().map(|(_, expected)| expected).collect();
    let count = places.len();
    if count < 2 {
        return None;
    }
    let all = (count * (count - 1) / 2) as f64;
    let wrong = inversions(&mut places) as f64;
    Some((all - 2.0 * wrong) / all)
}

/// Sorts, and returns how many pairs stood the wrong way round.
fn inversions(places: &mut [u32]) -> u64 {
    if places.len() < 2 {
        return 0;
    }
    let half = places.len() / 2;
    let (left, right) = places.split_at_mut(half);
    let mut count = inversions(left) + inversions(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        let takes_left = r == right.len() || (l < left.len() && left[l] <= right[r]);
        if takes_left {
            merged.push(left[l]);
            l += 1;
        } else {
            count += (left.len() - l) as u64;
            merged.push(right[r]);
            r += 1;
        }
    }
    places.copy_from_slice(&merged);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masks(made: &[u8], expected: &[u8]) -> Vec<Vec<u64>> {
        let mask = |call: &u8| {
            let mut mask = vec![0u64; expected.len().div_ceil(64)];
            for (at, other) in expected.iter().enumerate() {
                mask[at / 64] |= u64::from(call == other) << (at % 64);
            }
            mask
        };
        made.iter().map(mask).collect()
    }

    fn tau(order: &[u32]) -> Option<f64> {
        let pairs: Vec<(u32, u32)> = (0..).zip(order.iter().copied()).collect();
        kendall_tau(&pairs)
    }

    #[test]
    fn tau_is_one_in_order_and_minus_one_in_reverse() {
        assert_eq!(tau(&[0, 1, 2, 3]), Some(1.0));
        assert_eq!(tau(&[3, 2, 1, 0]), Some(-1.0));
        // 5 pairs agree, 1 does not
        assert_eq!(tau(&[0, 2, 1, 3]), Some(2.0 / 3.0));
        assert_eq!(tau(&[7]), None);
    }

    proptest! {
        #[test]
        fn the_bits_count_what_the_table_counts(
            made in prop::collection::vec(0u8..4, 0..150),
            expected in prop::collection::vec(0u8..4, 0..150),
        ) {
            let masks = masks(&made, &expected);
            let bits = common_subsequence(made.len(), expected.len(), |at| &masks[at]);
            let same = |m: usize, e: usize| f64::from(u8::from(made[m] == expected[e]));
            let table = common_weight(made.len(), expected.len(), same);
            prop_assert_eq!(bits as f64, table);
        }

        #[test]
        fn tau_is_the_share_of_pairs_in_order(order in Just((0u32..12).collect::<Vec<_>>()).prop_shuffle()) {
            let mut sum = 0.0;
            for (at, a) in order.iter().enumerate() {
                sum += order[at + 1..].iter().map(|b| if a < b { 1.0 } else { -1.0 }).sum::<f64>();
            }
            prop_assert!((tau(&order).unwrap() - sum / 66.0).abs() < 1e-12);
        }
    }
}
