//! What a judge would answer on average, where the chances of its words are known.
//!
//! A judge that hesitates between 3 and 4 says one of them. With the chances of what might have stood in the
//! number's place its score is their mean: E[score] = Σ k·p(k) over the steps of the scale.

use insight::judging::Scale;

use crate::openai::TokenChances;

/// Returns the mean over the steps that might have stood where the answer's score stands: none unless the
/// scale has steps and the score is one token.
pub(super) fn expected(tokens: &[TokenChances], scale: Scale, chosen: f64) -> Option<f64> {
    if !matches!(scale, Scale::Whole { .. }) {
        return None;
    }
    let at = place_of_score(tokens)?;
    let step = |text: &str| {
        let number: f64 = text.trim_matches([' ', ':']).parse().ok()?;
        scale.contains(number).then_some(number)
    };
    // A number of several tokens has its chances in all of them.
    let ends = tokens
        .get(at + 1)
        .is_none_or(|next| !next.token.starts_with(|c: char| c.is_ascii_digit()));
    if step(&tokens[at].token) != Some(chosen) || !ends {
        return None;
    }
    let (mut sum, mut weight) = (0.0, 0.0);
    for (text, logprob) in &tokens[at].top {
        if let Some(number) = step(text) {
            let chance = logprob.exp();
            sum += number * chance;
            weight += chance;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

/// Returns the token after the last `"score":` that begins a number.
fn place_of_score(tokens: &[TokenChances]) -> Option<usize> {
    let text: String = tokens.iter().map(|it| it.token.as_str()).collect();
    let key = text.rfind("\"score\"")? + "\"score\"".len();
    let mut start = 0;
    tokens.iter().position(|it| {
        let from = start;
        start += it.token.len();
        let number = it.token.trim_matches([' ', ':']);
        from >= key && number.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(parts: &[(&str, &[(&str, f64)])]) -> Vec<TokenChances> {
        let token = |(token, top): &(&str, &[(&str, f64)])| TokenChances {
            token: (*token).to_owned(),
            top: top
                .iter()
                .map(|(text, chance)| ((*text).to_owned(), chance.ln()))
                .collect(),
        };
        parts.iter().map(token).collect()
    }

    #[test]
    fn a_hesitating_judge_stands_between_two_steps() {
        let scale = Scale::Whole { low: 1, high: 5 };
        let top: &[(&str, f64)] = &[("4", 0.6), ("3", 0.3), ("x", 0.05), ("9", 0.05)];
        let answer = tokens(&[
            ("{\"", &[]),
            ("score", &[]),
            ("\":", &[]),
            ("4", top),
            ("}", &[]),
        ]);
        let mean = expected(&answer, scale, 4.0).unwrap();
        assert!(
            (mean - (4.0 * 0.6 + 3.0 * 0.3) / 0.9).abs() < 1e-12,
            "{mean}"
        );
        // The number before the key is none, and what was chosen must be what stands there.
        let early = tokens(&[("3", top), ("{\"score\":", &[]), (" 4", top)]);
        assert!(expected(&early, scale, 4.0).is_some());
        assert_eq!(expected(&early, scale, 3.0), None);
        assert_eq!(
            expected(
                &answer,
                Scale::Real {
                    low: 0.0,
                    high: 5.0
                },
                4.0
            ),
            None
        );
        let ten = tokens(&[("\"score\":", &[]), ("1", &[("1", 0.9)]), ("0", &[])]);
        assert_eq!(expected(&ten, Scale::Whole { low: 1, high: 10 }, 1.0), None);
        assert_eq!(expected(&[], scale, 4.0), None);
    }
}
