//! What judges said, brought to one verdict.

use insight::judging::{Answer, Choice, Citation, Offered, Which};
use insight::render::Tier;
use model::{JsonText, JudgeUse, NanoUsd, Outcome, SpanId, TraceId, UnscoredReason, Verdict};
use serde_json::{Map, Value, json};

use crate::judge::panel::{majority, median};
use crate::trace::subject::Exchange;

/// The labels of a comparison, as the graded trace has it.
pub(super) const BETTER: &str = "better";
pub(super) const WORSE: &str = "worse";
pub(super) const TIE: &str = "tie";

/// Why a judge gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Silent {
    pub(in super::super) reason: UnscoredReason,
    pub(in super::super) why: String,
}

/// What a judge read for itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadingNotes {
    pub(super) calls: u32,
    pub(super) is_exhausted: bool,
}

/// What came of asking one judge.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) said: Result<Answer, Silent>,
    /// The mean of the score by the chances of its token.
    pub(super) expected: Option<f64>,
    pub(super) tier: Option<Tier>,
    pub(super) reading: Option<ReadingNotes>,
    pub(super) params: Map<String, Value>,
    /// What was said in each order, where two traces were compared.
    pub(super) orders: Option<Orders>,
}

/// What a judge says of two traces as each order showed them: the candidate first, and second. Null: it
/// said nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Orders(pub(super) [Value; 2]);

/// What the judges of a panel say together.
#[derive(Debug, Clone)]
pub(super) struct Opinion {
    said: Result<Answer, Silent>,
    expected: Option<f64>,
    params: Map<String, Value>,
    pub(super) notes: Notes,
}

/// What a judgement went through.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    tier: Option<Tier>,
    reading: Option<ReadingNotes>,
    /// Who said what, if there are several.
    panel: Vec<(String, Value)>,
    agreement: Option<f64>,
    /// What one judge said each time that it was asked the same.
    pub(super) samples: Vec<Value>,
    /// What each judge said in each order, where two traces were compared.
    orders: Vec<Orders>,
    /// The trace that the graded one was held against.
    pub(super) counterpart: Option<TraceId>,
    /// What the judges say without the words that speak to them.
    masked: Option<String>,
    pub(super) warning: Option<String>,
}

impl Heard {
    pub(super) fn silent(silent: Silent) -> Self {
        Self {
            said: Err(silent),
            expected: None,
            tier: None,
            reading: None,
            params: Map::new(),
            orders: None,
        }
    }

    /// Returns what was said: a word or a number; null if nothing was.
    pub(super) fn vote(&self) -> Value {
        vote_of(&self.said)
    }
}

pub(super) fn vote_of(said: &Result<Answer, Silent>) -> Value {
    match said {
        Ok(answer) => match &answer.choice {
            Choice::Score(score) => json!(score),
            choice => word(choice).into(),
        },
        Err(_) => Value::Null,
    }
}

fn word_of(said: &Result<Answer, Silent>) -> String {
    match said {
        Ok(answer) => word(&answer.choice),
        Err(silent) => format!("unscored:{}", silent.reason.as_str()),
    }
}

fn word(choice: &Choice) -> String {
    match choice {
        Choice::Pass => "pass".to_owned(),
        Choice::Fail => "fail".to_owned(),
        Choice::Unknown => "unknown".to_owned(),
        Choice::Score(score) => score.to_string(),
        Choice::Label(label) => label.clone(),
        Choice::First => BETTER.to_owned(),
        Choice::Second => WORSE.to_owned(),
        Choice::Tie => TIE.to_owned(),
    }
}

