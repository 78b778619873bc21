//! The definition of a grader that asks a judge.
//!
//! Four ways of writing one mean the same thing: a criterion (`criteria` or `question`, with `pass_when`,
//! `fail_when`, `without_evidence`, `levels`, `policy`, `reference`, `examples`), the guide's (`criteria`,
//! `focus`, `inputs`, `model`), one of labels (`labels`, `passing_labels`) and one of numbers (`range`,
//! `pass_threshold`). A scale that only the criterion's text tells is echoed.

use std::collections::BTreeMap;

use insight::judging::{Criterion, Example, Offered, Scale};
use insight::render::{BUDGET_TOKENS_MAX, BUDGET_TOKENS_MIN};
use insight::rule::Selector;
use insight::template::Template;
use serde_json::{Map, Value, json};

use super::super::{plain, scales};
use crate::openai::judge::params;
use crate::openai::problems::{Fields, Problems, kind_of};

/// Judges of a panel.
const JUDGES_MAX: usize = 9;

/// How often one judge may be asked the same.
const SAMPLES_MAX: u64 = 10;

/// The share of traces on which a judge is held against itself, if nobody says.
const SAMPLES_SHARE: f64 = 0.05;

/// What a question about which of two traces is better has no use for.
const NOT_OF_TWO: [&str; 9] = [
    "pass_when",
    "fail_when",
    "levels",
    "focus",
    "per",
    "samples",
    "samples_share",
    "logprobs",
    "integer",
];

const FIELDS: [&str; 23] = [
    "type",
    "name",
    "pairwise",
    "criteria",
    "question",
    "pass_when",
    "fail_when",
    "without_evidence",
    "levels",
    "policy",
    "reference",
    "examples",
    "focus",
    "per",
    "inputs",
    "model",
    "sampling_params",
    "judges",
    "samples",
    "samples_share",
    "logprobs",
    "needs_search",
    "budget_tokens",
];

/// A grader that asks a judge.
#[derive(Debug)]
pub(in super::super) struct Llm {
    /// The question; its reference is a template here, and filled for each trace.
    pub(super) criterion: Criterion,
    pub(super) reference: Option<Template>,
    reference_text: Option<String>,
    pub(super) offered: Offered,
    pub(super) inputs: Vec<(String, Template)>,
    input_texts: BTreeMap<String, String>,
    pub(in super::super) focus: Option<Selector>,
    /// Whether each span is judged by itself.
    pub(in super::super) per_span: bool,
    /// At least one.
    pub(super) judges: Vec<JudgeSpec>,
    /// How often a judge is asked in all where it is held against itself.
    pub(super) samples: u32,
    pub(super) samples_share: f64,
    /// Whether the chances of numbers are asked for.
    pub(super) logprobs: bool,
    /// Whether the question needs the whole trace searched.
    pub(super) needs_search: bool,
    pub(super) budget_tokens: Option<u32>,
}

/// A judge and how it is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JudgeSpec {
    /// None: the project's.
    pub(super) model: Option<String>,
    pub(super) params: Map<String, Value>,
}

impl Llm {
    /// Reads one.
    pub(in super::super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let known: Vec<&str> = FIELDS.iter().chain(&scales::FIELDS).copied().collect();
        fields.only(&known);
        let before = fields.problems.list().len();
        let criterion = criterion(fields);
        let is_pairwise = fields.flag("pairwise", false);
        let read = criterion.as_ref().map_or(Scale::PassFail, scale_of);
        let offered = match is_pairwise {
            Some(true) => {
                refuse_fields_of_one(fields);
                Some(Offered::Better)
            }
            _ => scales::of_judge(fields, read),
        };
        if let (Some(criterion), Some(offered)) = (&criterion, &offered) {
            check_levels(fields, criterion, offered);
            check_examples(fields, criterion, offered);
        }
        let reference = reference(fields);
        let inputs = inputs(fields);
        let focus = focus(fields);
        let per_span = per_span(fields);
        let judges = judges(fields);
        let (samples, samples_share) = samples(fields);
        let logprobs = fields.flag("logprobs", false);
        let needs_search = fields.flag("needs_search", false);
        let budget_tokens = budget_tokens(fields, is_pairwise == Some(true));
        if per_span == Some(true) && matches!(focus, Some(None)) {
            let help = "write a `focus`, such as \"spans[type=function]\"";
            fields.note("per", "is \"span\", and it is not said which spans", help);
        }
        if fields.problems.list().len() > before {
            return None;
        }
        let input_texts = inputs?;
        is_pairwise?;
        Some(Self {
            criterion: criterion?,
            reference: reference.as_deref().map(Template::parse_input),
            reference_text: reference,
            offered: offered?,
            inputs: templates(&input_texts),
            input_texts,
            focus: focus?,
            per_span: per_span?,
            judges: judges?,
            samples: samples?,
            samples_share: samples_share?,
            logprobs: logprobs?,
            needs_search: needs_search?,
            budget_tokens: budget_tokens?,
        })
    }

