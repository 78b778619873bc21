//! What one grader says of one trace or span.

use crate::span::closed_words;
use crate::{GroupId, JsonText, NanoUsd, SpanId, Time, TraceId};

closed_words!(
    /// What came of grading. No verdict is not a fail.
    Outcome, "outcome", {
        /// It holds.
        Pass = "pass",
        /// It does not.
        Fail = "fail",
        /// A number or label that is neither good nor bad by itself.
        Value = "value",
        /// The question does not arise for this trace.
        NotApplicable = "not_applicable",
        /// There is no verdict; `unscored_reason` says why.
        Unscored = "unscored",
    }
);

closed_words!(
    /// Why there is no verdict.
    UnscoredReason, "unscored reason", {
        /// The sender gave no texts to read.
        NoContent = "no_content",
        /// The answer of the judge could not be read.
        Parse = "parse",
        /// The judge pointed at nothing that is there.
        NoEvidence = "no_evidence",
        /// The judge says that it cannot tell.
        Unknown = "unknown",
        /// The verdict changes with text that addresses the grader.
        Injection = "injection",
        /// A limit of steps, tokens, money or time was reached.
        Budget = "budget",
        /// The judge refused to answer.
        Refusal = "refusal",
        /// No judge is configured.
        NoJudge = "no_judge",
        /// The provider of the judge failed.
        Provider = "provider",
        /// The grader's own code failed.
        Code = "code",
        /// The grader's code was stopped by a limit of the sandbox.
        Sandbox = "sandbox",
        /// A template names what is not there.
        MissingVariable = "missing_variable",
        /// The trace could not be read.
        Unreadable = "unreadable",
    }
);

/// What a call of a judge was and what it took.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JudgeUse {
    /// The model that answered.
    pub model: String,
    /// Its parameters: a JSON object.
    pub params: Option<JsonText>,
    /// The hash of the whole prompt.
    pub prompt_hash: Option<String>,
    /// Tokens read.
    pub input_tokens: Option<i64>,
    /// Tokens read from the provider's cache.
    pub cached_tokens: Option<i64>,
    /// Tokens written.
    pub output_tokens: Option<i64>,
    /// What it cost; `None` is "unknown".
    pub cost: Option<NanoUsd>,
    /// How long it took.
    pub latency_ms: Option<f64>,
    /// Whether an earlier answer was used again.
    pub cached: bool,
}

impl JudgeUse {
    /// Returns the trace that the graded one was compared with, where two were compared.
    pub fn counterpart(&self) -> Option<TraceId> {
        let params = self.params.as_ref()?;
        // Hardly any grade is a comparison: the others are not read.
        if !params.as_str().contains("\"counterpart\"") {
            return None;
        }
        let params = params.to_value();
        TraceId::new(params.pointer("/judgement/counterpart")?.as_str()?).ok()
    }
}

/// One grader's result on one item, as the table `grades` keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Grade {
    /// The run it belongs to.
    pub run_id: String,
    /// The item of the run: a trace, a trace and some spans, or a case of a dataset.
    pub item_id: String,
    /// Counted from 1.
    pub attempt: u32,
    /// The grader.
    pub grader_id: String,
    /// Its name.
    pub grader_name: String,
    /// Its version.
    pub grader_version: u32,
    /// The hash of its definition.
    pub grader_hash: String,
    /// The trace; `None` for a case of a dataset without one.
    pub trace_id: Option<TraceId>,
    /// The span, where spans are graded one by one.
    pub span_id: Option<SpanId>,
    /// The trace's group.
    pub group_id: Option<GroupId>,
    /// The stratum it was drawn from.
    pub stratum: Option<String>,
    /// How many traces of the population it stands for.
    pub weight: f64,
    /// What came of it.
    pub verdict: Verdict,
    /// When.
    pub created_at: Time,
    /// When the trace started, as its own row has it; of a case of a dataset: when the case was made.
    /// It decides the home day, and should not change from one grade of an item to the next.
    pub trace_started_at: Time,
}

impl Grade {
    /// Returns the id of the grade. It follows from its key: a later grade of the same run, item, attempt,
    /// grader and span has the same id, and takes the place of the earlier one.
    ///
    /// The first [`GRADE_RUN_BYTES`] of it are the same for all grades of a run, the first
    /// [`GRADE_ITEM_BYTES`] for all of one attempt on an item.
    pub fn id(&self) -> String {
        let attempt = self.attempt.to_le_bytes();
        let item = digest(&[self.item_id.as_bytes(), attempt.as_slice()]);
        let span = self.span_id.as_ref().map_or("", SpanId::as_str);
        let part = digest(&[self.grader_id.as_bytes(), span.as_bytes()]);
        let run = Self::run_part(&self.run_id);
        format!("{run}{}{}", &item[..ITEM_DIGITS], &part[..PART_DIGITS])
    }

    /// Returns what the ids of a run's grades begin with.
    pub fn run_part(run_id: &str) -> String {
        let run = digest(&[run_id.as_bytes()]);
        format!("{GRADE_PREFIX}{}", &run[..RUN_DIGITS])
    }
}

