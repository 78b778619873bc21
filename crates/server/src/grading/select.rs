//! Which traces does a run grade? Chosen once, and frozen.
//!
//! First all that are meant, counted in one snapshot of the store: the filter, the rule, the newest of
//! them. Then some of these: per stratum the first by a keyed hash, so that the sample can be drawn again
//! by whoever knows the seed, and a larger one holds the smaller. What a stratum has and what was taken of
//! it is kept, for without that no figure of the run could be weighed.
//!
//! A run may hold each trace against another one (`pairs`): then only those with a partner are drawn from.
//!
//! A run that asks judges works in the order of that hash: stopped at any point, it has graded a random
//! sample. One that asks nobody works in the order in which traces lie, which is far quicker.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use model::{GroupId, Time, TraceFilter, TraceId, TraceStatus};
use serde::Serialize;
use stats::sample::Sampler;
use store::meta::NewGradingItem;
use store::{Columns, Ledger, Reservation, Share, Snapshot, Table, TraceBounds, TraceEntry};

use super::pairs::{Against, Lonely, OtherSide, Pairs, Partner, pair};
use super::plan::RuleOf;
use super::references::{References, ReferencesTold, Tally, lay_beside, require_room};
use crate::error::{ApiError, ErrorCode};
use crate::read::for_each_view;

/// A trace that may be chosen takes about so much memory: a million of them have room in the share of
/// queries.
const CANDIDATE_BYTES: usize = size_of::<Candidate>() + 48;
const _: () = assert!(CANDIDATE_BYTES <= 128, "a million traces have no room");

/// So many are counted before more memory is asked for.
const CANDIDATES_PER_STEP: usize = 4_096;

/// Traces that are looked up by their ids; of more all rows are gone through.
const LOOKUPS_MAX: usize = 1_000;

/// A rule is asked of no more traces than this before a run begins: as a grader it may be asked of any
/// number.
const RULE_TRACES_MAX: usize = 200_000;

/// Traces that a rule is asked of at a time.
const RULE_CHUNK: usize = 512;

/// Ids that were named and are not there: so many are told.
const MISSING_TOLD_MAX: usize = 10;

/// Traces are graded as they lie in files: soonest done, but the first of them are no sample of all.
pub(super) const STORAGE_ORDER: &str = "storage";

/// Which of the traces that are meant are graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    /// All of them.
    All,
    /// Some by the hash, each as likely as any other.
    Random,
    /// Some by the hash of each stratum.
    Stratified,
    /// The newest: no sample, so nothing follows for others.
    Newest,
}

/// A part of the traces of which so many are graded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StratumAsked {
    pub(super) name: String,
    pub(super) filter: TraceFilter,
    /// None: its share of what the other strata leave of the sample.
    pub(super) size: Option<usize>,
}

/// Which traces are to be chosen.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) filter: TraceFilter,
    /// Only those that keep to this.
    pub(super) rule: Option<Arc<RuleOf>>,
    /// Of those the newest.
    pub(super) limit: Option<usize>,
    pub(super) sample_size: Option<usize>,
    pub(super) strategy: Strategy,
    pub(super) strata: Vec<StratumAsked>,
    pub(super) seed: String,
    pub(super) include_running: bool,
    /// Whether the order of work is that of the hash.
    pub(super) in_order_of_hash: bool,
    /// Whether groups are worked on one after the other, in the order of their hash: who may stop at any
    /// trace has then graded whole groups.
    pub(super) by_groups: bool,
    /// The trace with which each is compared.
    pub(super) against: Option<Against>,
    /// What should have been done.
    pub(super) references: Option<Arc<References>>,
}

