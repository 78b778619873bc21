//! What came of a run, in figures and in the traces that failed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::output::{self, Align, BAD, BOLD, Cell, DIM, OPEN, styled};
use crate::text::{self, count, safe_text, short_text};

use super::super::Ask;
use super::by_key;
use super::figure::Figure;
use super::follow::path;
use super::run::Run;

/// Which of the run's traces are told one by one.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) grader: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) score_below: Option<f64>,
    pub(super) limit: u32,
    pub(super) after: Option<String>,
    /// What says which traces are tries of one task.
    pub(super) tasks: Option<String>,
    /// What says of which segment a trace is.
    pub(super) segments: Option<String>,
    /// What says which traces belong together, if not their groups.
    pub(super) groups: Option<String>,
}

/// Results as the API tells them.
#[derive(Debug, Deserialize)]
pub(super) struct Results {
    run: Run,
    #[serde(default)]
    pass_rate_figure: Option<Figure>,
    #[serde(default)]
    average_score_figure: Option<Figure>,
    #[serde(default)]
    by_grader: BTreeMap<String, OfGrader>,
    #[serde(default)]
    strata: Vec<OfStratum>,
    #[serde(default)]
    weighting: Option<Weighting>,
    #[serde(default)]
    degraded: bool,
    #[serde(default)]
    degraded_reasons: Vec<String>,
    #[serde(default)]
    judge: Option<JudgeTotals>,
    #[serde(default)]
    stopping: Option<Stopping>,
    #[serde(default)]
    calibration: BTreeMap<String, Trust>,
    #[serde(default)]
    reliability: Vec<by_key::Reliability>,
    #[serde(default)]
    segments: Vec<by_key::Segments>,
    #[serde(default)]
    grouping: Option<Grouping>,
    #[serde(default)]
    withheld: BTreeMap<String, String>,
    #[serde(default)]
    total: Option<u64>,
    #[serde(default)]
    data: Vec<Item>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct OfGrader {
    #[serde(default)]
    grader: Facts,
    counts: Counts,
    #[serde(default)]
    pass_rate_figure: Option<Figure>,
    #[serde(default)]
    mean_figure: Option<Figure>,
    #[serde(default)]
    median_figure: Option<Figure>,
    #[serde(default)]
    p95_figure: Option<Figure>,
    #[serde(default)]
    labels: BTreeMap<String, Label>,
    #[serde(default)]
    strata: Vec<NextDraw>,
    #[serde(default)]
    outlook: Option<Outlook>,
    #[serde(default)]
    pairwise: Option<Pairwise>,
    #[serde(default)]
    withheld: BTreeMap<String, String>,
}

/// What there is to know of a grader beside its figures.
#[derive(Debug, Default, Deserialize)]
struct Facts {
    #[serde(default)]
    scale: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    pass: u64,
    fail: u64,
    value: u64,
    not_applicable: u64,
    unscored: u64,
    unscored_by_reason: BTreeMap<String, u64>,
    vacuous: u64,
}

#[derive(Debug, Deserialize)]
struct Label {
    #[serde(default)]
    share_figure: Option<Figure>,
    count: u64,
}

/// How many to draw of a stratum next time.
#[derive(Debug, Deserialize)]
struct NextDraw {
    name: String,
    #[serde(default)]
    next: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Outlook {
    sentence: String,
}

#[derive(Debug, Deserialize)]
struct Pairwise {
    sentence: String,
    inconsistency_rate_figure: Option<Figure>,
}

#[derive(Debug, Deserialize)]
struct Stopping {
    sentence: String,
}

#[derive(Debug, Deserialize)]
struct OfStratum {
    name: String,
    population: u64,
    graded: u64,
    #[serde(default)]
    pass_rate_figure: Option<Figure>,
}

#[derive(Debug, Deserialize)]
struct Weighting {
    sentence: String,
}

#[derive(Debug, Deserialize)]
struct JudgeTotals {
    grades: u64,
    #[serde(default)]
    reused: u64,
    #[serde(default)]
    unpriced: u64,
    #[serde(default)]
    models: BTreeMap<String, u64>,
    #[serde(default)]
    own_family_warning: Option<String>,
}

/// By what traces belong together, if not by their groups.
#[derive(Debug, Deserialize)]
struct Grouping {
    by: String,
    without_key: u64,
}

/// How far a judge can be trusted.
#[derive(Debug, Deserialize)]
struct Trust {
    sentence: String,
    #[serde(default)]
    corrected_rate_figure: Option<Figure>,
}

#[derive(Debug, Deserialize)]
struct Item {
    item_id: String,
    outcome: String,
    grades: Vec<GradeTold>,
}

#[derive(Debug, Deserialize)]
struct GradeTold {
    grader_name: String,
    outcome: String,
    score: Option<f64>,
    label: Option<String>,
    unscored_reason: Option<String>,
    reasoning: Option<String>,
    span_id: Option<String>,
    #[serde(default)]
    citations: Vec<String>,
}

/// Prints what came of a run.
pub(super) async fn tell(ask: &Ask, run: &str, told: &Told) -> anyhow::Result<()> {
    let mut pairs = Vec::new();
    let mut push = |name: &str, value: Option<String>| {
        pairs.extend(value.map(|value| (name.to_owned(), value)));
    };
    push("grader", told.grader.clone());
    push("outcome", told.outcome.clone());
    push(
        "score_below",
        told.score_below.map(|score| score.to_string()),
    );
    push("limit", Some(told.limit.max(1).to_string()));
    push("after", told.after.clone());
    push("tasks", told.tasks.clone());
    push("segments", told.segments.clone());
    push("groups", told.groups.clone());
    let answer = ask.client.get(&path(run, &["results"]), &pairs).await?;
    match ask.tell::<Results>(answer).await? {
        Some(results) => Ok(output::block(&results.words(told))?),
        None => Ok(()),
    }
}

impl Results {
    fn words(&self, told: &Told) -> String {
        let mut out = self.run.line();
        out.push('\n');
        out.push_str(&self.table());
        self.notes(&mut out);
        self.reliability.iter().for_each(|it| it.tell(&mut out));
        self.segments.iter().for_each(|it| it.tell(&mut out));
        for (key, is_told) in [
            (&told.tasks, !self.reliability.is_empty()),
            (&told.segments, !self.segments.is_empty()),
        ] {
            if let Some(key) = key.as_ref().filter(|_| !is_told) {
                out.push_str(&format!(
                    "\nno graded trace says anything by {}\n",
                    short_text(key, 80)
                ));
            }
        }
        if told.limit > 0 {
            self.list(told, &mut out);
        }
        out
    }

