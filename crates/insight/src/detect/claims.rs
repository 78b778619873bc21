//! D20: the answer claims what was not done.
//!
//! Expressions over the answer, sentence by sentence, a bounded number of claims in each; tools are heard
//! only where something is claimed. Linear in the texts.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::effects::first_word;

use super::facts::{Facts, Voice, quote};
use super::numbers::last_answer;
use super::{Found, Severity};

/// So many claims of a sentence are looked at.
const CLAIMS_MAX: usize = 16;

/// So much of a participle stands for all forms of its verb, in bytes.
const STEM_BYTES: usize = 4;

/// Words of things done, as participles.
const DONE: &str = "booked|rebooked|reserved|cancell?ed|refunded|sent|e-?mailed|updated|deleted|removed|created|submitted|scheduled|rescheduled|transferred|purchased|ordered|paid|charged|credited|issued|processed|changed|modified|upgraded|added|saved|posted|published|filed|registered|deployed|merged|closed|placed|applied|activated|deactivated|renewed|exchanged";

/// Those that speak of sums as well: "we added 10 years". They count where a tool that writes is at hand.
const DONE_IN_SUMS: [&str; 10] = [
    "added", "applied", "changed", "charged", "credited", "ordered", "paid", "placed", "removed",
    "saved",
];

/// Says that something was done: in the first person, or of the thing (then `thing` is the participle).
static CLAIM: LazyLock<Regex> = LazyLock::new(|| {
    let first = format!(
        r"\b(?:i|we)(?:\ have|['’]ve|\ just|\ have\ just|['’]ve\ just)?(?:\ (?:now|already|successfully|also))*\ (?P<own>{DONE})\b"
    );
    let passive = format!(
        r"\b(?:(?:has|have)(?:\ (?:now|already))?\ been(?:\ (?:now|successfully))*|(?:is|are|was|were)(?:\ now)?\ successfully|successfully)\ (?P<thing>{DONE})\b"
    );
    Regex::new(&format!("(?ix){first}|{passive}")).expect("is a regular expression")
});

static PARTICIPLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!(r"(?i)\b(?:{DONE})\b")).expect("is a regular expression"));

/// Where another thing begins to be said within a sentence.
static CLAUSE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)[,:()]|\s[–—-]\s|\s(?:and|but|so|as)\s").expect("is a regular expression")
});

/// Words that take back what a clause claims, put it off, or make it another's.
static NO_CLAIM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)\b(?:not|never|n['’]t|cannot|unable|once|after|before|until|unless|if|when|will|would|should|could|can|may|might|must|shall|to\ be|please|you(?:['’]ve|\ have)|failed|already\ been|previously|earlier|policy|whether)\b|n['’]t\b",
    )
    .expect("is a regular expression")
});

/// Words that make all that follows in their sentence a condition, or somebody's wish.
static CONDITION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:once|until|unless|if|when|whether|would|wanted|say|said|claims?)\b")
        .expect("is a regular expression")
});

/// The answer says that something was done, no write call succeeded, nor any call whose name begins with
/// that verb, and no tool has told that it was done.
pub(super) fn claimed_not_done(facts: &Facts<'_>) -> Found {
    let Some(answer) = &facts.view.final_output else {
        return Err("no final answer");
    };
    let calls = facts.calls();
    if calls.iter().any(|call| call.is_write && !call.has_failed) {
        return Ok(Vec::new());
    }
    let sentences = answer.split_inclusive(['.', '!', '?', '\n', ';']);
    let told = sentences.filter(|sentence| !sentence.ends_with('?'));
    let mut claims = told.flat_map(|sentence| claims(sentence).map(move |claim| (sentence, claim)));
    let mut grounds = Grounds::of(facts);
    let unfounded = claims.find(|(_, claim)| !grounds.hold(claim.clone()));
    let Some((sentence, _)) = unfounded else {
        return Ok(Vec::new());
    };
    let evidence = format!(
        "the answer claims {} and no call that writes has succeeded",
        quote(sentence)
    );
    let mut places: Vec<u32> = last_answer(facts).into_iter().collect();
    let mut failed = calls
        .iter()
        .rev()
        .filter(|call| call.is_write && call.has_failed);
    let cause = failed.next().map(|call| call.at);
    places.extend(cause);
    places.sort_unstable();
    let mut hit = facts.hit(Severity::High, &places, evidence);
    hit.cause = cause.or_else(|| last_answer(facts)).map(|at| facts.id(at));
    Ok(vec![hit])
}