    /// Returns whether it compares two traces.
    pub(in super::super) fn is_pairwise(&self) -> bool {
        self.offered == Offered::Better
    }

    /// Returns what is offered to the judge.
    pub(in super::super) fn offered(&self) -> &Offered {
        &self.offered
    }

    /// Returns whether it names the case that a trace is held against.
    pub(in super::super) fn needs_reference(&self) -> bool {
        let templates = self.inputs.iter().map(|(_, template)| template);
        let mut paths = templates.chain(&self.reference).flat_map(Template::paths);
        paths.any(|path| path.written.starts_with("item.reference"))
    }

    /// Returns the definition, its scale and its defaults written out.
    pub(in super::super) fn definition(&self) -> Map<String, Value> {
        let mut definition = Map::new();
        let criterion = &self.criterion;
        if self.is_pairwise() {
            definition.insert("pairwise".into(), true.into());
        }
        definition.insert("criteria".into(), criterion.question.as_str().into());
        for (key, text) in [
            ("pass_when", &criterion.pass_when),
            ("fail_when", &criterion.fail_when),
            ("without_evidence", &criterion.without_evidence),
            ("policy", &criterion.policy),
            ("reference", &self.reference_text),
        ] {
            if let Some(text) = text {
                definition.insert(key.into(), text.as_str().into());
            }
        }
        if !criterion.levels.is_empty() {
            let levels = criterion.levels.iter();
            let levels: Map<String, Value> = levels
                .map(|(level, words)| (level.to_string(), words.as_str().into()))
                .collect();
            definition.insert("levels".into(), levels.into());
        }
        if !criterion.examples.is_empty() {
            let examples: Vec<Value> = criterion.examples.iter().map(written).collect();
            definition.insert("examples".into(), examples.into());
        }
        if !self.is_pairwise() {
            scales::write_offered(&self.offered, &mut definition);
        }
        self.write_scope(&mut definition);
        self.write_judges(&mut definition);
        definition
    }

    /// Returns one definition for each question that the criterion numbers, by key, and the formula for
    /// their mean; none if it asks only one thing. Each is a question of yes or no: that can be counted.
    /// What is numbered and asks nothing may be the steps of a scale.
    pub(in super::super) fn split(&self) -> Option<(Map<String, Value>, String)> {
        let lines = self.criterion.question.lines();
        let asked = |line: &&str| line.ends_with('?');
        let questions: Vec<&str> = lines.filter_map(numbered).filter(asked).collect();
        if questions.len() < 2 || self.is_pairwise() {
            return None;
        }
        let parts = questions.iter().enumerate().map(|(nth, question)| {
            let mut part = self.definition();
            for key in scales::FIELDS
                .iter()
                .chain(&["criteria", "levels", "examples"])
            {
                part.shift_remove(*key);
            }
            part.insert("type".into(), "llm".into());
            part.insert("criteria".into(), (*question).into());
            part.insert("scale".into(), "pass_fail".into());
            (format!("q{}", nth + 1), part.into())
        });
        let parts: Map<String, Value> = parts.collect();
        let keys: Vec<&str> = parts.keys().map(String::as_str).collect();
        let formula = format!("({}) / {}", keys.join(" + "), keys.len());
        Some((parts, formula))
    }

    fn write_scope(&self, definition: &mut Map<String, Value>) {
        if let Some(focus) = &self.focus {
            definition.insert("focus".into(), focus.source().into());
            let per = if self.per_span { "span" } else { "trace" };
            definition.insert("per".into(), per.into());
        }
        if !self.input_texts.is_empty() {
            definition.insert("inputs".into(), json!(self.input_texts));
        }
        if self.needs_search {
            definition.insert("needs_search".into(), true.into());
        }
        if let Some(tokens) = self.budget_tokens {
            definition.insert("budget_tokens".into(), tokens.into());
        }
    }

    fn write_judges(&self, definition: &mut Map<String, Value>) {
        match self.judges.as_slice() {
            [only] => definition.extend(only.written()),
            several => {
                let judges: Vec<Value> = several.iter().map(|it| it.written().into()).collect();
                definition.insert("judges".into(), judges.into());
            }
        }
        if self.samples > 1 {
            definition.insert("samples".into(), self.samples.into());
            definition.insert("samples_share".into(), self.samples_share.into());
        }
        if self.logprobs {
            definition.insert("logprobs".into(), true.into());
        }
    }
}

