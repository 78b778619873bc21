//! Which of two traces is better?
//!
//! Judges prefer what they are shown first, or second, more than they say: so each is asked in both orders,
//! always, and what it says of one order alone is no verdict. If both agree, that is the verdict; if not,
//! the traces are a tie and the judge is known to be inconsistent about them.
//!
//! Under `judgement` stands with whom the trace was compared (`counterpart`), what each judge said with the
//! trace shown first and with it shown second (`orders`), and at which spans of the other trace it points
//! (`counterpart_citations`); the verdict's own citations are of the graded trace.

use insight::judging::{Answer, Choice};
use insight::render::Mask;
use model::{NanoUsd, UnscoredReason, Verdict};

use super::NO_CONTENT;
use super::hearing::{Hearing, Question};
use super::party::Party;
use super::verdict::{self, Heard, Opinion, Orders, Silent, vote_of};
use crate::trace::content_hash;
use crate::trace::subject::{Exchange, Graded, Halt, Services, Subject};

/// What to do where nothing is given to compare with.
const NO_COUNTERPART: &str = "it compares two traces, and there is none to compare this one with: say `against` \
                              and `pair_by` in the run";

/// Both traces before the judges.
#[derive(Clone, Copy)]
struct Two<'a> {
    candidate: &'a Party<'a>,
    counterpart: &'a Party<'a>,
    /// What is not shown of either, in this order.
    masks: &'a [Mask; 2],
}

/// Says why two traces cannot be compared, if that is known without asking.
pub(super) fn both_can_be_read(subject: &Subject<'_>) -> Result<(), Box<Verdict>> {
    let Some(other) = subject.counterpart else {
        let verdict = Verdict::unscored(UnscoredReason::MissingVariable, NO_COUNTERPART);
        return Err(Box::new(verdict));
    };
    if !other.view.has_content() {
        // It outlives the other trace, so it does not name it.
        let why = format!("of the trace that it is compared with {NO_CONTENT}");
        return Err(Box::new(Verdict::unscored(UnscoredReason::NoContent, why)));
    }
    Ok(())
}

/// Returns the hash of the other trace, made here if nobody gave one.
fn hash_of(subject: &Subject<'_>) -> String {
    match subject.counterpart {
        Some(other) if other.trace_hash.is_empty() => content_hash(other.view),
        Some(other) => other.trace_hash.to_owned(),
        None => String::new(),
    }
}

impl Hearing<'_> {
    /// Judges which of two traces is better; and once more without the words of spans that speak to a
    /// judge, whichever trace they stand in.
    pub(super) async fn pair(&self, services: &Services<'_>) -> Result<Graded, Halt> {
        let Some(other) = self.subject.counterpart else {
            let verdict = Verdict::unscored(UnscoredReason::MissingVariable, NO_COUNTERPART);
            return Ok(Graded::of(verdict));
        };
        let hash = hash_of(self.subject);
        let known = (&*hash, self.subject.run_seed);
        let counterpart = Party::new(other.view, self.subject.context, known, &[]);
        let parties = [&self.party, &counterpart];
        let mut exchanges = Vec::new();
        let none = [Mask::default(), Mask::default()];
        let two = Two {
            candidate: &self.party,
            counterpart: &counterpart,
            masks: &none,
        };
        let mut opinion = self.compare(&two, services, &mut exchanges).await?;
        let directed = parties.map(Party::directed);
        if directed.iter().any(|places| !places.is_empty()) && opinion.is_decision() {
            let masks = [0, 1].map(|at| parties[at].renderer.mask(&directed[at]));
            let two = Two {
                masks: &masks,
                ..two
            };
            let masked = self.compare(&two, services, &mut exchanges).await?;
            opinion = opinion.confirmed_by(masked, &self.grader.offered, || {
                let all = parties.iter().zip(&directed);
                let ids = all
                    .flat_map(|(party, places)| places.iter().map(|at| party.span_id(*at).clone()));
                ids.collect()
            });
        }
        opinion.notes.counterpart = Some(other.trace_id.clone());
        opinion.notes.warning = self.same_family(&exchanges);
        Ok(self.graded(opinion, exchanges))
    }

    /// Asks all judges in both orders and brings them to one word.
    async fn compare(
        &self,
        two: &Two<'_>,
        services: &Services<'_>,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<Opinion, Halt> {
        let questions = match self.both_orders(two) {
            Ok(questions) => questions,
            Err(silent) => return Ok(Opinion::silent(silent)),
        };
        let mut opinions = Vec::with_capacity(self.grader.judges.len());
        for judge in &self.grader.judges {
            let first = self.session(&questions[0], judge, services, 0);
            let first_heard = first.hear(exchanges).await?;
            let second = self.session(&questions[1], judge, services, 0);
            let second_heard = second.hear(exchanges).await?;
            opinions.push((first.model.to_owned(), together(first_heard, second_heard)));
        }
        Ok(verdict::combined(opinions, &self.grader.offered))
    }

    /// Returns the question with the candidate shown first, and with it shown second.
    fn both_orders<'q>(&self, two: &Two<'q>) -> Result<[Question<'q>; 2], Silent> {
        let question = |is_first: bool| {
            let candidate = self.part(two.candidate, None, &two.masks[0])?;
            let counterpart = self.part(two.counterpart, None, &two.masks[1])?;
            let (first, second) = match is_first {
                true => (candidate, counterpart),
                false => (counterpart, candidate),
            };
            Ok(Question {
                span: None,
                criterion: self.criterion()?,
                first,
                second: Some(second),
            })
        };
        Ok([question(true)?, question(false)?])
    }

    /// Returns what comparing is thought to cost: both orders of each judge, twice where a trace speaks to
    /// its judge.
    pub(super) fn estimate_pair(&self, services: &Services<'_>) -> Option<NanoUsd> {
        let nothing = Some(NanoUsd::default());
        let Some(other) = self.subject.counterpart else {
            return nothing;
        };
        let hash = hash_of(self.subject);
        let known = (&*hash, self.subject.run_seed);
        let counterpart = Party::new(other.view, self.subject.context, known, &[]);
        let masks = [Mask::default(), Mask::default()];
        let two = Two {
            candidate: &self.party,
            counterpart: &counterpart,
            masks: &masks,
        };
        let Ok(questions) = self.both_orders(&two) else {
            return nothing;
        };
        let mut total = NanoUsd::default();
        for judge in &self.grader.judges {
            for question in &questions {
                let session = self.session(question, judge, services, 0);
                total = total.saturating_add(session.estimate()?);
            }
        }
        let is_directed = !self.party.directed().is_empty() || !counterpart.directed().is_empty();
        let times = if is_directed { 2 } else { 1 };
        Some(NanoUsd(total.0.saturating_mul(times)))
    }
}

