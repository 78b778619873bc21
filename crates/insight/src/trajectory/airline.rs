//! Real runs with a true reward: does the state match agree with it?

use model::Outcome;
use serde::Deserialize;
use serde_json::Value;

use super::scenes::{Scene, call};
use super::{ArgumentMode, Metric, TrajectoryContext, TrajectoryGrader};
use crate::Effects;

const RUNS: &[u8] = include_bytes!("../../../../testdata/trajectory/airline.jsonl.zst");

const WRITES: [&str; 6] = [
    "book_reservation",
    "cancel_reservation",
    "send_certificate",
    "update_reservation_baggages",
    "update_reservation_flights",
    "update_reservation_passengers",
];

#[derive(Deserialize)]
struct Run {
    reward: f64,
    reference: Value,
    calls: Vec<RunCall>,
}

#[derive(Deserialize)]
struct RunCall {
    name: String,
    arguments: String,
    ok: bool,
}

fn runs() -> Vec<Run> {
    let text = String::from_utf8(zstd::decode_all(RUNS).unwrap()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns how often the grader says what the reward says, and Cohen's kappa.
fn agreement(grader: &TrajectoryGrader) -> (usize, f64) {
    let effects = Effects::declared(WRITES.map(str::to_owned));
    let mut table = [[0usize; 2]; 2];
    for run in runs() {
        let mut scene = Scene::default().reference(run.reference);
        for made in run.calls {
            let told = call(&made.name, Value::from(made.arguments));
            scene = scene.call(if made.ok { told } else { told.failed("Error") });
        }
        let verdict = grader.grade(&scene.view(), &TrajectoryContext::new(&effects));
        let said = usize::from(verdict.outcome == Outcome::Pass);
        table[said][usize::from(run.reward == 1.0)] += 1;
    }
    let all = table.iter().flatten().sum::<usize>() as f64;
    let agreed = table[0][0] + table[1][1];
    let by_chance = (0..2).map(|word| {
        let said = (table[word][0] + table[word][1]) as f64;
        let true_so = (table[0][word] + table[1][word]) as f64;
        said * true_so / (all * all)
    });
    let by_chance: f64 = by_chance.sum();
    (
        agreed,
        (agreed as f64 / all - by_chance) / (1.0 - by_chance),
    )
}

#[test]
fn the_state_match_agrees_with_the_reward_98_times_in_100() {
    let (agreed, kappa) = agreement(&TrajectoryGrader::new(Metric::StateMatch));
    assert_eq!(agreed, 98);
    assert!((kappa - 0.953).abs() < 0.0005, "{kappa}");
}

#[test]
fn names_alone_agree_83_times() {
    let mut grader = TrajectoryGrader::new(Metric::StateMatch);
    grader.arguments = ArgumentMode::Ignore;
    assert_eq!(agreement(&grader).0, 83);
}
