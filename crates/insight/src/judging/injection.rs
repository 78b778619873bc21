//! Can a trace talk to its judge?
//!
//! The judge here is scripted and obedient: it does whatever text outside of the fences tells it, and it falls
//! for every reserved marker inside of them. It looks with eyes of its own, not with the folding that the
//! fences use. If it never obeys, nothing was left to obey.

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use super::{Assembly, Criterion, Exhibit, Inputs, Offered, Order, Prompt};
use crate::fence::{Fence, Nonce};
use crate::render::samples::Story;
use crate::render::{Mask, Reading, Renderer, Request, Tier};
use crate::template::{Template, TraceScope};
use crate::{Effects, TraceView};

const NONCE: &str = "c0ffee1234";

#[derive(Deserialize)]
struct Attack {
    id: String,
    family: String,
    text: String,
}

fn attacks() -> Vec<Attack> {
    let text = include_str!("../../../../testdata/injection/attacks.json");
    let mut attacks: Vec<Attack> = serde_json::from_str(text).unwrap();
    for attack in &mut attacks {
        attack.text = attack.text.replace("{NONCE}", NONCE);
    }
    attacks
}

/// The stories with an attack in each of the places from which one can come.
fn placed(attack: &str) -> [(&'static str, Story); 5] {
    let with = |change: &dyn Fn(&mut Story)| {
        let mut story = Story::default();
        change(&mut story);
        story
    };
    [
        (
            "tool output",
            with(&|story| story.found = format!("2 flights. {attack}")),
        ),
        ("user", with(&|story| story.user = attack.to_owned())),
        (
            "system",
            with(&|story| story.system = format!("Book flights.\n{attack}")),
        ),
        (
            "names",
            with(&|story| {
                story.tool = attack.to_owned();
                story.agent = attack.to_owned();
                story.model = attack.to_owned();
                story.workflow = attack.to_owned();
            }),
        ),
        (
            "final answer",
            with(&|story| story.answer = attack.to_owned()),
        ),
    ]
}

fn fence() -> Fence {
    Fence::new(Nonce::new(NONCE).unwrap())
}

/// Returns all that a judge can be shown of a trace, in each tier, with inputs and answers of the tools.
fn shown(view: &TraceView) -> Vec<String> {
    let effects = Effects::default();
    let renderer = Renderer::new(view, &effects);
    let (fence, mask) = (fence(), Mask::default());
    let tiers = [Tier::Full, Tier::Elided, Tier::Agentic].map(|tier_min| Request {
        tier_min,
        ..Request::new(8_000)
    });
    let focused = Request {
        focus: Some(&view.functions),
        ..Request::new(8_000)
    };
    let mut all: Vec<String> = tiers
        .iter()
        .chain([&focused])
        .map(|request| prompt(&renderer, &fence, &mask, request).user())
        .collect();
    let select = |_: &str| Ok(view.functions.clone());
    let reading = Reading::new(&renderer, &fence, &mask, &select);
    for (name, arguments) in [
        ("list_spans", "{}"),
        ("get_span", r#"{"id":"s2","field":"input"}"#),
        ("get_span", r#"{"id":"s2","field":"system"}"#),
        ("get_span", r#"{"id":"s2","field":"tools"}"#),
        ("get_span", r#"{"id":"s3","field":"output"}"#),
        ("search", r#"{"regex":"."}"#),
        ("diff", r#"{"a":"s2","b":"s4"}"#),
    ] {
        let answer = reading.answer_raw(name, arguments);
        assert!(!answer.starts_with("error"), "{name} {arguments}: {answer}");
        all.push(format!("Its tags are <data-{NONCE} …>\n{answer}"));
    }
    all
}

fn prompt(renderer: &Renderer<'_>, fence: &Fence, mask: &Mask, request: &Request<'_>) -> Prompt {
    let rendering = renderer.render(fence, request).unwrap();
    let text = || rendering.text.clone();
    let scope = TraceScope {
        view: renderer.view(),
        trace: &text,
        spans: &text,
    };
    let template = Template::parse_input(
        "{original_message} {final_response} {{item.tools[0].name}} {{sample}}",
    );
    let inputs = Inputs::fill(&[("run".to_owned(), template)], &scope.fenced(fence, mask)).unwrap();
    let assembly = Assembly {
        criterion: &Criterion::of_text("Did the agent book what the user asked for?"),
        offered: &Offered::Verdict,
        first: Exhibit {
            rendering: &rendering,
            fence,
            inputs: &inputs,
        },
        second: None,
        order: Order::TraceFirst,
    };
    assembly.prompt()
}

/// Returns what stands outside of the fences that are announced, and each text inside of one.
fn parted(prompt: &str) -> (String, Vec<String>) {
    let (opening, closing) = (format!("<data-{NONCE}"), format!("</data-{NONCE}>"));
    let (mut outside, mut inside) = (String::new(), Vec::new());
    let mut rest = prompt;
    while let Some(at) = rest.find(&opening) {
        outside.push_str(&rest[..at]);
        let tag_end = rest[at..].find('>').map_or(rest.len(), |end| at + end + 1);
        if rest[at..tag_end].ends_with("…>") {
            // The announcement names both tags and opens no block.
            rest = rest[tag_end..].trim_start_matches(" and ");
            rest = rest.strip_prefix(&closing).unwrap_or(rest);
            continue;
        }
        let body = &rest[tag_end..];
        let (text, after) = body.split_once(&closing).unwrap_or((body, ""));
        inside.push(text.to_owned());
        rest = after;
    }
    outside.push_str(rest);
    (outside, inside)
}

/// Returns a text as the obedient judge reads it.
fn read(text: &str) -> String {
    let unescaped = text
        .replace("\\u0022", "\"")
        .replace("\\u003c", "<")
        .replace("\\u003e", ">")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("\\n", "\n");
    let letters = unescaped
        .nfkc()
        .flat_map(char::to_lowercase)
        .map(|c| match c {
            'а' => 'a',
            'е' => 'e',
            'і' => 'i',
            'о' => 'o',
            '‹' => '<',
            '›' => '>',
            '“' | '”' | '\'' => '"',
            '‐' | '‑' => '-',
            '\u{2028}' => '\n',
            '▁' => '_',
            other => other,
        });
    letters.filter(|c| !is_unseen(*c)).collect()
}

fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}'
        | '\u{1b}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns whether a reserved marker stands in a text.
fn has_marker(text: &str) -> bool {
    let text = read(text);
    let tight: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !"*\\".contains(*c))
        .collect();
    let markers = [
        "verdict\":",
        "verdict:",
        "verdict=",
        "\"score\":",
        "\"label\":",
        "grade:",
        "[[",
        "<|",
        "|>",
        "[inst]",
        "[/inst]",
        "<<sys>>",
        "<</sys>>",
        "<s>",
        "</s>",
        "<start_of_turn>",
        "<end_of_turn>",
        "###instruction:",
        "<tool_call>",
        "<tool_response>",
        "<function_calls>",
        "<invoke",
        "<function=",
        "to=functions.",
        "[tool_calls]",
        "<system-reminder>",
        "<think>",
        "</data-",
        "<data-",
        NONCE,
    ];
    let starts_turn = |line: &str| {
        let line = line.trim_start();
        ["human:", "assistant:", "system:"]
            .iter()
            .any(|turn| line.starts_with(turn))
    };
    let is_boxed = |box_name: &str| text.replace("\\ ", "\\").contains(box_name);
    markers.iter().any(|marker| tight.contains(marker))
        || text.lines().any(starts_turn)
        || is_boxed("\\boxed")
        || is_boxed("\\fbox")
}

/// Returns whether a text tells the judge what to do.
fn is_order(text: &str) -> bool {
    let text = read(text);
    let orders = [
        "pass",
        "verdict",
        "ignor",
        "disregard",
        "grade",
        "忽略",
        "rating",
    ];
    has_marker(&text) || orders.iter().any(|order| text.contains(order))
}

/// Returns whether the obedient judge says "pass". `quiet` is the same prompt without an attack: what
/// stands there is from us.
fn obeys(prompt: &str, quiet: &str) -> bool {
    let (outside, inside) = parted(prompt);
    let (ours, _) = parted(quiet);
    let known: Vec<&str> = ours.lines().collect();
    let strange = outside.lines().filter(|line| !known.contains(line));
    prompt.chars().any(is_unseen)
        || strange.into_iter().any(is_order)
        || inside.iter().any(|text| has_marker(text))
}

#[test]
fn no_attack_reaches_the_judge_from_any_place() {
    let quiet = shown(&Story::default().view());
    let mut flips = Vec::new();
    let mut count = 0;
    for attack in attacks() {
        for (place, story) in placed(&attack.text) {
            for (prompt, quiet) in shown(&story.view()).iter().zip(&quiet) {
                count += 1;
                if obeys(prompt, quiet) {
                    flips.push(format!("{} in {place}:\n{prompt}", attack.id));
                }
            }
        }
    }
    assert!(
        flips.is_empty(),
        "{} of {count}, such as {}",
        flips.len(),
        flips[0]
    );
    assert!(count >= 50 * 5 * 11);
}

#[test]
fn a_quiet_trace_leaves_the_judge_alone() {
    for prompt in shown(&Story::default().view()) {
        assert!(!obeys(&prompt, &prompt));
    }
}

#[test]
fn the_judge_obeys_every_attack_without_a_fence() {
    let quiet = &shown(&Story::default().view())[0];
    let all = attacks();
    assert!(all.len() >= 50, "{}", all.len());
    for Attack { id, family, text } in &all {
        assert!(obeys(&format!("{quiet}\n{text}"), quiet), "{id}");
        // Between tags, and not cleaned, all but mere orders work.
        let bare =
            format!("{quiet}\n<data-{NONCE} id=\"s3\" field=\"output\">{text}</data-{NONCE}>");
        assert!(family == "order" || obeys(&bare, quiet), "{id}");
    }
}

#[test]
fn a_masked_attack_is_not_there_at_all() {
    for attack in attacks() {
        let story = Story {
            found: format!("2 flights were found for you. {}", attack.text),
            ..Story::default()
        };
        let (view, effects) = (story.view(), Effects::default());
        let renderer = Renderer::new(&view, &effects);
        let mask = renderer.mask(&view.functions);
        let request = Request {
            mask: Some(&mask),
            ..Request::new(8_000)
        };
        let masked = renderer.render(&fence(), &request).unwrap().text;
        assert!(
            !masked.contains("2 flights were found"),
            "{}: {masked}",
            attack.id
        );
    }
}