/// That something was done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Claim {
    /// The participle, in lower case.
    done: String,
    /// Whether the agent says it of itself; else of the thing.
    is_own: bool,
}

/// Returns what a sentence claims.
fn claims(sentence: &str) -> impl Iterator<Item = Claim> + '_ {
    let found = CLAIM.captures_iter(sentence).take(CLAIMS_MAX);
    found.filter_map(|claim| {
        let whole = claim.get(0)?;
        let (before, behind) = (&sentence[..whole.start()], &sentence[whole.end()..]);
        let from = CLAUSE.find_iter(before).last().map_or(0, |end| end.end());
        let to = CLAUSE.find(behind).map_or(behind.len(), |end| end.start());
        let clause = &sentence[from..whole.end() + to];
        let own = claim.name("own");
        (!NO_CLAIM.is_match(clause) && !CONDITION.is_match(before)).then(|| Claim {
            is_own: own.is_some(),
            done: own
                .or_else(|| claim.name("thing"))
                .map_or("", |done| done.as_str())
                .to_lowercase(),
        })
    })
}

/// What stands behind claims, each participle looked up once.
struct Grounds<'f, 'v> {
    facts: &'f Facts<'v>,
    known: HashMap<Claim, bool>,
    /// The participles that tools said.
    told: OnceCell<HashSet<String>>,
}

impl<'f, 'v> Grounds<'f, 'v> {
    fn of(facts: &'f Facts<'v>) -> Self {
        Self {
            facts,
            known: HashMap::new(),
            told: OnceCell::new(),
        }
    }

    /// Returns whether a call of that name succeeded, or a tool told of the thing that it was done. What
    /// the agent says of itself no tool can tell.
    fn hold(&mut self, claim: Claim) -> bool {
        if let Some(known) = self.known.get(&claim) {
            return *known;
        }
        let holds = self.is_called(&claim.done)
            || !claim.is_own && self.told().contains(&claim.done)
            || DONE_IN_SUMS.contains(&claim.done.as_str()) && !self.has_writer();
        self.known.insert(claim, holds);
        holds
    }

    fn is_called(&self, done: &str) -> bool {
        let stem = done.get(..STEM_BYTES).unwrap_or(done);
        let mut calls = self.facts.calls().iter().filter(|call| !call.has_failed);
        // To hand over is to transfer.
        let is_handed = done == "transferred" && !self.facts.view.handoffs.is_empty();
        let is_of = |verb: &str| verb.to_ascii_lowercase().starts_with(stem);
        is_handed || calls.any(|call| first_word(call.name).is_some_and(is_of))
    }

    /// Returns whether the run has a tool that writes.
    fn has_writer(&self) -> bool {
        let effects = &self.facts.context.effects;
        let mut declared = self.facts.declared().run.iter();
        let mut calls = self.facts.calls().iter();
        calls.any(|call| call.is_write) || declared.any(|tool| effects.is_write(tool))
    }

    fn told(&self) -> &HashSet<String> {
        self.told.get_or_init(|| {
            let all = self.facts.utterances().unwrap_or_default().iter();
            let tools = all.filter(|said| said.voice == Voice::Tool);
            let words = tools.flat_map(|said| PARTICIPLE.find_iter(&said.text));
            words.map(|word| word.as_str().to_lowercase()).collect()
        })
    }
}
