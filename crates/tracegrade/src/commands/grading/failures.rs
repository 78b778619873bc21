//! `failures`: what failing traces have in common.

use anyhow::{Context, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::grading::Failures;
use crate::output::{self, BOLD, DIM, styled};
use crate::text::{self, count, safe_text, short_text};

use super::super::Ask;
use super::figure::Figure;
use super::graders;

/// Why traces fail, as the API tells it.
#[derive(Debug, Deserialize)]
struct Report {
    data: Vec<Group>,
    traces: u64,
    failing: u64,
    unexplained: u64,
    #[serde(default)]
    left_out: u64,
}

#[derive(Debug, Deserialize)]
struct Group {
    issue: String,
    affected_traces: u64,
    #[serde(default, deserialize_with = "figure_if_any")]
    share: Option<Figure>,
    #[serde(default)]
    share_figure: Option<Figure>,
    #[serde(default, deserialize_with = "figure_if_any")]
    of_failing: Option<Figure>,
    #[serde(default, deserialize_with = "figure_if_any")]
    of_passing: Option<Figure>,
    suggestion: String,
    #[serde(default)]
    example_traces: Vec<Example>,
    rule: String,
    #[serde(default)]
    rule_is_exact: bool,
    /// Graders whose verdicts the rule asks for.
    #[serde(default)]
    needs: Vec<String>,
    grader: Value,
    /// When the oldest affected trace began.
    #[serde(default)]
    first_seen: Option<String>,
    #[serde(default)]
    trend: Option<String>,
    #[serde(default)]
    cost_usd: Option<f64>,
    #[serde(default)]
    confidence: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Example {
    trace_id: String,
    span_id: Option<String>,
}

/// Reads a figure; a bare number has its figure elsewhere, or is not to be shown.
fn figure_if_any<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Figure>, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(Figure::deserialize(value).ok())
}

/// Prints the groups, and keeps one as a grader if that is wanted.
pub(super) async fn run(ask: &Ask, args: &Failures) -> anyhow::Result<()> {
    let path = ["v1", "evals", "traces", "analyze_failures"];
    let body = body(args)?;
    let answer = ask.client.send_json(Method::POST, &path, &body).await?;
    let Some(name) = &args.save else {
        if let Some(report) = ask.tell::<Report>(answer).await? {
            output::block(&report.words())?;
        }
        return Ok(());
    };
    let report: Report = ask.client.json(answer).await?;
    let group = args.group.checked_sub(1).and_then(|at| report.data.get(at));
    let group = group.with_context(|| {
        format!(
            "there is no group {} among {}",
            args.group,
            report.data.len()
        )
    })?;
    if !group.needs.is_empty() {
        let names: Vec<_> = group
            .needs
            .iter()
            .map(|name| short_text(name, 60))
            .collect();
        ask.note(format!(
            "the rule asks what {} said: grade with it and with --grader {name}",
            names.join(" and ")
        ));
    }
    if !group.rule_is_exact {
        ask.note("the rule may hold for more traces than the group has");
    }
    graders::save_definition(ask, name, &group.grader, Some(&group.issue)).await
}

fn body(args: &Failures) -> anyhow::Result<Value> {
    let mut body = Map::new();
    let ways = [
        !args.traces.is_empty(),
        args.run.is_some(),
        !args.filter.is_empty(),
    ];
    ensure!(
        ways.iter().filter(|way| **way).count() <= 1,
        "traces are told by their ids, by a run or by a filter: by one of them"
    );
    if !args.traces.is_empty() {
        body.insert("trace_ids".to_owned(), json!(args.traces));
    }
    if let Some(run) = &args.run {
        body.insert("run_id".to_owned(), json!(run));
    }
    if !args.filter.is_empty() {
        body.insert("filter".to_owned(), args.filter.json());
    }
    ensure!(
        body.len() == 1,
        "say which traces in one of three ways: their ids, --run RUN, or a filter such as --status error"
    );
    Ok(Value::Object(body))
}

impl Report {
    fn words(&self) -> String {
        let mut out = format!(
            "{} of {} failed{}\n",
            count(self.failing),
            text::traces(self.traces),
            match self.unexplained {
                0 => String::new(),
                rest => format!(
                    "; {} of them have nothing in common with others",
                    count(rest)
                ),
            }
        );
        if self.left_out > 0 {
            out.push_str(&format!(
                "{} were not looked at: there are too many, or it took too long\n",
                text::traces(self.left_out)
            ));
        }
        for (at, group) in self.data.iter().enumerate() {
            group.tell(at + 1, &mut out);
        }
        if !self.data.is_empty() {
            out.push_str("\n--save NAME --group N keeps the rule of a group as a grader\n");
        }
        out
    }
}

impl Group {
    fn tell(&self, number: usize, out: &mut String) {
        out.push_str(&format!(
            "\n{} {}  {}\n",
            styled(BOLD, format_args!("{number}.")),
            styled(BOLD, short_text(&self.issue, 160)),
            text::traces(self.affected_traces)
        ));
        let mut fact = |what: &str, value: Option<String>| {
            if let Some(value) = value {
                out.push_str(&format!(
                    "   {} {value}\n",
                    styled(DIM, format_args!("{what:<10}"))
                ));
            }
        };
        let rate = |figure: Option<Figure>| figure.map(|figure| figure.rate());
        fact("of all", rate(self.share_figure.or(self.share)));
        fact("of failing", rate(self.of_failing));
        fact("of passing", rate(self.of_passing));
        fact("do", Some(short_text(&self.suggestion, 400)));
        fact("rule", Some(short_text(&self.rule, 400)));
        let example = |example: &Example| match &example.span_id {
            Some(span) => format!("{} {}", safe_text(&example.trace_id), safe_text(span)),
            None => safe_text(&example.trace_id).into_owned(),
        };
        for one in &self.example_traces {
            fact("look at", Some(example(one)));
        }
        let mut rest = Vec::new();
        let day = self.first_seen.as_deref().and_then(|at| at.get(..10));
        rest.extend(day.map(|day| format!("since {}", safe_text(day))));
        rest.extend(self.trend.as_deref().map(|trend| short_text(trend, 20)));
        rest.extend(
            self.cost_usd
                .map(|usd| format!("{} in all", text::cost(usd))),
        );
        rest.extend(
            self.confidence
                .as_deref()
                .map(|c| format!("{} confidence", short_text(c, 20))),
        );
        fact("besides", (!rest.is_empty()).then(|| rest.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_with_what_to_do() {
        let report: Report = serde_json::from_str(CANNED).unwrap();
        let text = anstream::adapter::strip_str(&report.words()).to_string();
        insta::assert_snapshot!(text);
    }

    const CANNED: &str = r#"{"object":"list","data":[{"object":"failure_group","issue":"track_parcel: the answer rests on an old scan \u001b]0;x\u0007","affected_traces":18,
        "share":0.043,"share_figure":{"estimate":0.043,"interval":[0.027,0.066],"method":"wilson","n":420,"groups":420,"design_effect":1.0,"too_few_groups":false},
        "of_failing":{"estimate":0.16,"interval":[0.1,0.24],"method":"wilson","n":112,"groups":112,"design_effect":1.0,"too_few_groups":false},"of_passing":null,
        "suggestion":"Tell the agent to use the newest scan only.","example_traces":[{"trace_id":"trace_1","span_id":"span_2"},{"trace_id":"trace_3","span_id":null}],
        "rule":"!detector(\"D18\")","rule_is_exact":false,"grader":{"type":"rule","check":"!detector(\"D18\")"},"first_seen":"2026-03-01T09:00:00.000000Z","trend":"rising","cost_usd":0.4,"confidence":"medium"}],
        "has_more":false,"traces":420,"failing":112,"unexplained":9,"left_out":0}"#;
}