/// Returns what stands behind the number of a numbered line.
fn numbered(line: &str) -> Option<&str> {
    let line = line.trim();
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = line[digits..].strip_prefix(['.', ')'])?;
    let is_numbered = digits > 0 && rest.starts_with(' ');
    is_numbered
        .then(|| rest.trim())
        .filter(|question| !question.is_empty())
}

impl JudgeSpec {
    fn written(&self) -> Map<String, Value> {
        let mut written = Map::new();
        if let Some(model) = &self.model {
            written.insert("model".into(), model.as_str().into());
        }
        if !self.params.is_empty() {
            written.insert("sampling_params".into(), self.params.clone().into());
        }
        written
    }
}

fn written(example: &Example) -> Value {
    json!({
        "excerpt": example.excerpt,
        "reasoning": example.reasoning,
        "decision": example.decision,
    })
}

/// Returns the scale that a criterion tells: by its text, else by its levels.
fn scale_of(criterion: &Criterion) -> Scale {
    match (criterion.scale(), criterion.levels.as_slice()) {
        (Scale::PassFail, [(low, _), .., (high, _)]) => Scale::Whole {
            low: *low,
            high: *high,
        },
        (scale, _) => scale,
    }
}

/// Notes what does not go with a comparison: what is better is one of three words, asked in both orders.
fn refuse_fields_of_one(fields: &mut Fields<'_, '_>) {
    let scales = scales::FIELDS.iter().filter(|key| **key != "integer");
    for key in NOT_OF_TWO.iter().chain(scales) {
        if fields.get(key).is_some() {
            let help = "leave it out: a judge says which of two traces is better by the criterion, or `tie`";
            fields.note(key, "does not go with `pairwise`", help);
        }
    }
}

fn criterion(fields: &mut Fields<'_, '_>) -> Option<Criterion> {
    let help = "write what a judge is to decide, such as \"Did the agent reach the user's goal?\"";
    let criteria = fields.words("criteria", help);
    let question = fields.words("question", help);
    let asked = match (criteria?, question?) {
        (Some(_), Some(_)) => {
            fields.note("question", "stands beside `criteria`", "write one of them");
            None
        }
        (None, None) => {
            fields.note("criteria", "is missing", help);
            None
        }
        (criteria, question) => criteria.or(question),
    };
    let mut text = |key: &str| {
        let text = fields.words(key, "write a text, or leave it out")?;
        Some(text.map(str::to_owned))
    };
    let (pass_when, fail_when) = (text("pass_when"), text("fail_when"));
    let (without_evidence, policy) = (text("without_evidence"), text("policy"));
    let levels = levels(fields);
    let examples = examples(fields);
    Some(Criterion {
        question: asked?.to_owned(),
        pass_when: pass_when?,
        fail_when: fail_when?,
        without_evidence: without_evidence?,
        levels: levels?,
        policy: policy?,
        reference: None,
        examples: examples?,
    })
}

fn levels(fields: &mut Fields<'_, '_>) -> Option<Vec<(i64, String)>> {
    let Some(value) = fields.get("levels") else {
        return Some(Vec::new());
    };
    let help = "write what each step means, such as {\"1\": \"useless\", \"5\": \"perfect\"}";
    let read = |object: &Map<String, Value>| {
        let level = |(level, words): (&String, &Value)| {
            Some((
                level.trim().parse::<i64>().ok()?,
                words.as_str()?.to_owned(),
            ))
        };
        let mut levels: Vec<_> = object.iter().map(level).collect::<Option<_>>()?;
        levels.sort();
        let is_each_once = levels.windows(2).all(|pair| pair[0].0 < pair[1].0);
        is_each_once.then_some(levels)
    };
    let levels = value.as_object().and_then(read);
    if levels.is_none() {
        fields.note("levels", format!("is {value}"), help);
    }
    levels
}

fn check_levels(fields: &mut Fields<'_, '_>, criterion: &Criterion, offered: &Offered) {
    let is_step = |level: i64| match offered {
        Offered::Score { scale, .. } => scale.contains(level as f64),
        _ => false,
    };
    for (level, _) in &criterion.levels {
        if !is_step(*level) {
            let help = "write steps of the scale";
            fields.note(
                "levels",
                format!("tell of {level}, which is no step of it"),
                help,
            );
        }
    }
}

