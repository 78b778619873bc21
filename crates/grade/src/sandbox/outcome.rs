//! What a grade's process left behind, read: a verdict, or why there is none.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use serde::Deserialize;

use crate::openai::PythonError;

/// Of what a grader printed so much is kept, from its end.
const PRINTED_BYTES_MAX: usize = 16 << 10;
/// And so much of it told when the process died.
const LAST_WORDS_BYTES_MAX: usize = 2 << 10;

/// What `grade(trace)` found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// The number, if there is one.
    pub score: Option<f64>,
    /// Whether it passed, if a truth value was returned.
    pub passed: Option<bool>,
    /// A word for the outcome.
    pub label: Option<String>,
    /// Why.
    pub reasoning: Option<String>,
    /// Ids of spans.
    pub citations: Vec<String>,
    /// What the grader printed, or the end of it.
    pub printed: String,
}

/// What the worker's script writes after its nonce.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Number(Number),
    Verdict(Told),
    Failed(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Truth(bool),
    Score(f64),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    score: Option<Number>,
    passed: Option<bool>,
    label: Option<String>,
    #[serde(alias = "reason")]
    reasoning: Option<String>,
    #[serde(default, alias = "spans")]
    citations: Vec<String>,
}

/// Reads what a process printed and, after the nonce, answered.
pub(super) fn read(text: &[u8], nonce: &str, status: ExitStatus) -> Result<Verdict, PythonError> {
    let Some((printed, answer)) = split(text, nonce) else {
        return Err(died(text, status));
    };
    let outcome = serde_json::from_slice(answer).map_err(|error| {
        PythonError::Runtime(format!("what `grade` returned cannot be read: {error}"))
    })?;
    let mut verdict = match outcome {
        Outcome::Failed(why) => return Err(PythonError::Runtime(why)),
        Outcome::Number(number) => with_number(Verdict::default(), number),
        Outcome::Verdict(told) => told.into_verdict()?,
    };
    verdict.printed = end_of(printed, PRINTED_BYTES_MAX);
    Ok(verdict)
}

impl Told {
    fn into_verdict(self) -> Result<Verdict, PythonError> {
        if self.score.is_none() && self.label.is_none() && self.passed.is_none() {
            let why = "`grade` returned a dict with neither `score`, `passed` nor `label`";
            return Err(PythonError::Runtime(why.to_owned()));
        }
        let verdict = Verdict {
            label: self.label,
            reasoning: self.reasoning,
            citations: self.citations,
            ..Verdict::default()
        };
        let verdict = match self.score {
            Some(number) => with_number(verdict, number),
            None => verdict,
        };
        Ok(Verdict {
            passed: self.passed.or(verdict.passed),
            ..verdict
        })
    }
}

fn with_number(verdict: Verdict, number: Number) -> Verdict {
    let (score, passed) = match number {
        Number::Score(score) => (score, None),
        Number::Truth(passed) => (f64::from(u8::from(passed)), Some(passed)),
    };
    Verdict {
        score: Some(score),
        passed,
        ..verdict
    }
}

/// Returns what stands before and after the nonce: the last one, since a grader cannot know it before.
fn split<'a>(text: &'a [u8], nonce: &str) -> Option<(&'a [u8], &'a [u8])> {
    let at = text
        .windows(nonce.len())
        .rposition(|it| it == nonce.as_bytes())?;
    let answer = &text[at + nonce.len()..];
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let printed = &text[..at];
    Some((
        printed.strip_suffix(b"\n").unwrap_or(printed),
        &answer[..end],
    ))
}

fn died(text: &[u8], status: ExitStatus) -> PythonError {
    const SIGXCPU: i32 = 24;
    const SIGKILL: i32 = 9;

    let why = match (status.signal(), status.code()) {
        (Some(SIGXCPU), _) => return PythonError::Stopped("it used up its processor time".into()),
        (Some(SIGKILL), _) => {
            let why = "the system killed it: for memory, or for processor time";
            return PythonError::Stopped(why.into());
        }
        (Some(signal), _) => format!("the process died of signal {signal}"),
        (None, code) => format!("the process ended by itself, status {}", code.unwrap_or(0)),
    };
    let words = end_of(text, LAST_WORDS_BYTES_MAX);
    match words.trim() {
        "" => PythonError::Runtime(why),
        words => PythonError::Runtime(format!("{why}\n{words}")),
    }
}

