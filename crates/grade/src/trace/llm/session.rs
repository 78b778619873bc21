//! One judge before one trace, from the question to the answer.
//!
//! The trace is shown as fully as the judge's window allows; where the judge says that it is too long, a
//! smaller part of it is. A judge that gets the outline only reads with tools, within limits, and must then
//! answer from what it has read. An answer that cannot be read is asked for once more with the error and
//! nothing else; a fail that points at nothing once more for its evidence.
//!
//! Where two traces are compared, the room for them is shared evenly, and what the shorter one leaves is the
//! longer one's: in either order each is shown alike.

use std::time::{Duration, Instant};

use insight::judging::{
    Answer, Assembly, Evidence, Exhibit, Judged, Offered, Prompt, Reply, Scale, Which, read_answer,
};
use insight::render::{
    BUDGET_TOKENS_MIN, READING_CALLS_MAX, READING_TOKENS_MAX, Reading, ReadingBudget, Rendering,
    Request, Tier, trace_of_call,
};
use insight::rule::Selector;
use model::{NanoUsd, UnscoredReason};
use serde_json::{Map, Value, json};

use super::ask::Unanswered;
use super::chances;
use super::definition::{JudgeSpec, Llm};
use super::hearing::{Hearing, Part, Question};
use super::party::Party;
use super::verdict::{Heard, ReadingNotes, Silent};
use crate::openai::{ModelAnswer, ModelRequest};
use crate::trace::environment::Known;
use crate::trace::subject::{Exchange, Halt, Purpose, Subject};

/// From the first question on a judge may read for so long.
const READING_TIME_MAX: Duration = Duration::from_secs(120);

/// Answers in which a judge may go on calling tools after nothing more can be read.
const DEAF_ANSWERS_MAX: u32 = 2;

/// How warm a judge is asked that is held against itself.
const TEMPERATURE_OF_REPEATS: f64 = 1.0;

/// Tokens that might have stood in a place, as many as providers tell.
const TOP_LOGPROBS: u32 = 20;

/// Bytes of English that make a token, about, as tariffs reckon.
const BYTES_PER_TOKEN: usize = 4;

/// One judge, one criterion, one trace.
pub(super) struct Session<'a> {
    pub(super) hearing: &'a Hearing<'a>,
    pub(super) question: &'a Question<'a>,
    pub(super) model: &'a str,
    pub(super) params: Map<String, Value>,
    /// 0, or which repetition it is.
    pub(super) sample: u32,
}

/// What is shown of the trace, or of both.
struct Shown {
    first: Rendering,
    second: Option<Rendering>,
}

/// A conversation with a judge about what is shown.
struct Talk<'a> {
    session: &'a Session<'a>,
    /// Of two the higher.
    tier: Tier,
    budget_tokens: u32,
    prompt: Prompt,
    messages: Vec<Value>,
    reading: ReadingBudget,
    calls: u32,
    deaf_answers: u32,
    started: Instant,
    /// The hash of all answers so far: what is asked next depends on them.
    heard: blake3::Hasher,
    is_repaired: bool,
    was_asked_for_evidence: bool,
}

/// What comes of an answer.
enum Turn {
    Done(Result<Answer, Silent>, Option<f64>),
    Again(Purpose),
}

/// Returns what a judge is asked with: cold, so that the same question has the same answer, unless the
/// definition says otherwise or it is held against itself.
pub(super) fn params(judge: &JudgeSpec, grader: &Llm, sample: u32) -> Map<String, Value> {
    let mut params = judge.params.clone();
    let temperature = params.get("temperature").and_then(Value::as_f64);
    let temperature = match (temperature, sample) {
        (Some(told), 0) => told,
        (None, 0) => 0.0,
        (Some(told), _) if told > 0.0 => told,
        _ => TEMPERATURE_OF_REPEATS,
    };
    params.insert("temperature".into(), json!(temperature));
    let is_stepped = matches!(
        grader.offered,
        Offered::Score {
            scale: Scale::Whole { .. },
            ..
        }
    );
    if grader.logprobs && is_stepped {
        params.insert("logprobs".into(), true.into());
        params.insert("top_logprobs".into(), TOP_LOGPROBS.into());
    }
    params
}

impl Shown {
    fn all(&self) -> impl Iterator<Item = &Rendering> {
        std::iter::once(&self.first).chain(&self.second)
    }

    fn tier(&self) -> Tier {
        let second = self.second.as_ref();
        second.map_or(self.first.tier, |it| it.tier.max(self.first.tier))
    }

    fn tokens(&self) -> u64 {
        self.all().map(|one| one.tokens).sum()
    }
}

