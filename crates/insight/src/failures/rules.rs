//! What matches a group, in the language of rules, so that it can be kept as a grader.

use super::{Feature, Knowledge};

/// A rule and whether it says just what the features say.
pub(super) struct Rule {
    pub(super) text: String,
    pub(super) is_exact: bool,
}

/// Returns the rule for traces with all these features.
pub(super) fn of(features: &[&Feature], knowledge: &Knowledge<'_>) -> Rule {
    let rules: Vec<Rule> = features
        .iter()
        .map(|feature| one(feature, knowledge))
        .collect();
    Rule {
        is_exact: rules.iter().all(|rule| rule.is_exact),
        text: rules
            .into_iter()
            .map(|rule| rule.text)
            .collect::<Vec<_>>()
            .join(" && "),
    }
}

fn one(feature: &Feature, knowledge: &Knowledge<'_>) -> Rule {
    let exact = |text: String| Rule {
        text,
        is_exact: true,
    };
    match feature {
        Feature::Detector(id) => exact(format!("detector({})", quoted(id))),
        Feature::ErrorTemplate(id) => match knowledge.templates.get(id) {
            Some(template) => {
                let pattern = quoted(&template.pattern());
                Rule {
                    text: format!(
                        "spans[status=error].exists(s, s.error.cause.matches({pattern}))"
                    ),
                    is_exact: template.is_whole(),
                }
            }
            None => Rule {
                text: "spans[status=error].any()".to_owned(),
                is_exact: false,
            },
        },
        Feature::Criterion(grader) => {
            let least = (knowledge.pass_from)(grader);
            exact(format!("score({}) < {least:?}", quoted(grader)))
        }
        Feature::SuspiciousEvent(event) => {
            let spans = spans_of(event);
            Rule {
                text: format!("{}.any()", spans.text),
                is_exact: spans.is_exact,
            }
        }
        // that nothing comes after them cannot be said
        Feature::LastEvents(first, second) => {
            let (first, second) = (spans_of(first).text, spans_of(second).text);
            Rule {
                text: format!("{second}.any() && before({first}, {second})"),
                is_exact: false,
            }
        }
    }
}

/// Returns the spans of an event `kind:name[:status][:argclass]`.
fn spans_of(event: &str) -> Rule {
    let run = event.ends_with('+');
    let event = event.trim_end_matches('+');
    let (event, has_class) = match event.split_once(":#") {
        Some((event, _)) => (event, true),
        None => (event, false),
    };
    let (kind, rest) = event.split_once(':').unwrap_or(("", event));
    let (name, status) = rest.rsplit_once(':').unwrap_or((rest, ""));
    let known = match kind {
        "tool" => Some(with_status("function", name, status)),
        "retrieval" => Some(with_status("retrieval", name, status)),
        "agent" => Some(format!("spans[type=agent, {}]", named(rest))),
        "guard" => {
            let tripped = if status == "trip" { "g.triggered" } else { "!g.triggered" };
            Some(format!("spans[type=guardrail, {}].filter(g, {tripped})", named(name)))
        }
        "handoff" => rest.split_once('→').map(|(from, to)| {
            let (from, to) = (quoted(from), quoted(to));
            format!(
                "spans[type=handoff].filter(h, h.source_agent == {from} && h.destination_agent == {to})"
            )
        }),
        "gen" if rest.starts_with("err") => Some("spans[type=generation, status=error]".to_owned()),
        "gen" if rest == "answer" => Some("spans[type=generation]".to_owned()),
        "gen" => Some(format!("spans[type=generation].filter(g, g.finish_reason == {})", quoted(rest))),
        _ => None,
    };
    let is_whole = !run
        && !has_class
        && !status.starts_with("err[")
        && rest != "answer"
        && !rest.starts_with("err[");
    Rule {
        is_exact: known.is_some() && is_whole,
        text: known.unwrap_or_else(|| "spans".to_owned()),
    }
}

fn with_status(span_type: &str, name: &str, status: &str) -> String {
    let status = match status {
        "ok" => "success",
        "open" => "open",
        _ => "error",
    };
    format!("spans[type={span_type}, {}, status={status}]", named(name))
}

/// Events cut long names, and rules then look for the beginning.
fn named(name: &str) -> String {
    const NAME_CHARS_MAX: usize = 60;
    match name.chars().count() < NAME_CHARS_MAX {
        true => format!("name={}", quoted(name)),
        false => format!("name~{}", quoted(&format!("{name}*"))),
    }
}

/// Returns a text as it is written in a rule.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Templates;

    #[test]
    fn each_feature_has_a_rule() {
        let templates = Templates::of(["Table 'x' doesn't exist"]);
        let template = templates.iter().next().unwrap().id.clone();
        let knowledge = Knowledge {
            templates: &templates,
            pass_from: &|_| 4.0,
            ..Knowledge::bare()
        };
        let event = |event: &str| Feature::SuspiciousEvent(event.to_owned());
        let features = [
            Feature::Detector("D01".to_owned()),
            Feature::ErrorTemplate(template),
            Feature::ErrorTemplate("gone".to_owned()),
            Feature::Criterion("is \"kind\"".to_owned()),
            event("tool:book:ok"),
            event("tool:book:err[E17]"),
            event("tool:book:ok:#0a1b"),
            event("handoff:Triage→Billing"),
            event("guard:pii:trip"),
            event("gen:length"),
            event("agent:Sales"),
            event(&format!("tool:{}:open", "n".repeat(60))),
            Feature::LastEvents("tool:a:ok".to_owned(), "gen:answer".to_owned()),
        ];
        let lines = features.iter().map(|feature| {
            let Rule { text, is_exact } = of(&[feature], &knowledge);
            format!("{} {text}\n", if is_exact { "=" } else { "~" })
        });
        insta::assert_snapshot!(lines.collect::<String>());
    }
}