/// Returns the end of a text, of a whole character on.
fn end_of(text: &[u8], bytes_max: usize) -> String {
    let mut start = text.len().saturating_sub(bytes_max);
    while start > 0 && start < text.len() && text[start] & 0xc0 == 0x80 {
        start += 1;
    }
    String::from_utf8_lossy(&text[start..]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::{PythonError, Verdict, end_of, read};

    fn check(text: &str) -> Result<Verdict, PythonError> {
        read(text.as_bytes(), "NONCE", ExitStatus::from_raw(0))
    }

    #[test]
    fn numbers_truths_and_dicts_are_verdicts() {
        let number = check("hi\nNONCE{\"number\": 0.5}\n").unwrap();
        assert_eq!((number.score, number.passed), (Some(0.5), None));
        assert_eq!(number.printed, "hi");
        let truth = check("\nNONCE{\"number\": true}\n").unwrap();
        assert_eq!((truth.score, truth.passed), (Some(1.0), Some(true)));
        let whole =
            r#"{"verdict": {"score": 1, "label": "ok", "reasoning": "r", "citations": ["s1"]}}"#;
        let whole = check(&format!("NONCE{whole}\n")).unwrap();
        assert_eq!(
            (whole.score, whole.label.as_deref()),
            (Some(1.0), Some("ok"))
        );
        assert_eq!(whole.citations, ["s1"]);
        let short = r#"{"verdict": {"passed": false, "score": 7, "reason": "r", "spans": ["s2"]}}"#;
        let short = check(&format!("NONCE{short}\n")).unwrap();
        assert_eq!((short.score, short.passed), (Some(7.0), Some(false)));
        assert_eq!(
            (short.reasoning.as_deref(), &*short.citations[0]),
            (Some("r"), "s2")
        );
    }

    #[test]
    fn what_is_no_verdict_says_why() {
        for (text, word) in [
            ("NONCE{\"failed\": \"Traceback\"}\n", "Traceback"),
            ("NONCE{\"verdict\": {\"scor\": 1}}\n", "scor"),
            ("NONCE{\"verdict\": {\"reasoning\": \"r\"}}\n", "neither"),
            ("NONCE{\"verdict\": {\"label\": 3}}\n", "integer"),
            ("NONCE{\"number\": 0.5", "ended by itself"),
            ("only words", "only words"),
        ] {
            let error = check(text).unwrap_err();
            assert!(
                matches!(&error, PythonError::Runtime(why) if why.contains(word)),
                "{error}"
            );
        }
    }

    /// A grader that guesses the form of an answer does not know the nonce; one that finds it in its
    /// own memory speaks for itself only.
    #[test]
    fn the_last_answer_counts() {
        let text = "NONCE{\"number\": 1.0}\n\nNONCE{\"number\": 0.0}\n";
        assert_eq!(check(text).unwrap().score, Some(0.0));
    }

    #[test]
    fn signals_of_limits_are_told_from_crashes() {
        let died = |status| read(b"", "NONCE", ExitStatus::from_raw(status)).unwrap_err();
        assert!(matches!(died(24), PythonError::Stopped(_)));
        assert!(matches!(died(9), PythonError::Stopped(_)));
        assert!(matches!(died(11), PythonError::Runtime(why) if why.contains("signal 11")));
        assert!(matches!(died(3 << 8), PythonError::Runtime(why) if why.contains("status 3")));
    }

    #[test]
    fn the_end_of_a_text_begins_with_a_whole_character() {
        assert_eq!(end_of("aäb".as_bytes(), 2), "b");
        assert_eq!(end_of("aäb".as_bytes(), 3), "äb");
        assert_eq!(end_of(b"", 3), "");
    }
}