impl Session<'_> {
    /// Asks until there is an answer or none to be had.
    pub(super) async fn hear(&self, exchanges: &mut Vec<Exchange>) -> Result<Heard, Halt> {
        let mut tier_min = Tier::Full;
        let mut budget = self.hearing.budget_tokens(self.model);
        loop {
            let shown = match self.shown(tier_min, budget) {
                Ok(shown) => shown,
                Err(silent) => return Ok(Heard::silent(silent)),
            };
            let mut talk = Talk::new(self, &shown, budget);
            match talk.run(exchanges).await {
                Ok(heard) => return Ok(heard),
                Err(Unanswered::Halt(halt)) => return Err(halt),
                Err(Unanswered::Silent(silent)) => return Ok(talk.heard(Err(silent), None)),
                Err(Unanswered::TooLong(why)) => {
                    let tokens = u32::try_from(shown.tokens()).unwrap_or(u32::MAX);
                    budget = budget.min(tokens) / 2;
                    tier_min = match shown.tier() {
                        Tier::Full => Tier::Elided,
                        Tier::Elided | Tier::Agentic => Tier::Agentic,
                    };
                    let traces = if shown.second.is_some() { 2 } else { 1 };
                    if budget < BUDGET_TOKENS_MIN * traces {
                        let why = format!("the judge's window holds not even an outline: {why}");
                        let silent = Silent {
                            reason: UnscoredReason::Budget,
                            why,
                        };
                        return Ok(talk.heard(Err(silent), None));
                    }
                }
            }
        }
    }

    /// Returns what it is thought to cost: of a judge that reads for itself, half of what it may read.
    pub(super) fn estimate(&self) -> Option<NanoUsd> {
        let budget = self.hearing.budget_tokens(self.model);
        let Ok(shown) = self.shown(Tier::Full, budget) else {
            return Some(NanoUsd::default());
        };
        let talk = Talk::new(self, &shown, budget);
        let mut request = talk.request();
        if talk.tier == Tier::Agentic {
            let tokens = READING_TOKENS_MAX.min(u64::from(budget)) / 2;
            let read = " ".repeat(usize::try_from(tokens).unwrap_or(0) * BYTES_PER_TOKEN);
            request
                .messages
                .push(json!({"role": "tool", "content": read}));
        }
        self.hearing.asking.desk.tariff.estimate(&request)
    }

    /// Returns what is shown within a budget.
    fn shown(&self, tier_min: Tier, budget_tokens: u32) -> Result<Shown, Silent> {
        let question = self.question;
        let Some(second) = &question.second else {
            return Ok(Shown {
                first: self.rendering(&question.first, tier_min, budget_tokens)?,
                second: None,
            });
        };
        let half = budget_tokens / 2;
        let mut first_shown = self.rendering(&question.first, tier_min, half)?;
        let mut second_shown = self.rendering(second, tier_min, half)?;
        let rest_of = |shown: &Rendering| {
            let tokens = u32::try_from(shown.tokens).unwrap_or(u32::MAX);
            budget_tokens.saturating_sub(tokens).max(half)
        };
        match (first_shown.tier, second_shown.tier) {
            (Tier::Full, Tier::Elided | Tier::Agentic) => {
                second_shown = self.rendering(second, tier_min, rest_of(&first_shown))?;
            }
            (Tier::Elided | Tier::Agentic, Tier::Full) => {
                let rest = rest_of(&second_shown);
                first_shown = self.rendering(&question.first, tier_min, rest)?;
            }
            _ => {}
        }
        Ok(Shown {
            first: first_shown,
            second: Some(second_shown),
        })
    }

    fn rendering(
        &self,
        part: &Part<'_>,
        tier_min: Tier,
        budget_tokens: u32,
    ) -> Result<Rendering, Silent> {
        let party = part.party;
        let mut request = Request {
            focus: part.focus,
            mask: Some(part.mask),
            needs_search: self.hearing.grader.needs_search,
            tier_min,
            ..Request::new(budget_tokens)
        };
        let failed = |error: insight::render::RenderError| Silent {
            reason: UnscoredReason::Budget,
            why: error.to_string(),
        };
        let render = |request: &Request<'_>| party.renderer.render(&party.fence, request);
        let rendering = render(&request).map_err(failed)?;
        if rendering.tier == Tier::Full {
            return Ok(rendering);
        }
        // Only now does it matter which spans are worth showing.
        let (hits, cited) = (party.hits(), party.cited());
        (request.hits, request.cited) = (&hits, &cited);
        render(&request).map_err(failed)
    }

    /// Answers a call of a reading tool; of two traces it reads the one that the call names.
    fn read(&self, name: &str, arguments: &str) -> String {
        let question = self.question;
        let (part, title) = match &question.second {
            None => (&question.first, ""),
            Some(second) => match trace_of_call(arguments) {
                Ok(Which::First) => (&question.first, "Trace A: "),
                Ok(Which::Second) => (second, "Trace B: "),
                Err(wrong) => return format!("error: {wrong}"),
            },
        };
        let party = part.party;
        let select = |selector: &str| self.selected(party, selector);
        let reading = Reading::new(&party.renderer, &party.fence, part.mask, &select);
        format!("{title}{}", reading.answer_raw(name, arguments))
    }

    /// Returns the spans of a trace that a judge's selector names.
    fn selected(&self, party: &Party<'_>, selector: &str) -> Result<Vec<u32>, String> {
        let subject = self.hearing.subject;
        let form = "write a selector such as spans[type=function,status=error]";
        let selector = Selector::parse(selector).map_err(|_| form.to_owned())?;
        let of_party = Subject {
            view: party.view,
            ..*subject
        };
        let known = Known::of(&of_party, &selector.needs().detectors);
        let places = selector.places(party.view, &known);
        places.map_err(|_| form.to_owned())
    }
}

