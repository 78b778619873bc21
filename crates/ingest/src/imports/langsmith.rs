//! LangSmith: one run a document, as its API gives them and as `RunTree` writes them.
//!
//! Inputs and outputs are what LangSmith's exporter calls `gen_ai.prompt` and `gen_ai.completion`.

use crate::json::{Kind, Value};
use crate::otlp::{Ids, RawSpan, Run};

use super::To;
use super::record::{Members, Refusal, any, fail, id_text, ids, nanos, span};

/// Keys of a run and the attributes that hold them; others go under `langsmith.`.
const NAMES: [(&str, &str); 11] = [
    ("run_type", "langsmith.span.kind"),
    ("inputs", "gen_ai.prompt"),
    ("outputs", "gen_ai.completion"),
    ("tags", "langsmith.span.tags"),
    ("session_name", "langsmith.trace.session_name"),
    ("prompt_tokens", "gen_ai.usage.input_tokens"),
    ("completion_tokens", "gen_ai.usage.output_tokens"),
    ("total_tokens", "gen_ai.usage.total_tokens"),
    ("total_cost", "gen_ai.usage.cost"),
    ("dotted_order", "langsmith.span.dotted_order"),
    ("status", "langsmith.span.status"),
];

/// Takes one run.
pub(super) fn run(root: Value<'_, '_>, to: &mut To<'_, '_>) {
    to.span(read(root), Run::ToldBySpans);
    // Runs of an older client hold those below them.
    for child in root.get("child_runs").into_iter().flat_map(Value::elements) {
        run_below(child, to);
    }
}

/// A tree of runs is walked without recursion: its depth is the sender's.
fn run_below(child: Value<'_, '_>, to: &mut To<'_, '_>) {
    let mut left = vec![child];
    while let Some(run) = left.pop() {
        to.span(read(run), Run::ToldBySpans);
        left.extend(run.get("child_runs").into_iter().flat_map(Value::elements));
    }
}

fn read<'b>(run: Value<'b, '_>) -> Result<(Ids, RawSpan<'b>), Refusal> {
    let id = id_text("id", run.get("id"))?;
    // The first run of a trace is the trace.
    let trace = match run.get("trace_id") {
        Some(trace) => id_text("trace_id", Some(trace))?,
        None => id.clone(),
    };
    let parent = match run.get("parent_run_id") {
        Some(parent) => Some(id_text("parent_run_id", Some(parent))?),
        None => None,
    };
    let times = [
        nanos("start_time", run.get("start_time"))?,
        nanos("end_time", run.get("end_time"))?,
    ];
    let name = run.get("name").and_then(Value::words).unwrap_or_default();
    let mut span = span(name, times, attributes(run));
    if let Some(error) = run.get("error").and_then(Value::words) {
        fail(&mut span, &error, None);
    }
    Ok((ids(&trace, &id, parent.as_deref())?, span))
}

fn attributes<'b>(run: Value<'b, '_>) -> Members<'b> {
    const ELSEWHERE: [&str; 4] = ["name", "extra", "error", "child_runs"];
    let mut out: Members<'b> = Vec::new();
    for (key, value) in run.members() {
        let key = key.text().unwrap_or_default();
        let says_nothing = value.kind() == Kind::Null
            || !matches!(&*key, "inputs" | "outputs") && value.is_empty() && is_container(value);
        if says_nothing || ELSEWHERE.contains(&&*key) {
            continue;
        }
        let known = NAMES.iter().find(|(known, _)| *known == key);
        let name = known.map_or_else(
            || format!("langsmith.{key}").into(),
            |(_, name)| (*name).into(),
        );
        out.push((name, any(value)));
    }
    let extra = run.get("extra");
    let parts = extra.into_iter().flat_map(Value::members);
    for (key, value) in parts.filter(|(key, _)| !key.is_text("metadata")) {
        let key = key.text().unwrap_or_default();
        out.push((format!("langsmith.extra.{key}").into(), any(value)));
    }
    let metadata = extra.and_then(|extra| extra.get("metadata"));
    for (key, value) in metadata.into_iter().flat_map(Value::members) {
        let key = key.text().unwrap_or_default();
        out.push((format!("langsmith.metadata.{key}").into(), any(value)));
    }
    out
}

fn is_container(value: Value<'_, '_>) -> bool {
    matches!(value.kind(), Kind::Array | Kind::Object)
}
