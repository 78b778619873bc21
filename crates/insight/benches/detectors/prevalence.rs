//! How often each detector fires on traces as they are, and how many of those failed.

use std::time::{Duration, Instant};

use insight::{Answer, Detector, Detectors, Finding, TraceView};

use crate::{Data, support};

/// What one detector said of one set.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    applicable: usize,
    hits: usize,
    hit_failed: usize,
    hit_known: usize,
    clear_failed: usize,
    clear_known: usize,
    took: Duration,
}

/// Prints one line for each detector that could say something.
pub(crate) fn print(data: &Data) {
    let mut tallies = vec![Tally::default(); Detector::ALL.len()];
    let (mut spans, mut together) = (0, Duration::ZERO);
    let all = Detectors::all();
    for (line, succeeded) in &data.traces {
        let Some(view) = support::views(line.clone()).pop() else {
            continue;
        };
        let begun = Instant::now();
        assert_eq!(all.run(&view, &data.context).len(), Detector::ALL.len());
        together += begun.elapsed();
        spans += view.spans.len();
        for detector in Detector::ALL {
            let begun = Instant::now();
            let finding = one(*detector, &view, data);
            let tally = &mut tallies[*detector as usize];
            tally.took += begun.elapsed();
            tally.add(&finding.answer, *succeeded);
        }
    }
    println!(
        "\n{}: {} traces\n{:<27}{:>7}{:>7}{:>9}{:>14}{:>16}{:>9}",
        data.name,
        data.traces.len(),
        "detector",
        "told",
        "hits",
        "share",
        "P(fail|hit)",
        "P(fail|no hit)",
        "µs"
    );
    for (detector, tally) in Detector::ALL.iter().zip(tallies) {
        let share = |part: usize, all: usize| match all {
            0 => "-".to_owned(),
            _ => format!("{:.3}", part as f64 / all as f64),
        };
        println!(
            "{detector} {:<23}{:>7}{:>7}{:>9}{:>14}{:>16}{:>9.0}",
            detector.title(),
            tally.applicable,
            tally.hits,
            share(tally.hits, tally.applicable),
            share(tally.hit_failed, tally.hit_known),
            share(tally.clear_failed, tally.clear_known),
            tally.took.as_secs_f64() * 1e6 / data.traces.len() as f64
        );
    }
    println!(
        "all of them together: {:.0} µs for a trace of {:.1} spans",
        together.as_secs_f64() * 1e6 / data.traces.len() as f64,
        spans as f64 / data.traces.len() as f64
    );
}

/// Prints every hit of one detector.
pub(crate) fn print_hits(data: &Data, detector: Detector) {
    for (line, succeeded) in &data.traces {
        let Some(view) = support::views(line.clone()).pop() else {
            continue;
        };
        let outcome = match succeeded {
            Some(true) => "passed",
            Some(false) => "failed",
            None => "?",
        };
        for hit in one(detector, &view, data).hits() {
            let (id, set) = (&view.row.item.trace_id, data.name);
            let (weight, spans) = (hit.severity.as_str(), hit.spans.len());
            println!(
                "{set} {outcome} {id} {weight} {spans} spans: {}",
                hit.evidence
            );
        }
    }
}

/// Asks one detector of one trace.
pub(crate) fn one(detector: Detector, view: &TraceView, data: &Data) -> Finding {
    let mut findings = Detectors::only([detector]).run(view, &data.context);
    findings.pop().unwrap()
}

impl Tally {
    fn add(&mut self, answer: &Answer, succeeded: Option<bool>) {
        let (known, failed) = match succeeded {
            Some(succeeded) => (1, usize::from(!succeeded)),
            None => (0, 0),
        };
        match answer {
            Answer::NotApplicable(_) | Answer::Muted => {}
            Answer::Clear => {
                self.applicable += 1;
                self.clear_known += known;
                self.clear_failed += failed;
            }
            Answer::Hits(_) => {
                self.applicable += 1;
                self.hits += 1;
                self.hit_known += known;
                self.hit_failed += failed;
            }
        }
    }
}