    fn table(&self) -> String {
        let columns = [
            ("grader", Align::Left),
            ("pass", Align::Right),
            ("fail", Align::Right),
            ("value", Align::Right),
            ("n/a", Align::Right),
            ("no verdict", Align::Right),
            ("rate of passes, or mean score", Align::Left),
        ];
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for (name, of) in &self.by_grader {
            let counts = &of.counts;
            let numbers = [
                counts.pass,
                counts.fail,
                counts.value,
                counts.not_applicable,
                counts.unscored,
            ];
            let mut row = vec![Cell::from(short_text(name, 40))];
            row.extend(numbers.map(number));
            row.push(Cell::from(of.rate()));
            rows.push(row);
            for figure in of.besides() {
                let mut row = vec![Cell::default(); 6];
                row.push(Cell::from(figure));
                rows.push(row);
            }
        }
        if self.by_grader.len() > 1 {
            let mut row = vec![Cell::styled(BOLD, "a trace as a whole")];
            row.extend(vec![Cell::default(); 5]);
            row.push(match &self.pass_rate_figure {
                Some(rate) => Cell::from(rate.rate()),
                None => Cell::styled(DIM, withheld(&self.withheld, "pass_rate")),
            });
            rows.push(row);
            if let Some(mean) = &self.average_score_figure {
                let mut row = vec![Cell::default(); 6];
                row.push(Cell::from(format!("score {}", mean.mean())));
                rows.push(row);
            }
        }
        output::table(&columns, &rows)
    }