fn examples(fields: &mut Fields<'_, '_>) -> Option<Vec<Example>> {
    if fields.get("examples").is_none() {
        return Some(Vec::new());
    }
    let help = "write a list of {\"excerpt\":…, \"reasoning\":…, \"decision\":…}";
    let path = fields.path_of("examples");
    let list = fields.list("examples", help)?;
    let read: Vec<Option<Example>> = list
        .iter()
        .enumerate()
        .map(|(nth, value)| example(value, &format!("{path}[{nth}]"), fields.problems))
        .collect();
    read.into_iter().collect()
}

fn example(value: &Value, path: &str, problems: &mut Problems) -> Option<Example> {
    let mut fields = Fields::of(value, path, problems)?;
    fields.only(&["excerpt", "reasoning", "decision"]);
    let excerpt = fields.text("excerpt", "write the telling part of a trace");
    let reasoning = fields.text("reasoning", "write why it was decided so");
    let decision = match fields.required("decision", "write what was decided") {
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::String(word)) => Some(word.clone()),
        Some(other) => {
            let message = format!("is {}", kind_of(other));
            fields.note("decision", message, "write a verdict, a number or a label");
            None
        }
        None => None,
    };
    Some(Example {
        excerpt: excerpt?.to_owned(),
        reasoning: reasoning?.to_owned(),
        decision: decision?,
    })
}

fn check_examples(fields: &mut Fields<'_, '_>, criterion: &Criterion, offered: &Offered) {
    let is_offered = |decision: &str| match offered {
        Offered::Verdict => ["pass", "fail", "unknown"].contains(&decision),
        Offered::Score { scale, .. } => decision.parse().is_ok_and(|score| scale.contains(score)),
        Offered::Label { labels, .. } => labels.iter().any(|label| label == decision),
        Offered::Better => ["A", "B", "tie"].contains(&decision),
    };
    for (nth, example) in criterion.examples.iter().enumerate() {
        if !is_offered(&example.decision) {
            let key = format!("examples[{nth}].decision");
            let message = format!("is {:?}, which is not offered", example.decision);
            fields.note(
                &key,
                message,
                "write one of the answers that a judge may give",
            );
        }
    }
}

fn reference(fields: &mut Fields<'_, '_>) -> Option<String> {
    let help = "write what would have been right, or a path into the case: {{item.reference}}";
    let text = fields.words("reference", help).flatten()?;
    if !check_template(fields, "reference", text) {
        return None;
    }
    // What the agent said is never what would have been right.
    let template = Template::parse_input(text);
    let stray = template
        .paths()
        .find(|path| !path.written.starts_with("item.reference"));
    if let Some(stray) = stray {
        let message = format!("names `{}`, which is of the trace", stray.written);
        fields.note("reference", message, help);
        return None;
    }
    Some(text.to_owned())
}

/// Returns whether all that is written like a variable is one; notes what is not.
fn check_template(fields: &mut Fields<'_, '_>, key: &str, text: &str) -> bool {
    const ROOTS: [&str; 6] = [
        "item",
        "sample",
        "trace",
        "spans",
        "final_response",
        "original_message",
    ];
    let template = Template::parse_input(text);
    let good: Vec<&str> = template
        .paths()
        .filter(|path| ROOTS.contains(&path.root()))
        .map(|path| path.written.as_str())
        .collect();
    let mut is_good = true;
    for stray in template.variables().filter(|name| !good.contains(name)) {
        let help = "name {trace}, {final_response}, {original_message}, {{item.…}} or {{sample.…}}";
        fields.note(key, format!("names `{stray}`, which is not there"), help);
        is_good = false;
    }
    is_good
}

fn inputs(fields: &mut Fields<'_, '_>) -> Option<BTreeMap<String, String>> {
    let Some(value) = fields.get("inputs") else {
        return Some(BTreeMap::new());
    };
    let help = "write texts by name, such as {\"user_goal\": \"{original_message}\"}";
    let Some(object) = value.as_object() else {
        fields.note("inputs", format!("is {}", kind_of(value)), help);
        return None;
    };
    let mut inputs = BTreeMap::new();
    let mut is_good = true;
    for (name, value) in object {
        let key = format!("inputs.{name}");
        match value.as_str() {
            Some(text) if check_template(fields, &key, text) => {
                inputs.insert(name.clone(), text.to_owned());
            }
            Some(_) => is_good = false,
            None => {
                fields.note(&key, format!("is {}", kind_of(value)), help);
                is_good = false;
            }
        }
    }
    is_good.then_some(inputs)
}