/// How traces were chosen, as it is kept and told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Selection {
    strategy: Strategy,
    /// Whoever knows it can draw the sample again: HMAC-SHA256(seed, trace id), the smallest first.
    seed: String,
    /// Traces that were meant.
    population: usize,
    /// Traces that were chosen.
    sampled: usize,
    /// Groups among those; a trace without one is its own.
    groups: usize,
    /// Traces that were meant, but still run.
    running_left_out: usize,
    /// Traces that were meant and lie in no stratum: nothing is said of them.
    outside_strata: usize,
    /// Ids that were named and are not there, the first of them.
    missing: Vec<String>,
    /// How many those are.
    missing_count: usize,
    strata: Vec<Stratum>,
    /// How they found those that they are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pairs: Option<Pairs>,
    /// What became of the references that were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<ReferencesTold>,
    /// What is likely not as it was meant, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
    /// `hash`, `hash of groups` or `storage`: the order of work.
    order: &'static str,
    /// The moment that the traces were counted at.
    at: String,
}

/// A stratum: what there is, and what was taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Stratum {
    name: String,
    population: usize,
    sampled: usize,
    /// Its share of the population of all strata.
    weight: f64,
}

/// The traces of a run, in the order of work.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) items: Vec<NewGradingItem>,
    pub(super) selection: Selection,
    _room: Room,
}

impl Selection {
    /// Returns how many traces were chosen.
    pub(super) fn sampled(&self) -> usize {
        self.sampled
    }

    /// Returns how many groups they are of.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }
}

/// A trace that may be chosen.
#[derive(Debug, Clone)]
struct Candidate {
    trace_id: TraceId,
    /// Shared by those of a group.
    group_id: Option<Arc<GroupId>>,
    started_at: Option<Time>,
    home: Time,
    /// Its place among the strata.
    stratum: usize,
    partner: Option<Box<Partner>>,
    /// What few runs ask for: apart, for there may be a million candidates.
    beside: Option<Box<Beside>>,
}

/// What a trace is compared with, by another one and by what should have been.
#[derive(Debug, Clone)]
struct Beside {
    /// By what it finds its partner, where the run compares.
    key: Option<Box<str>>,
    /// What should have been done.
    reference: Option<Arc<str>>,
}

impl Candidate {
    fn key(&self) -> Option<&str> {
        self.beside.as_ref()?.key.as_deref()
    }

    fn reference(&self) -> Option<&Arc<str>> {
        self.beside.as_ref()?.reference.as_ref()
    }
}

/// Memory for candidates, asked for as they become more.
#[derive(Debug)]
struct Room {
    ledger: Arc<Ledger>,
    held: Vec<Reservation>,
    candidates: usize,
}

impl Room {
    fn more(&mut self) -> Result<(), ApiError> {
        if self.candidates.is_multiple_of(CANDIDATES_PER_STEP) {
            let bytes = CANDIDATES_PER_STEP * CANDIDATE_BYTES;
            self.held.push(self.ledger.reserve(Share::Queries, bytes)?);
        }
        self.candidates += 1;
        Ok(())
    }
}

/// What was found of the traces that are meant.
#[derive(Debug)]
struct Found {
    candidates: Vec<Candidate>,
    groups: HashSet<Arc<GroupId>>,
    running: usize,
    outside: usize,
    missing: Vec<TraceId>,
    pairs: Option<Pairs>,
    /// What became of the references.
    tally: Tally,
    room: Room,
}

/// Chooses. It blocks.
pub(super) fn select(
    snapshot: &Snapshot,
    ledger: &Arc<Ledger>,
    asked: &Asked,
) -> Result<Selected, ApiError> {
    let mut found = find(snapshot, ledger, asked)?;
    if asked.rule.is_some() || asked.limit.is_some() {
        let newest = |one: &Candidate| (Reverse(one.started_at), one.trace_id.clone());
        found.candidates.sort_by_cached_key(newest);
    }
    if let Some(rule) = &asked.rule {
        // Which of those that keep to it have a partner is not known yet.
        let enough = asked.limit.filter(|_| asked.against.is_none());
        found.candidates = keep_to(rule, snapshot, ledger, enough, found.candidates)?;
    }
    if let Some(against) = &asked.against {
        found.find_partners(snapshot, ledger, asked, against)?;
    }
    if let Some(limit) = asked.limit {
        found.candidates.truncate(limit);
    }
    draw(asked, found, snapshot.now())
}

