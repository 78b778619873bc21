//! Published labels of real agents, and the figures that are known of them.

use std::collections::BTreeMap;

use stats::agreement::{Judged, against_humans};
use stats::compare::{Comparison, Design, Item, Question, compare, sign_flip};
use stats::interval::Purpose;
use stats::reliability::{Tries, pass_at_k, pass_hat_k};
use stats::{Level, Row, Rows, cluster, power};

/// Lines of fields, the first being the names.
fn table(name: &str) -> Vec<Vec<String>> {
    let path = format!(
        "{}/../../testdata/stats/{name}.tsv",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Outcomes by task of one column: a digit for each run, `-` for none.
fn outcomes(name: &str, column: &str) -> BTreeMap<u64, Vec<bool>> {
    let table = table(name);
    let place = table[0].iter().position(|head| head == column).unwrap();
    table[1..]
        .iter()
        .map(|line| {
            let runs = line[place]
                .chars()
                .filter(|run| *run != '-')
                .map(|run| run == '1');
            (line[0].parse().unwrap(), runs.collect())
        })
        .collect()
}

fn number(outcome: bool) -> f64 {
    f64::from(u8::from(outcome))
}

fn rows(tasks: &BTreeMap<u64, Vec<bool>>) -> Rows {
    Rows::new(tasks.iter().flat_map(|(&task, runs)| {
        runs.iter().map(move |&passed| Row {
            value: number(passed),
            group: Some(task),
        })
    }))
    .unwrap()
}

fn items(tasks: &BTreeMap<u64, Vec<bool>>, by_key: bool) -> Vec<Item> {
    tasks
        .iter()
        .flat_map(|(&task, runs)| {
            runs.iter().map(move |&passed| Item {
                value: number(passed),
                pair: by_key.then_some(task),
                group: Some(task),
            })
        })
        .collect()
}

/// All judgements, or those of one system.
pub(super) fn judgements(system: Option<&str>) -> Vec<Judged> {
    table("agent-as-a-judge")[1..]
        .iter()
        .filter(|line| system.is_none_or(|system| line[0] == system))
        .map(|line| Judged {
            judge: line[3] == "1",
            human: line[2] == "1",
            group: Some(line[1].parse().unwrap()),
        })
        .collect()
}

#[track_caller]
fn near(found: f64, said: f64, within: f64) {
    assert!(
        (found - said).abs() <= within,
        "{found} is not {said} ± {within}"
    );
}

/// The standard error behind ± t·SE.
fn error_of(comparison: &Comparison, t: f64) -> f64 {
    comparison.difference.interval.width() / 2.0 / t
}

#[test]
fn four_runs_of_a_task_are_not_four_tasks() {
    let tasks = outcomes("tau-bench-airline", "passed");
    let rows = rows(&tasks);
    let rate = cluster::rate(&rows, Level::P95, Purpose::Report).unwrap();
    assert_eq!((rate.n, rate.groups), (100, 25));
    near(rate.estimate, 0.310, 1e-12);
    near(rate.design_effect, 2.46, 0.005);
    // t of 24 degrees
    let error = cluster::mean(&rows, Level::P95).unwrap().interval.width() / 2.0 / 2.063_898_6;
    near(error, 0.0726, 0.00005);
    let naive = (0.31_f64 * 0.69 / 100.0).sqrt();
    near(naive, 0.0462, 0.0001);
    let tries: Vec<Tries> = tasks
        .values()
        .map(|runs| Tries {
            n: runs.len() as u64,
            passed: runs.iter().filter(|passed| **passed).count() as u64,
        })
        .collect();
    near(
        pass_at_k(&tries, 1, Level::P95).unwrap().figure.estimate,
        0.31,
        1e-9,
    );
    near(
        pass_hat_k(&tries, 4, Level::P95).unwrap().figure.estimate,
        0.16,
        1e-9,
    );
}

#[test]
fn pairing_halves_the_variance() {
    let (four, three) = (
        outcomes("intercode-sql", "gpt-4"),
        outcomes("intercode-sql", "gpt-3.5"),
    );
    let found = compare(
        &items(&three, true),
        &items(&four, true),
        &Question::default(),
    )
    .unwrap();
    assert_eq!(
        (found.design, found.difference.n, found.unpaired),
        (Design::PairedByKey, 1_034, 0)
    );
    near(found.difference.estimate, 0.264, 0.0005);
    let mcnemar = found.mcnemar.unwrap();
    assert!(mcnemar < 1e-40 && mcnemar > 1e-55, "{mcnemar}");
    assert!(found.p_value < 1e-4 && !found.exact);
    // t of 1,033 degrees
    near(error_of(&found, 1.962_25), 0.0168, 0.00005);
    let arm = |rate| power::Arm { rate, n: 1_034 };
    let unpaired =
        power::unpaired_error(1.0, arm(found.a.estimate), arm(found.b.estimate)).unwrap();
    near(unpaired, 0.0207, 0.00005);
    for (a, b) in [
        ("gpt-3.5", "gpt-4"),
        ("gpt-3.5-react", "gpt-4"),
        ("gpt-3.5", "gpt-3.5-react"),
    ] {
        let (a, b) = (outcomes("intercode-sql", a), outcomes("intercode-sql", b));
        let found = compare(&items(&a, true), &items(&b, true), &Question::default()).unwrap();
        let unpaired =
            power::unpaired_error(1.0, arm(found.a.estimate), arm(found.b.estimate)).unwrap();
        let gain = (unpaired / error_of(&found, 1.962_25)).powi(2);
        assert!((1.45..1.95).contains(&gain), "{gain}");
    }
}

#[test]
fn a_better_prompt_is_seen_only_in_pairs() {
    let before = outcomes("mast-ag2", "gpt-4o/orig-prompt/orig-topology");
    let after = outcomes("mast-ag2", "gpt-4o/impr-prompt/orig-topology");
    let found = compare(
        &items(&before, true),
        &items(&after, true),
        &Question::default(),
    )
    .unwrap();
    near(found.difference.estimate, 0.038, 0.0005);
    near(found.p_value, 0.024, 0.003);
    assert_eq!((found.difference.n, found.mcnemar), (199, None));
    // one problem has no run of the old prompt: the new one's are left out
    assert_eq!(found.unpaired, 1);
    let mean =
        |runs: &Vec<bool>| runs.iter().map(|&run| number(run)).sum::<f64>() / runs.len() as f64;
    let differences = before
        .iter()
        .filter(|(task, runs)| !runs.is_empty() && !after[task].is_empty())
        .map(|(task, runs)| mean(&after[task]) - mean(runs));
    near(
        sign_flip(differences, Level::P95, 0).unwrap().t_p_value,
        0.022,
        0.0005,
    );

    // two proportions of the same problems, as if no run knew of another
    let both = |tasks: &BTreeMap<u64, Vec<bool>>| {
        let runs: Vec<bool> = tasks
            .iter()
            .filter(|(task, _)| !before[task].is_empty() && !after[task].is_empty())
            .flat_map(|(_, runs)| runs.clone())
            .collect();
        (
            runs.iter().filter(|run| **run).count() as f64,
            runs.len() as f64,
        )
    };
    let ((k_a, n_a), (k_b, n_b)) = (both(&before), both(&after));
    let pooled = (k_a + k_b) / (n_a + n_b);
    let z = (k_b / n_b - k_a / n_a) / (pooled * (1.0 - pooled) * (1.0 / n_a + 1.0 / n_b)).sqrt();
    near(
        statrs::function::erf::erfc(z / std::f64::consts::SQRT_2),
        0.072,
        0.0005,
    );

    // without keys the groups are the pairs, but for one that only the new prompt has
    let grouped = compare(
        &items(&before, false),
        &items(&after, false),
        &Question::default(),
    )
    .unwrap();
    assert_eq!(grouped.design, Design::Rates);
    assert!(grouped.p_value < 0.06, "{}", grouped.p_value);
}

#[test]
fn a_worse_topology_is_seen_too() {
    let before = outcomes("mast-ag2", "gpt-4/impr-prompt/orig-topology");
    let after = outcomes("mast-ag2", "gpt-4/impr-prompt/impr-topology");
    let question = Question {
        margin: Some(0.02),
        ..Question::default()
    };
    let found = compare(&items(&before, false), &items(&after, false), &question).unwrap();
    assert_eq!(found.design, Design::PairedByGroup);
    near(found.difference.estimate, -0.05, 1e-9);
    near(found.p_value, 0.004, 0.002);
    assert_eq!(found.is_non_inferior, Some(false));
}

#[test]
fn problems_have_design_effects() {
    let heads = table("mast-ag2")[0].clone();
    let effects: Vec<f64> = heads[1..]
        .iter()
        .map(|config| {
            let rows = rows(&outcomes("mast-ag2", config));
            cluster::rate(&rows, Level::P95, Purpose::Report)
                .unwrap()
                .design_effect
        })
        .collect();
    let least = effects.iter().copied().fold(f64::INFINITY, f64::min);
    let most = effects.iter().copied().fold(0.0, f64::max);
    near(least, 1.67, 0.005);
    near(most, 2.22, 0.005);
}

#[test]
fn a_judge_of_agents_against_people() {
    for (system, agreement, kappa, q1, q0) in [
        ("GPT-Pilot", 0.866, 0.730, 0.871, 0.862),
        ("MetaGPT", 0.921, 0.775, 0.852, 0.940),
    ] {
        let found = against_humans(&judgements(Some(system)), Level::P95, 1).unwrap();
        near(found.agreement.estimate, agreement, 0.0005);
        let of_judge = found.kappa.as_ref().unwrap();
        near(of_judge.estimate, kappa, 0.0005);
        assert!(
            of_judge.interval.width() < 0.25 && of_judge.groups == 55,
            "{of_judge:?}"
        );
        near(found.sensitivity.as_ref().unwrap().estimate, q1, 0.0005);
        near(found.specificity.as_ref().unwrap().estimate, q0, 0.0005);
        assert!(found.is_calibrated());
    }
}
