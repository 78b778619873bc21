//! `calibrate`: a grader held against people.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cli::grading::Calibrate;
use crate::output::{self, Align, BOLD, Cell, GOOD, OPEN, styled};
use crate::text::{count, short_text};

use super::super::Ask;
use super::figure::Figure;

#[derive(Debug, Deserialize)]
struct Calibration {
    grader: Facts,
    #[serde(default)]
    models: Vec<String>,
    labelled: u64,
    judged: u64,
    without_verdict: u64,
    disputed: u64,
    calibrated: bool,
    sentence: String,
    confusion: Confusion,
    agreement: Option<Figure>,
    sensitivity: Option<Figure>,
    specificity: Option<Figure>,
    kappa: Option<Figure>,
    human_kappa: Option<Figure>,
    #[serde(default)]
    double_labelled: u64,
    raw_rate: Option<Figure>,
    corrected_rate: Option<Figure>,
    #[serde(default)]
    correction: String,
    #[serde(default)]
    withheld: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Facts {
    name: String,
    version: u32,
}

#[derive(Debug, Deserialize)]
struct Confusion {
    both_pass: u64,
    only_judge_passes: u64,
    only_people_pass: u64,
    both_fail: u64,
}

/// Prints how far a grader and people agree.
pub(super) async fn run(ask: &Ask, args: &Calibrate) -> anyhow::Result<()> {
    let mut pairs = Vec::new();
    pairs.extend(args.version.map(|v| ("version".to_owned(), v.to_string())));
    pairs.extend(
        args.run
            .as_ref()
            .map(|run| ("run_id".to_owned(), run.clone())),
    );
    pairs.extend(
        args.chosen
            .as_ref()
            .map(|how| ("chosen".to_owned(), how.clone())),
    );
    let path = ["v1", "graders", &args.grader, "calibration"];
    let answer = ask.client.get(&path, &pairs).await?;
    match ask.tell::<Calibration>(answer).await? {
        Some(calibration) => Ok(output::block(&calibration.words())?),
        None => Ok(()),
    }
}

impl Calibration {
    fn words(&self) -> String {
        let style = if self.calibrated { GOOD } else { OPEN };
        let mut out = format!(
            "{} v{}: {}\n",
            styled(BOLD, short_text(&self.grader.name, 60)),
            self.grader.version,
            styled(style, short_text(&self.sentence, 300))
        );
        if !self.models.is_empty() {
            let models: Vec<_> = self
                .models
                .iter()
                .map(|model| short_text(model, 60))
                .collect();
            out.push_str(&format!("judged by {}\n", models.join(", ")));
        }
        out.push('\n');
        out.push_str(&self.matrix());
        out.push('\n');
        out.push_str(&self.figures());
        if !self.correction.is_empty() {
            out.push_str(&format!("{}\n", short_text(&self.correction, 300)));
        }
        for (count_of, what) in [
            (self.without_verdict, "were labelled and have no verdict"),
            (self.disputed, "are disputed among people"),
        ] {
            if count_of > 0 {
                out.push_str(&format!(
                    "{} {what}; they are in no figure\n",
                    count(count_of)
                ));
            }
        }
        out
    }

    /// Returns which verdict met which.
    fn matrix(&self) -> String {
        let columns = [
            ("", Align::Left),
            ("people: good", Align::Right),
            ("people: bad", Align::Right),
        ];
        let row = |name: &str, good: u64, bad: u64| {
            vec![
                Cell::from(name),
                Cell::from(count(good)),
                Cell::from(count(bad)),
            ]
        };
        let of = &self.confusion;
        output::table(
            &columns,
            &[
                row("grader: pass", of.both_pass, of.only_judge_passes),
                row("grader: fail", of.only_people_pass, of.both_fail),
            ],
        )
    }

    fn figures(&self) -> String {
        let columns = [
            ("", Align::Left),
            ("", Align::Left),
            ("should be", Align::Left),
        ];
        let mut rows = Vec::new();
        let mut push = |what: &str, name: &str, told: Option<String>, want: &str| {
            let missing = || {
                self.withheld
                    .get(name)
                    .map(|why| format!("none: {}", short_text(why, 120)))
            };
            if let Some(told) = told.or_else(missing) {
                rows.push(vec![Cell::from(what), Cell::from(told), Cell::from(want)]);
            }
        };
        let rate = |figure: &Option<Figure>| figure.map(|figure| figure.rate());
        let mean = |figure: &Option<Figure>| figure.map(|figure| figure.mean());
        push("agree", "agreement", rate(&self.agreement), "");
        push(
            "good ones it passes",
            "sensitivity",
            rate(&self.sensitivity),
            "80 % or more",
        );
        push(
            "bad ones it fails",
            "specificity",
            rate(&self.specificity),
            "80 % or more",
        );
        push(
            "agreement beyond luck, κ",
            "kappa",
            mean(&self.kappa),
            "0.60 or more",
        );
        if self.double_labelled > 0 {
            push(
                "people among each other, κ",
                "human_kappa",
                mean(&self.human_kappa),
                "",
            );
        }
        push("pass rate as graded", "raw_rate", rate(&self.raw_rate), "");
        push(
            "pass rate corrected",
            "corrected_rate",
            rate(&self.corrected_rate),
            "",
        );
        format!(
            "{}of {} graded and {} labelled traces\n",
            output::table(&columns, &rows),
            count(self.judged),
            count(self.labelled)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_held_against_people() {
        let calibration: Calibration = serde_json::from_str(CANNED).unwrap();
        let text = anstream::adapter::strip_str(&calibration.words()).to_string();
        insta::assert_snapshot!(text);
    }

    const CANNED: &str = r#"{"grader":{"id":"grader_1","name":"goal\u001b[2J reached","type":"llm","version":2,"hash":"h","scale":{"type":"pass_fail"}},
        "models":["gpt-5-mini"],"labelled":88,"judged":840,"without_verdict":2,"disputed":0,"calibrated":false,
        "sentence":"uncalibrated: it fails 74 % of what people fail, which should be at least 80 %",
        "confusion":{"both_pass":50,"only_judge_passes":9,"only_people_pass":3,"both_fail":26},
        "agreement":{"estimate":0.8636,"interval":[0.776,0.921],"method":"wilson","n":88,"groups":88,"design_effect":1.0,"too_few_groups":false},
        "sensitivity":{"estimate":0.943,"interval":[0.846,0.981],"method":"wilson","n":53,"groups":53,"design_effect":1.0,"too_few_groups":false},
        "specificity":{"estimate":0.743,"interval":[0.579,0.858],"method":"wilson","n":35,"groups":35,"design_effect":1.0,"too_few_groups":false},
        "kappa":{"estimate":0.71,"interval":[0.55,0.86],"method":"bootstrap","n":88,"groups":88,"design_effect":1.0,"too_few_groups":false},
        "human_kappa":null,"double_labelled":0,
        "raw_rate":{"estimate":0.702,"interval":[0.671,0.732],"method":"wilson","n":840,"groups":840,"design_effect":1.0,"too_few_groups":false},
        "corrected_rate":null,"correction":"not corrected: the labels were chosen by hand","withheld":{"corrected_rate":"labels are no random sample"}}"#;
}