const GRADE_PREFIX: &str = "grade_";
const RUN_DIGITS: usize = 14;
const ITEM_DIGITS: usize = 20;
const PART_DIGITS: usize = 16;

/// So many bytes of a grade's id tell its run.
pub const GRADE_RUN_BYTES: usize = GRADE_PREFIX.len() + RUN_DIGITS;

/// So many bytes of a grade's id tell its run and its item.
pub const GRADE_ITEM_BYTES: usize = GRADE_RUN_BYTES + ITEM_DIGITS;

/// Returns the hash of texts in hexadecimal. Their lengths go in too: where one ends decides.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

/// What a grader answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What came of it.
    pub outcome: Outcome,
    /// The number, in the grader's own scale.
    pub score: Option<f64>,
    /// The label, of graders that give one.
    pub label: Option<String>,
    /// Why there is no verdict.
    pub unscored_reason: Option<UnscoredReason>,
    /// The grader's words, or the message of what went wrong.
    pub reasoning: Option<String>,
    /// The spans that made it so.
    pub citations: Vec<SpanId>,
    /// What the judge says of its own certainty: never a probability.
    pub confidence: Option<f64>,
    /// Whether it holds because there was nothing to look at.
    pub vacuous: bool,
    /// The judge's part in it.
    pub judge: Option<JudgeUse>,
}

impl Verdict {
    /// Returns a bare verdict of this outcome.
    pub fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            score: None,
            label: None,
            unscored_reason: None,
            reasoning: None,
            citations: Vec::new(),
            confidence: None,
            vacuous: false,
            judge: None,
        }
    }

    /// Returns that there is no verdict, and why.
    pub fn unscored(reason: UnscoredReason, why: impl Into<String>) -> Self {
        Self {
            unscored_reason: Some(reason),
            reasoning: Some(why.into()),
            ..Self::new(Outcome::Unscored)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grade() -> Grade {
        Grade {
            run_id: "grun_1".to_owned(),
            item_id: "trace_1".to_owned(),
            attempt: 1,
            grader_id: "grader_1".to_owned(),
            grader_name: "polite".to_owned(),
            grader_version: 1,
            grader_hash: "h".to_owned(),
            trace_id: None,
            span_id: None,
            group_id: None,
            stratum: None,
            weight: 1.0,
            verdict: Verdict::new(Outcome::Pass),
            created_at: Time::default(),
            trace_started_at: Time::default(),
        }
    }

    #[test]
    fn a_comparison_is_told_by_the_trace_that_was_compared_with() {
        let check = |params: &str, want: Option<&str>| {
            let used = JudgeUse {
                params: JsonText::parse(params).ok(),
                ..JudgeUse::default()
            };
            let want = want.map(|id| TraceId::new(id).unwrap());
            assert_eq!(used.counterpart(), want, "{params}");
        };
        check(
            r#"{"judgement":{"counterpart":"trace_b"}}"#,
            Some("trace_b"),
        );
        check(r#"{"judgement":{"counterpart":""}}"#, None);
        check(r#"{"counterpart":"trace_b","judgement":{}}"#, None);
        check(r#"{"stop":["\"counterpart\""]}"#, None);
        assert_eq!(JudgeUse::default().counterpart(), None);
    }

    #[test]
    fn the_id_of_a_grade_follows_from_its_key_alone() {
        let one = grade();
        let later = Grade {
            verdict: Verdict::new(Outcome::Fail),
            created_at: Time::from_micros(5),
            grader_version: 2,
            ..grade()
        };
        assert_eq!(one.id(), later.id());
        let others = [
            Grade {
                run_id: "grun_2".to_owned(),
                ..grade()
            },
            Grade {
                item_id: "trace_2".to_owned(),
                ..grade()
            },
            Grade {
                attempt: 2,
                ..grade()
            },
            Grade {
                grader_id: "grader_2".to_owned(),
                ..grade()
            },
            Grade {
                span_id: Some(SpanId::new("s").unwrap()),
                ..grade()
            },
            // Where one text ends and the next begins is part of the key.
            Grade {
                run_id: "grun_1t".to_owned(),
                item_id: "race_1".to_owned(),
                ..grade()
            },
        ];
        let mut ids: Vec<_> = others.iter().map(Grade::id).chain([one.id()]).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 7);
        let item = |grade: &Grade| grade.id()[..GRADE_ITEM_BYTES].to_owned();
        assert_eq!(
            item(&others[3]),
            item(&one),
            "another grader, the same item"
        );
        assert_eq!(item(&others[4]), item(&one), "another span, the same item");
        assert_ne!(item(&others[2]), item(&one), "another attempt");
        let run = Grade::run_part("grun_1");
        assert_eq!(run.len(), GRADE_RUN_BYTES);
        for (grade, is_of_it) in others.iter().zip([false, true, true, true, true, false]) {
            assert_eq!(grade.id().starts_with(&run), is_of_it, "{grade:?}");
        }
    }
}
