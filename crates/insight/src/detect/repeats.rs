//! The same call again: D01 identical calls, D04 retry storm, D17 duplicate write.
//!
//! One pass over the calls with a table by call key (D01, D17) or by tool (D04): linear.

use std::collections::{BTreeMap, HashMap, VecDeque};

use model::MessageHash;

use super::errors::{self, ErrorClass};
use super::facts::{Call, Facts};
use super::{Found, Hit, Severity};

/// So many identical calls anywhere are a hit.
const IDENTICAL_MIN: usize = 3;

/// So many failed calls of one tool are a storm.
const STORM_MIN: usize = 4;

/// Failed calls within this time are one storm even where others of the tool succeed.
const STORM_MICROS: i64 = 60_000_000;

/// Identical calls with one output and no other write between.
#[derive(Debug)]
struct Streak {
    /// How many writes there were when it last grew.
    writes: usize,
    outcome: MessageHash,
    /// Numbers of its calls.
    calls: Vec<usize>,
}

impl Streak {
    fn is_hit(&self) -> bool {
        let in_a_row = |pair: &[usize]| pair[1] == pair[0] + 1;
        self.calls.len() >= IDENTICAL_MIN || self.calls.windows(2).any(in_a_row)
    }
}

/// Same call key at least three times, or twice in a row, with no other write between and the same
/// output.
pub(super) fn identical_calls(facts: &Facts<'_>) -> Found {
    let calls = told_calls(facts)?;
    let mut writes = 0;
    let mut streaks: HashMap<MessageHash, Streak> = HashMap::new();
    let mut done = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let Some(key) = call.key else { continue };
        let fresh = || Streak {
            writes,
            outcome: call.outcome,
            calls: Vec::new(),
        };
        let streak = streaks.entry(key).or_insert_with(fresh);
        if streak.writes != writes || streak.outcome != call.outcome {
            done.push(std::mem::replace(streak, fresh()));
        }
        streak.calls.push(number);
        // A failed write may have written: what is read behind it may differ.
        if call.is_write {
            writes += 1;
            streak.writes = writes;
        }
    }
    done.extend(streaks.into_values());
    done.retain(Streak::is_hit);
    done.sort_by_key(|streak| streak.calls[0]);
    let hits = done.iter().map(|streak| {
        let first = &calls[streak.calls[0]];
        let places = places(calls, &streak.calls);
        let evidence = format!(
            "{} was called {} times with the same arguments and gave the same output each time",
            first.name,
            places.len()
        );
        facts.hit(Severity::Medium, &places, evidence)
    });
    Ok(hits.collect())
}

/// At least four failed calls of one tool in a row, or within a minute.
pub(super) fn retry_storm(facts: &Facts<'_>) -> Found {
    let calls = facts.calls();
    if calls.is_empty() {
        return Err("no tool calls");
    }
    let mut tools: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, call) in calls.iter().enumerate() {
        tools.entry(call.name).or_default().push(number);
    }
    let mut hits = Vec::new();
    for (name, numbers) in tools {
        for storm in storms(calls, &numbers) {
            hits.push((storm[0], storm_hit(facts, name, calls, &storm)));
        }
    }
    hits.sort_by_key(|(first, _)| *first);
    Ok(hits.into_iter().map(|(_, hit)| hit).collect())
}

/// Returns the storms among the calls of one tool, apart from each other.
fn storms(calls: &[Call<'_>], numbers: &[usize]) -> Vec<Vec<usize>> {
    let mut storms: Vec<Vec<usize>> = Vec::new();
    let mut row: Vec<usize> = Vec::new();
    // The last failed calls, for those within a minute.
    let mut recent: VecDeque<usize> = VecDeque::new();
    let mut grow = |members: &[usize]| match storms.last_mut() {
        Some(storm) if storm.last().is_some_and(|last| *last >= members[0]) => {
            let last = storm[storm.len() - 1];
            storm.extend(members.iter().filter(|number| **number > last));
        }
        _ => storms.push(members.to_vec()),
    };
    for number in numbers {
        let call = &calls[*number];
        if !call.has_failed {
            row.clear();
            continue;
        }
        row.push(*number);
        if row.len() > STORM_MIN {
            row.remove(0);
        }
        recent.push_back(*number);
        if recent.len() > STORM_MIN {
            recent.pop_front();
        }
        if row.len() == STORM_MIN {
            grow(&row);
        }
        let started = |number: &usize| calls[*number].span.span().started_at;
        if recent.len() == STORM_MIN
            && let (Some(first), Some(last)) = (started(&recent[0]), started(number))
            && last.as_micros() - first.as_micros() <= STORM_MICROS
        {
            grow(recent.make_contiguous());
        }
    }
    storms
}

fn storm_hit(facts: &Facts<'_>, name: &str, calls: &[Call<'_>], storm: &[usize]) -> Hit {
    let first = calls[storm[0]].key;
    let is_unchanged = first.is_some() && storm.iter().all(|number| calls[*number].key == first);
    let (severity, words) = match is_unchanged {
        true => (Severity::High, ", each time with the same arguments"),
        false => (Severity::Medium, ""),
    };
    let evidence = format!("{name} failed {} times in close order{words}", storm.len());
    facts.hit(severity, &places(calls, storm), evidence)
}

