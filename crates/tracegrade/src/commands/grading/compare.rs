//! `runs compare`: is the candidate better than the baseline?
//!
//! A gate has to decide, this only tells: of each grader the difference with how sure it is, and where
//! nothing is found, what could have been.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::grading::RunsCompare;
use crate::output::{self, Align, BAD, BOLD, Cell, DIM, GOOD, OPEN, styled};
use crate::text::{safe_text, short_text};

use super::super::Ask;
use super::figure::Figure;

const PATH: [&str; 4] = ["v1", "evals", "traces", "compare"];

/// Two runs compared, as the API tells it.
#[derive(Debug, Deserialize)]
struct Comparison {
    verdict: String,
    sentence: String,
    graders: Vec<OfGrader>,
}

#[derive(Debug, Deserialize)]
struct OfGrader {
    grader: String,
    /// `pass_rate`, `score`, or `share of` a label; empty where nothing was compared.
    metric: String,
    verdict: String,
    sentence: String,
    method: String,
    tested: Option<Tested>,
}

#[derive(Debug, Deserialize)]
struct Tested {
    baseline: Figure,
    candidate: Figure,
    difference: Figure,
}

/// Compares two runs and prints what that comes to.
pub(super) async fn run(ask: &Ask, args: &RunsCompare) -> anyhow::Result<()> {
    let asked = body(args);
    let answer = ask.client.send_json(Method::POST, &PATH, &asked);
    match ask.tell::<Comparison>(answer.await?).await? {
        Some(comparison) => Ok(output::block(&comparison.words())?),
        None => Ok(()),
    }
}

fn body(args: &RunsCompare) -> Value {
    let side = |run: &str| json!({ "run_id": run });
    let mut body = json!({"baseline": side(&args.baseline), "candidate": side(&args.candidate)});
    if !args.graders.is_empty() {
        body["graders"] = json!(args.graders);
    }
    if let Some(field) = &args.pair_by {
        body["pair_by"] = json!(field);
    }
    if let Some(margin) = args.margin {
        body["margin"] = json!(margin);
    }
    if args.allow_changed_graders {
        body["allow_changed_graders"] = json!(true);
    }
    body
}

impl Comparison {
    fn words(&self) -> String {
        let mut out = format!(
            "{}\n",
            styled(style(&self.verdict), short_text(&self.sentence, 600))
        );
        if self.graders.is_empty() {
            return out;
        }
        out.push_str(&format!("\n{}\n", self.table()));
        for of in &self.graders {
            // Of a single grader it is the sentence of all.
            if of.sentence != self.sentence {
                out.push_str(&format!("{}\n", short_text(&of.sentence, 400)));
            }
            if !of.method.is_empty() {
                out.push_str(&format!("  {}\n", styled(DIM, short_text(&of.method, 400))));
            }
        }
        out
    }

    fn table(&self) -> String {
        let columns = ["grader", "", "of", "baseline", "candidate", "difference"];
        let columns = columns.map(|name| (name, Align::Left));
        let rows: Vec<Vec<Cell>> = self.graders.iter().map(OfGrader::row).collect();
        output::table(&columns, &rows)
    }
}

impl OfGrader {
    fn row(&self) -> Vec<Cell> {
        let is_score = self.metric == "score";
        let value = |figure: &Figure| match is_score {
            true => figure.mean(),
            false => figure.rate(),
        };
        let figures = match &self.tested {
            None => ["-".to_owned(), "-".to_owned(), "-".to_owned()],
            Some(tested) => [
                value(&tested.baseline),
                value(&tested.candidate),
                match is_score {
                    true => tested.difference.change(),
                    false => tested.difference.points(),
                },
            ],
        };
        let verdict = safe_text(&self.verdict).replace('_', " ");
        let metric = short_text(&self.metric, 40).replace('_', " ");
        let mut row = vec![
            Cell::styled(BOLD, short_text(&self.grader, 40)),
            Cell::styled(style(&self.verdict), verdict),
            Cell::from(metric),
        ];
        row.extend(figures.map(Cell::from));
        row
    }
}

