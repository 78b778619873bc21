//! Every estimator that others have written too, against theirs.
//!
//! The values are scipy's, statsmodels' and others'; `testdata/stats/make_reference.py` made them.

use serde_json::Value;

use crate::agreement::{Labels, Scale, Unit, kappa, krippendorff};
use crate::baseline::{changes, robust_z};
use crate::compare::{
    hodges_lehmann, label_permutation, mann_whitney, mcnemar, probability_greater, sign_flip,
};
use crate::contrast::contrast;
use crate::distribution::{
    beta_quantile, normal_quantile, normal_two_sided, student_quantile, student_two_sided,
};
use crate::figure::{Figure, Interval, Level, Method};
use crate::interval::{clopper_pearson, newcombe, wilson};
use crate::multiple::{benjamini_hochberg, holm};
use crate::{Row, Rows, cluster, power, quantile};

fn file(name: &str) -> Value {
    let path = format!(
        "{}/../../testdata/stats/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Equal to a part in 10⁹, or to 10⁻¹² near zero.
#[track_caller]
fn same(ours: f64, theirs: f64) {
    let error = (ours - theirs).abs();
    assert!(
        error <= 1e-9 * theirs.abs() + 1e-12,
        "{ours} is not {theirs}"
    );
}

/// The same, for values so small that only their ratio tells.
#[track_caller]
fn same_part(ours: f64, theirs: f64) {
    assert!(
        (ours / theirs - 1.0).abs() <= 1e-9,
        "{ours} is not {theirs}"
    );
}

#[track_caller]
fn same_ends((low, high): (f64, f64), theirs: &Value) {
    let theirs = floats(theirs);
    same(low, theirs[0]);
    same(high, theirs[1]);
}

fn ends(interval: &Interval) -> (f64, f64) {
    (interval.low, interval.high)
}

fn grouped(values: &Value, groups: &Value, keep: impl Fn(usize) -> bool) -> Rows {
    let rows = floats(values).into_iter().zip(list(groups)).enumerate();
    Rows::new(
        rows.filter(|(place, _)| keep(*place))
            .map(|(_, (value, group))| Row {
                value,
                group: Some(count(group)),
            }),
    )
    .unwrap()
}

fn independent(values: &Value) -> Rows {
    Rows::independent(floats(values)).unwrap()
}

#[test]
fn quantiles_and_tails_of_distributions() {
    let all = file("quantiles");
    for case in list(&all["normal"]) {
        let [p, z] = floats(case)[..] else { panic!() };
        // to what a rounding of p itself does to z
        let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let blur = f64::EPSILON * p.max(0.5) / density;
        assert!(
            (normal_quantile(p) - z).abs() <= 1e-9 * z.abs() + 4.0 * blur,
            "{p} {z}"
        );
    }
    for case in list(&all["student"]) {
        let [p, freedom, t] = floats(case)[..] else {
            panic!()
        };
        // 1 − p has lost digits where p is near one, and the tail has where it is near ½
        let error = (student_quantile(p, freedom) - t).abs();
        assert!(error < 1e-8 * t + 1e-7, "{p} {freedom} {t} {error}");
    }
    for case in list(&all["beta"]) {
        let [p, a, b, x] = floats(case)[..] else {
            panic!()
        };
        same(beta_quantile(p, a, b), x);
    }
    for case in list(&all["student_two_sided"]) {
        let [t, freedom, p] = floats(case)[..] else {
            panic!()
        };
        same_part(student_two_sided(t, freedom), p);
    }
    for case in list(&all["normal_two_sided"]) {
        let [z, p] = floats(case)[..] else { panic!() };
        same_part(normal_two_sided(z), p);
    }
}

#[test]
fn rates_and_their_difference() {
    let all = file("proportions");
    for case in list(&all["rates"]) {
        let (k, n) = (number(&case["k"]), number(&case["n"]));
        let level = Level::new(number(&case["level"])).unwrap();
        let critical = normal_quantile(level.upper());
        same_ends(wilson(k / n, n, critical), &case["wilson"]);
        same_ends(clopper_pearson(k, n, level), &case["beta"]);
    }
    for case in list(&all["newcombe"]) {
        let figure = |arm: &Value| {
            let (k, n) = (number(&arm[0]), number(&arm[1]));
            let found = wilson(k / n, n, normal_quantile(0.975));
            Figure::independent(
                k / n,
                Interval::new(found, Level::P95, Method::Wilson),
                n as usize,
            )
        };
        same_ends(
            newcombe(&figure(&case["a"]), &figure(&case["b"])),
            &case["interval"],
        );
    }
}

#[test]
fn means_and_differences_over_groups() {
    let all = file("clusters");
    for case in list(&all["means"]) {
        let rows = grouped(&case["values"], &case["groups"], |_| true);
        let figure = cluster::mean(&rows, Level::P95).unwrap();
        same(figure.estimate, number(&case["mean"]));
        same(rows.variance_of_mean().unwrap().sqrt(), number(&case["se"]));
        same_ends(ends(&figure.interval), &case["t_interval"]);
    }
    for case in list(&all["contrasts"]) {
        let arm = |which: u64| {
            grouped(&case["values"], &case["groups"], |place| {
                count(&case["arm"][place]) == which
            })
        };
        let found = contrast(&arm(0), &arm(1)).unwrap();
        assert!(found.straddling > 0);
        same(found.difference, number(&case["difference"]));
        same(found.variance.sqrt(), number(&case["se_times_correction"]));
    }
}

#[test]
fn pairs() {
    let all = file("paired");
    for case in list(&all["mcnemar"]) {
        same_part(
            mcnemar(count(&case["lost"]), count(&case["won"])),
            number(&case["p"]),
        );
    }
    for case in list(&all["sign_flip"]) {
        let test = sign_flip(floats(&case["differences"]), Level::P95, 0).unwrap();
        assert!(test.exact);
        same(test.p_value, number(&case["p"]));
        same(test.t_p_value, number(&case["t_p"]));
    }
}

#[test]
fn ranks_of_two_versions() {
    let all = file("unpaired");
    for case in list(&all["cases"]) {
        let (a, b) = (independent(&case["a"]), independent(&case["b"]));
        let test = mann_whitney(&a, &b, 0).unwrap();
        same(test.u, number(&case["u"]));
        same(test.independent_p_value, number(&case["p"]));
        let munzel = &case["brunner_munzel"];
        let greater = probability_greater(&a, &b, Level::P95).unwrap();
        same(greater.estimate, number(&munzel["greater"]));
        // their p is Student's of (p̂ − ½)/SE: the level at which our interval ends at ½
        let error = number(&munzel["p"]);
        let at_half = Level::new(1.0 - error);
        if let Ok(level) = at_half {
            let interval = probability_greater(&a, &b, level).unwrap().interval;
            let end = if greater.estimate > 0.5 {
                interval.low
            } else {
                interval.high
            };
            assert!((end - 0.5).abs() < 1e-8, "{interval:?}");
        }
        let shift = hodges_lehmann(&a, &b, Level::P95).unwrap();
        same(shift.estimate, number(&case["hodges_lehmann"]["estimate"]));
        same_ends(ends(&shift.interval), &case["hodges_lehmann"]["interval"]);
    }
    for case in list(&all["small"]) {
        let (a, b) = (independent(&case["a"]), independent(&case["b"]));
        let ranks = mann_whitney(&a, &b, 0).unwrap().permutation;
        assert!(ranks.exact);
        same(ranks.p_value, number(&case["exact_p"]));
        let means = label_permutation(&a, &b, 0).unwrap();
        same(means.p_value, number(&case["permutation_p"]));
    }
}

#[test]
fn many_p_values() {
    for case in list(&file("multiple")["cases"]) {
        let p = floats(&case["p"]);
        for (ours, theirs) in [(holm(&p), "holm"), (benjamini_hochberg(&p), "bh")] {
            for (ours, theirs) in ours.unwrap().iter().zip(floats(&case[theirs])) {
                same(*ours, theirs);
            }
        }
    }
}

#[test]
fn detectable_differences() {
    for case in list(&file("power")["cases"]) {
        let (n, sd) = (number(&case["n"]), number(&case["sd"]));
        let level = Level::new(1.0 - number(&case["alpha"])).unwrap();
        let ours = power::detectable(sd * (2.0 / n).sqrt(), level);
        // theirs also counts the chance to find it on the wrong side, some 10⁻⁵
        assert!(
            (ours / number(&case["detectable"]) - 1.0).abs() < 1e-4,
            "{ours}"
        );
    }
}

#[test]
fn agreement_of_raters() {
    let all = file("agreement");
    for case in list(&all["kappa"]) {
        let mut labels = Vec::new();
        for (first, row) in list(&case["table"]).iter().enumerate() {
            for (second, times) in list(row).iter().enumerate() {
                let item = Labels {
                    first: first as u32,
                    second: second as u32,
                    group: None,
                };
                labels.extend(std::iter::repeat_n(item, count(times) as usize));
            }
        }
        let figure = kappa(&labels, Level::P95, 1).unwrap();
        same(figure.estimate, number(&case["kappa"]));
        // a bootstrap against a large-sample formula: about as wide
        let theirs = 2.0 * 1.96 * number(&case["se"]);
        assert!(
            (figure.interval.width() / theirs - 1.0).abs() < 0.15,
            "{figure:?} {theirs}"
        );
    }
    for case in list(&all["alpha"]) {
        let raters = list(&case["raters"]);
        let units: Vec<Unit> = (0..list(&raters[0]).len())
            .map(|unit| Unit {
                ratings: raters
                    .iter()
                    .filter_map(|rater| rater[unit].as_f64())
                    .collect(),
            })
            .collect();
        for (scale, name) in [
            (Scale::Nominal, "nominal"),
            (Scale::Ordinal, "ordinal"),
            (Scale::Interval, "interval"),
        ] {
            let figure = krippendorff(&units, scale, Level::P95, 1).unwrap();
            same(figure.estimate, number(&case[name]));
        }
    }
}

#[test]
fn quantiles_of_values_and_changes_of_series() {
    let all = file("order");
    for case in list(&all["quantiles"]) {
        let figure = quantile::quantile(
            &independent(&case["values"]),
            number(&case["q"]),
            Level::P95,
        )
        .unwrap();
        same(figure.estimate, number(&case["estimate"]));
        let theirs = list(&case["interval"]);
        assert_eq!(Some(figure.interval.low), theirs[0].as_f64());
        match theirs[1].as_f64() {
            Some(high) => assert_eq!(figure.interval.high, high),
            None => assert_eq!(figure.interval.high, f64::INFINITY),
        }
    }
    let z = &all["robust_z"];
    same(
        robust_z(&floats(&z["history"]), number(&z["value"])).unwrap(),
        number(&z["z"]),
    );
    for case in list(&all["changes"]) {
        let theirs: Vec<usize> = list(&case["changes"])
            .iter()
            .map(|place| count(place) as usize)
            .collect();
        assert_eq!(changes(&floats(&case["values"])).unwrap(), theirs);
    }
}