    /// Tells what has to be known to read the figures.
    fn notes(&self, out: &mut String) {
        for (name, of) in &self.by_grader {
            of.notes(name, out);
        }
        for (name, trust) in &self.calibration {
            let corrected = trust.corrected_rate_figure.map(|figure| figure.rate());
            out.push_str(&format!(
                "{}: {}{}\n",
                short_text(name, 40),
                short_text(&trust.sentence, 300),
                corrected.map_or_else(String::new, |rate| format!("; people would pass {rate}"))
            ));
        }
        for stratum in &self.strata {
            let rate = stratum.pass_rate_figure.map(|rate| rate.rate());
            out.push_str(&format!(
                "stratum {}: {} of {} graded{}\n",
                short_text(&stratum.name, 60),
                count(stratum.graded),
                count(stratum.population),
                rate.map_or_else(String::new, |rate| format!(", {rate} pass"))
            ));
        }
        if let Some(grouping) = &self.grouping {
            out.push_str(&format!(
                "groups are by {}; {} without it are a group each\n",
                short_text(&grouping.by, 60),
                text::traces(grouping.without_key)
            ));
        }
        if let Some(stopping) = &self.stopping {
            out.push_str(&format!("{}\n", short_text(&stopping.sentence, 400)));
        }
        let sentence = self.weighting.as_ref().map(|told| &told.sentence);
        if let Some(sentence) = sentence.filter(|sentence| !sentence.is_empty()) {
            out.push_str(&format!("{}\n", short_text(sentence, 400)));
        }
        if let Some(judge) = &self.judge {
            let models: Vec<_> = judge
                .models
                .keys()
                .map(|name| short_text(name, 60))
                .collect();
            out.push_str(&format!(
                "judged by {}: {} verdict{}, {} of them from earlier answers{}\n",
                models.join(", "),
                count(judge.grades),
                if judge.grades == 1 { "" } else { "s" },
                count(judge.reused),
                match judge.unpriced {
                    0 => String::new(),
                    unpriced => format!(", {} at an unknown price", count(unpriced)),
                }
            ));
            if let Some(warning) = &judge.own_family_warning {
                out.push_str(&format!(
                    "{} {}\n",
                    styled(OPEN, "mind:"),
                    short_text(warning, 300)
                ));
            }
        }
        if self.degraded {
            let reasons: Vec<_> = self
                .degraded_reasons
                .iter()
                .map(|reason| short_text(reason, 200))
                .collect();
            out.push_str(&format!(
                "{} {}\n",
                styled(OPEN, "do not lean on this run:"),
                reasons.join("; ")
            ));
        }
    }

    fn list(&self, told: &Told, out: &mut String) {
        if self.data.is_empty() {
            return;
        }
        let total = self.total.unwrap_or(self.data.len() as u64);
        out.push('\n');
        for item in &self.data {
            item.tell(out);
        }
        if self.has_more {
            let last = self
                .data
                .last()
                .map(|item| safe_text(&item.item_id).into_owned());
            let outcome = told.outcome.as_deref();
            let outcome = outcome.map_or_else(String::new, |word| format!(" --outcome {word}"));
            out.push_str(&format!(
                "{} of {}; more: tracegrade runs results {}{outcome} --after {}\n",
                count(self.data.len() as u64),
                text::traces(total),
                self.run.shown_id(),
                last.unwrap_or_default(),
            ));
        }
    }
}

impl OfGrader {
    /// Returns the figure that tells most, or why there is none.
    fn rate(&self) -> String {
        if let Some(rate) = &self.pass_rate_figure {
            return rate.rate();
        }
        match &self.mean_figure {
            Some(mean) => self.mean(mean),
            None => withheld(&self.withheld, "pass_rate"),
        }
    }

    /// Returns the figures that stand below it. Of numbers without a scale the mean says little by itself: a
    /// few large ones make it.
    fn besides(&self) -> Vec<String> {
        let mut figures = Vec::new();
        if let (Some(_), Some(mean)) = (&self.pass_rate_figure, &self.mean_figure) {
            figures.push(self.mean(mean));
        }
        if self.is_open() {
            let quantiles = [("median", &self.median_figure), ("p95", &self.p95_figure)];
            for (name, figure) in quantiles {
                figures.extend(figure.map(|it| format!("{name} {}", it.open())));
            }
        }
        figures
    }

    fn mean(&self, mean: &Figure) -> String {
        match self.is_open() {
            true => format!("mean {}", mean.open()),
            false => format!("score {}", mean.mean()),
        }
    }

    /// Returns whether its numbers, if it gives any, have no ends.
    fn is_open(&self) -> bool {
        let scale = &self.grader.scale;
        let is_bounded = scale["low"].is_number() && scale["high"].is_number();
        scale.is_object() && !is_bounded
    }