/// Returns the inputs to be filled in. The trace stands in every prompt: an input that is nothing but the
/// trace would show it twice.
fn templates(inputs: &BTreeMap<String, String>) -> Vec<(String, Template)> {
    let is_trace = |text: &str| ["{trace}", "{{trace}}"].contains(&text.trim());
    let inputs = inputs.iter().filter(|(_, text)| !is_trace(text));
    inputs
        .map(|(name, text)| (name.clone(), Template::parse_input(text)))
        .collect()
}

fn focus(fields: &mut Fields<'_, '_>) -> Option<Option<Selector>> {
    let help = "write which spans, such as \"spans[type=function]\"";
    let Some(source) = fields.words("focus", help)? else {
        return Some(None);
    };
    match Selector::parse(source) {
        Ok(selector) => {
            let asked = &selector.needs().detectors;
            plain::known_detectors(fields, "focus", asked).then_some(Some(selector))
        }
        Err(wrong) => {
            fields.note("focus", format!("cannot be understood:\n{wrong}"), "");
            None
        }
    }
}

fn per_span(fields: &mut Fields<'_, '_>) -> Option<bool> {
    let help = "write \"span\" for a verdict on each span, or leave it out";
    match fields.words("per", help)? {
        None | Some("trace") => Some(false),
        Some("span") => Some(true),
        Some(other) => {
            fields.note("per", format!("is {other:?}"), help);
            None
        }
    }
}

fn judges(fields: &mut Fields<'_, '_>) -> Option<Vec<JudgeSpec>> {
    if fields.get("judges").is_none() {
        return spec(fields).map(|only| vec![only]);
    }
    for key in ["model", "sampling_params"] {
        if fields.get(key).is_some() {
            fields.note(key, "stands beside `judges`", "write it there");
        }
    }
    let help = "write a list of models, or of {\"model\":…, \"sampling_params\":{…}}";
    let path = fields.path_of("judges");
    let list = fields.list("judges", help)?;
    if list.len() > JUDGES_MAX {
        let message = format!("are {}", list.len());
        fields.note("judges", message, format!("write {JUDGES_MAX} at most"));
        return None;
    }
    let judge = |(nth, value): (usize, &Value)| match value {
        Value::String(model) if !model.is_empty() => Some(JudgeSpec {
            model: Some(model.clone()),
            params: Map::new(),
        }),
        other => {
            let path = format!("{path}[{nth}]");
            let mut fields = Fields::of(other, &path, fields.problems)?;
            fields.only(&["model", "sampling_params"]);
            spec(&mut fields)
        }
    };
    let judges: Vec<Option<JudgeSpec>> = list.iter().enumerate().map(judge).collect();
    judges.into_iter().collect()
}

fn spec(fields: &mut Fields<'_, '_>) -> Option<JudgeSpec> {
    let model = fields.words("model", "write the name of a model, or leave it out");
    let params = params(fields, model.flatten().unwrap_or_default());
    Some(JudgeSpec {
        model: model?.map(str::to_owned),
        params: params?,
    })
}

fn samples(fields: &mut Fields<'_, '_>) -> (Option<u32>, Option<f64>) {
    let help = format!("write how often a judge is asked, 1 to {SAMPLES_MAX}");
    let samples = match fields.get("samples") {
        None => Some(1),
        Some(value) => {
            let count = value
                .as_u64()
                .filter(|count| (1..=SAMPLES_MAX).contains(count));
            if count.is_none() {
                fields.note("samples", format!("is {value}"), help);
            }
            count
        }
    };
    let help = "write the share of traces on which it is asked so often, 0 to 1";
    let share = fields.number("samples_share", help);
    let share = share.map(|share| share.unwrap_or(SAMPLES_SHARE));
    if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        fields.note("samples_share", "is no share", help);
    }
    (samples.map(|count| count as u32), share)
}

/// Reads how much is shown: of two traces each has half of it.
fn budget_tokens(fields: &mut Fields<'_, '_>, is_pairwise: bool) -> Option<Option<u32>> {
    let Some(value) = fields.get("budget_tokens") else {
        return Some(None);
    };
    let least = BUDGET_TOKENS_MIN * if is_pairwise { 2 } else { 1 };
    let range = least..=BUDGET_TOKENS_MAX;
    let tokens = value.as_u64().and_then(|tokens| u32::try_from(tokens).ok());
    let tokens = tokens.filter(|tokens| range.contains(tokens));
    if tokens.is_none() {
        let help = format!("write {least} to {BUDGET_TOKENS_MAX}");
        fields.note("budget_tokens", format!("is {value}"), help);
    }
    tokens.map(Some)
}