/// Finds all that are meant, as far as their rows tell.
fn find(snapshot: &Snapshot, ledger: &Arc<Ledger>, asked: &Asked) -> Result<Found, ApiError> {
    let mut found = Found {
        candidates: Vec::new(),
        groups: HashSet::new(),
        running: 0,
        outside: 0,
        missing: Vec::new(),
        pairs: None,
        tally: Tally::of(asked.references.as_deref()),
        room: Room {
            ledger: Arc::clone(ledger),
            held: Vec::new(),
            candidates: 0,
        },
    };
    let ids = &asked.filter.ids;
    // Ids are looked at here: there may be very many, and none of the rows shall go through all of them.
    let others = TraceFilter {
        ids: Vec::new(),
        ..asked.filter.clone()
    };
    if !ids.is_empty() && ids.len() <= LOOKUPS_MAX {
        let mut seen = HashSet::new();
        for id in ids.iter().filter(|id| seen.insert(*id)) {
            match snapshot.trace(id)? {
                Some(entry) => found.consider(snapshot, (asked, &others), &entry)?,
                None => found.missing.push(id.clone()),
            }
        }
        return Ok(found);
    }
    let filters = || std::iter::once(&asked.filter).chain(asked.strata.iter().map(|s| &s.filter));
    let against = asked.against.as_ref();
    let references = asked.references.as_deref();
    let needs_metadata = filters().any(|filter| !filter.metadata.is_empty())
        || against.is_some_and(|against| against.pair_by.reads_metadata())
        || references.is_some_and(References::reads_metadata);
    let columns = match needs_metadata {
        true => Columns::all(Table::Traces),
        false => Columns::narrow(Table::Traces),
    };
    let bounds = TraceBounds {
        started_from: asked.filter.started_from,
        started_until: asked.filter.started_until,
        above_seq: None,
    };
    let wanted: HashSet<&TraceId> = ids.iter().collect();
    let mut seen: HashSet<TraceId> = HashSet::new();
    let mut outcome = Ok(());
    snapshot.for_each_trace(bounds, &columns, &mut |entry| {
        let id = &entry.row.item.trace_id;
        if wanted.contains(id) {
            seen.insert(id.clone());
        } else if !wanted.is_empty() {
            return ControlFlow::Continue(());
        }
        outcome = found.consider(snapshot, (asked, &others), &entry);
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    outcome?;
    let missing = wanted.into_iter().filter(|id| !seen.contains(*id));
    found.missing = missing.cloned().collect();
    Ok(found)
}

impl Found {
    /// Takes a trace in, if it is meant by what is asked besides its id.
    fn consider(
        &mut self,
        snapshot: &Snapshot,
        (asked, filter): (&Asked, &TraceFilter),
        entry: &TraceEntry,
    ) -> Result<(), ApiError> {
        let (now, idle) = (snapshot.now(), snapshot.idle_micros());
        let row = &entry.row;
        if !filter.matches(row, now, idle) {
            return Ok(());
        }
        if !asked.include_running && row.status_at(now, idle) == TraceStatus::Running {
            self.running += 1;
            return Ok(());
        }
        let stratum = match asked.strata.is_empty() {
            true => Some(0),
            false => {
                let mut strata = asked.strata.iter();
                strata.position(|stratum| stratum.filter.matches(row, now, idle))
            }
        };
        let Some(stratum) = stratum else {
            self.outside += 1;
            return Ok(());
        };
        self.room.more()?;
        let metadata = row.item.metadata.as_ref().map(|text| text.as_str());
        let group = row.item.group_id.as_ref();
        let against = asked.against.as_ref();
        let key = against.and_then(|against| against.pair_by.key(group, metadata));
        if key.is_some() {
            // It takes its partner along.
            self.room.more()?;
        }
        let group_id = group.map(|group| self.shared(group)).transpose()?;
        let id = row.item.trace_id.as_str();
        let references = asked.references.as_ref();
        let reference = references.and_then(|it| it.of(id, metadata, &mut self.tally));
        let beside = (key.is_some() || reference.is_some()).then(|| {
            Box::new(Beside {
                key: key.map(String::into_boxed_str),
                reference: reference.cloned(),
            })
        });
        self.candidates.push(Candidate {
            beside,
            partner: None,
            trace_id: row.item.trace_id.clone(),
            group_id,
            started_at: row.started_at,
            home: entry.home_started_at,
            stratum,
        });
        Ok(())
    }
}

impl Found {
    /// Returns a group's id as all of its traces hold it.
    fn shared(&mut self, group: &GroupId) -> Result<Arc<GroupId>, ApiError> {
        if let Some(known) = self.groups.get(group) {
            return Ok(Arc::clone(known));
        }
        self.room.more()?;
        let group = Arc::new(group.clone());
        self.groups.insert(Arc::clone(&group));
        Ok(group)
    }

    /// Keeps of what was found what has a partner on the other side.
    fn find_partners(
        &mut self,
        snapshot: &Snapshot,
        ledger: &Arc<Ledger>,
        asked: &Asked,
        against: &Against,
    ) -> Result<(), ApiError> {
        let other_side = Asked {
            filter: against.filter.clone(),
            strata: Vec::new(),
            references: None,
            ..asked.clone()
        };
        let others = find(snapshot, ledger, &other_side)?;
        let lonely = |one: &Candidate| Lonely {
            trace_id: one.trace_id.clone(),
            key: one.key().map(str::to_owned),
        };
        let own: Vec<Lonely> = self.candidates.iter().map(lonely).collect();
        let others = OtherSide {
            traces: others.candidates.iter().map(lonely).collect(),
            running: others.running,
            missing: others.missing.len(),
        };
        let (partners, told) = pair(&against.pair_by, &asked.seed, &own, others);
        for (one, partner) in self.candidates.iter_mut().zip(partners) {
            one.partner = partner.map(Box::new);
        }
        self.candidates.retain(|one| one.partner.is_some());
        self.pairs = Some(told);
        Ok(())
    }
}

impl Candidate {
    /// Returns what it counts with as one: pairs of one case, else its group.
    fn group(&self) -> Option<&GroupId> {
        let of_pair = self.partner.as_ref().and_then(|it| it.group.as_ref());
        of_pair.or(self.group_id.as_deref())
    }
}

/// Returns the candidates that keep to a rule, up to `limit` of them.
fn keep_to(
    rule: &RuleOf,
    snapshot: &Snapshot,
    ledger: &Arc<Ledger>,
    limit: Option<usize>,
    candidates: Vec<Candidate>,
) -> Result<Vec<Candidate>, ApiError> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut kept = Vec::new();
    let mut asked = 0;
    for chunk in candidates.chunks(RULE_CHUNK) {
        if asked >= RULE_TRACES_MAX {
            let message = format!(
                "the rule would be asked of more than {RULE_TRACES_MAX} traces before anything is graded: \
                 narrow the filter, or give the rule as a grader"
            );
            return Err(ApiError::invalid("rule", message));
        }
        asked += chunk.len();
        let ids: Vec<(TraceId, Time)> = (chunk.iter())
            .map(|one| (one.trace_id.clone(), one.home))
            .collect();
        for_each_view(
            snapshot,
            ledger,
            &ids,
            rule.needs_content(),
            |at, mut view| {
                lay_beside(&mut view, chunk[at].reference().map(|it| &**it));
                if rule.holds(&view) {
                    kept.push(chunk[at].clone());
                }
            },
        )?;
        if kept.len() >= limit {
            break;
        }
    }
    Ok(kept)
}

/// Draws the sample and puts it in order.
fn draw(asked: &Asked, found: Found, at: Time) -> Result<Selected, ApiError> {
    let sampler = Sampler::new(asked.seed.as_bytes());
    let population = found.candidates.len();
    let strata_count = asked.strata.len().max(1);
    let mut members: Vec<Vec<Candidate>> = vec![Vec::new(); strata_count];
    for candidate in found.candidates {
        members[candidate.stratum].push(candidate);
    }
    let sizes = sizes(asked, &members)?;
    let mut strata = Vec::with_capacity(asked.strata.len());
    let mut items: Vec<(Candidate, f64)> = Vec::new();
    for (at, (mut of, size)) in members.into_iter().zip(sizes).enumerate() {
        let all = of.len();
        match asked.strategy {
            Strategy::Newest => {
                of.sort_by_cached_key(|one| (Reverse(one.started_at), one.trace_id.clone()));
            }
            Strategy::All => {}
            Strategy::Random | Strategy::Stratified => {
                if size < all {
                    of.sort_by_cached_key(|one| sampler.rank(one.trace_id.as_str()));
                }
            }
        }
        of.truncate(size);
        if let Some(stratum) = asked.strata.get(at) {
            strata.push(Stratum {
                name: stratum.name.clone(),
                population: all,
                sampled: of.len(),
                weight: share(all, population),
            });
        }
        // Of the newest nothing follows for others.
        let weight = match asked.strategy {
            Strategy::Newest => 1.0,
            _ => all as f64 / of.len().max(1) as f64,
        };
        items.extend(of.into_iter().map(|one| (one, weight)));
    }
    put_in_order(&mut items, asked, &sampler);
    let references = held_against(asked, &found.tally, &items)?;
    let missing = found.missing.iter().take(MISSING_TOLD_MAX);
    let selection = Selection {
        strategy: asked.strategy,
        seed: asked.seed.clone(),
        population,
        sampled: items.len(),
        groups: groups_of(&items),
        running_left_out: found.running,
        outside_strata: found.outside,
        missing: missing.map(ToString::to_string).collect(),
        missing_count: found.missing.len(),
        strata,
        pairs: found.pairs,
        references,
        warnings: Vec::new(),
        order: match (asked.by_groups, asked.in_order_of_hash) {
            (true, _) => "hash of groups",
            (false, true) => "hash",
            (false, false) => STORAGE_ORDER,
        },
        at: at.to_string(),
    };
    let item = |(one, weight): (Candidate, f64)| NewGradingItem {
        group_id: one.group().cloned(),
        trace_id: one.trace_id,
        stratum: asked.strata.get(one.stratum).map(|it| it.name.clone()),
        weight,
        trace_started_at: one.home,
        counterpart: one.partner.map(|partner| partner.trace_id),
        reference: one.beside.and_then(|beside| beside.reference),
    };
    Ok(Selected {
        items: items.into_iter().map(item).collect(),
        selection,
        _room: found.room,
    })
}

/// Tells what became of the references, if a run can keep those of its traces.
fn held_against(
    asked: &Asked,
    tally: &Tally,
    items: &[(Candidate, f64)],
) -> Result<Option<ReferencesTold>, ApiError> {
    let held = items
        .iter()
        .filter_map(|(one, _)| one.reference().map(|it| &**it));
    require_room(held.clone().map(str::len))?;
    let references = asked.references.as_ref();
    Ok(references.map(|it| it.told(tally, held.count())))
}

/// Returns of how many groups they are; a trace without one is its own.
fn groups_of(items: &[(Candidate, f64)]) -> usize {
    let groups: HashSet<&str> = (items.iter())
        .map(|(one, _)| match one.group() {
            Some(group) => group.as_str(),
            None => one.trace_id.as_str(),
        })
        .collect();
    groups.len()
}

fn share(part: usize, whole: usize) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64,
    }
}