    fn notes(&self, name: &str, out: &mut String) {
        let name = short_text(name, 40);
        if self.counts.unscored > 0 {
            let reasons = self.counts.unscored_by_reason.iter();
            let reasons: Vec<_> = reasons
                .map(|(reason, n)| format!("{} {}", count(*n), safe_text(reason)))
                .collect();
            out.push_str(&format!("{name}: no verdict on {}\n", reasons.join(", ")));
        }
        if self.counts.vacuous > 0 {
            out.push_str(&format!(
                "{name}: on {} it holds only because there was nothing to look at\n",
                text::traces(self.counts.vacuous)
            ));
        }
        for (label, of) in &self.labels {
            let share = of.share_figure.map(|share| share.rate());
            out.push_str(&format!(
                "{name}: {} {}\n",
                short_text(label, 40),
                share.unwrap_or_else(|| count(of.count))
            ));
        }
        if let Some(pairwise) = &self.pairwise {
            out.push_str(&format!(
                "{name}: {}\n",
                short_text(&pairwise.sentence, 300)
            ));
            if let Some(rate) = pairwise.inconsistency_rate_figure {
                out.push_str(&format!(
                    "{name}: judges said another thing in the other order of {} of the pairs: these are ties\n",
                    rate.rate()
                ));
            }
        }
        if let Some(outlook) = &self.outlook {
            out.push_str(&format!("{name}: {}\n", short_text(&outlook.sentence, 300)));
        }
        let next = |part: &NextDraw| {
            let next = count(part.next?);
            Some(format!("{next} of {}", short_text(&part.name, 40)))
        };
        let next: Vec<String> = self.strata.iter().filter_map(next).collect();
        if !next.is_empty() {
            out.push_str(&format!(
                "{name}: next time as many are surest as {}\n",
                next.join(", ")
            ));
        }
    }
}

impl Item {
    fn tell(&self, out: &mut String) {
        let style = match self.outcome.as_str() {
            "fail" => BAD,
            "unscored" => OPEN,
            _ => DIM,
        };
        out.push_str(&format!(
            "{}  {}\n",
            styled(style, safe_text(&self.outcome).replace('_', " ")),
            safe_text(&self.item_id)
        ));
        // What passed says nothing where something else did not.
        let is_told = |grade: &&GradeTold| grade.outcome != "pass" || self.outcome == "pass";
        for grade in self.grades.iter().filter(is_told) {
            out.push_str(&grade.words());
        }
    }
}

impl GradeTold {
    fn words(&self) -> String {
        let mut words = format!(
            "      {}: {}",
            short_text(&self.grader_name, 40),
            safe_text(&self.outcome).replace('_', " ")
        );
        if let Some(reason) = &self.unscored_reason {
            words.push_str(&format!(" ({})", safe_text(reason)));
        }
        if let Some(score) = self.score {
            words.push_str(&format!(" {}", text::value(score)));
        }
        if let Some(label) = &self.label {
            words.push_str(&format!(" {}", short_text(label, 40)));
        }
        if let Some(reasoning) = &self.reasoning {
            words.push_str(&format!("  {}", short_text(reasoning, 160)));
        }
        if let Some(span) = self.citations.first().or(self.span_id.as_ref()) {
            words.push_str(&format!(
                "  {}",
                styled(DIM, format!("[{}]", safe_text(span)))
            ));
        }
        words.push('\n');
        words
    }
}

fn number(n: u64) -> Cell {
    match n {
        0 => Cell::styled(DIM, "0"),
        n => Cell::from(count(n)),
    }
}

fn withheld(reasons: &BTreeMap<String, String>, what: &str) -> String {
    match reasons.get(what) {
        Some(reason) => format!("none: {}", short_text(reason, 120)),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(outcome: Option<&str>, limit: u32) -> Told {
        Told {
            outcome: outcome.map(str::to_owned),
            limit,
            ..Told::default()
        }
    }

    #[test]
    fn results_are_figures_and_what_failed() {
        let results: Results = serde_json::from_str(CANNED).unwrap();
        let plain = |told: &Told| anstream::adapter::strip_str(&results.words(told)).to_string();
        insta::assert_snapshot!(plain(&told(Some("fail"), 10)));
        let figures_alone = plain(&told(None, 0));
        assert!(!figures_alone.contains("trace_7"), "{figures_alone}");
        // Whatever a judge or a trace says, a terminal does not obey it.
        let raw = results.words(&told(None, 10));
        assert!(
            !raw.contains("\u{1b}[2J") && !raw.contains('\u{202e}'),
            "{raw}"
        );
    }

    #[test]
    fn numbers_without_a_scale_are_told_with_their_middle_and_their_tail() {
        let of = |scale: &str| -> OfGrader {
            let figure = |estimate: f64| {
                format!(
                    r#"{{"estimate":{estimate},"interval":[{},{}],"n":200,"groups":200,"design_effect":1.0}}"#,
                    estimate / 2.0,
                    estimate * 2.0
                )
            };
            let told = format!(
                r#"{{"grader":{{"scale":{scale}}},"counts":{{}},"mean_figure":{},"median_figure":{},"p95_figure":{}}}"#,
                figure(0.008),
                figure(0.006),
                figure(0.02)
            );
            serde_json::from_str(&told).unwrap()
        };
        for open in [
            r#"{"type":"pass_fail"}"#,
            r#"{"type":"number","low":0,"high":null,"pass_threshold":null}"#,
        ] {
            let of = of(open);
            assert_eq!(of.rate(), "mean 0.00800 (95 %: 0.00400–0.0160, n = 200)");
            assert_eq!(
                of.besides(),
                [
                    "median 0.00600 (95 %: 0.00300–0.0120, n = 200)",
                    "p95 0.0200 (95 %: 0.0100–0.0400, n = 200)",
                ]
            );
        }
        let of = of(r#"{"type":"number","low":0,"high":1,"pass_threshold":null}"#);
        assert_eq!(of.rate(), "score 0.01 (95 %: 0.00–0.02, n = 200)");
        assert_eq!(of.besides(), Vec::<String>::new());
    }

    const CANNED: &str = r#"{"object":"trace.grading_results",
      "run":{"object":"trace.grading_run","id":"grun_1","name":"regression v1.9.0","status":"completed","reason":null,
        "graders":[{"id":"grader_1","name":"goal","version":2,"hash":"h","definition":{}}],
        "selection":{"strategy":"strata","seed":"s","population":1566,"sampled":120,"groups":90,"running_left_out":1,"strata":[{"name":"went wrong","population":31,"sampled":30}]},
        "counts":{"items":120,"done":120,"unscored":3,"queued":0,"deleted":0},"cost":{"estimate_usd":0.5,"cap_usd":5.0,"spent_usd":0.4123},
        "watch_id":null,"created_at":"2026-11-28T22:00:00.000000Z","started_at":null,"ended_at":null,"metadata":{}},
      "traces":120,"average_score":null,"average_score_figure":null,
      "pass_rate":0.7,"pass_rate_figure":{"estimate":0.7,"interval":[0.61,0.78],"method":"x","n":117,"groups":88,"design_effect":1.3,"too_few_groups":false},
      "by_grader":{
        "goal":{"grader":{},"counts":{"graded":120,"pass":82,"fail":30,"value":0,"not_applicable":5,"unscored":3,"unscored_by_reason":{"unknown":2,"parse":1},"vacuous":0},
          "pass_rate":0.73,"pass_rate_figure":{"estimate":0.732,"interval":[0.64,0.81],"method":"x","n":112,"groups":84,"design_effect":1.31,"too_few_groups":false},
          "mean":null,"mean_figure":null,"labels":{},"withheld":{}},
        "steps\u001b[2J":{"grader":{},"counts":{"graded":120,"pass":0,"fail":0,"value":120,"not_applicable":0,"unscored":0,"unscored_by_reason":{},"vacuous":4},
          "pass_rate":null,"pass_rate_figure":null,"mean":0.9,"mean_figure":{"estimate":0.9,"interval":[0.88,0.92],"method":"x","n":120,"groups":120,"design_effect":1.0,"too_few_groups":false},
          "labels":{},"withheld":{"pass_rate":"its numbers are neither good nor bad"}}},
      "strata":[{"name":"went wrong","population":31,"graded":30,"pass_rate":0.1,"pass_rate_figure":{"estimate":0.1,"interval":[0.02,0.27],"method":"x","n":30,"groups":30,"design_effect":1.0,"too_few_groups":false}}],
      "weighting":{"is_weighted":true,"sentence":"Each stratum counts by its share of the 1,566 traces."},
      "degraded":false,"degraded_reasons":[],"judge":{"grades":120,"reused":20,"cost_usd":0.41,"unpriced":0,"models":{"fernhollow-judge":120},"own_family_warning":"in 40 of 120 grades the judge is of the same family as a model that it judges"},"grouping":{"by":"metadata.customer","without_key":2},"withheld":{},
      "total":30,"data":[{"object":"trace.grading_result","trace_id":"trace_7","item_id":"trace_7","group_id":null,"stratum":"went wrong","weight":1.03,"outcome":"fail",
        "grades":[
          {"grader_name":"goal","outcome":"fail","score":null,"label":null,"unscored_reason":null,"reasoning":"It rests on an old scan \u202e.","span_id":null,"citations":["span_3"]},
          {"grader_name":"steps","outcome":"value","score":0.5,"label":null,"unscored_reason":null,"reasoning":null,"span_id":null,"citations":[]},
          {"grader_name":"clean","outcome":"pass","score":null,"label":null,"unscored_reason":null,"reasoning":null,"span_id":null,"citations":[]}]}],
      "first_id":"trace_7","last_id":"trace_7","has_more":true}"#;
}