/// The same write call succeeded at least twice; or timed out, which says nothing of whether it was
/// done, and was made again without a look at what is there.
pub(super) fn duplicate_write(facts: &Facts<'_>) -> Found {
    let calls = told_calls(facts)?;
    let mut writes: HashMap<MessageHash, Vec<usize>> = HashMap::new();
    for (number, call) in calls.iter().enumerate() {
        let may_have_written = !call.has_failed || has_timed_out(call);
        if let Some(key) = call.key.filter(|_| call.is_write && may_have_written) {
            writes.entry(key).or_default().push(number);
        }
    }
    let mut hits: Vec<(usize, Hit)> = Vec::new();
    for numbers in writes.into_values().filter(|all| all.len() > 1) {
        let is_done = |number: &usize| !calls[*number].has_failed;
        let done: Vec<usize> = numbers.iter().copied().filter(is_done).collect();
        let name = calls[numbers[0]].name;
        if done.len() > 1 {
            let evidence = format!(
                "{name} succeeded {} times with the same arguments",
                done.len()
            );
            hits.push((
                done[0],
                second_is_wrong(facts, calls, &done, Severity::High, evidence),
            ));
        } else if let Some(pair) = numbers.windows(2).find(|pair| is_blind(calls, pair)) {
            let evidence = format!(
                "{name} timed out, which may have gone through, and was called again with the same arguments and no look between"
            );
            hits.push((
                pair[0],
                second_is_wrong(facts, calls, pair, Severity::Medium, evidence),
            ));
        }
    }
    hits.sort_by_key(|(first, _)| *first);
    Ok(hits.into_iter().map(|(_, hit)| hit).collect())
}

/// Returns a hit on writes of which the first was right: the second is where it went wrong.
fn second_is_wrong(
    facts: &Facts<'_>,
    calls: &[Call<'_>],
    numbers: &[usize],
    severity: Severity,
    evidence: String,
) -> Hit {
    let mut hit = facts.hit(severity, &places(calls, numbers), evidence);
    hit.cause = hit.spans.get(1).cloned();
    hit
}

/// Returns whether the second of two writes, behind one that timed out, succeeded without a look at what
/// the first did. A key against doing it twice makes a look needless.
fn is_blind(calls: &[Call<'_>], pair: &[usize]) -> bool {
    let (first, second) = (&calls[pair[0]], &calls[pair[1]]);
    let has_looked = || {
        let between = &calls[pair[0] + 1..pair[1]];
        between
            .iter()
            .any(|call| !call.is_write && !call.has_failed)
    };
    let arguments = second.span.told.arguments.as_ref();
    let has_key = || arguments.is_some_and(|args| args.as_str().contains("idempoten"));
    first.has_failed && !second.has_failed && !has_looked() && !has_key()
}

fn has_timed_out(call: &Call<'_>) -> bool {
    call.has_failed && errors::class_of(call.span) == Some(ErrorClass::Timeout)
}

/// Returns the calls, if the arguments of any were told.
fn told_calls<'f, 'v>(facts: &'f Facts<'v>) -> Result<&'f [Call<'v>], &'static str> {
    let calls = facts.calls();
    match calls.iter().any(|call| call.key.is_some()) {
        true => Ok(calls),
        false => Err("no tool calls with arguments"),
    }
}

fn places(calls: &[Call<'_>], numbers: &[usize]) -> Vec<u32> {
    numbers.iter().map(|number| calls[*number].at).collect()
}
