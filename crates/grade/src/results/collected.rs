//! The grades of a run in little memory, as everything that reckons with them reads them.
//!
//! Grades come in any order, and nothing that is said of them depends on it. Of an item and a grader the
//! latest attempt counts. Where spans were graded one by one, the worst of them stands for the trace: a
//! fail, else one without a verdict, else the lowest. What earlier attempts cost was paid all the same.

use std::collections::{BTreeMap, HashSet};

use model::{Grade, Outcome};
use serde::Serialize;
use stats::Level;
use utoipa::ToSchema;

use super::cell::{Cell, Cells, NO_LABEL};
use super::doubt;
use super::interner::Interner;
use super::judge_use::JudgeTally;
use super::panel::Told;
use super::summary::RunResults;
use crate::scale::GraderScale;

/// The share of grades without a verdict above which a run is degraded.
pub const UNSCORED_SHARE_MAX: f64 = 0.05;

/// How long the id of a trace is, if the SDK made it.
const ID_BYTES: usize = "trace_0123456789abcdef0123456789abcdef".len();

/// Stands for "none" among numbers of groups, strata and pair keys.
const NONE: u32 = u32::MAX;

/// What must be known of a grader to make sense of its grades.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GraderFacts {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its version.
    pub version: u32,
    /// The hash of its definition.
    pub hash: String,
    /// What it answers with.
    pub scale: GraderScale,
}

/// A part of the population that was sampled by itself, as counted when the run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stratum {
    /// Its name.
    pub name: String,
    /// How many traces it had when the run began.
    pub population: u64,
}

/// How results are reckoned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResultsOptions {
    /// How often intervals are to hold the truth.
    pub level: Level,
    /// The share of grades without a verdict above which a run is degraded.
    pub unscored_share_max: f64,
    /// Whether somebody looks while the run goes on and may stop it by what he sees: then intervals are
    /// such that hold at any time.
    pub at_any_time: bool,
}

impl Default for ResultsOptions {
    fn default() -> Self {
        Self {
            level: Level::P95,
            unscored_share_max: UNSCORED_SHARE_MAX,
            at_any_time: false,
        }
    }
}

/// Takes the grades of a run one by one.
///
/// A grade takes 6 bytes, or 14 of graders that give numbers, and an item 34 and the length of its id: a
/// million traces with ten rules take 135 MB. Where nobody says how many there are, memory grows by
/// doubling.
#[derive(Debug)]
pub struct ResultsBuilder {
    collected: Collected,
    by_id: BTreeMap<String, usize>,
    given_strata: usize,
    weights: Vec<f64>,
}

/// All grades of a run.
#[derive(Debug)]
pub struct Collected {
    pub(super) options: ResultsOptions,
    pub(super) graders: Vec<Graded>,
    pub(super) strata: Vec<Stratum>,
    strata_names: Interner,
    items: Interner,
    groups: Interner,
    labels: Interner,
    facts: Vec<Item>,
    keys: Option<(Interner, Vec<u32>)>,
}

/// What is known of an item.
#[derive(Debug, Clone, Copy)]
struct Item {
    group: u32,
    stratum: u32,
    /// When the last of its grades was made, in microseconds.
    graded_at: i64,
}

/// A grader and its grades.
#[derive(Debug)]
pub(crate) struct Graded {
    pub(crate) facts: GraderFacts,
    cells: Cells,
    /// What later attempts replaced.
    replaced: Vec<(u32, Cell)>,
    pub(crate) judge: JudgeTally,
    /// Of comparisons: how far judges contradicted themselves about an item, and in which attempt.
    pub(super) contradictions: BTreeMap<u32, (u16, f64)>,
    /// Grades that another definition than the grader's made.
    pub(crate) of_other_versions: u64,
}