/// Brings what a judge said in both orders to one word, as the candidate has it. Where one order has no
/// answer, there is none.
fn together(first: Heard, mut second: Heard) -> Heard {
    second.said = second.said.map(turned);
    let orders = Orders([vote_of(&first.said), vote_of(&second.said)]);
    let said = match (first.said, second.said) {
        (Ok(one), Ok(other)) => Ok(agreed(one, other)),
        (Err(silent), _) | (_, Err(silent)) => Err(silent),
    };
    Heard {
        said,
        expected: None,
        tier: first.tier.max(second.tier),
        reading: first.reading.or(second.reading),
        params: first.params,
        orders: Some(orders),
    }
}

/// Returns an answer about traces that were shown the other way round.
fn turned(mut answer: Answer) -> Answer {
    answer.choice = match answer.choice {
        Choice::First => Choice::Second,
        Choice::Second => Choice::First,
        other => other,
    };
    for citation in &mut answer.citations {
        citation.trace = citation.trace.other();
    }
    answer
}

fn agreed(one: Answer, other: Answer) -> Answer {
    let is_consistent = one.choice == other.choice;
    let reasoning = format!(
        "Shown first: {}\nShown second: {}",
        one.reasoning, other.reasoning
    );
    let confidence = one.confidence.zip(other.confidence);
    let mut citations = one.citations;
    for citation in other.citations {
        if !citations.contains(&citation) {
            citations.push(citation);
        }
    }
    Answer {
        choice: match is_consistent {
            true => one.choice,
            false => Choice::Tie,
        },
        reasoning,
        citations,
        dropped_citations: one.dropped_citations + other.dropped_citations,
        confidence: confidence
            .filter(|_| is_consistent)
            .map(|(one, other)| one.min(other)),
    }
}

#[cfg(test)]
mod tests {
    use insight::judging::{Citation, Which};
    use model::SpanId;

    use super::*;

    fn answer(choice: Choice, trace: Which) -> Answer {
        Answer {
            choice,
            reasoning: "so".to_owned(),
            citations: vec![Citation {
                trace,
                span_id: SpanId::new("span_1").unwrap(),
                quote: String::new(),
            }],
            dropped_citations: 0,
            confidence: Some(0.9),
        }
    }

    fn heard(said: Result<Answer, Silent>) -> Heard {
        Heard {
            said,
            ..Heard::silent(Silent {
                reason: UnscoredReason::Parse,
                why: String::new(),
            })
        }
    }

    #[test]
    fn only_what_both_orders_say_is_a_preference() {
        use Choice::{First, Second, Tie};
        // What was said with the candidate shown first, and second: what comes of it.
        for (first, second, want) in [
            (First, Second, First),
            (Second, First, Second),
            (Tie, Tie, Tie),
            (First, First, Tie),
            (Second, Second, Tie),
            (First, Tie, Tie),
            (Tie, First, Tie),
        ] {
            let told = format!("{first:?} {second:?}");
            let both = together(
                heard(Ok(answer(first, Which::First))),
                heard(Ok(answer(second, Which::Second))),
            );
            let answer = both.said.unwrap();
            assert_eq!(answer.choice, want, "{told}");
            // A place in A of the one order is one in B of the other: here they are the same.
            assert_eq!(answer.citations.len(), 1, "{told}");
            assert_eq!(answer.citations[0].trace, Which::First, "{told}");
        }
    }

    #[test]
    fn one_order_without_an_answer_leaves_none() {
        let silent = Silent {
            reason: UnscoredReason::Refusal,
            why: "no".to_owned(),
        };
        let said = || heard(Ok(answer(Choice::First, Which::First)));
        for both in [
            together(said(), heard(Err(silent.clone()))),
            together(heard(Err(silent.clone())), said()),
        ] {
            assert_eq!(both.said.unwrap_err().reason, UnscoredReason::Refusal);
            assert!(
                both.orders
                    .unwrap()
                    .0
                    .iter()
                    .any(serde_json::Value::is_null)
            );
        }
    }
}
