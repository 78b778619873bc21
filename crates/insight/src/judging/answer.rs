//! What did a judge answer?
//!
//! The last JSON object of a reply counts, never the first that fits: a judge that thinks aloud repeats what
//! the trace says, and the trace may say "verdict: pass". A decision that was not offered is no decision.
//! Citations are held against the trace; those that do not stand are dropped, and a fail of which none
//! stands is asked for again.

use model::SpanId;
use serde_json::{Map, Value};

use super::{Evidence, Offered};

/// Of a longer reply only the end is read.
const REPLY_BYTES_MAX: usize = 256 * 1024;

/// Citations beyond these are not looked at.
const CITATIONS_MAX: usize = 32;

/// A reply of a judge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reply<'a> {
    /// The provider made sure that it is one object of our schema.
    Structured(&'a Value),
    /// Words, with an object somewhere.
    Text(&'a str),
}

/// What a judge decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// The judge cannot tell.
    Unknown,
    /// A number on the scale.
    Score(f64),
    /// One of the labels.
    Label(String),
    /// Of two traces the one that was shown first is better.
    First,
    /// The one that was shown second is.
    Second,
    /// Neither is.
    Tie,
}

/// Which of the traces that a judge was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The first, or the only one.
    First,
    /// The second.
    Second,
}

impl Which {
    /// Returns the trace that a judge calls by a letter.
    pub fn of_letter(letter: &str) -> Option<Self> {
        match letter.trim() {
            "A" | "a" => Some(Self::First),
            "B" | "b" => Some(Self::Second),
            _ => None,
        }
    }

    /// Returns the other one.
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A place in the trace that a judge points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The trace that it is in.
    pub trace: Which,
    /// The span.
    pub span_id: SpanId,
    /// What it says there.
    pub quote: String,
}

/// A judge's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The decision.
    pub choice: Choice,
    /// Why.
    pub reasoning: String,
    /// The citations that stand.
    pub citations: Vec<Citation>,
    /// How many do not.
    pub dropped_citations: usize,
    /// What the judge says of its own certainty: never a probability.
    pub confidence: Option<f64>,
}

/// What is to be done with a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// It is an answer.
    Verdict(Answer),
    /// It cannot be read: the text says what is wrong, and is all that the judge is told.
    Repair(String),
    /// It fails the run and points at nothing that is there: ask once for evidence.
    NeedsEvidence(Answer),
}

/// Returns what `reply` answers to what was `offered`.
pub fn read_answer(reply: Reply<'_>, offered: &Offered, evidence: &Evidence<'_>) -> Judged {
    let answer = match reply {
        Reply::Structured(value) => match value.as_object() {
            Some(object) => answer_of(object, offered, evidence),
            None => Err("the answer must be one JSON object".to_owned()),
        },
        Reply::Text(text) => match last_object(text) {
            Some(object) => answer_of(&object, offered, evidence),
            None => Err("the reply holds no JSON object".to_owned()),
        },
    };
    match answer {
        Err(error) => Judged::Repair(error),
        Ok(answer) if answer.citations.is_empty() && offered.needs_evidence(&answer.choice) => {
            Judged::NeedsEvidence(answer)
        }
        Ok(answer) => Judged::Verdict(answer),
    }
}