impl ResultsBuilder {
    /// Begins with the graders of a run, and the strata that it was drawn from, if it was.
    pub fn new(graders: Vec<GraderFacts>, strata: Vec<Stratum>, options: ResultsOptions) -> Self {
        let mut strata_names = Interner::default();
        let mut known: Vec<Stratum> = Vec::with_capacity(strata.len());
        for stratum in strata {
            let number = strata_names.number(&stratum.name) as usize;
            match known.get_mut(number) {
                Some(same) => same.population = same.population.saturating_add(stratum.population),
                None => known.push(stratum),
            }
        }
        let by_id = graders
            .iter()
            .enumerate()
            .map(|(at, grader)| (grader.id.clone(), at));
        Self {
            by_id: by_id.collect(),
            given_strata: known.len(),
            weights: vec![0.0; known.len()],
            collected: Collected {
                options,
                graders: graders.into_iter().map(Graded::new).collect(),
                strata: known,
                strata_names,
                items: Interner::default(),
                groups: Interner::default(),
                labels: Interner::default(),
                facts: Vec::new(),
                keys: None,
            },
        }
    }

    /// Makes room for so many items at once.
    pub fn expecting(mut self, items: usize) -> Self {
        self.collected.items = Interner::with_capacity(items, ID_BYTES);
        self.collected.facts.reserve_exact(items);
        for grader in &mut self.collected.graders {
            grader.cells = Cells::with_capacity(items);
        }
        self
    }

    /// Returns about how many bytes so many items and their grades will take.
    pub fn bytes_expected(items: usize, graders: &[GraderFacts]) -> usize {
        let grade = |facts: &GraderFacts| Cells::bytes_of_one(facts.scale.is_numeric());
        let grades = graders.iter().map(grade).sum::<usize>();
        Interner::bytes_expected(items, ID_BYTES) + items * (size_of::<Item>() + grades)
    }

    /// Takes a grade.
    pub fn add(&mut self, grade: &Grade) {
        let grader = self.grader(grade);
        let item = self.item(grade);
        let label = match &grade.verdict.label {
            None => NO_LABEL,
            // those beyond 65,534 different ones count as one
            Some(label) => {
                u16::try_from(self.collected.labels.number(label)).unwrap_or(NO_LABEL - 1)
            }
        };
        let graded = &mut self.collected.graders[grader];
        let told = grade.verdict.judge.as_ref().and_then(Told::of);
        let doubt = doubt::of_judges(grade, told.as_ref());
        graded.put(item, Cell::new(grade, label, doubt));
        if let Some(used) = &grade.verdict.judge {
            graded.judge.add(used, told.as_ref());
        }
        if let Some(share) = told.as_ref().and_then(Told::contradiction) {
            let attempt = u16::try_from(grade.attempt).unwrap_or(u16::MAX);
            let known = graded.contradictions.entry(item).or_default();
            if known.0 <= attempt {
                *known = (attempt, share);
            }
        }
        graded.of_other_versions += u64::from(grade.grader_hash != graded.facts.hash);
    }

    /// Returns what was collected, to compare it, to gate by it or to hold it against people.
    pub fn collect(self) -> Collected {
        let mut collected = self.collected;
        if self.given_strata == 0 {
            // what the grades themselves say of the population
            for (stratum, weight) in collected.strata.iter_mut().zip(self.weights) {
                stratum.population = weight.round().max(0.0) as u64;
            }
        }
        collected
    }

    /// Returns about how many bytes the grades take so far.
    pub fn bytes(&self) -> usize {
        self.collected.bytes()
    }

    /// Returns the results of the run.
    pub fn finish(self) -> RunResults {
        self.collect().results()
    }

    fn grader(&mut self, grade: &Grade) -> usize {
        if let Some(&known) = self.by_id.get(&grade.grader_id) {
            return known;
        }
        // a grader that nobody named: what its grades say of it must do
        let place = self.collected.graders.len();
        self.by_id.insert(grade.grader_id.clone(), place);
        self.collected.graders.push(Graded::new(GraderFacts {
            id: grade.grader_id.clone(),
            name: grade.grader_name.clone(),
            kind: "unknown".to_owned(),
            version: grade.grader_version,
            hash: grade.grader_hash.clone(),
            scale: GraderScale::PassFail,
        }));
        place
    }

    fn item(&mut self, grade: &Grade) -> u32 {
        let collected = &mut self.collected;
        let number = collected.items.number(&grade.item_id);
        let at = grade.created_at.as_micros();
        if let Some(known) = collected.facts.get_mut(number as usize) {
            known.graded_at = known.graded_at.max(at);
            return number;
        }
        let group = grade.group_id.as_ref();
        let stratum = grade.stratum.as_deref().map_or(NONE, |name| {
            let number = collected.strata_names.number(name);
            if number as usize == collected.strata.len() {
                collected.strata.push(Stratum {
                    name: name.to_owned(),
                    population: 0,
                });
                self.weights.push(0.0);
            }
            self.weights[number as usize] += grade.weight;
            number
        });
        collected.facts.push(Item {
            group: group.map_or(NONE, |group| collected.groups.number(group.as_str())),
            stratum,
            graded_at: at,
        });
        number
    }
}

