//! How is a run told, step by step? Pure: a trace as the API tells it in, lines out.

use serde::Deserialize;

use crate::output::{BAD, BOLD, DIM, OPEN, styled};
use crate::text::{self, safe_text, short_text};
use crate::tree::glyph;

/// Metadata longer than this is cut; the JSON has all of it.
const VALUE_CHARS_MAX: usize = 400;

/// What is shown of a trace.
#[derive(Debug, Deserialize)]
pub(super) struct Trace {
    pub(super) id: String,
    pub(super) workflow_name: Option<String>,
    pub(super) group_id: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) version: Option<String>,
    pub(super) started_at: Option<String>,
    pub(super) duration_ms: Option<f64>,
    pub(super) status: String,
    pub(super) error: Option<TraceError>,
    pub(super) span_count: u64,
    pub(super) tool_errors: u64,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) total_cost_usd: Option<f64>,
    pub(super) cost_complete: bool,
    pub(super) models: Vec<String>,
    pub(super) agents: Vec<String>,
    pub(super) input_preview: Option<String>,
    pub(super) content_hint: Option<String>,
    #[serde(default)]
    pub(super) spans: Vec<Step>,
}

/// What decided a trace's status.
#[derive(Debug, Deserialize)]
pub(super) struct TraceError {
    pub(super) r#type: String,
    pub(super) message: Option<String>,
}

/// What is shown of a span.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    depth: usize,
    r#type: String,
    name: String,
    agent: Option<String>,
    duration_ms: Option<f64>,
    status: String,
    error: Option<StepError>,
    #[serde(default)]
    triggered: Option<bool>,
    #[serde(default)]
    input_preview: Option<String>,
    #[serde(default)]
    output_preview: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StepError {
    message: String,
    #[serde(default)]
    data: Option<serde_json::Value>,
}

impl StepError {
    /// Returns the message, with the reason where that stands in the data beside it: what the SDK writes as
    /// the message of a failed call is the same for all of them.
    fn told(&self) -> String {
        let reason = match &self.data {
            None | Some(serde_json::Value::Null) => None,
            Some(data) => match data.get("error").and_then(serde_json::Value::as_str) {
                Some(reason) => Some(reason.to_owned()),
                None => Some(data.to_string()),
            },
        };
        match reason.filter(|reason| !self.message.contains(reason.as_str())) {
            Some(reason) => format!("{}: {reason}", self.message),
            None => self.message.clone(),
        }
    }
}

/// Returns the tokens of a trace, if any are known.
pub(super) fn tokens(trace: &Trace) -> Option<u64> {
    match (trace.input_tokens, trace.output_tokens) {
        (None, None) => None,
        (input, output) => Some(input.unwrap_or(0) + output.unwrap_or(0)),
    }
}

/// Returns the cost of a trace in a few signs; `+` where a part of it is unknown.
pub(super) fn cost(trace: &Trace) -> String {
    match trace.total_cost_usd {
        Some(usd) if trace.cost_complete => text::cost(usd),
        Some(usd) => format!("{}+", text::cost(usd)),
        None => "-".to_owned(),
    }
}

