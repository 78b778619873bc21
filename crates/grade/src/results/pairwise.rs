//! Which of two versions wins, as judges say who saw their traces side by side.
//!
//! A grade is one pair, judged in both orders: 1 is a win of the graded trace, 0 of the other, and a tie is
//! half a win. How often judges said another thing when the traces changed places stands beside it: where
//! that is most of the time, a rate near one half says nothing of the traces.

use serde::Serialize;
use utoipa::ToSchema;

use super::collected::{Collected, Graded};
use super::sample::{Said, Sample};
use super::summary::number;
use super::{FigureObject, Withheld, keep};

/// How often the graded traces win.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct PairwiseResults {
    /// Pairs that were judged in both orders.
    pub pairs: u64,
    /// The share of wins, a tie being half of one.
    pub win_rate: Option<f64>,
    /// How sure that is.
    pub win_rate_figure: Option<FigureObject>,
    /// The share of pairs of which judges said another thing when they were shown the other way round. Such
    /// pairs are ties.
    pub inconsistency_rate: Option<f64>,
    /// How sure that is.
    pub inconsistency_rate_figure: Option<FigureObject>,
    /// What follows, in words.
    pub sentence: String,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

/// Returns what a grader says that compares; nothing of others.
pub(super) fn of(collected: &Collected, grader: &Graded) -> Option<PairwiseResults> {
    if !grader.is_pairwise() {
        return None;
    }
    let mut withheld = Withheld::new();
    let of_share = Some((0.0, 1.0));
    let wins = Sample::of(collected, |item| Said::score(&grader.cell(item))).between(of_share);
    let contradiction = |item: u32| {
        let cell = grader.cell(item);
        match grader.contradictions.get(&item) {
            Some((attempt, share)) if *attempt == cell.attempt() => Said::Value(*share),
            _ => Said::Nothing,
        }
    };
    // Of a panel a share of the judges contradicts itself.
    let contradictions = Sample::of(collected, contradiction).between(of_share);
    let win_rate = keep(wins.share(), "win_rate", &mut withheld);
    let inconsistency = keep(contradictions.share(), "inconsistency_rate", &mut withheld);
    Some(PairwiseResults {
        pairs: wins.rows().map_or(0, |rows| rows.n() as u64),
        sentence: sentence(win_rate.as_ref()),
        win_rate: number(win_rate.as_ref()),
        win_rate_figure: win_rate,
        inconsistency_rate: number(inconsistency.as_ref()),
        inconsistency_rate_figure: inconsistency,
        withheld,
    })
}

fn sentence(win_rate: Option<&FigureObject>) -> String {
    let Some(figure) = win_rate else {
        return "There are too few pairs to say which traces are better.".to_owned();
    };
    let told = figure.as_percent();
    match figure.interval {
        [Some(low), _] if low > 0.5 => {
            format!("The graded traces are better: they win {told}, a tie being half a win.")
        }
        [_, Some(high)] if high < 0.5 => {
            format!("The graded traces are worse: they win {told}, a tie being half a win.")
        }
        _ => format!(
            "It cannot be told which traces are better: the graded ones win {told}, a tie being half a win."
        ),
    }
}

#[cfg(test)]
mod tests {
    use model::Grade;

    use super::super::made::{self, pair};

    fn results(grades: impl IntoIterator<Item = Grade>) -> super::super::GraderResults {
        let collected = made::collected(&[made::of_pairs("which")], grades);
        collected.results().by_grader["which"].clone()
    }

    #[test]
    fn wins_and_contradictions_are_rates_with_intervals() {
        let (win, lose, flip) = (["better"; 2], ["worse"; 2], ["better", "worse"]);
        let orders = |n: usize| match n % 10 {
            0..6 => win,
            6 => lose,
            _ => flip,
        };
        let of_grader = results((0..100).map(|n| pair("which", n, orders(n))));
        let told = of_grader.pairwise.clone().unwrap();
        assert_eq!(told.pairs, 100);
        assert!((told.win_rate.unwrap() - 0.75).abs() < 1e-12, "{told:?}");
        assert!((told.inconsistency_rate.unwrap() - 0.3).abs() < 1e-12);
        let figure = told.inconsistency_rate_figure.unwrap();
        assert_eq!((figure.n, figure.groups), (100, 100));
        assert!(figure.interval[0].unwrap() > 0.2 && figure.interval[1].unwrap() < 0.4);
        assert!(told.sentence.contains("are better"), "{}", told.sentence);
        // The same as labels, and no rate of passes.
        assert_eq!(of_grader.labels["better"].count, 60);
        assert_eq!(of_grader.pass_rate, None);
    }

    #[test]
    fn judges_who_contradict_themselves_find_nothing() {
        let of_grader = results((0..40).map(|n| pair("which", n, ["better", "worse"])));
        let told = of_grader.pairwise.unwrap();
        assert_eq!(told.win_rate, Some(0.5));
        // However alike the ties, it is not known to be one half.
        let ends = told.win_rate_figure.unwrap().interval;
        assert!(ends[0].unwrap() < 0.4 && ends[1].unwrap() > 0.6, "{ends:?}");
        assert!(
            told.sentence.contains("cannot be told"),
            "{}",
            told.sentence
        );
        assert_eq!(told.inconsistency_rate, Some(1.0));
    }

    #[test]
    fn a_few_wins_prove_nothing_and_many_do() {
        let wins = |count: usize| {
            let of_grader = results((0..count).map(|n| pair("which", n, ["better"; 2])));
            assert_eq!(of_grader.mean, Some(1.0));
            let told = of_grader.pairwise.unwrap();
            assert_eq!(
                of_grader.mean_figure.unwrap().interval,
                told.win_rate_figure.unwrap().interval
            );
            told.sentence
        };
        assert!(wins(3).contains("cannot be told"), "{}", wins(3));
        assert!(wins(12).contains("are better"), "{}", wins(12));
    }

    #[test]
    fn who_compares_nothing_has_no_win_rate() {
        assert!(
            results([made::grade("which", "t", made::passed(true))])
                .pairwise
                .is_none()
        );
    }
}