/// Brings judges to one word: labels by majority, scores by the median; a panel that is split does not
/// know.
pub(super) fn combined(mut heard: Vec<(String, Heard)>, offered: &Offered) -> Opinion {
    if heard.len() == 1
        && let Some((_, only)) = heard.pop()
    {
        return Opinion {
            said: only.said,
            expected: only.expected,
            params: only.params,
            notes: Notes {
                tier: only.tier,
                reading: only.reading,
                orders: only.orders.into_iter().collect(),
                ..Notes::default()
            },
        };
    }
    let votes = heard.iter().map(|(model, one)| (model.clone(), one.vote()));
    let notes = Notes {
        tier: heard.iter().filter_map(|(_, one)| one.tier).max(),
        panel: votes.collect(),
        orders: heard
            .iter()
            .filter_map(|(_, one)| one.orders.clone())
            .collect(),
        ..Notes::default()
    };
    let said: Vec<Option<&Answer>> = heard
        .iter()
        .map(|(_, one)| one.said.as_ref().ok())
        .collect();
    if said.iter().all(Option::is_none) {
        let silent = heard.into_iter().find_map(|(_, one)| one.said.err());
        return Opinion {
            notes,
            ..Opinion::silent(silent.unwrap_or_else(|| Silent {
                reason: UnscoredReason::NoJudge,
                why: "no judge was asked".to_owned(),
            }))
        };
    }
    let (choice, agreement) = match offered {
        Offered::Score { .. } => of_scores(&heard),
        _ => of_labels(&said),
    };
    // Judges who are split over two traces have found neither better.
    let choice = choice.unwrap_or(match offered {
        Offered::Better => Choice::Tie,
        _ => Choice::Unknown,
    });
    let said = together(choice, &said, offered);
    Opinion {
        said: Ok(said),
        expected: None,
        params: Map::new(),
        notes: Notes { agreement, ..notes },
    }
}

/// A score that a judge would give on average goes before the one that it happened to give.
fn of_scores(heard: &[(String, Heard)]) -> (Option<Choice>, Option<f64>) {
    let score = |one: &Heard| match one.said.as_ref().ok()?.choice {
        Choice::Score(score) => Some(one.expected.unwrap_or(score)),
        _ => None,
    };
    let scores: Vec<Option<f64>> = heard.iter().map(|(_, one)| score(one)).collect();
    // Half a step apart is the same: means of chances are hardly ever equal.
    let found = median(&scores, 0.5);
    let knows = found.judges * 2 > scores.len();
    (
        found.outcome.filter(|_| knows).map(Choice::Score),
        found.agreement,
    )
}

fn of_labels(said: &[Option<&Answer>]) -> (Option<Choice>, Option<f64>) {
    let labels: Vec<Option<String>> = said
        .iter()
        .map(|one| one.map(|answer| word(&answer.choice)))
        .collect();
    let found = majority(&labels);
    let choice = found.outcome.and_then(|label| {
        let mut all = said.iter().flatten();
        all.find(|answer| word(&answer.choice) == label)
            .map(|answer| answer.choice.clone())
    });
    (choice, found.agreement)
}

/// Returns the answer of a panel: the words of the first judge who says the same, and what all of those
/// point at.
fn together(choice: Choice, said: &[Option<&Answer>], offered: &Offered) -> Answer {
    let agrees = |answer: &&&Answer| {
        let said = offered.passes(&answer.choice);
        answer.choice == choice || (*offered != Offered::Better && said == offered.passes(&choice))
    };
    let agreeing: Vec<&&Answer> = said.iter().flatten().filter(agrees).collect();
    let mut citations = Vec::new();
    for citation in agreeing.iter().flat_map(|answer| &answer.citations) {
        if !citations.contains(citation) {
            citations.push(citation.clone());
        }
    }
    let reasoning = match (&choice, agreeing.first()) {
        (_, Some(first)) => first.reasoning.clone(),
        (_, None) => "the judges are split".to_owned(),
    };
    Answer {
        choice,
        reasoning,
        citations,
        dropped_citations: 0,
        confidence: None,
    }
}

impl Opinion {
    pub(super) fn silent(silent: Silent) -> Self {
        Self {
            said: Err(silent),
            expected: None,
            params: Map::new(),
            notes: Notes::default(),
        }
    }

    /// Returns whether something was decided.
    pub(super) fn is_decision(&self) -> bool {
        self.said
            .as_ref()
            .is_ok_and(|answer| answer.choice != Choice::Unknown)
    }

