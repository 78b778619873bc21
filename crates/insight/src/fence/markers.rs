//! Which texts mean something to a judge's machinery?
//!
//! Five families: tags of our fences, verdicts in the forms that graders are known to read, tokens of
//! chat templates, turns of a transcript at the start of a line, and syntax of tool calls. They are looked
//! for in the folded text, with room for spaces and signs between letters. What is found too much costs
//! little: the judge still reads `⟦s·core⟧` where a tool gave a score.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem;
use regex::Regex;

use super::STAND_IN;
use super::fold::Folded;

/// A stand-in shows at most this many characters of what it stands for.
const STAND_IN_CHARS_MAX: usize = 24;

/// A marker in a text.
pub(super) struct Marker {
    /// Where it stands.
    pub(super) range: Range<usize>,
    /// What is put in its place.
    pub(super) stand_in: String,
}

static RESERVED: LazyLock<Regex> = LazyLock::new(|| {
    let all = format!("(?:{})", patterns().join("|"));
    Regex::new(&all).expect("the patterns are fixed")
});

/// Returns the markers of a folded text in order; no two of them overlap.
pub(super) fn found(folded: &Folded, nonce: &str) -> Vec<Marker> {
    let text = folded.text.as_str();
    let reserved = RESERVED.find_iter(text).map(|hit| {
        let word = if is_tag(hit.as_str()) {
            "data"
        } else if tight(hit.as_str()).contains(nonce) {
            "nonce"
        } else {
            hit.as_str()
        };
        (hit.range(), stand_in(word))
    });
    let nonces = memmem::find_iter(text.as_bytes(), nonce)
        .map(|at| (at..at + nonce.len(), stand_in("nonce")));
    let mut all: Vec<_> = reserved.chain(nonces).collect();
    all.sort_by_key(|(range, _)| (range.start, range.end));
    let mut markers: Vec<Marker> = Vec::with_capacity(all.len());
    for (range, stand_in) in all {
        let range = folded.origin(range);
        match markers.last_mut() {
            // One that begins inside another is taken out with it.
            Some(last) if range.start < last.range.end => {
                last.range.end = last.range.end.max(range.end);
            }
            _ => markers.push(Marker { range, stand_in }),
        }
    }
    markers
}

fn is_tag(found: &str) -> bool {
    found.starts_with('<') && found.ends_with('-')
}

/// Returns the letters and digits of a marker, as its stand-in shows them.
fn tight(found: &str) -> String {
    found.chars().filter(|c| is_letter(*c)).collect()
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns `⟦v·erdict⟧` for what is spelled `"verdict":`, and `⟦<·|⟧` for a marker of two signs.
fn stand_in(found: &str) -> String {
    let mut shown = tight(found);
    if shown.is_empty() {
        shown = found.chars().filter(|c| !c.is_whitespace()).collect();
        shown.truncate(if shown.len() == 2 { 2 } else { 0 });
    }
    let mut shown = shown.chars().take(STAND_IN_CHARS_MAX);
    let first: String = shown.next().into_iter().collect();
    format!("{STAND_IN}{first}·{}⟧", shown.collect::<String>())
}

/// Returns a pattern for a word whose letters may stand apart.
fn loose(word: &str) -> String {
    let letter = |c: char| match c {
        'i' | 'l' => "[il1|]".to_owned(),
        'o' => "[o0]".to_owned(),
        '_' | '-' | ' ' => r"[\s_\-]*".to_owned(),
        other => regex::escape(&other.to_string()),
    };
    let letters: Vec<String> = word.chars().map(letter).collect();
    letters.join(r"[\s.\-_*~]{0,3}")
}

fn any_of(words: &[&str]) -> String {
    let all: Vec<String> = words.iter().map(|word| loose(word)).collect();
    format!("(?:{})", all.join("|"))
}

fn patterns() -> Vec<String> {
    const EDGE: &str = r"(?-u:\b)";
    let quotes = r#"["'`\\*_]"#;
    let verdict = loose("verdict");
    let key = any_of(&["score", "label", "evidence", "confidence"]);
    let grade = any_of(&["grade", "final grade"]);
    let turn = any_of(&["human", "assistant", "system"]);
    let heading = any_of(&["instruction", "response", "system", "assistant"]);
    let tags = any_of(&[
        "tool_calls",
        "tool_call",
        "tool_use",
        "tool_response",
        "tool_result",
        "tool_results",
        "function_calls",
        "function_call",
        "function_results",
        "function_result",
        "function",
        "invoke",
        "parameter",
        "system-reminder",
        "system",
        "instructions",
        "assistant",
        "human",
        "thinking",
        "think",
        "verdict",
        "grade",
        "score",
    ]);
    let template_tags = any_of(&[
        "bos",
        "eos",
        "start_of_turn",
        "end_of_turn",
        "start_of_image",
    ]);
    let brackets = any_of(&[
        "inst",
        "system_prompt",
        "available_tools",
        "tool_calls",
        "tool_results",
        "tool_content",
    ]);
    vec![
        // our fences
        format!(r"<[\s\\]*/?\s*{}\s*-", loose("data")),
        // tokens of chat templates: <|im_start|>, <｜User｜>, [INST], <<SYS>>, <start_of_turn>, <s>
        r"<\s*\|[^|<>\n]{0,60}\|\s*>".to_owned(),
        r"<\|\s*[a-z_]{2,40}\s*>?".to_owned(),
        r"<\s*\|".to_owned(),
        r"\|\s*>".to_owned(),
        format!(r"\[\s*/?\s*{brackets}\s*\]"),
        r"<\s*<\s*/?\s*s\s*y\s*s\s*>\s*>".to_owned(),
        format!(r"<\s*/?\s*(?:s|{template_tags})\s*>"),
        // verdicts: ours, Inspect's, MT-bench's, those of maths
        format!(r"{quotes}*{verdict}\s*{quotes}*\s*[:=]"),
        format!(r#"["'\\`]+\s*{key}\s*["'\\`]+\s*[:=]"#),
        format!(r"{EDGE}{grade}\s*{quotes}*\s*[:=]{quotes}*"),
        format!(
            r"(?:{EDGE}{}\s*:\s*)?\[\s*\[\s*[a-z0-9./]{{1,8}}\s*\]\s*\]",
            loose("rating")
        ),
        format!(r"\\\s*(?:{}|{})", loose("boxed"), loose("fbox")),
        // turns and headings at the start of a line
        format!(r"(?m:^)[ \t>*]*{turn}[ \t*]*:"),
        format!(r"#+[ \t]*{heading}s?[ \t]*:"),
        // tool calls and other tags that mean something to a model
        format!(r"<\s*/?\s*{tags}{EDGE}(?:[^<>\n]{{0,80}}>)?"),
        format!(r"{EDGE}to\s*=\s*{}\s*\.", loose("functions")),
    ]
}
