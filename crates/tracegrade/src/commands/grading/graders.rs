//! `graders`: what is right, kept under a name, and what a draft says of the traces that are there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::grading::{Draft, GraderSave, Graders, GradersTry};
use crate::output::{self, Align, BOLD, Cell, DIM, styled};
use crate::text::{self, count, safe_text, short_text};

use super::super::Ask;
use super::asked;
use super::figure::Figure;
use super::run::References;

/// Traces that are told one by one.
const TOLD_MAX: usize = 10;

const PATH: [&str; 2] = ["v1", "graders"];

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Grader>,
    #[serde(default)]
    has_more: bool,
}

/// A grader as the API tells it.
#[derive(Debug, Deserialize)]
struct Grader {
    id: String,
    name: Option<String>,
    r#type: String,
    version: u32,
    #[serde(default)]
    versions: u32,
    definition: Value,
    description: Option<String>,
    #[serde(default)]
    scale: Value,
    #[serde(default)]
    cost: String,
    updated_at: Option<String>,
    archived_at: Option<String>,
    #[serde(default)]
    used: bool,
}

/// A grader that was kept, and what the server has to say of it.
#[derive(Debug, Deserialize)]
struct Saved {
    #[serde(flatten)]
    grader: Grader,
    #[serde(flatten)]
    advice: Advice,
}

/// What could not be checked, what is unwise, and what would be better.
#[derive(Debug, Default, Deserialize)]
struct Advice {
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    suggestion: Option<Value>,
}

impl Advice {
    /// Returns it line by line.
    fn lines(&self) -> Vec<String> {
        let warnings = self.warnings.iter();
        let mut lines: Vec<String> = warnings.map(|it| short_text(it, 400)).collect();
        let suggestion = self.suggestion.as_ref();
        lines.extend(suggestion.map(|it| format!("suggestion: {}", safe_text(&it.to_string()))));
        lines
    }
}

/// What the server says of a draft.
#[derive(Debug, Deserialize)]
struct Trial {
    #[serde(flatten)]
    advice: Advice,
    name: String,
    counts: BTreeMap<String, u64>,
    #[serde(default)]
    pass_rate_figure: Option<Figure>,
    #[serde(default)]
    cost_usd: Option<f64>,
    #[serde(default)]
    stopped: Option<String>,
    #[serde(default)]
    references: Option<References>,
    data: Vec<Verdict>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    trace_id: String,
    outcome: String,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    label: Option<String>,
    unscored_reason: Option<String>,
    reasoning: Option<String>,
    citations: Vec<String>,
    vacuous: bool,
    #[serde(default)]
    exchanges: Option<Vec<Exchange>>,
}

/// One question to a judge and its answer.
#[derive(Debug, Deserialize)]
struct Exchange {
    purpose: String,
    model: String,
    messages: Vec<Message>,
    answer: String,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Value,
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, graders: &Graders) -> anyhow::Result<()> {
    match graders {
        Graders::List { archived } => list(ask, *archived).await,
        Graders::Show { grader, version } => show(ask, grader, *version).await,
        Graders::Save(args) => save(ask, args).await,
        Graders::Try(draft) => attempt(ask, draft).await,
        Graders::Versions { grader } => versions(ask, grader).await,
        Graders::Archive { grader } => archive(ask, grader).await,
        Graders::Library => library(ask).await,
    }
}

async fn list(ask: &Ask, with_archived: bool) -> anyhow::Result<()> {
    let mut pairs = vec![("limit".to_owned(), "1000".to_owned())];
    if with_archived {
        pairs.push(("include_archived".to_owned(), "true".to_owned()));
    }
    let answer = ask.client.get(&PATH, &pairs).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    if list.data.is_empty() {
        output::note(
            "no grader was saved: `tracegrade graders save NAME …`; `tracegrade graders library` shows those that are there already",
        );
        return Ok(());
    }
    output::block(&table(&list.data))?;
    if list.has_more {
        output::note("there are more: --json tells how to go on");
    }
    Ok(())
}