/// Returns the whole account of a trace.
pub(super) fn account(trace: &Trace) -> String {
    let mut lines = head(trace);
    lines.push(String::new());
    if let Some(asked) = &trace.input_preview {
        lines.push(format!("{} {}", styled(BOLD, "user"), safe_text(asked)));
    }
    for step in trace.spans.iter().filter(|step| step.is_told()) {
        step.tell(&mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn head(trace: &Trace) -> Vec<String> {
    let (sign, style) = glyph(&trace.status, false);
    let name = trace.workflow_name.as_deref().unwrap_or("(no workflow)");
    let mut lines = vec![format!(
        "{} {}  {}",
        styled(style, sign),
        styled(BOLD, safe_text(name)),
        safe_text(&trace.id)
    )];
    let mut fact = |what: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let value = short_text(&value, VALUE_CHARS_MAX);
            lines.push(format!(
                "  {} {value}",
                styled(DIM, format_args!("{what:<9}"))
            ));
        }
    };
    let status = match (&trace.error, trace.tool_errors) {
        (Some(error), _) => format!(
            "{}: {} {}",
            trace.status,
            error.r#type,
            error.message.as_deref().unwrap_or("")
        ),
        (None, 0) => trace.status.clone(),
        (None, errors) => format!(
            "{}, got over {} of its tools' errors",
            trace.status,
            text::count(errors)
        ),
    };
    fact("status", Some(status));
    fact("started", trace.started_at.clone());
    fact("took", trace.duration_ms.map(text::duration));
    fact("cost", trace.total_cost_usd.map(|_| cost(trace)));
    fact("tokens", tokens(trace).map(text::count));
    fact("spans", Some(text::count(trace.span_count)));
    fact("agents", Some(trace.agents.join(", ")));
    fact("models", Some(trace.models.join(", ")));
    fact("version", trace.version.clone());
    fact("group", trace.group_id.clone());
    fact("user", trace.user_id.clone());
    if let Some(hint) = &trace.content_hint {
        lines.push(styled(OPEN, format_args!("  note: {}", safe_text(hint))));
    }
    lines
}

impl Step {
    /// The frame of a run (agents, tasks, turns) is what `traces tree` shows; unless it failed, it
    /// says nothing here.
    fn is_told(&self) -> bool {
        !matches!(
            self.r#type.as_str(),
            "agent" | "task" | "turn" | "mcp_tools"
        ) || (self.error.is_some() && self.depth == 0)
    }

    fn tell(&self, lines: &mut Vec<String>) {
        let (sign, style) = glyph(&self.status, self.triggered == Some(true));
        let took = self.duration_ms.map(text::duration).unwrap_or_default();
        let name = short_text(&self.name, 80);
        let agent = self
            .agent
            .as_deref()
            .filter(|agent| self.r#type == "generation" && *agent != self.name);
        let agent = agent
            .map(|agent| format!(" · {}", short_text(agent, 40)))
            .unwrap_or_default();
        let facts = format!("{}{agent} · {took}", safe_text(&self.r#type));
        lines.push(format!(
            "{} {}  {}",
            styled(style, sign),
            styled(BOLD, name),
            styled(DIM, facts)
        ));
        // What a model reads was told before, step by step; what a tool reads is told nowhere else.
        if self.r#type == "function" {
            self.said("→", &self.input_preview, lines);
        }
        self.said("←", &self.output_preview, lines);
        if let Some(error) = &self.error {
            lines.push(styled(
                BAD,
                format_args!("    ! {}", short_text(&error.told(), VALUE_CHARS_MAX)),
            ));
        }
    }

    fn said(&self, sign: &str, what: &Option<String>, lines: &mut Vec<String>) {
        if let Some(what) = what.as_deref().filter(|what| !what.is_empty()) {
            lines.push(format!("    {} {}", styled(DIM, sign), safe_text(what)));
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_by_what_was_said_and_done() {
        let trace: Trace = serde_json::from_str(
            r#"{"id":"trace_1","workflow_name":"Support","group_id":null,"user_id":"u1","version":"v1","started_at":"2026-05-01T00:00:00.000000Z",
            "duration_ms":2500.0,"status":"error","error":{"type":"timeout","message":"too \u001b[31mlate","span_id":null},"span_count":3,"tool_errors":1,
            "input_tokens":1000,"output_tokens":20,"total_cost_usd":0.5,"cost_complete":false,"models":["m"],"agents":["Triage"],
            "input_preview":"Where is\nit?","content_hint":null,
            "spans":[
              {"depth":0,"type":"agent","name":"Triage","agent":"Triage","duration_ms":2500.0,"status":"success","error":null},
              {"depth":1,"type":"generation","name":"m","agent":"Triage","duration_ms":1500.0,"status":"success","error":null,"input_preview":"Where","output_preview":"I look."},
              {"depth":1,"type":"function","name":"lookup","agent":"Triage","duration_ms":5.0,"status":"error","error":{"type":"timeout","message":"no answer","data":null},"input_preview":"{\"id\":1}","output_preview":null}
            ]}"#,
        )
        .unwrap();
        let text = anstream::adapter::strip_str(&account(&trace)).to_string();
        assert_eq!(
            text,
            r#"✗ Support  trace_1
  status    error: timeout too \u{1b}[31mlate
  started   2026-05-01T00:00:00.000000Z
  took      2.5 s
  cost      $0.5000+
  tokens    1,020
  spans     3
  agents    Triage
  models    m
  version   v1
  user      u1

user Where is\nit?
✓ m  generation · Triage · 1.5 s
    ← I look.
✗ lookup  function · 5 ms
    → {"id":1}
    ! no answer
"#
        );
    }
}
