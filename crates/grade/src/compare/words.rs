//! A comparison in words.

use stats::Method;

use super::both::Metric;
use super::pairing::By;
use super::tested::Outcome;
use super::{GraderComparison, Standing, Tested};
use crate::results::FigureObject;

/// Returns which test was used and why.
pub(crate) fn method(outcome: &Outcome, by: By) -> String {
    let how = match outcome.found.exact {
        true => "all arrangements counted",
        false => "20,000 random arrangements",
    };
    let pairs = outcome.found.difference.n;
    match (outcome.design, by) {
        ("paired", By::Key) => format!(
            "Both runs have the same {pairs} keys, so they are paired, repeats averaged: signs of the differences are flipped ({how}), and the interval is mean ± t·SE over pairs."
        ),
        ("paired", By::Item) => format!(
            "Both runs graded the same {pairs} traces, so they are paired: signs of the differences are flipped ({how}), and the interval is mean ± t·SE over pairs."
        ),
        ("paired", By::Group | By::Nothing) => format!(
            "Every one of {pairs} groups is in both runs, so groups are paired, their traces averaged: signs of the differences are flipped ({how}), and the interval is mean ± t·SE over groups."
        ),
        ("paired", By::GroupsOfItems) => format!(
            "Both runs graded the same traces, which are in {pairs} groups, so groups are paired, their traces averaged: signs of the differences are flipped ({how}), and the interval is mean ± t·SE over groups."
        ),
        ("paired_strata", _) => format!(
            "Both runs have the same {pairs} items of a sample drawn in parts: their differences are weighted by the population, with a normal test."
        ),
        ("strata", _) => "The sample was drawn in parts: weighted means are compared, with a normal test on SE_A² + SE_B².".to_owned(),
        ("ranks", _) => format!(
            "Nothing pairs the runs and the values are numbers: Mann and Whitney's ranks, the runs' names dealt anew to whole groups ({how}); {}.",
            match outcome.found.difference.interval.method {
                Method::HodgesLehmann => "the difference is Hodges and Lehmann's shift",
                _ => "many values are equal, so the difference is that of the means",
            }
        ),
        _ => format!(
            "Nothing pairs the runs: their names are dealt anew to whole groups ({how}); the interval is {}.",
            outcome.found.difference.interval.method
        ),
    }
}

/// Returns what a comparison comes to: only where the difference has a direction it is better or worse.
pub(super) fn standing(metric: &Metric, tested: &Tested, alpha: f64) -> Standing {
    // Ranks may point another way than sizes: then nothing is better or worse.
    let size = tested.difference.estimate;
    let direction = match &tested.probability_greater {
        Some(greater) if (greater.estimate - 0.5) * size <= 0.0 => 0.0,
        _ => size,
    };
    if tested.p_adjusted <= alpha && direction != 0.0 && matches!(metric, Metric::Label(_)) {
        Standing::Changed
    } else if tested.p_adjusted <= alpha && direction > 0.0 {
        Standing::Better
    } else if tested.p_adjusted <= alpha && direction < 0.0 {
        Standing::Worse
    } else if tested.not_worse == Some(true) {
        Standing::NotWorse
    } else {
        Standing::CannotTell
    }
}

