//! The demo's story: a shop's support agents over two weeks, told in the Agents SDK's own requests.
//!
//! A person who tries tracegrade has no traces yet, and an empty screen explains nothing. So a shop
//! called *Fernhollow* lives through a fortnight: a day curve of customers, a canary and a release, an
//! outage, refunds paid twice, loops, guardrails, hostile messages, a batch of 20,000 spans. The bytes
//! go in by the front door, `POST /v1/traces/ingest`, and so show what the product does with real
//! ones. Both versions of the agents also play the same 420 cases, and [`truths`] says what really
//! happened in each trace, which graders and detectors can be held against.
//!
//! The same `until` and `seed` give the same bytes on every machine: chance comes from
//! [`prng`], time from `until`, and nothing else comes in. From the plan to the bytes:
//! [`traffic`] decides who comes when and how it ends, [`cases`] holds the regression set, [`plot`]
//! and [`trouble`] turn a decision into beats with the [`words`] and [`props`] of the [`cast`],
//! [`run`] plays beats into the spans of a [`trace`], [`wire`] writes them down in the SDK's [`shapes`],
//! [`giants`] are two traces apart, and [`highlights`](mod@highlights) says where to look first.
//! [`grading`] has graders of the story and what people said of it, [`judge`] the judge who knows its end.

mod cases;
mod cast;
mod giants;
pub(crate) mod grading;
mod highlights;
mod judge;
mod plot;
mod prng;
mod props;
mod run;
mod shapes;
mod trace;
mod traffic;
mod trouble;
mod wire;
mod words;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::Time;

pub(crate) use highlights::{highlights, suggestions};
pub(crate) use judge::Judge;

use cases::Truth;
use cast::Agent;
use prng::Prng;
use run::{Blocks, Stage};
use trace::{Item, Trace};
use traffic::{Conversation, Plan, Role};
use wire::Prompts;

/// The stock exporter sends at most this many items with one request.
pub(crate) const BODY_ITEMS_MAX: usize = 128;

/// A body is closed once it is this large, so that long histories do not make a huge one.
const BODY_BYTES_SOFT: usize = 1 << 20;

/// Returns the request bodies of the story that ends at `until`, in the order of time.
///
/// Traces are played when the iterator reaches them; at most the traces that overlap are in memory.
pub(crate) fn story(until: Time, seed: u64) -> impl Iterator<Item = Vec<u8>> + Send {
    let plans = traffic::plans(until, seed).into_iter().peekable();
    Story {
        seed,
        plans,
        prompts: Prompts::new(),
        pending: BinaryHeap::new(),
        items: 0,
    }
}

/// Returns what is true of each trace of [`story`], in the order of their starts. The one trace that
/// is still running at `until` is left out: nothing is true of it yet.
pub(crate) fn truths(until: Time, seed: u64) -> Vec<Truth> {
    traffic::plans(until, seed)
        .iter()
        .filter_map(|plan| plan.truth(seed))
        .collect()
}

/// Plays plans as their time comes and merges their items into bodies.
struct Story {
    seed: u64,
    plans: std::iter::Peekable<std::vec::IntoIter<Plan>>,
    prompts: Prompts,
    /// Items that are played and not yet sent, earliest first; the number keeps their order.
    pending: BinaryHeap<Reverse<(Time, u64, Vec<u8>)>>,
    items: u64,
}

impl Iterator for Story {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::with_capacity(BODY_BYTES_SOFT / 2);
        body.extend_from_slice(b"{\"data\":[");
        let mut count = 0;
        while count < BODY_ITEMS_MAX && body.len() < BODY_BYTES_SOFT {
            let Some(item) = self.next_item() else { break };
            if count > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&item);
            count += 1;
        }
        body.extend_from_slice(b"]}");
        (count > 0).then_some(body)
    }
}

impl Story {
    fn next_item(&mut self) -> Option<Vec<u8>> {
        // A trace may only send what is later than its start, so the earliest item is final once no
        // plan starts before it.
        while let Some(plan) = self.plans.next_if(|plan| match self.pending.peek() {
            Some(Reverse((at, ..))) => plan.at <= *at,
            None => true,
        }) {
            let trace = play(&plan, self.seed, &self.prompts);
            for sent in wire::items(&trace, &self.prompts) {
                self.items += 1;
                self.pending.push(Reverse((sent.at, self.items, sent.json)));
            }
        }
        self.pending.pop().map(|Reverse((_, _, json))| json)
    }
}

/// Plays one plan to the end.
fn play(plan: &Plan, seed: u64, prompts: &Prompts) -> Trace {
    let mut prng = Prng::new(seed, plan.label ^ (1 << 40));
    let version = plan.role.version();
    let workflow = plan.role.workflow();
    let mut stage = Stage::new(
        prompts,
        Prng::new(seed, plan.label ^ (1 << 41)),
        version,
        workflow,
        plan.at,
    );
    match &plan.role {
        Role::Talk(talk, place) => converse(&mut stage, talk, *place, seed),
        Role::Reconcile => giants::reconcile(&mut stage, &mut prng),
        Role::Codefix => giants::codefix(&mut stage, &mut prng),
    }
    let (items, spans) = stage.finish();
    Trace {
        id: plan.trace_id(seed),
        workflow,
        group: plan.role.group().map(str::to_owned),
        metadata: plan.role.metadata().to_string(),
        shape: plan.role.shape(),
        version,
        started_at: plan.at,
        items,
        spans,
    }
}

/// Plays the message at `place` of a conversation, with all that was said before as its history.
fn converse(stage: &mut Stage<'_>, talk: &Conversation, place: usize, seed: u64) {
    for earlier in 0..place {
        let script = talk.script(earlier, seed);
        let answer = script.last_words().map(str::to_owned);
        stage.hear(Item::User(script.opening));
        if let Some(answer) = answer {
            stage.remember(&answer);
        }
    }
    let script = talk.script(place, seed);
    stage.hear(Item::User(script.opening));
    let blocks = Blocks {
        input: script.input_block,
        output: script.output_block,
    };
    stage.run(None, Agent::Triage, script.beats, blocks);
}

#[cfg(test)]
mod tests;