async fn versions(ask: &Ask, grader: &str) -> anyhow::Result<()> {
    let path = ["v1", "graders", grader, "versions"];
    let answer = ask.client.get(&path, &[]).await?;
    match ask.tell::<List>(answer).await? {
        Some(list) => Ok(output::block(&table(&list.data))?),
        None => Ok(()),
    }
}

async fn library(ask: &Ask) -> anyhow::Result<()> {
    let answer = ask.client.get(&["v1", "graders", "library"], &[]).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    let columns = ["grader", "type", "asks", "what it asks"].map(|name| (name, Align::Left));
    let row = |grader: &Grader| {
        vec![
            Cell::from(safe_text(&grader.id).into_owned()),
            Cell::from(safe_text(&grader.r#type).into_owned()),
            Cell::from(grader.asks()),
            Cell::styled(
                DIM,
                short_text(grader.description.as_deref().unwrap_or(""), 90),
            ),
        ]
    };
    let rows: Vec<Vec<Cell>> = list.data.iter().map(row).collect();
    Ok(output::block(&output::table(&columns, &rows))?)
}

async fn show(ask: &Ask, grader: &str, version: Option<u32>) -> anyhow::Result<()> {
    let pairs: Vec<_> = version
        .map(|version| ("version".to_owned(), version.to_string()))
        .into_iter()
        .collect();
    let answer = ask.client.get(&["v1", "graders", grader], &pairs).await?;
    match ask.tell::<Grader>(answer).await? {
        Some(grader) => Ok(output::block(&grader.words()?)?),
        None => Ok(()),
    }
}

async fn archive(ask: &Ask, grader: &str) -> anyhow::Result<()> {
    let answer = ask.client.delete(&["v1", "graders", grader], &[]).await?;
    match ask.tell::<Value>(answer).await? {
        Some(_) => Ok(output::line(format!("archived {}", safe_text(grader)))?),
        None => Ok(()),
    }
}

async fn save(ask: &Ask, args: &GraderSave) -> anyhow::Result<()> {
    let definition = match (&args.file, &args.check, &args.detector, &args.grader) {
        (Some(file), ..) => asked::file(file)?,
        (_, Some(check), ..) => json!({"type": "rule", "check": check}),
        (_, _, Some(id), _) => json!({"type": "detector", "detector": id}),
        (.., Some(text)) => match asked::meant(text)? {
            // A ready one, or one that was saved, is kept under another name.
            Value::String(name) => {
                let grader: Grader = ask.client.get_json(&["v1", "graders", &name], &[]).await?;
                grader.definition
            }
            definition => definition,
        },
        _ => anyhow::bail!("nothing to save: FILE, --check, --detector or --grader"),
    };
    save_definition(ask, &args.name, &definition, args.description.as_deref()).await
}

/// Keeps a definition under a name, and tells which version it became.
pub(super) async fn save_definition(
    ask: &Ask,
    name: &str,
    definition: &Value,
    description: Option<&str>,
) -> anyhow::Result<()> {
    let mut body = json!({"name": name, "definition": definition});
    if let Some(description) = description {
        body["description"] = json!(description);
    }
    // What is there before tells whether a version was made or taken the place of.
    let known = ["v1", "graders", name];
    let before = ask.client.get_json::<Grader>(&known, &[]).await.ok();
    let answer = ask.client.send_json(Method::POST, &PATH, &body).await?;
    let Some(Saved { grader, advice }) = ask.tell::<Saved>(answer).await? else {
        return Ok(());
    };
    output::line(format!(
        "{} v{} {}",
        short_text(grader.name.as_deref().unwrap_or(name), 60),
        grader.version,
        safe_text(&grader.id)
    ))?;
    advice.lines().iter().for_each(output::note);
    let is_other = |before: &Grader| before.definition != grader.definition;
    if before.is_some_and(|it| it.version == grader.version && is_other(&it)) {
        output::note(format!(
            "it takes the place of the former v{}, which had graded nothing",
            grader.version
        ));
        if description.is_none()
            && let Some(kept) = &grader.description
        {
            output::note(format!(
                "its description is the former one: {} (--description says another)",
                short_text(kept, 120)
            ));
        }
    }
    Ok(())
}

async fn attempt(ask: &Ask, draft: &GradersTry) -> anyhow::Result<()> {
    let mut body = json!({"grader": definition(&draft.grader)?, "limit": draft.limit});
    if !draft.filter.is_empty() {
        body["filter"] = draft.filter.json();
    }
    if let Value::Object(body) = &mut body {
        asked::hold_against(&draft.references, body)?;
    }
    let path = ["v1", "graders", "try"];
    let answer = ask.client.send_json(Method::POST, &path, &body).await?;
    if ask.json {
        let told: Value = ask.client.json(answer).await?;
        output::line(told.to_string())?;
        let stopped = told["stopped"].as_str();
        return stopped.map_or(Ok(()), not_all);
    }
    let trial: Trial = ask.client.json(answer).await?;
    output::block(&trial.words(draft.exchanges))?;
    trial.advice.lines().iter().for_each(output::note);
    trial.stopped.as_deref().map_or(Ok(()), not_all)
}

/// Fails: a trial that was cut short is not what was asked for.
fn not_all(why: &str) -> anyhow::Result<()> {
    bail!(
        "not all of the traces were graded: {}",
        short_text(why, 300)
    )
}

fn definition(draft: &Draft) -> anyhow::Result<Value> {
    if let Some(check) = &draft.rule {
        return Ok(json!({"type": "rule", "check": check}));
    }
    if let Some(id) = &draft.detector {
        return Ok(json!({"type": "detector", "detector": id}));
    }
    asked::meant(draft.grader.as_deref().context("no grader is given")?)
}

fn table(graders: &[Grader]) -> String {
    let columns = ["name", "version", "type", "asks", "changed (UTC)", "id", ""]
        .map(|name| (name, Align::Left));
    let row = |grader: &Grader| {
        let at = text::moment(grader.updated_at.as_deref().unwrap_or("-"));
        let mut besides = Vec::new();
        besides.extend(grader.archived_at.as_ref().map(|_| "archived".to_owned()));
        besides.extend((!grader.used).then(|| "not used yet".to_owned()));
        besides.extend(
            grader
                .description
                .as_deref()
                .map(|text| short_text(text, 60)),
        );
        vec![
            Cell::from(short_text(
                grader.name.as_deref().unwrap_or("(unnamed)"),
                40,
            )),
            Cell::from(format!("v{}", grader.version)),
            Cell::from(safe_text(&grader.r#type).into_owned()),
            Cell::from(grader.asks()),
            Cell::from(at),
            Cell::from(safe_text(&grader.id).into_owned()),
            Cell::styled(DIM, besides.join("; ")),
        ]
    };
    let rows: Vec<Vec<Cell>> = graders.iter().map(row).collect();
    output::table(&columns, &rows)
}

impl Grader {
    /// Returns what grading with it takes.
    fn asks(&self) -> &'static str {
        match self.cost.as_str() {
            "judge" => "a model",
            "code" => "Python",
            _ => "nobody",
        }
    }

    fn words(&self) -> anyhow::Result<String> {
        let mut out = format!(
            "{} v{} of {}  {}\n",
            styled(
                BOLD,
                short_text(self.name.as_deref().unwrap_or("(unnamed)"), 60)
            ),
            self.version,
            self.versions.max(self.version),
            safe_text(&self.id)
        );
        if let Some(at) = &self.archived_at {
            out.push_str(&format!(
                "  archived {} UTC: saving it under its name brings it back\n",
                text::moment(at)
            ));
        }
        if let Some(description) = &self.description {
            out.push_str(&format!("  {}\n", short_text(description, 400)));
        }
        out.push_str(&format!(
            "  {} asks {}; scale {}\n\n",
            safe_text(&self.r#type),
            self.asks(),
            scale_words(&self.scale)
        ));
        // JSON escapes control characters; what turns the direction of writing it leaves.
        let definition = serde_json::to_string_pretty(&self.definition)?;
        for line in definition.lines() {
            out.push_str(&safe_text(line));
            out.push('\n');
        }
        Ok(out)
    }
}

/// Returns a scale in words.
fn scale_words(scale: &Value) -> String {
    let list = |name: &str| {
        let words = scale[name].as_array().into_iter().flatten();
        let words: Vec<&str> = words.filter_map(Value::as_str).collect();
        short_text(&words.join(", "), 200)
    };
    match scale["type"].as_str() {
        Some("pass_fail") => "pass or fail".to_owned(),
        Some("number") => {
            let bound = |name: &str| scale[name].as_f64().map(text::value);
            let mut words = match (bound("low"), bound("high")) {
                (Some(low), Some(high)) => format!("{low} to {high}"),
                (Some(low), None) => format!("{low} and more"),
                (None, Some(high)) => format!("up to {high}"),
                (None, None) => "a number".to_owned(),
            };
            if let Some(from) = bound("pass_threshold") {
                words.push_str(&format!(", passes from {from}"));
            }
            words
        }
        Some("labels") => format!("one of {}; {} pass", list("labels"), list("passing")),
        _ => safe_text(&scale.to_string()).into_owned(),
    }
}

/// Returns of how many traces verdicts are: of a grader of spans one has several.
fn traces_of(verdicts: &mut dyn Iterator<Item = &Verdict>) -> u64 {
    let traces: BTreeSet<&str> = verdicts.map(|told| told.trace_id.as_str()).collect();
    traces.len() as u64
}

impl Trial {
    fn words(&self, with_exchanges: bool) -> String {
        let mut out = format!(
            "{} on {}: {}\n",
            short_text(&self.name, 60),
            text::traces(traces_of(&mut self.data.iter())),
            self.tally()
        );
        if let Some(rate) = &self.pass_rate_figure {
            out.push_str(&format!("pass rate {}\n", rate.rate()));
        }
        if let Some(usd) = self.cost_usd.filter(|usd| *usd > 0.0) {
            out.push_str(&format!("{} spent on judges\n", text::cost(usd)));
        }
        let vacuous = traces_of(&mut self.data.iter().filter(|told| told.vacuous));
        if vacuous > 0 {
            out.push_str(&format!(
                "in {} it holds only because there was nothing to look at\n",
                text::traces(vacuous)
            ));
        }
        let references = self.references.iter().flat_map(References::words);
        for words in references {
            out.push_str(&format!("references: {words}\n"));
        }
        self.list(with_exchanges, &mut out);
        out
    }

    fn tally(&self) -> String {
        let counts = self.counts.iter().filter(|(_, number)| **number > 0);
        let counts: Vec<_> = counts
            .map(|(outcome, number)| {
                format!(
                    "{} {}",
                    count(*number),
                    safe_text(outcome).replace('_', " ")
                )
            })
            .collect();
        match counts.is_empty() {
            true => "nothing to grade".to_owned(),
            false => counts.join(", "),
        }
    }

    /// Tells what did not pass, fails first; with exchanges whatever a model was asked.
    fn list(&self, with_exchanges: bool, out: &mut String) {
        let rank = |outcome: &str| match outcome {
            "fail" => 0,
            "value" => 1,
            "unscored" => 2,
            _ => 3,
        };
        let mut told: Vec<&Verdict> = self.data.iter().collect();
        told.retain(|verdict| verdict.outcome != "pass" || with_exchanges);
        told.sort_by_key(|verdict| rank(&verdict.outcome));
        for verdict in told.iter().take(TOLD_MAX) {
            out.push_str(&verdict.words());
            for exchange in verdict
                .exchanges
                .iter()
                .flatten()
                .filter(|_| with_exchanges)
            {
                exchange.tell(out);
            }
        }
        let more = told.len().saturating_sub(TOLD_MAX) as u64;
        if more > 0 {
            out.push_str(&format!("  and {} more; --json tells all\n", count(more)));
        }
    }
}

impl Verdict {
    fn words(&self) -> String {
        let reason = self.unscored_reason.as_deref();
        let reason = reason.map_or_else(String::new, |reason| format!(" ({})", safe_text(reason)));
        let mut line = format!(
            "  {}{reason}  {}",
            safe_text(&self.outcome).replace('_', " "),
            safe_text(&self.trace_id)
        );
        if let Some(score) = self.score {
            line.push_str(&format!("  {score}"));
        }
        if let Some(label) = &self.label {
            line.push_str(&format!("  {}", short_text(label, 40)));
        }
        if let Some(reasoning) = &self.reasoning {
            line.push_str(&format!("  {}", short_text(reasoning, 120)));
        }
        if let Some(span) = self.citations.first() {
            line.push_str(&format!("  [{}]", safe_text(span)));
        }
        line.push('\n');
        line
    }
}

impl Exchange {
    /// Tells the question and the answer whole, line by line.
    fn tell(&self, out: &mut String) {
        let mut block = |who: &str, text: &str| {
            out.push_str(&format!("    {}\n", styled(BOLD, safe_text(who))));
            for line in text.lines() {
                out.push_str(&format!("    {} {}\n", styled(DIM, "│"), safe_text(line)));
            }
        };
        for message in &self.messages {
            let text = match &message.content {
                Value::String(text) => text.clone(),
                parts => parts.to_string(),
            };
            block(&message.role, &text);
        }
        block(&format!("{} ({})", self.model, self.purpose), &self.answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_tells_fails_first_and_nothing_to_the_terminal() {
        let trial: Trial = serde_json::from_str(CANNED).unwrap();
        let plain = |with| anstream::adapter::strip_str(&trial.words(with)).to_string();
        insta::assert_snapshot!(plain(false));
        insta::assert_snapshot!("a_trial_with_what_was_asked", plain(true));
    }

    #[test]
    fn advice_is_told_line_by_line() {
        let advice: Advice = serde_json::from_str(
            r#"{"warnings":["it asks 2 things at once\u001b[2J"],"suggestion":{"type":"multi"}}"#,
        )
        .unwrap();
        let want = [
            r"it asks 2 things at once\u{1b}[2J",
            r#"suggestion: {"type":"multi"}"#,
        ];
        assert_eq!(advice.lines(), want);
        // A server of before says nothing of it.
        let none: Advice = serde_json::from_str("{}").unwrap();
        assert_eq!(none.lines(), Vec::<String>::new());
    }

    const CANNED: &str = r#"{"object":"grader.trial","name":"goal","type":"llm","counts":{"pass":1,"fail":1,"value":0,"not_applicable":1,"unscored":0},
        "pass_rate":0.5,"pass_rate_figure":{"estimate":0.5,"interval":[0.09,0.91],"method":"wilson","n":2,"groups":2,"design_effect":1.0,"too_few_groups":true},
        "cost_usd":0.0123,"stopped":null,
        "data":[
          {"trace_id":"trace_1","span_id":null,"outcome":"not_applicable","score":null,"label":null,"unscored_reason":null,"reasoning":"no customer","citations":[],"confidence":null,"vacuous":false,"judge":null,"scores":{},"exchanges":[]},
          {"trace_id":"trace_2","outcome":"pass","unscored_reason":null,"reasoning":null,"citations":[],"vacuous":true,"exchanges":null},
          {"trace_id":"trace_3","outcome":"fail","score":2,"unscored_reason":null,"reasoning":"It said \u001b[2J done\nand was not","citations":["span_9"],"vacuous":false,
           "exchanges":[{"purpose":"verdict","model":"gpt-5-mini","messages":[{"role":"system","content":"You judge.\nBe fair \u001b]0;x\u0007"},{"role":"user","content":[{"type":"text","text":"a"}]}],"params":{},"answer":"{\"verdict\": \"fail\"}"}]}]}"#;
}