impl Graded {
    /// Returns whether its grades compare two traces each.
    pub(crate) fn is_pairwise(&self) -> bool {
        !self.contradictions.is_empty()
    }

    fn new(facts: GraderFacts) -> Self {
        Self {
            facts,
            cells: Cells::default(),
            replaced: Vec::new(),
            judge: JudgeTally::default(),
            contradictions: BTreeMap::new(),
            of_other_versions: 0,
        }
    }

    fn put(&mut self, item: u32, new: Cell) {
        let known = self.cells.get(item);
        if known.outcome().is_none() || known.attempt() < new.attempt() {
            self.cells.set(item, new);
            if known.outcome().is_some() {
                self.replaced.push((item, known));
            }
        } else if known.attempt() == new.attempt() {
            self.cells.set(item, known.worst(new));
        } else {
            self.replaced.push((item, new));
        }
    }

    /// Returns the grade of an item, which is empty if there is none.
    pub(crate) fn cell(&self, item: u32) -> Cell {
        self.cells.get(item)
    }

    /// Returns every item that the grader looked at, and its grade.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u32, Cell)> {
        self.cells.iter()
    }

    /// Returns what the attempts before the last said of each item that had more than one, in their order. Of
    /// an attempt that graded spans one by one the worst of them counts.
    fn earlier(&self) -> BTreeMap<u32, Vec<Cell>> {
        let mut replaced = self.replaced.clone();
        replaced.sort_by_key(|(item, cell)| (*item, cell.attempt()));
        let mut earlier: BTreeMap<u32, Vec<Cell>> = BTreeMap::new();
        let is_same = |one: &(u32, Cell), next: &(u32, Cell)| {
            (one.0, one.1.attempt()) == (next.0, next.1.attempt())
        };
        for attempt in replaced.chunk_by(is_same) {
            let worst = attempt.iter().map(|(_, cell)| *cell).reduce(Cell::worst);
            earlier.entry(attempt[0].0).or_default().extend(worst);
        }
        earlier
    }

    /// Returns the items of which an earlier attempt said otherwise whether they pass.
    pub(crate) fn changed(&self) -> HashSet<u32> {
        let says_otherwise = |(item, earlier): &(u32, Vec<Cell>)| {
            let is = self.cell(*item).passed();
            let was = |cell: &Cell| Some(cell.passed()?.to_bits() != is?.to_bits());
            earlier.iter().any(|cell| was(cell) == Some(true))
        };
        let changed = self.earlier().into_iter().filter(says_otherwise);
        changed.map(|(item, _)| item).collect()
    }

    /// Returns the items that got two verdicts or more, and whether the grader changed its mind about them.
    pub(crate) fn repeated(&self) -> Vec<(u32, bool)> {
        let said = |cell: Cell| {
            let all = (cell.outcome(), cell.label(), cell.score().map(f64::to_bits));
            // of numbers that pass or fail only that counts
            let decided = (cell.outcome(), None, None);
            cell.is_scored().then_some(match cell.outcome() {
                Some(Outcome::Value) => all,
                _ => decided,
            })
        };
        let of = |(item, earlier): (u32, Vec<Cell>)| {
            let mut verdicts = earlier
                .into_iter()
                .chain([self.cell(item)])
                .filter_map(said);
            let first = verdicts.next()?;
            let others: Vec<_> = verdicts.collect();
            (!others.is_empty()).then(|| (item, others.iter().any(|it| *it != first)))
        };
        self.earlier().into_iter().filter_map(of).collect()
    }
}

impl Collected {
    /// Returns the results of the run.
    pub fn results(&self) -> RunResults {
        RunResults::of(self)
    }

    /// Returns how many items have a grade.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there is no grade.
    pub fn is_empty(&self) -> bool {
        self.items.len() == 0
    }

    /// Returns the items: ids of traces, or of cases.
    pub fn item_ids(&self) -> impl Iterator<Item = &str> {
        self.items().map(|item| self.item_id(item))
    }