fn put_in_order(items: &mut [(Candidate, f64)], asked: &Asked, sampler: &Sampler) {
    match asked.in_order_of_hash {
        true if asked.by_groups => items.sort_by_cached_key(|(one, _)| {
            let group = one.group().map_or(one.trace_id.as_str(), GroupId::as_str);
            (sampler.rank(group), sampler.rank(one.trace_id.as_str()))
        }),
        true => items.sort_by_cached_key(|(one, _)| sampler.rank(one.trace_id.as_str())),
        // As files are sorted.
        false => items.sort_by(|(a, _), (b, _)| {
            let by_home = b.home.cmp(&a.home);
            by_home.then_with(|| a.trace_id.cmp(&b.trace_id))
        }),
    }
}

/// Returns how many are taken of each stratum.
fn sizes(asked: &Asked, members: &[Vec<Candidate>]) -> Result<Vec<usize>, ApiError> {
    let populations: Vec<usize> = members.iter().map(Vec::len).collect();
    if asked.strata.is_empty() {
        let size = asked.sample_size.unwrap_or(usize::MAX);
        return Ok(populations.into_iter().map(|all| all.min(size)).collect());
    }
    let given: usize = asked.strata.iter().filter_map(|stratum| stratum.size).sum();
    let open: Vec<usize> = (asked.strata.iter().zip(&populations))
        .map(|(stratum, all)| if stratum.size.is_none() { *all } else { 0 })
        .collect();
    let rest = match asked.sample_size {
        None => open.iter().sum(),
        Some(size) => size.checked_sub(given).ok_or_else(|| {
            let message = format!("the strata ask for {given} traces together, more than {size}");
            ApiError::invalid("sample_size", message)
        })?,
    };
    let shares = apportion(rest, &open);
    let strata = asked.strata.iter().zip(populations).zip(shares);
    let size = |((stratum, all), share): ((&StratumAsked, usize), usize)| {
        stratum.size.unwrap_or(share).min(all)
    };
    Ok(strata.map(size).collect())
}

