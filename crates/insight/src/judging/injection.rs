//! Can a trace talk to its judge?
//!
//! The judge here is scripted and obedient (`testkit::attacks`): if it never obeys, nothing was left to obey.

use testkit::attacks::{Attack, attacks, has_marker, is_order, is_unseen, placed};

use super::{Assembly, Criterion, Exhibit, Inputs, Offered, Order, Prompt};
use crate::fence::{Fence, Nonce};
use crate::render::samples::{Story, Viewed as _};
use crate::render::{Mask, Reading, Renderer, Request, Tier};
use crate::template::{Template, TraceScope};
use crate::{Effects, TraceView};

const NONCE: &str = "c0ffee1234";

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
    // Beside a quiet trace, shown first and shown second.
    let quiet = Story::default().view();
    let other = Renderer::new(&quiet, &effects);
    for pair in [[&renderer, &other], [&other, &renderer]] {
        all.push(prompt_of_two(pair, &fence).user());
    }
    all
}

fn prompt_of_two(pair: [&Renderer<'_>; 2], fence: &Fence) -> Prompt {
    let request = Request::new(8_000);
    let renderings = pair.map(|renderer| renderer.render(fence, &request).unwrap());
    let inputs = Inputs::default();
    let exhibit = |at: usize| Exhibit {
        rendering: &renderings[at],
        fence,
        inputs: &inputs,
    };
    let assembly = Assembly {
        criterion: &Criterion::of_text("Which agent booked what the user asked for?"),
        offered: &Offered::Better,
        first: exhibit(0),
        second: Some(exhibit(1)),
        order: Order::CriterionFirst,
    };
    assembly.prompt()
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

/// Returns whether the obedient judge says "pass". `quiet` is the same prompt without an attack: what
/// stands there is from us.
fn obeys(prompt: &str, quiet: &str) -> bool {
    let (outside, inside) = parted(prompt);
    let (ours, _) = parted(quiet);
    let known: Vec<&str> = ours.lines().collect();
    let strange = outside.lines().filter(|line| !known.contains(line));
    prompt.chars().any(is_unseen)
        || strange.into_iter().any(|line| is_order(line, NONCE))
        || inside.iter().any(|text| has_marker(text, NONCE))
}

#[test]
fn no_attack_reaches_the_judge_from_any_place() {
    let quiet = shown(&Story::default().view());
    let mut flips = Vec::new();
    let mut count = 0;
    for attack in attacks(NONCE) {
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
    let all = attacks(NONCE);
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
    for attack in attacks(NONCE) {
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
