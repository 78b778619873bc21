//! `annotate --queue`: which traces people should label, so that a grader can be held against them.
//!
//! At a terminal they are shown one after the other and the answer is a key. Elsewhere they are listed, each
//! with the command that answers it: the chance with which it was drawn goes with the answer.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Ask;
use super::given;
use super::people;
use crate::cli::grading::Annotate;
use crate::output::{self, BAD, BOLD, DIM, GOOD, OPEN, styled};
use crate::text::{count, safe_text, short_text, value};

#[derive(Debug, Deserialize)]
struct Queue {
    judged: u64,
    drawn: u64,
    labelled: u64,
    by: String,
    data: Vec<Request>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct Request {
    trace_id: String,
    doubt: f64,
    chance: f64,
    grades: Vec<Grade>,
    /// The answer but for what is said.
    annotation: Value,
}

#[derive(Debug, Deserialize)]
struct Grade {
    outcome: String,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    citations: Vec<String>,
}

/// What a person says of a trace at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Good,
    Bad,
    Nothing,
    Enough,
}

/// Shows which traces to label, and takes the answers of who sits at a terminal.
pub(super) async fn run(ask: &Ask, args: &Annotate) -> anyhow::Result<()> {
    let grader = args.grader.as_deref().context("--grader NAME")?;
    let path = ["v1", "graders", grader, "label_queue"];
    let answer = ask.client.get(&path, &pairs(args)).await?;
    let Some(queue) = ask.tell::<Queue>(answer).await? else {
        return Ok(());
    };
    output::block(&queue.head())?;
    let is_asked = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    for request in &queue.data {
        output::block(&request.words())?;
        if !is_asked {
            output::line(request.command(grader))?;
            continue;
        }
        match asked()? {
            Said::Enough => return Ok(()),
            Said::Nothing => {}
            said => {
                let body = request.answer(said, args.author.as_deref());
                ask.client
                    .send_json(Method::POST, &people::PATH, &body)
                    .await?;
            }
        }
    }
    if queue.has_more {
        output::note("more: ask again when these are labelled, or with a higher --limit");
    }
    Ok(())
}

fn pairs(args: &Annotate) -> Vec<(String, String)> {
    let queue = &args.queue;
    let fields = [
        ("run_id", queue.run.clone()),
        ("size", queue.size.map(|size| size.to_string())),
        ("by", queue.random.then(|| "chance".to_owned())),
        ("seed", queue.seed.map(|seed| seed.to_string())),
        ("limit", queue.limit.map(|limit| limit.to_string())),
        ("author", args.author.clone()),
    ];
    given(fields)
}

/// Asks the person at the terminal until the answer is one.
fn asked() -> anyhow::Result<Said> {
    loop {
        let mut err = anstream::stderr();
        write!(err, "as it should be? [y]es, [n]o, [s]kip, [q]uit ")?;
        err.flush()?;
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line)? == 0 {
            return Ok(Said::Enough);
        }
        if let Some(said) = said(&line) {
            return Ok(said);
        }
    }
}

fn said(line: &str) -> Option<Said> {
    match line.trim() {
        "y" | "Y" | "yes" => Some(Said::Good),
        "n" | "N" | "no" => Some(Said::Bad),
        "s" | "S" | "skip" => Some(Said::Nothing),
        "q" | "Q" | "quit" => Some(Said::Enough),
        _ => None,
    }
}

impl Queue {
    fn head(&self) -> String {
        let by = match &*self.by {
            "doubt" => "the doubtful ones likelier",
            _ => "all alike",
        };
        let mut head = format!(
            "{} of {} graded traces to label, {by}; {} done\n",
            count(self.drawn),
            count(self.judged),
            count(self.labelled)
        );
        if self.data.is_empty() {
            head.push_str(match self.drawn < self.judged {
                true => "nothing is left; --size draws more\n",
                false => "nothing is left: every graded trace is labelled\n",
            });
        }
        head
    }
}