/// Returns the verdict of a grader in words.
pub(super) fn sentence(
    name: &str,
    metric: &Metric,
    tested: &Tested,
    standing: Standing,
    margin: Option<f64>,
) -> String {
    let who = match metric {
        Metric::Label(_) => format!("{name}, {}", metric.name()),
        Metric::PassRate | Metric::Score => name.to_owned(),
    };
    let size = |value: f64| metric.size(value);
    let interval = interval(&tested.difference, metric);
    let p = p_value(tested.p_adjusted);
    let allowed = margin.map(size).unwrap_or_default();
    let difference = &tested.difference;
    match standing {
        Standing::Changed => {
            let rather = if difference.estimate < 0.0 {
                "less"
            } else {
                "more"
            };
            let by = size(difference.estimate.abs());
            format!("{who}: {rather} often, by {by} {interval}, {p}.")
        }
        Standing::Better => {
            format!(
                "{who}: better by {} {interval}, {p}.",
                size(difference.estimate)
            )
        }
        Standing::Worse => {
            let but = match (tested.not_worse, margin) {
                (Some(true), Some(_)) => format!(" That is less than the {allowed} allowed."),
                _ => String::new(),
            };
            let by = size(-difference.estimate);
            let interval = interval_of_loss(difference, metric);
            format!("{who}: worse by {by} {interval}, {p}.{but}")
        }
        Standing::NotWorse => format!(
            "{who}: not worse by more than {allowed}; the difference is {} {interval}.",
            size(difference.estimate)
        ),
        Standing::CannotTell => format!(
            "{who}: these traces cannot tell; the difference is {} {interval}, and {}.",
            size(difference.estimate),
            metric.could_be_seen("one", tested.detectable)
        ),
    }
}

/// Returns the interval of a difference in words.
pub(crate) fn interval(figure: &FigureObject, metric: &Metric) -> String {
    between(figure.interval, figure, metric)
}

/// Returns the interval of a loss in words: that of the difference, seen from the other side.
pub(crate) fn interval_of_loss(figure: &FigureObject, metric: &Metric) -> String {
    let [low, high] = figure.interval;
    between([high.map(|it| -it), low.map(|it| -it)], figure, metric)
}

fn between([low, high]: [Option<f64>; 2], figure: &FigureObject, metric: &Metric) -> String {
    let end =
        |end: Option<f64>, none: &str| end.map_or_else(|| none.to_owned(), |it| number(metric, it));
    let few = if figure.too_few_groups {
        ", too few groups"
    } else {
        ""
    };
    format!("({} to {}{few})", end(low, "−∞"), end(high, "∞"))
}

fn number(metric: &Metric, value: f64) -> String {
    let size = metric.size(value);
    size.strip_suffix(" points")
        .map_or(size.clone(), str::to_owned)
}

/// Returns a p value in words.
pub(crate) fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".to_owned(),
        p => format!("p = {p:.3}"),
    }
}

/// Returns what all graders come to, and that in words.
pub(super) fn together(graders: &[GraderComparison]) -> (Standing, String) {
    let count = |standing| graders.iter().filter(|it| it.verdict == standing).count();
    let names = |standing| {
        let named = graders.iter().filter(|it| it.verdict == standing);
        named
            .map(|it| it.grader.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let all = graders.len();
    let of = |standing| match all {
        1 => String::new(),
        _ => format!(
            " by {} of {all} graders ({})",
            count(standing),
            names(standing)
        ),
    };
    if let [one] = graders {
        return (one.verdict, one.sentence.clone());
    }
    if count(Standing::Worse) > 0 {
        let also = match count(Standing::Better) {
            0 => String::new(),
            _ => format!(", and better{}", of(Standing::Better)),
        };
        let sentence = format!("The candidate is worse{}{also}.", of(Standing::Worse));
        (Standing::Worse, sentence)
    } else if count(Standing::Better) > 0 {
        let sentence = format!(
            "The candidate is better{}, and worse by none.",
            of(Standing::Better)
        );
        (Standing::Better, sentence)
    } else if all > 0 && count(Standing::NotWorse) == all {
        (
            Standing::NotWorse,
            "No grader finds the candidate worse by more than the margin.".to_owned(),
        )
    } else if count(Standing::Changed) > 0 {
        (
            Standing::Changed,
            format!("Something has changed{}.", of(Standing::Changed)),
        )
    } else if all == 0 {
        (
            Standing::CannotTell,
            "The runs have no grader in common.".to_owned(),
        )
    } else {
        (
            Standing::CannotTell,
            "These traces cannot tell the runs apart.".to_owned(),
        )
    }
}