impl<'a> Talk<'a> {
    fn new(session: &'a Session<'a>, shown: &Shown, budget_tokens: u32) -> Self {
        let (hearing, question) = (session.hearing, session.question);
        let exhibit = |(part, rendering)| exhibit(part, rendering);
        let assembly = Assembly {
            criterion: &question.criterion,
            offered: &hearing.grader.offered,
            first: exhibit((&question.first, &shown.first)),
            second: question
                .second
                .as_ref()
                .zip(shown.second.as_ref())
                .map(exhibit),
            order: hearing.order,
        };
        let prompt = assembly.prompt();
        let messages = vec![
            json!({"role": "system", "content": prompt.system}),
            json!({"role": "user", "content": prompt.user()}),
        ];
        let tokens = READING_TOKENS_MAX.min(u64::from(budget_tokens));
        Self {
            session,
            tier: shown.tier(),
            budget_tokens,
            prompt,
            messages,
            reading: ReadingBudget::new(READING_CALLS_MAX, tokens),
            calls: 0,
            deaf_answers: 0,
            started: Instant::now(),
            heard: blake3::Hasher::new(),
            is_repaired: false,
            was_asked_for_evidence: false,
        }
    }

    async fn run(&mut self, exchanges: &mut Vec<Exchange>) -> Result<Heard, Unanswered> {
        let mut purpose = Purpose::Verdict;
        loop {
            let (request, what) = (self.request(), self.what());
            let asking = &self.session.hearing.asking;
            let hashes: Vec<&str> = self.parts().map(|part| part.party.hash).collect();
            let about = (&*hashes.join(" "), &what);
            let answer = asking
                .ask_about(about, &request, purpose, exchanges)
                .await?;
            self.heard.update(answer.text.as_bytes());
            self.heard.update(answer.tool_calls.to_string().as_bytes());
            match self.take(&answer) {
                Turn::Done(said, expected) => return Ok(self.heard(said, expected)),
                Turn::Again(next) => purpose = next,
            }
        }
    }

    fn parts(&self) -> impl Iterator<Item = &'a Part<'a>> {
        self.session.question.parts()
    }

    fn is_exhausted(&self) -> bool {
        self.reading.is_exhausted() || self.started.elapsed() > READING_TIME_MAX
    }

    fn request(&self) -> ModelRequest {
        let mut params = self.session.params.clone();
        if !self.prompt.tools.is_empty() {
            let tools = self.prompt.tools.iter();
            let tools = tools.map(|tool| json!({"type": "function", "function": tool}));
            params.insert("tools".into(), tools.collect());
            if self.is_exhausted() {
                params.insert("tool_choice".into(), "none".into());
            }
        }
        ModelRequest {
            model: self.session.model.to_owned(),
            messages: self.messages.clone(),
            params: Value::Object(params),
            schema: Some(("judgement".to_owned(), self.prompt.schema.clone())),
        }
    }

    /// Returns what is asked, for the key of its answer.
    fn what(&self) -> Value {
        let session = self.session;
        let budget = (self.tier != Tier::Full).then_some(self.budget_tokens);
        let form = format!("{}{}", self.prompt.system, self.prompt.schema);
        json!({
            "form": blake3::hash(form.as_bytes()).to_hex().as_str(),
            "span": session.question.span.map(model::SpanId::as_str),
            "masked": self.parts().any(|part| !part.mask.is_empty()),
            "sample": session.sample,
            "tier": self.tier.number(),
            "budget": budget,
            "after": self.heard.finalize().to_hex().as_str(),
        })
    }