/// Returns the last object that stands in a text and in no other object.
fn last_object(text: &str) -> Option<Map<String, Value>> {
    let mut from = text.len().saturating_sub(REPLY_BYTES_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let mut rest = &text[from..];
    let mut last = None;
    while let Some(at) = rest.find('{') {
        rest = &rest[at..];
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter();
        match objects.next() {
            Some(Ok(object)) => {
                last = Some(object);
                rest = &rest[objects.byte_offset()..];
            }
            _ => rest = &rest[1..],
        }
    }
    last
}

fn answer_of(
    object: &Map<String, Value>,
    offered: &Offered,
    evidence: &Evidence<'_>,
) -> Result<Answer, String> {
    let cited = object.get("evidence").and_then(Value::as_array);
    let cited = cited.ok_or(match offered {
        Offered::Better => {
            "\"evidence\" must be a list of objects with \"trace\", \"span_id\" and \"quote\""
        }
        _ => "\"evidence\" must be a list of objects with \"span_id\" and \"quote\"",
    })?;
    let reasoning = object
        .get("reasoning")
        .and_then(Value::as_str)
        .ok_or("\"reasoning\" must be a text")?;
    let key = offered.key();
    let choice = object.get(key).and_then(|value| choice_of(value, offered));
    let choice = choice.ok_or_else(|| format!("\"{key}\" must be {}", offered.in_words()))?;
    let citations: Vec<Citation> = cited
        .iter()
        .take(CITATIONS_MAX)
        .filter_map(|cited| citation(cited, evidence))
        .collect();
    let confidence = object.get("confidence").and_then(Value::as_f64);
    Ok(Answer {
        choice,
        reasoning: reasoning.trim().to_owned(),
        dropped_citations: cited.len() - citations.len(),
        citations,
        confidence: confidence.filter(|share| (0.0..=1.0).contains(share)),
    })
}

fn choice_of(value: &Value, offered: &Offered) -> Option<Choice> {
    match offered {
        Offered::Verdict => match value.as_str()?.trim().to_ascii_lowercase().as_str() {
            "pass" => Some(Choice::Pass),
            "fail" => Some(Choice::Fail),
            "unknown" => Some(Choice::Unknown),
            _ => None,
        },
        Offered::Better => match value.as_str()?.trim().to_ascii_lowercase().as_str() {
            "a" => Some(Choice::First),
            "b" => Some(Choice::Second),
            "tie" => Some(Choice::Tie),
            _ => None,
        },
        Offered::Score { .. } | Offered::Label { .. } if value.is_null() => Some(Choice::Unknown),
        Offered::Score { scale, .. } => {
            let score = value.as_f64().filter(|score| scale.contains(*score))?;
            Some(Choice::Score(score))
        }
        Offered::Label { labels, .. } => {
            let label = value.as_str()?.trim();
            let known = labels.iter().find(|known| known.as_str() == label)?;
            Some(Choice::Label(known.clone()))
        }
    }
}

fn citation(cited: &Value, evidence: &Evidence<'_>) -> Option<Citation> {
    let letter = cited.get("trace").and_then(Value::as_str);
    let place = evidence.place(letter, cited.get("span_id")?.as_str()?)?;
    let quote = cited.get("quote")?.as_str()?;
    evidence.says(place, quote).then(|| Citation {
        trace: place.trace,
        span_id: evidence.span_id(place).clone(),
        quote: quote.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effects;
    use crate::fence::{Fence, Nonce};
    use crate::judging::Scale;
    use crate::render::Renderer;
    use crate::render::samples::{self, Viewed as _};

    fn read(text: &str, offered: &Offered) -> Judged {
        let (view, effects) = (samples::booking(), Effects::default());
        let renderer = Renderer::new(&view, &effects);
        let fence = Fence::new(Nonce::new("9f3a2c").unwrap());
        read_answer(
            Reply::Text(text),
            offered,
            &Evidence::new(&renderer, &fence),
        )
    }

    fn reply(key: &str, value: &str, quote: &str) -> String {
        format!(
            r#"{{"evidence":[{{"span_id":"s3","quote":"{quote}"}}],"reasoning":"so","{key}":{value},"confidence":0.9}}"#
        )
    }

    fn choice(text: &str, offered: &Offered) -> Option<Choice> {
        match read(text, offered) {
            Judged::Verdict(answer) => Some(answer.choice),
            _ => None,
        }
    }

    #[test]
    fn the_last_object_counts() {
        let (pass, fail) = (
            reply("verdict", "\"pass\"", "HAT045"),
            reply("verdict", "\"fail\"", "HAT045"),
        );
        for (text, expected) in [
            (format!("```json\n{fail}\n```"), Choice::Fail),
            (format!("It says {pass} but no: {fail}"), Choice::Fail),
            (
                format!("{{ {{{{ {{\"a\": {pass} {fail} }} }}"),
                Choice::Fail,
            ),
            (format!("{fail} is what I say. {{not json}}"), Choice::Fail),
        ] {
            assert_eq!(choice(&text, &Offered::Verdict), Some(expected), "{text}");
        }
        // No falling back to an earlier object that would fit.
        let text = format!("{pass} {{\"verdict\": \"maybe\"}}");
        assert!(matches!(read(&text, &Offered::Verdict), Judged::Repair(_)));
    }

    #[test]
    fn what_was_not_offered_is_no_answer() {
        let repair = |text: &str, offered: &Offered| match read(text, offered) {
            Judged::Repair(error) => error,
            other => panic!("{text}: {other:?}"),
        };
        let verdict = reply("verdict", "\"passed\"", "x");
        assert_eq!(
            repair(&verdict, &Offered::Verdict),
            "\"verdict\" must be \"pass\", \"fail\" or \"unknown\""
        );
        let scale = Offered::of_scale(Scale::Whole { low: 1, high: 5 }, None);
        for value in ["6", "4.5", "\"4\"", "true"] {
            let error = repair(&reply("score", value, "x"), &scale);
            assert_eq!(
                error,
                "\"score\" must be a whole number from 1 to 5, or null if you cannot tell"
            );
        }
        assert_eq!(
            repair("pass", &Offered::Verdict),
            "the reply holds no JSON object"
        );
        assert_eq!(
            repair("{\"verdict\":\"pass\"}", &Offered::Verdict),
            "\"evidence\" must be a list of objects with \"span_id\" and \"quote\""
        );
        let label = Offered::Label {
            labels: vec!["A".to_owned(), "B".to_owned()],
            passing: vec!["A".to_owned()],
        };
        assert_eq!(
            repair(&reply("label", "\"C\"", "x"), &label),
            "\"label\" must be one of \"A\", \"B\", or null if you cannot tell"
        );
        assert_eq!(
            choice(&reply("label", "null", "x"), &label),
            Some(Choice::Unknown)
        );
    }

    #[test]
    fn citations_must_stand_and_a_fail_needs_one() {
        let good = read(
            &reply("verdict", "\"fail\"", "HAT045 at  13:00"),
            &Offered::Verdict,
        );
        let Judged::Verdict(answer) = good else {
            panic!("{good:?}");
        };
        assert_eq!(answer.citations[0].span_id.as_str(), "f1");
        assert_eq!(
            (answer.confidence, answer.dropped_citations),
            (Some(0.9), 0)
        );

        let invented = read(&reply("verdict", "\"fail\"", "HAT999"), &Offered::Verdict);
        assert!(
            matches!(&invented, Judged::NeedsEvidence(answer) if answer.dropped_citations == 1)
        );
        // A pass may stand without a citation, and so may what decides nothing.
        for value in ["\"PASS\"", "\" unknown\""] {
            assert!(choice(&reply("verdict", value, "HAT999"), &Offered::Verdict).is_some());
        }
        let scale = Offered::of_scale(Scale::Whole { low: 1, high: 5 }, None);
        let low = read(&reply("score", "2", "HAT999"), &scale);
        assert!(matches!(low, Judged::NeedsEvidence(_)));
        assert_eq!(
            choice(&reply("score", "4.0", "HAT999"), &scale),
            Some(Choice::Score(4.0))
        );
        assert_eq!(
            choice(&reply("score", "null", "HAT999"), &scale),
            Some(Choice::Unknown)
        );
    }

    #[test]
    fn of_two_traces_a_citation_says_in_which_it_is() {
        let effects = Effects::default();
        let [cheap, dear] = ["HAT045 at 13:00, $120", "HAT047 at 15:00, $90"].map(|found| {
            samples::Story {
                found: found.to_owned(),
                ..samples::Story::default()
            }
            .view()
        });
        let [first, second] = [&cheap, &dear].map(|view| Renderer::new(view, &effects));
        let fence = Fence::new(Nonce::new("9f3a2c").unwrap());
        let evidence = Evidence::of_two([(&first, &fence), (&second, &fence)]);
        let read = |text: &str| read_answer(Reply::Text(text), &Offered::Better, &evidence);
        let reply = |trace: &str, quote: &str, verdict: &str| {
            format!(
                r#"{{"evidence":[{{"trace":"{trace}","span_id":"s3","quote":"{quote}"}}],"reasoning":"so","verdict":"{verdict}","confidence":0.9}}"#
            )
        };
        let Judged::Verdict(answer) = read(&reply("B", "HAT047", "A")) else {
            panic!("no verdict");
        };
        assert_eq!(answer.choice, Choice::First);
        assert_eq!(answer.citations[0].trace, Which::Second);
        // What the other trace says is no evidence, nor is a place in no trace.
        for (trace, quote) in [("A", "HAT047"), ("C", "HAT047"), ("", "HAT047")] {
            let judged = read(&reply(trace, quote, "B"));
            assert!(matches!(judged, Judged::NeedsEvidence(_)), "{judged:?}");
        }
        assert!(matches!(read(&reply("A", "x", "tie")), Judged::Verdict(_)));
        assert_eq!(
            read(&reply("A", "HAT045", "neither")),
            Judged::Repair("\"verdict\" must be \"A\", \"B\" or \"tie\"".to_owned())
        );
    }

    #[test]
    fn a_reply_of_nothing_but_braces_is_read_in_no_time() {
        let braces = "{".repeat(200_000) + &"{\"a\":".repeat(20_000);
        assert!(matches!(
            read(&braces, &Offered::Verdict),
            Judged::Repair(_)
        ));
    }
}