    /// Returns what was said, in a word.
    fn word(&self) -> String {
        word_of(&self.said)
    }

    /// Returns what was said: a word or a number; null if nothing was.
    pub(super) fn vote(&self) -> Value {
        vote_of(&self.said)
    }

    /// Returns this opinion if it stands without the words of spans that speak to a judge; if it does not,
    /// it was theirs. Where there is no second opinion, it is not known whether it stands.
    pub(super) fn confirmed_by(
        mut self,
        masked: Self,
        offered: &Offered,
        spans: impl FnOnce() -> Vec<SpanId>,
    ) -> Self {
        self.notes.masked = Some(masked.word());
        let decision = |opinion: &Self| match &opinion.said {
            Ok(answer) => match &answer.choice {
                Choice::Label(label) => (Some(label.clone()), None),
                choice @ (Choice::First | Choice::Second | Choice::Tie) => {
                    (Some(word(choice)), None)
                }
                choice => (None, offered.passes(choice)),
            },
            Err(_) => (None, None),
        };
        if decision(&self) == decision(&masked) {
            return self;
        }
        let names = || {
            let names: Vec<String> = spans().iter().map(ToString::to_string).collect();
            names.join(", ")
        };
        self.said = Err(match masked.said {
            Err(silent) => Silent {
                why: format!(
                    "text of the trace speaks to its judge (see {}), and without it there is no verdict: {}",
                    names(),
                    silent.why
                ),
                ..silent
            },
            Ok(answer) => Silent {
                reason: UnscoredReason::Injection,
                why: format!(
                    "text of the trace speaks to its judge, and the verdict depends on it: {} with it, {} \
                     without it; see {}",
                    self.word(),
                    word(&answer.choice),
                    names()
                ),
            },
        });
        self
    }

    /// Returns the verdict.
    pub(super) fn verdict(self, offered: &Offered, exchanges: &[Exchange]) -> Verdict {
        let judge = (!exchanges.is_empty()).then(|| self.judge_use(exchanges));
        let answer = match self.said {
            Ok(answer) => answer,
            Err(silent) => {
                return Verdict {
                    judge,
                    ..Verdict::unscored(silent.reason, silent.why)
                };
            }
        };
        if let Some(score) = score_of_comparison(&answer.choice) {
            return Verdict {
                score: Some(score),
                label: Some(word(&answer.choice)),
                reasoning: Some(answer.reasoning).filter(|words| !words.is_empty()),
                citations: cited_in(&answer.citations, Which::First),
                confidence: answer.confidence,
                judge,
                ..Verdict::new(Outcome::Value)
            };
        }
        let score = match answer.choice {
            Choice::Score(score) => Some(self.expected.unwrap_or(score)),
            _ => None,
        };
        let passes = match score {
            Some(score) => offered.passes(&Choice::Score(score)),
            None => offered.passes(&answer.choice),
        };
        let decides_nothing =
            matches!(offered, Offered::Label { passing, .. } if passing.is_empty());
        let outcome = match passes {
            Some(_) if decides_nothing => Outcome::Value,
            Some(true) => Outcome::Pass,
            Some(false) => Outcome::Fail,
            None => Outcome::Unscored,
        };
        Verdict {
            score,
            label: match answer.choice {
                Choice::Label(label) => Some(label),
                _ => None,
            },
            unscored_reason: (outcome == Outcome::Unscored).then_some(UnscoredReason::Unknown),
            reasoning: Some(answer.reasoning).filter(|words| !words.is_empty()),
            citations: cited_in(&answer.citations, Which::First),
            confidence: answer.confidence,
            judge,
            ..Verdict::new(outcome)
        }
    }

    fn judge_use(&self, exchanges: &[Exchange]) -> JudgeUse {
        let mut params = self.params.clone();
        params.insert("judgement".into(), self.notes.written(self));
        let mut used = judge_use(exchanges);
        used.params = JsonText::parse(&Value::Object(params).to_string()).ok();
        used
    }
}