    /// Returns the graders, in the order in which they were given.
    pub fn graders(&self) -> impl Iterator<Item = &GraderFacts> {
        self.graders.iter().map(|grader| &grader.facts)
    }

    /// Gives all items the key under which they find their partner in another run: a dataset's item, a value
    /// of the metadata. Items for which there is none cannot be paired.
    pub fn set_keys(&mut self, key: impl Fn(&str) -> Option<String>) {
        let mut keys = Interner::default();
        let of_items = (0..self.facts.len() as u32).map(|item| {
            let key = key(self.items.text(item));
            key.map_or(NONE, |key| keys.number(&key))
        });
        let of_items = of_items.collect();
        self.keys = Some((keys, of_items));
    }

    /// Counts by something else than conversations: users, tasks. Items for which there is none are a group
    /// each. Returns how many those are.
    pub fn set_groups(&mut self, group: impl Fn(&str) -> Option<String>) -> usize {
        let mut groups = Interner::default();
        let mut alone = 0;
        for (item, facts) in (0_u32..).zip(&mut self.facts) {
            facts.group = match group(self.items.text(item)) {
                Some(group) => groups.number(&group),
                None => {
                    alone += 1;
                    NONE
                }
            };
        }
        self.groups = groups;
        alone
    }

    /// Returns about how many bytes the grades take.
    pub fn bytes(&self) -> usize {
        let cells =
            |it: &Graded| it.cells.bytes() + it.replaced.capacity() * size_of::<(u32, Cell)>();
        self.graders.iter().map(cells).sum::<usize>()
            + self.facts.capacity() * size_of::<Item>()
            + self.items.bytes()
            + self.groups.bytes()
            + self.keys.as_ref().map_or(0, |(keys, of_items)| {
                keys.bytes() + of_items.capacity() * size_of::<u32>()
            })
    }

    /// Returns whether it is a sample whose parts must be weighted.
    pub(crate) fn is_stratified(&self) -> bool {
        let counted = self.strata.iter();
        counted.filter(|stratum| stratum.population > 0).count() > 1
    }

    /// Returns whether it may stop by what it shows: then nothing of a fixed size holds of it.
    pub(crate) fn may_stop(&self) -> bool {
        self.options.at_any_time
    }

    pub(crate) fn graded(&self) -> &[Graded] {
        &self.graders
    }

    pub(crate) fn level(&self) -> Level {
        self.options.level
    }

    pub(crate) fn item_id(&self, item: u32) -> &str {
        self.items.text(item)
    }

    pub(crate) fn item(&self, id: &str) -> Option<u32> {
        self.items.get(id)
    }

    pub(crate) fn group(&self, item: u32) -> Option<u64> {
        let group = self.facts[item as usize].group;
        (group != NONE).then_some(u64::from(group))
    }

    pub(crate) fn group_id(&self, item: u32) -> Option<&str> {
        let group = self.facts[item as usize].group;
        (group != NONE).then(|| self.groups.text(group))
    }

    /// Returns whether items were given keys to be paired by.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    pub(crate) fn key(&self, item: u32) -> Option<&str> {
        let (keys, of_items) = self.keys.as_ref()?;
        let key = of_items[item as usize];
        (key != NONE).then(|| keys.text(key))
    }

    pub(crate) fn stratum(&self, item: u32) -> Option<usize> {
        let stratum = self.facts[item as usize].stratum;
        (stratum != NONE).then_some(stratum as usize)
    }

    /// Returns the name of the stratum of an item.
    pub(crate) fn stratum_name(&self, item: u32) -> Option<&str> {
        let stratum = self.stratum(item)?;
        Some(&self.strata[stratum].name)
    }

    /// Returns the strata, in the order of their numbers.
    pub(crate) fn strata(&self) -> &[Stratum] {
        &self.strata
    }

    pub(crate) fn graded_at(&self, item: u32) -> i64 {
        self.facts[item as usize].graded_at
    }

    pub(crate) fn label(&self, label: u16) -> &str {
        self.labels.text(u32::from(label))
    }

    /// Returns the numbers of all items.
    pub(crate) fn items(&self) -> impl Iterator<Item = u32> {
        0..self.facts.len() as u32
    }
}