fn style(verdict: &str) -> anstyle::Style {
    match verdict {
        "better" | "not_worse" => GOOD,
        "worse" => BAD,
        _ => OPEN,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::grading::Runs;
    use crate::cli::{Cli, Command};

    fn typed(args: &[&str]) -> RunsCompare {
        let all = ["tracegrade", "runs", "compare"].iter().chain(args);
        match Cli::try_parse_from(all).unwrap().command {
            Command::Runs(Runs::Compare(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_was_typed_is_sent() {
        let sides = json!({"baseline": {"run_id": "grun_1"}, "candidate": {"run_id": "grun_2"}});
        assert_eq!(body(&typed(&["grun_1", "grun_2"])), sides);
        let args = typed(&[
            "grun_1",
            "grun_2",
            "--grader",
            "goal",
            "-g",
            "tone",
            "--pair-by",
            "metadata.case",
            "--margin",
            "0.02",
            "--allow-changed-graders",
        ]);
        let mut want = sides;
        want["graders"] = json!(["goal", "tone"]);
        want["pair_by"] = json!("metadata.case");
        want["margin"] = json!(0.02);
        want["allow_changed_graders"] = json!(true);
        assert_eq!(body(&args), want);
    }

    #[test]
    fn a_comparison_is_told_in_a_sentence_and_in_figures() {
        let comparison: Comparison = serde_json::from_str(CANNED).unwrap();
        let raw = comparison.words();
        assert!(!raw.contains("\u{1b}[2J"), "{raw}");
        let text = anstream::adapter::strip_str(&raw).to_string();
        for want in [
            "goal: better by 8.3 points",
            "84.1 % (95 %: 79.0–88.2, n = 210)",
            "+8.3 points (95 %: +1.2 to +15.4, n = 210)",
            "score",
            "3.20 (95 %: 3.00–3.40, n = 210)",
            "cannot tell",
            "one of 0.30 or more would have been seen",
            "signs of the differences",
            "tone was changed",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
        let alone = Comparison {
            sentence: comparison.graders[0].sentence.clone(),
            graders: comparison.graders.into_iter().take(1).collect(),
            ..comparison
        };
        assert_eq!(alone.words().matches("better by 8.3").count(), 1);
    }

    const CANNED: &str = r#"{"object":"trace.grading_comparison","baseline_run_id":"grun_1","candidate_run_id":"grun_2",
      "verdict":"better","sentence":"The candidate is better by 1 of 3 graders (goal), and worse by none.","margin":null,"alpha":0.05,
      "graders":[
        {"grader":"goal","metric":"pass_rate","verdict":"better","sentence":"goal: better by 8.3 points (1.2 to 15.4), p = 0.021.",
         "method":"Both runs have the same 210 keys, so they are paired: signs of the differences are flipped.","refused":null,
         "tested":{"design":"paired","baseline":{"estimate":0.758,"interval":[0.69,0.81],"n":210,"groups":210,"design_effect":1.0},
           "candidate":{"estimate":0.841,"interval":[0.79,0.882],"n":210,"groups":210,"design_effect":1.0},
           "difference":{"estimate":0.083,"interval":[0.012,0.154],"n":210,"groups":210,"design_effect":1.0}}},
        {"grader":"help\u001b[2J","metric":"score","verdict":"cannot_tell",
         "sentence":"help: these traces cannot tell; the difference is 0.10 (-0.1 to 0.3), and one of 0.30 or more would have been seen.",
         "method":"","refused":null,
         "tested":{"design":"ranks","baseline":{"estimate":3.1,"interval":[2.9,3.3],"n":210,"groups":210,"design_effect":1.0},
           "candidate":{"estimate":3.2,"interval":[3.0,3.4],"n":210,"groups":210,"design_effect":1.0},
           "difference":{"estimate":0.1,"interval":[-0.1,0.3],"n":210,"groups":210,"design_effect":1.0}}},
        {"grader":"tone","metric":"","verdict":"cannot_tell","sentence":"tone was changed","method":"","tested":null,"refused":"tone was changed"}]}"#;
}