/// Returns what all questions took together.
pub(in super::super) fn judge_use(exchanges: &[Exchange]) -> JudgeUse {
    let mut models: Vec<&str> = Vec::new();
    for exchange in exchanges {
        if !models.contains(&exchange.model.as_str()) {
            models.push(&exchange.model);
        }
    }
    let sum = |of: fn(&Exchange) -> i64| exchanges.iter().map(of).fold(0, i64::saturating_add);
    let cost = exchanges
        .iter()
        .map(|it| it.cost)
        .try_fold(NanoUsd::default(), |sum, cost| {
            cost.map(|cost| sum.saturating_add(cost))
        });
    let first = exchanges.first();
    let prompt_hash = first.map(|first| {
        let text = Value::from(first.messages.clone()).to_string();
        blake3::hash(text.as_bytes()).to_hex().to_string()
    });
    JudgeUse {
        model: models.join(", "),
        params: None,
        prompt_hash,
        input_tokens: Some(sum(|it| it.usage.prompt)),
        cached_tokens: Some(sum(|it| it.usage.cached)),
        output_tokens: Some(sum(|it| it.usage.completion)),
        cost,
        latency_ms: Some(exchanges.iter().map(|it| it.latency_ms).sum()),
        cached: exchanges.iter().all(|it| it.is_cached),
    }
}

impl Notes {
    fn written(&self, opinion: &Opinion) -> Value {
        let mut notes = Map::new();
        if let Some(tier) = self.tier {
            notes.insert("tier".into(), tier.number().into());
        }
        if let Some(reading) = self.reading {
            notes.insert("reading_calls".into(), reading.calls.into());
            notes.insert("budget_exhausted".into(), reading.is_exhausted.into());
        }
        if !self.panel.is_empty() {
            let judges = self.panel.iter().map(|(model, _)| model.as_str());
            notes.insert("judges".into(), judges.collect());
            let votes = self.panel.iter().map(|(_, vote)| vote.clone());
            notes.insert("votes".into(), votes.collect());
            notes.insert("agreement".into(), json!(self.agreement));
        }
        if !self.samples.is_empty() {
            notes.insert("samples".into(), self.samples.clone().into());
        }
        if let Some(counterpart) = &self.counterpart {
            let orders = self.orders.iter();
            notes.insert("counterpart".into(), counterpart.as_str().into());
            notes.insert("orders".into(), orders.map(|it| json!(it.0)).collect());
            let cited = opinion.said.as_ref().map(|answer| &*answer.citations);
            let cited = cited_in(cited.unwrap_or_default(), Which::Second);
            let cited = cited.iter().map(SpanId::as_str);
            notes.insert("counterpart_citations".into(), cited.collect());
        }
        if let Some(masked) = &self.masked {
            notes.insert(
                "said_without_text_to_the_judge".into(),
                masked.as_str().into(),
            );
        }
        if let Ok(answer) = &opinion.said {
            if opinion.expected.is_some() {
                notes.insert("chosen".into(), word(&answer.choice).into());
            }
            if answer.dropped_citations > 0 {
                notes.insert("dropped_citations".into(), answer.dropped_citations.into());
                // It stands on nothing that is there.
                let is_unsupported = answer.citations.is_empty();
                notes.insert("unsupported".into(), is_unsupported.into());
            }
        }
        if let Some(warning) = &self.warning {
            notes.insert("warning".into(), warning.as_str().into());
        }
        notes.into()
    }
}

/// Returns the spans of one of the traces that citations point at, each once.
fn cited_in(citations: &[Citation], trace: Which) -> Vec<SpanId> {
    let mut spans: Vec<SpanId> = Vec::new();
    for citation in citations.iter().filter(|it| it.trace == trace) {
        if !spans.contains(&citation.span_id) {
            spans.push(citation.span_id.clone());
        }
    }
    spans
}

/// Returns the share of a win: none unless two traces were compared.
fn score_of_comparison(choice: &Choice) -> Option<f64> {
    match choice {
        Choice::First => Some(1.0),
        Choice::Second => Some(0.0),
        Choice::Tie => Some(0.5),
        _ => None,
    }
}