    fn take(&mut self, answer: &ModelAnswer) -> Turn {
        let calls = answer.tool_calls.as_array().map(Vec::as_slice);
        let calls = calls.unwrap_or_default();
        if !calls.is_empty() && !self.prompt.tools.is_empty() {
            return self.read(answer, calls);
        }
        let session = self.session;
        let offered = &session.hearing.grader.offered;
        let evidence = self.evidence();
        match read_answer(Reply::Text(&answer.text), offered, &evidence) {
            Judged::Verdict(said) => self.done(said, answer),
            Judged::Repair(_) if self.is_repaired => silent(
                UnscoredReason::Parse,
                match answer.finish_reason.as_deref() {
                    Some("length") => "the judge's answer was cut off",
                    _ => "the judge's answer could not be read, nor could its repair",
                },
            ),
            Judged::Repair(wrong) => {
                self.is_repaired = true;
                let text = format!(
                    "The answer cannot be used: {wrong}. Answer again with one JSON object of the \
                     given form and nothing after it."
                );
                self.reply(answer, &text);
                Turn::Again(Purpose::Repair)
            }
            // A label that is neither good nor bad needs no evidence.
            Judged::NeedsEvidence(said) if decides_nothing(offered) => self.done(said, answer),
            Judged::NeedsEvidence(_) if self.was_asked_for_evidence => silent(
                UnscoredReason::NoEvidence,
                "the judge fails the trace and points at nothing that is there",
            ),
            Judged::NeedsEvidence(_) => {
                self.was_asked_for_evidence = true;
                let text = "None of the evidence is in the trace, and an answer that fails needs some. \
                            Judge again: cite spans by their names with quotes copied exactly from them, \
                            or with an empty quote for what is missing.";
                self.reply(answer, text);
                Turn::Again(Purpose::Evidence)
            }
        }
    }

    fn done(&self, said: Answer, answer: &ModelAnswer) -> Turn {
        let expected = match (&self.session.hearing.grader.offered, &said.choice) {
            (Offered::Score { scale, .. }, insight::judging::Choice::Score(chosen)) => {
                chances::expected(&answer.logprobs, *scale, *chosen)
            }
            _ => None,
        };
        Turn::Done(Ok(said), expected)
    }

    fn reply(&mut self, answer: &ModelAnswer, text: &str) {
        let said = json!({"role": "assistant", "content": answer.text});
        self.messages.push(said);
        self.messages.push(json!({"role": "user", "content": text}));
    }

    /// Answers the calls of the reading tools.
    fn read(&mut self, answer: &ModelAnswer, calls: &[Value]) -> Turn {
        if self.is_exhausted() {
            self.deaf_answers += 1;
            if self.deaf_answers > DEAF_ANSWERS_MAX {
                let why = "the judge went on reading after all that it may read was read";
                return silent(UnscoredReason::Budget, why);
            }
            self.reading = ReadingBudget::new(0, 0);
        }
        let content = match answer.text.as_str() {
            "" => Value::Null,
            text => text.into(),
        };
        let said = json!({"role": "assistant", "content": content, "tool_calls": calls});
        self.messages.push(said);
        for call in calls {
            let function = &call["function"];
            let name = function["name"].as_str().unwrap_or_default();
            let arguments = function["arguments"].as_str().unwrap_or("{}");
            let session = self.session;
            let read = self.reading.spend(|| session.read(name, arguments));
            self.calls += 1;
            self.messages.push(json!({
                "role": "tool",
                "tool_call_id": call["id"],
                "content": read,
            }));
        }
        Turn::Again(Purpose::Reading)
    }

    fn evidence(&self) -> Evidence<'a> {
        let shown = |part: &'a Part<'a>| (&part.party.renderer, &part.party.fence);
        let question = self.session.question;
        let (renderer, fence) = shown(&question.first);
        match &question.second {
            None => Evidence::new(renderer, fence),
            Some(second) => Evidence::of_two([(renderer, fence), shown(second)]),
        }
    }

    fn heard(&self, said: Result<Answer, Silent>, expected: Option<f64>) -> Heard {
        let is_agentic = self.tier == Tier::Agentic;
        Heard {
            said,
            expected,
            tier: Some(self.tier),
            reading: is_agentic.then(|| ReadingNotes {
                calls: self.calls,
                is_exhausted: self.is_exhausted(),
            }),
            params: self.session.params.clone(),
            orders: None,
        }
    }
}

fn exhibit<'e>(part: &'e Part<'_>, rendering: &'e Rendering) -> Exhibit<'e> {
    Exhibit {
        rendering,
        fence: &part.party.fence,
        inputs: &part.inputs,
    }
}

fn silent(reason: UnscoredReason, why: &str) -> Turn {
    let why = why.to_owned();
    Turn::Done(Err(Silent { reason, why }), None)
}

fn decides_nothing(offered: &Offered) -> bool {
    matches!(offered, Offered::Label { passing, .. } if passing.is_empty())
}
