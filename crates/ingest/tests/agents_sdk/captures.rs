//! One snapshot a capture: every column that a reader of the README would ask for.

use std::fmt::Write as _;

use model::{Batch, Span};

use crate::support::{agent_of, ancestors, captures, decode_all, settle};

#[test]
fn every_capture_reads_as_its_readme_says() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for capture in captures() {
        settings.set_description(capture.shows.clone());
        let text = render(decode_all(&capture.bodies));
        settings.bind(|| insta::assert_snapshot!(capture.name.replace('/', "."), text));
    }
}

fn render(batch: Batch) -> String {
    let mut out = format!(
        "{} items accepted, {} versions of spans\n",
        batch.accepted,
        batch.spans.len()
    );
    let spans = settle(batch.spans);
    spans
        .iter()
        .filter(|span| ancestors(span, &spans).is_empty())
        .for_each(|root| render_tree(&mut out, root, &spans));
    out.push('\n');
    for item in &batch.traces {
        let _ = writeln!(
            out,
            "trace {} {:?}",
            item.trace_id,
            item.workflow_name.as_deref().unwrap_or("-")
        );
        let told = [
            ("group", item.group_id.as_ref().map(ToString::to_string)),
            ("user", item.user_id.clone()),
            ("agent", item.agent_id.clone()),
            ("version", item.version.clone()),
            ("environment", item.environment.clone()),
            ("tags", item.tags.as_ref().map(|tags| tags.join(","))),
            (
                "metadata",
                item.metadata
                    .as_ref()
                    .map(|text| text.as_str().split_whitespace().collect()),
            ),
            (
                "extra",
                item.extra.as_ref().map(|text| text.as_str().to_owned()),
            ),
            ("ended", item.ended.map(|ended| ended.to_string())),
        ];
        for (name, value) in told {
            let _ = value.map(|value| writeln!(out, "    {name}: {value}"));
        }
    }
    let mut roles: Vec<_> = batch
        .messages
        .iter()
        .map(|message| message.role.to_string())
        .collect();
    roles.sort();
    let mut counted: Vec<(String, usize)> = Vec::new();
    for role in roles {
        match counted.last_mut() {
            Some((last, count)) if *last == role => *count += 1,
            _ => counted.push((role, 1)),
        }
    }
    let _ = writeln!(out, "messages: {counted:?}");
    let _ = batch
        .rejected
        .iter()
        .try_for_each(|bad| writeln!(out, "rejected {}: {} {}", bad.index, bad.code, bad.reason));
    out
}

fn render_tree(out: &mut String, span: &Span, spans: &[Span]) {
    out.push('\n');
    render_span(out, span, spans);
    let is_child = |other: &&Span| {
        other.trace_id == span.trace_id && other.parent_id.as_ref() == Some(&span.span_id)
    };
    spans
        .iter()
        .filter(is_child)
        .for_each(|child| render_tree(out, child, spans));
}

fn render_span(out: &mut String, span: &Span, spans: &[Span]) {
    let indent = "  ".repeat(ancestors(span, spans).len());
    let _ = writeln!(
        out,
        "{indent}{} [{}] {:?} {}",
        span.span_type, span.source_type, span.name, span.status
    );
    let usage = &span.usage;
    let tokens = [
        usage.input_tokens,
        usage.cached_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    ];
    let tokens = tokens.map(|count| count.map_or("-".to_owned(), |count| count.to_string()));
    let payload = &span.payload;
    let told = [
        ("agent", agent_of(span, spans)),
        ("told agent", span.agent.clone()),
        (
            "error",
            span.error
                .as_ref()
                .map(|error| format!("{}: {}", error.kind, error.message)),
        ),
        ("model", span.model.clone()),
        ("provider", span.provider.clone()),
        (
            "tokens in/cached/out/reasoning",
            usage.is_known().then(|| tokens.join("/")),
        ),
        ("cost", span.cost.map(|cost| format!("{} $", cost.to_usd()))),
        ("finish", span.finish_reason.clone()),
        ("ttft", span.ttft_ms.map(|ms| format!("{ms} ms"))),
        ("call", span.tool_call_id.clone()),
        ("from", span.handoff_from.clone()),
        ("to", span.handoff_to.clone()),
        (
            "triggered",
            span.triggered.map(|triggered| triggered.to_string()),
        ),
        (
            "refs",
            refs(payload.input_refs.len(), payload.output_refs.len()),
        ),
        (
            "in",
            span.input_preview.as_ref().map(|text| format!("{text:?}")),
        ),
        (
            "out",
            span.output_preview.as_ref().map(|text| format!("{text:?}")),
        ),
        (
            "attributes",
            payload
                .attributes
                .as_ref()
                .map(|text| text.as_str().split_whitespace().collect()),
        ),
        (
            "extra",
            payload.extra.as_ref().map(|text| text.as_str().to_owned()),
        ),
    ];
    for (name, value) in told {
        let _ = value.map(|value| writeln!(out, "{indent}    {name}: {value}"));
    }
}

fn refs(input: usize, output: usize) -> Option<String> {
    (input + output > 0).then(|| format!("{input} in, {output} out"))
}
