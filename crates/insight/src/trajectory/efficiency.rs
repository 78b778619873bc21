//! How many of the calls were needed?

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};
use model::SpanType;

use super::{Finding, MadeCall, NoScore, Reference, TrajectoryGrader, share, some_of};
use crate::canonical::canonical;
use crate::{Effects, TraceView};

/// A result shorter than this (in bytes) says too little to be missed.
const RESULT_BYTES_MIN: usize = 20;

/// Of each text so much is read for words.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Of all texts together so many words are read. Where there are more, no result is called unused.
const WORDS_MAX: usize = 5_000_000;

/// Measures how few calls there were: against the reference where there is one, else without those
/// that were made in vain.
pub(super) fn of(
    grader: &TrajectoryGrader,
    view: &TraceView,
    reference: &Reference,
    effects: &Effects,
) -> Result<Finding, NoScore> {
    let made = grader.calls_made(view);
    if let Some(expected) = &reference.calls {
        let expected = grader.calls_expected(expected).len();
        let score = if made.len() <= expected {
            1.0
        } else {
            share(expected, made.len())
        };
        return Ok(Finding {
            score,
            reasoning: format!("{} calls made, {expected} expected", made.len()),
            vacuous: made.is_empty() && expected == 0,
            ..Finding::default()
        });
    }
    if made.is_empty() {
        return Err(NoScore::not_applicable("no calls were made"));
    }
    let wasted = wasted(view, &made, effects);
    let mut reasoning = format!("{} of {} calls made in vain", wasted.len(), made.len());
    if !wasted.is_empty() {
        let reasons = wasted
            .iter()
            .map(|(at, why)| format!("{} {why}", made[*at].call.name));
        reasoning += &format!(": {}", some_of(reasons));
    }
    let cited = wasted
        .iter()
        .map(|(at, _)| view.spans[made[*at].at as usize].id().clone());
    Ok(Finding {
        score: 1.0 - share(wasted.len(), made.len()),
        reasoning,
        citations: cited.collect(),
        vacuous: false,
    })
}

/// Returns the calls made in vain, each once, with the first reason that holds.
fn wasted(view: &TraceView, made: &[MadeCall], effects: &Effects) -> Vec<(usize, &'static str)> {
    let repeats = repeats(view, made, effects);
    let words = Words::of(view);
    let all = made.iter().zip(repeats).enumerate();
    let wasted = all.filter_map(|(at, (made, repeats))| {
        let is_read = made.succeeded && !effects.is_write(&made.call.name);
        let unused =
            || (is_read && words.is_unused(view, made.at)).then_some("gave what nobody used");
        Some((at, repeats.or_else(unused)?))
    });
    wasted.collect()
}

/// The last call with these arguments.
struct Last {
    succeeded: bool,
    result: Option<String>,
    /// How many writes there had been when it was done.
    writes: usize,
}

/// Returns which calls do again what was done. A write between them may have changed the answer, and
/// an answer that differs was worth asking for.
fn repeats(view: &TraceView, made: &[MadeCall], effects: &Effects) -> Vec<Option<&'static str>> {
    let mut last: HashMap<(String, String), Last> = HashMap::new();
    let mut writes = 0;
    let mut all = Vec::new();
    for call in made {
        let result = view.spans[call.at as usize]
            .told
            .result
            .as_ref()
            .map(canonical);
        let arguments = call.call.arguments.as_ref().map(ToString::to_string);
        let key = (call.call.name.clone(), arguments.unwrap_or_default());
        let why = last.get(&key).and_then(|before| match before.succeeded {
            false => Some("failed before with the same arguments"),
            true if before.writes == writes && before.result == result => {
                Some("had been called with the same arguments")
            }
            true => None,
        });
        all.push(why);
        // a write counts with itself: the same write again is in vain
        writes += usize::from(call.succeeded && effects.is_write(&call.call.name));
        let now = Last {
            succeeded: call.succeeded,
            result,
            writes,
        };
        last.insert(key, now);
    }
    all
}

/// When each word came up first, and when it was said last.
struct Words {
    hasher: DefaultHashBuilder,
    first_seen: HashMap<u64, usize>,
    last_said: HashMap<u64, usize>,
    /// The last moment at which anything was said: what comes after cannot be judged.
    last_word: usize,
    left: usize,
}

impl Words {
    /// Reads the trace in order. Each span has two moments: what goes in, what comes out.
    fn of(view: &TraceView) -> Self {
        let mut words = Self {
            hasher: DefaultHashBuilder::default(),
            first_seen: HashMap::new(),
            last_said: HashMap::new(),
            last_word: 0,
            left: WORDS_MAX,
        };
        let mut heard = hashbrown::HashSet::new();
        for (at, span) in view.spans.iter().enumerate() {
            let (before, after) = (2 * at, 2 * at + 1);
            // the same message is the same `Arc`: histories are read once
            let new = span
                .told
                .input
                .iter()
                .filter(|said| heard.insert(std::sync::Arc::as_ptr(said)));
            let new: Vec<_> = new.filter_map(|said| said.words()).collect();
            for text in new {
                words.see(&text, before);
            }
            if span.is(SpanType::Function) {
                words.read(
                    span.told.arguments.as_ref().map(|it| it.as_str()),
                    before,
                    true,
                );
                words.read(
                    span.told.result.as_ref().map(|it| it.as_str()),
                    after,
                    false,
                );
            }
            if span.is(SpanType::Generation) {
                words.read(span.output_text().as_deref(), after, true);
                for (_, name, arguments) in span.requested_calls() {
                    words.say(name, after);
                    words.read(arguments.map(|it| it.as_str()), after, true);
                }
            }
        }
        let end = 2 * view.spans.len();
        words.read(view.final_output.as_deref(), end, true);
        words
    }