/// Shares `seats` out by size, none more than its size, and one at least to each that has any as far as
/// they go: of a stratum without a trace nothing can be said, and then nothing of the whole.
fn apportion(seats: usize, sizes: &[usize]) -> Vec<usize> {
    let total: usize = sizes.iter().sum();
    if seats >= total {
        return sizes.to_vec();
    }
    let exact = |size: usize| seats as f64 * size as f64 / total as f64;
    let mut shares: Vec<usize> = (sizes.iter())
        .map(|&size| (exact(size) as usize).max(usize::from(size > 0)))
        .collect();
    let lacks = |share: usize, size: usize| exact(size) - share as f64;
    loop {
        let sum: usize = shares.iter().sum();
        let places = 0..sizes.len();
        let by_lack = |a: &usize, b: &usize| {
            lacks(shares[*a], sizes[*a]).total_cmp(&lacks(shares[*b], sizes[*b]))
        };
        match sum.cmp(&seats) {
            std::cmp::Ordering::Equal => return shares,
            std::cmp::Ordering::Less => {
                let open = places.filter(|at| shares[*at] < sizes[*at]);
                let Some(at) = open.max_by(by_lack) else {
                    return shares;
                };
                shares[at] += 1;
            }
            std::cmp::Ordering::Greater => {
                let open = places.clone().filter(|at| shares[*at] > 1);
                let any = places.filter(|at| shares[*at] > 0);
                let Some(at) = open.min_by(by_lack).or_else(|| any.min_by(by_lack)) else {
                    return shares;
                };
                shares[at] -= 1;
            }
        }
    }
}

/// Refuses a run without a trace, and says why there is none.
pub(super) fn require_some(selection: &Selection) -> Result<(), ApiError> {
    if selection.sampled > 0 {
        return Ok(());
    }
    let mut message = "no trace is meant".to_owned();
    if selection.missing_count > 0 {
        let missing = selection.missing.join(", ");
        message = format!("of the ids that are named there is none: {missing}");
    }
    if let Some(why) = selection.pairs.as_ref().and_then(Pairs::why_none) {
        message = why;
    }
    if selection.running_left_out > 0 {
        let running = selection.running_left_out;
        message += &format!(
            "; {running} still run: give include_running to grade them as they are, or wait until they have settled"
        );
    }
    if selection.outside_strata > 0 {
        message += &format!("; {} lie in no stratum", selection.outside_strata);
    }
    Err(ApiError::new(ErrorCode::InvalidParameter, message))
}

#[cfg(test)]
mod tests;