impl Request {
    fn words(&self) -> String {
        let mut out = format!(
            "\n{}  {}\n",
            styled(BOLD, safe_text(&self.trace_id)),
            styled(
                DIM,
                format_args!(
                    "doubt {:.2}, asked about with a chance of {:.2}",
                    self.doubt, self.chance
                )
            )
        );
        for grade in &self.grades {
            let style = match &*grade.outcome {
                "pass" => GOOD,
                "fail" => BAD,
                _ => OPEN,
            };
            let score = grade
                .score
                .map_or_else(String::new, |score| format!(" {}", value(score)));
            out.push_str(&format!(
                "   {}{score}: {}\n",
                styled(style, safe_text(&grade.outcome)),
                short_text(grade.reasoning.as_deref().unwrap_or("no reasoning"), 600)
            ));
            if !grade.citations.is_empty() {
                let cited: Vec<_> = grade.citations.iter().map(|id| safe_text(id)).collect();
                out.push_str(&format!(
                    "   {} {}\n",
                    styled(DIM, "look at"),
                    cited.join(", ")
                ));
            }
        }
        out
    }

    /// Returns the command that answers.
    fn command(&self, grader: &str) -> String {
        let queue = self.annotation["queue_id"].as_str().unwrap_or_default();
        format!(
            "   tracegrade annotate {} --grader {} --queue-id {} --chance {} --good|--bad",
            safe_text(&self.trace_id),
            safe_text(grader),
            safe_text(queue),
            self.chance
        )
    }

    fn answer(&self, said: Said, author: Option<&str>) -> Value {
        let mut body = self.annotation.clone();
        body["rating"] = json!(if said == Said::Good { "good" } else { "bad" });
        if let Some(author) = author {
            body["author"] = json!(author);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn annotate(args: &[&str]) -> Result<Annotate, clap::Error> {
        let typed = ["tracegrade", "annotate"].iter().chain(args);
        match Cli::try_parse_from(typed)?.command {
            Command::Annotate(args) => Ok(args),
            _ => panic!("it is another command"),
        }
    }

    #[test]
    fn a_queue_is_asked_for_by_its_grader() {
        let args = annotate(&[
            "--queue", "--grader", "goal", "--run", "grun_1", "--size", "50", "--random",
        ])
        .unwrap();
        let pairs = pairs(&args);
        let of = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| &**value)
        };
        assert_eq!(
            (of("run_id"), of("size"), of("by"), of("seed")),
            (Some("grun_1"), Some("50"), Some("chance"), None)
        );
        assert!(annotate(&["--queue"]).is_err(), "whose queue?");
        assert!(annotate(&["trace_1", "--queue", "--grader", "goal"]).is_err());
        assert!(annotate(&["--good"]).is_err(), "which trace?");
        assert!(
            annotate(&["trace_1", "--good", "--chance", "0.5"]).is_err(),
            "of which queue?"
        );
    }

    #[test]
    fn an_answer_is_a_letter_or_a_word() {
        assert_eq!(said("y\n"), Some(Said::Good));
        assert_eq!(said(" no "), Some(Said::Bad));
        assert_eq!(
            (said("s"), said("q")),
            (Some(Said::Nothing), Some(Said::Enough))
        );
        assert_eq!(said("perhaps"), None);
    }

    #[test]
    fn what_is_asked_is_told_with_the_command_that_answers() {
        let queue: Queue = serde_json::from_str(CANNED).unwrap();
        let request = &queue.data[0];
        let text = format!(
            "{}{}{}\n",
            queue.head(),
            request.words(),
            request.command("goal")
        );
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string());
        let answer = request.answer(Said::Bad, Some("ann"));
        assert_eq!(
            (&answer["rating"], &answer["author"], &answer["chance"]),
            (&json!("bad"), &json!("ann"), &json!(0.4))
        );
    }

    const CANNED: &str = r#"{"object":"grader.label_queue","queue_id":"grun_1.doubt.0","judged":2000,"drawn":104,"labelled":12,"by":"doubt","has_more":true,
        "data":[{"object":"grader.label_request","trace_id":"trace_1","doubt":0.6,"chance":0.4,
          "grades":[{"outcome":"fail","score":null,"reasoning":"The refund was \u001b[2Jpaid twice.","citations":["span_7","span_9"]}],
          "annotation":{"trace_id":"trace_1","grader":"grader_1","queue_id":"grun_1.doubt.0","chance":0.4}}]}"#;
}