    fn read(&mut self, text: Option<&str>, moment: usize, is_said: bool) {
        match (text, is_said) {
            (Some(text), true) => self.say(text, moment),
            (Some(text), false) => self.see(text, moment),
            (None, _) => {}
        }
    }

    fn see(&mut self, text: &str, moment: usize) {
        for word in telling(text).take(self.left) {
            self.left -= 1;
            let word = self.hasher.hash_one(&word);
            self.first_seen.entry(word).or_insert(moment);
        }
    }

    fn say(&mut self, text: &str, moment: usize) {
        self.see(text, moment);
        self.last_word = self.last_word.max(moment);
        if text.len() > TEXT_BYTES_MAX {
            // a word may have been said in what was not read
            self.left = 0;
        }
        for word in telling(text).take(self.left) {
            self.last_said.insert(self.hasher.hash_one(&word), moment);
        }
    }

    /// Returns whether a result brought words that nobody had seen and nobody said later. A result
    /// that brings nothing new, or that ends the record, cannot be judged.
    fn is_unused(&self, view: &TraceView, at: u32) -> bool {
        let moment = 2 * at as usize + 1;
        let result = view.spans[at as usize].told.result.as_ref();
        let Some(result) = result.filter(|it| it.as_str().len() >= RESULT_BYTES_MIN) else {
            return false;
        };
        let words = telling(result.as_str()).map(|word| self.hasher.hash_one(&word));
        let mut new = words
            .filter(|word| self.first_seen.get(word) == Some(&moment))
            .peekable();
        let is_judged = self.left > 0 && self.last_word > moment && new.peek().is_some();
        is_judged && new.all(|word| self.last_said.get(&word).is_none_or(|said| *said <= moment))
    }
}

/// Returns the words that tell something: long ones, and whatever has a digit.
fn telling(text: &str) -> impl Iterator<Item = String> + '_ {
    const CHARS_MIN: usize = 5;
    let end = (0..=text.len().min(TEXT_BYTES_MAX))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    let words = text[..end.unwrap_or(0)].split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| {
        word.len() >= CHARS_MIN || (word.len() > 1 && word.contains(|c: char| c.is_ascii_digit()))
    });
    words.map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use model::Outcome;
    use serde_json::json;

    use super::super::scenes::{Scene, call};
    use super::super::{Metric, TrajectoryGrader};

    fn check(scene: &Scene, score: Option<f64>, reasoning: &str) {
        let verdict = scene.grade(&TrajectoryGrader::new(Metric::StepEfficiency));
        assert_eq!(verdict.reasoning.as_deref(), Some(reasoning));
        assert_eq!(verdict.score, score);
    }

    fn look() -> super::super::scenes::SceneCall {
        call("get_user", json!({"id": 1})).gives(json!({"name": "Bartholomew", "city": "Ulm"}))
    }

    #[test]
    fn against_a_reference_more_calls_are_less() {
        let scene = Scene::default()
            .reference(json!({"calls": [{"name": "f"}]}))
            .call(call("f", json!({})))
            .call(call("g", json!({})));
        check(&scene, Some(0.5), "2 calls made, 1 expected");
        let none = Scene::default().reference(json!({"calls": [{"name": "f"}]}));
        check(&none, Some(1.0), "0 calls made, 1 expected");
    }

    #[test]
    fn a_call_is_in_vain_if_it_repeats_one_or_its_result_is_not_used() {
        let scene = Scene::default()
            .says(&[("user", "who is user 1?")], "let me look")
            .call(look())
            .call(look())
            .call(
                call("get_weather", json!({"city": "Ulm"}))
                    .gives(json!("thunderstorms and hailstones")),
            )
            .call(call("get_fare", json!({"to": "X"})).failed("no such place"))
            .call(call("get_fare", json!({"to": "X"})).failed("no such place"))
            .says(&[], "it is Bartholomew");
        check(
            &scene,
            Some(1.0 - 3.0 / 5.0),
            "3 of 5 calls made in vain: get_user had been called with the same arguments, \
             get_weather gave what nobody used, get_fare failed before with the same arguments",
        );
    }

    #[test]
    fn looking_again_after_a_write_is_not_in_vain() {
        let scene = Scene::default()
            .call(look())
            .call(call("update_user", json!({"id": 1})).gives(json!("done")))
            .call(look())
            .says(&[], "Bartholomew it is");
        check(&scene, Some(1.0), "0 of 3 calls made in vain");
    }

    #[test]
    fn the_same_write_again_is_in_vain() {
        let update = || call("update_user", json!({"id": 1})).gives(json!("done"));
        check(
            &Scene::default().call(update()).call(update()),
            Some(0.5),
            "1 of 2 calls made in vain: update_user had been called with the same arguments",
        );
    }

    #[test]
    fn where_not_everything_was_read_no_result_is_called_unused() {
        let said = |words: &str| Scene::default().call(look()).says(&[], words);
        let unused = "1 of 1 calls made in vain: get_user gave what nobody used";
        check(&said("nothing was found"), Some(0.0), unused);
        let long = "nothing ".repeat(super::TEXT_BYTES_MAX / 8 + 1);
        check(&said(&long), Some(1.0), "0 of 1 calls made in vain");
    }

    #[test]
    fn a_result_after_which_nothing_is_said_cannot_be_judged() {
        check(
            &Scene::default().call(look()),
            Some(1.0),
            "0 of 1 calls made in vain",
        );
        let none = Scene::default().grade(&TrajectoryGrader::new(Metric::StepEfficiency));
        assert_eq!(none.outcome, Outcome::NotApplicable);
    }
}
