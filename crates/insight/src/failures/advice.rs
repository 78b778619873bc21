//! What to call a failure and what to do about it, without asking a model.

use super::{Feature, Knowledge};

/// What is found in the form of an error, in lower case, and what to do about it. The first that is
/// found counts.
const BY_WORDS: &[(&[&str], &str)] = &[
    (
        &["rate limit", "too many requests", "quota"],
        "Retry with a growing pause, limit how many calls run at once, or ask the provider for a higher limit.",
    ),
    (
        &["timed out", "timeout", "deadline exceeded"],
        "Give the tool a longer limit or less to do at once, and tell the model whether trying again can help.",
    ),
    (
        &[
            "context length",
            "context window",
            "maximum context",
            "too many tokens",
            "prompt is too long",
        ],
        "Shorten tool outputs before they go into the history, and compact the history before the window is full.",
    ),
    (
        &[
            "unauthorized",
            "forbidden",
            "permission denied",
            "access denied",
            "api key",
            "authentication",
            "credential",
        ],
        "Check the credentials and rights that the tool runs with; the model cannot mend this by trying again.",
    ),
    (
        &[
            "connection",
            "unreachable",
            "service unavailable",
            "bad gateway",
            "name resolution",
            "dns",
        ],
        "Check that the service is up and reachable from where the tool runs, and retry inside the tool.",
    ),
    (
        &["redacted"],
        "The sender keeps the words of this error out of its traces: let it send them, or look into the tool's own log.",
    ),
    (
        &["guardrail"],
        "A guardrail stops these runs: look at whether it is right to, then tell the agent what it guards, or mend the guardrail.",
    ),
    (
        &["max turns", "maxturns"],
        "Say in the instructions when the work is done, look at what the last turns repeat, and raise the limit only if they do not.",
    ),
    (
        &["out of memory", "memoryerror", "no space left"],
        "Give the tool more room or less data at once.",
    ),
    (
        &[
            "response should be",
            "format your",
            "code was found",
            "not valid json",
            "invalid json",
            "expecting value",
            "did not contain",
        ],
        "The answer is not in the form that is asked for: use structured output or a tool call, and show an example.",
    ),
    (
        &["syntax", "parse error", "unexpected token", "unterminated"],
        "Show the model the dialect with an example, check its input before running it, and return where it is wrong.",
    ),
    (
        &["ambiguous"],
        "Tell the model to name things in full, and give it an example.",
    ),
    (
        &[
            "unknown",
            "not found",
            "no such",
            "does not exist",
            "doesn't exist",
            "undefined",
            "not exist",
        ],
        "The model names what is not there: show it what exists before it chooses, and list near names in the error.",
    ),
    (
        &[
            "required",
            "missing",
            "must be",
            "invalid",
            "validation",
            "not allowed",
            "expected",
        ],
        "Turn on strict schemas, describe each argument with an example, and return the validation error to the model.",
    ),
    (
        &[
            "keyerror",
            "typeerror",
            "attributeerror",
            "valueerror",
            "indexerror",
            "nullpointer",
            "panicked",
        ],
        "The tool itself fails: mend it for this input, and let it return an error that the model can act on.",
    ),
];

/// Returns what a group of traces with these features is called.
pub(super) fn issue(features: &[&Feature], knowledge: &Knowledge<'_>) -> String {
    let names = features.iter().map(|feature| match feature {
        Feature::Detector(id) => match (knowledge.detector)(id) {
            Some(about) => format!("{} ({id})", about.title),
            None => format!("detector {id}"),
        },
        Feature::ErrorTemplate(id) => match knowledge.templates.get(id) {
            Some(template) => format!("error “{}”", template.words()),
            None => format!("error {id}"),
        },
        Feature::Criterion(grader) => format!("fails “{grader}”"),
        Feature::SuspiciousEvent(event) => format!("does {event}"),
        Feature::LastEvents(first, second) => format!("ends with {first}, {second}"),
    });
    let issue = names.collect::<Vec<_>>().join(" and ");
    let mut letters = issue.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// Returns what to do about it: what is known of the first feature of which something is known.
pub(super) fn suggestion(features: &[&Feature], knowledge: &Knowledge<'_>) -> String {
    let known = features.iter().find_map(|feature| match feature {
        Feature::Detector(id) => Some((knowledge.detector)(id)?.suggestion.to_owned()),
        Feature::ErrorTemplate(id) => {
            about_error(&knowledge.templates.get(id)?.form).map(str::to_owned)
        }
        _ => None,
    });
    known.unwrap_or_else(|| match features[0] {
        Feature::Detector(id) => format!("Look at the spans that {id} points at in the examples."),
        Feature::ErrorTemplate(_) => {
            "Return this error to the model with what to do instead, and check the tool for this case.".to_owned()
        }
        Feature::Criterion(grader) => {
            format!("Compare the examples with traces that pass “{grader}”, and say in the instructions what is asked for.")
        }
        Feature::SuspiciousEvent(event) => {
            format!("Look at {event} in the examples: it is where failing traces part from the others.")
        }
        Feature::LastEvents(..) => "Look at how the examples end: what should have come next did not.".to_owned(),
    })
}

fn about_error(form: &str) -> Option<&'static str> {
    let form = form.to_lowercase();
    let mut known = BY_WORDS
        .iter()
        .filter(|(words, _)| words.iter().any(|word| form.contains(word)));
    known.next().map(|(_, advice)| *advice)
}
