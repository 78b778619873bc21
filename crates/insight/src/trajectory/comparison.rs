//! Two sequences of calls held against each other, within a stated amount of work.

use std::collections::BTreeMap;
use std::hash::Hash;

use hashbrown::HashMap;
use serde_json::Value;

use super::arguments::{ArgumentMode, Fold, folded, is_within, likeness};
use super::matching::Graph;
use super::{Matcher, NoScore, order};
use crate::canonical::normalized;

/// At most this many calls are compared with at most as many.
pub const CALLS_MAX: usize = 10_000;

/// Comparing arguments that need not be equal may cost this much: a pair is 1, its arguments 1 for each
/// KiB, and an expression is ten times as dear.
pub const COMPARISON_COST_MAX: u64 = 1_000_000;

/// What an expression costs, where comparing two values is 1.
const EXPRESSION_COST: u64 = 10;

/// With partial credit each call is weighed against each: so many pairs at most.
pub const WEIGHED_PAIRS_MAX: usize = 10_000_000;

/// A call as it is compared: its arguments in their one form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    /// `None` of an expected call whose arguments do not matter.
    pub(super) arguments: Option<Value>,
}

impl Call {
    pub(super) fn new(name: &str, arguments: Option<Value>, folds: &[Fold]) -> Self {
        Self {
            name: name.to_owned(),
            arguments: arguments.map(|value| folded(normalized(value), folds)),
        }
    }

    /// Returns the call as people read it, its arguments cut short.
    pub(super) fn brief(&self) -> String {
        const CHARS_MAX: usize = 80;
        let arguments = match &self.arguments {
            None => "…".to_owned(),
            Some(Value::Object(fields)) if fields.is_empty() => String::new(),
            Some(arguments) => arguments.to_string(),
        };
        match arguments.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{}({}…)", self.name, &arguments[..end]),
            None => format!("{}({arguments})", self.name),
        }
    }
}

/// How calls are compared.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) default: &'a ArgumentMode,
    pub(super) by_tool: &'a BTreeMap<String, ArgumentMode>,
    pub(super) matcher: Option<&'a Matcher<'a>>,
}

impl<'a> Rules<'a> {
    fn mode(&self, tool: &str) -> &'a ArgumentMode {
        self.by_tool.get(tool).unwrap_or(self.default)
    }

    fn fits(&self, mode: &ArgumentMode, made: &Call, expected: &Call) -> Result<bool, NoScore> {
        let Some(wanted) = &expected.arguments else {
            return Ok(true);
        };
        let nothing = Value::Object(serde_json::Map::new());
        let given = made.arguments.as_ref().unwrap_or(&nothing);
        match mode {
            ArgumentMode::Ignore => Ok(true),
            ArgumentMode::Exact => Ok(given == wanted),
            ArgumentMode::Subset => Ok(is_within(given, wanted)),
            ArgumentMode::Superset => Ok(is_within(wanted, given)),
            ArgumentMode::Matcher(expression) => {
                let matcher = self.matcher.ok_or_else(|| {
                    NoScore::code("nothing here can run the expression of an argument matcher")
                })?;
                matcher(expression, given, wanted).map_err(|error| {
                    NoScore::code(format!("the matcher of {}: {error}", made.name))
                })
            }
        }
    }
}

/// Two sequences and what of one stands for what of the other.
#[derive(Debug)]
pub(super) struct Comparison {
    made_kinds: Vec<u32>,
    expected_kinds: Vec<u32>,
    graph: Graph,
    /// The places of a largest matching, made first, ascending.
    pub(super) pairs: Vec<(u32, u32)>,
}

impl Comparison {
    /// Compares calls.
    pub(super) fn of(made: &[Call], expected: &[Call], rules: Rules<'_>) -> Result<Self, NoScore> {
        for (count, whose) in [(made.len(), "were made"), (expected.len(), "are expected")] {
            if count > CALLS_MAX {
                let why = format!("{count} calls {whose}: at most {CALLS_MAX} are compared");
                return Err(NoScore::budget(why));
            }
        }
        // what does not matter does not make another kind
        let key = |call: &Call, default: Option<&str>| {
            let matters = *rules.mode(&call.name) != ArgumentMode::Ignore;
            let arguments = call.arguments.as_ref().filter(|_| matters);
            let text = arguments.map(Value::to_string);
            let default = default.filter(|_| matters).map(str::to_owned);
            (call.name.clone(), text.or(default))
        };
        let made_kinds = Kinds::of(made.iter().map(|call| key(call, Some("{}"))));
        let expected_kinds = Kinds::of(expected.iter().map(|call| key(call, None)));
        let fits = fitting(&made_kinds, &expected_kinds, made, expected, rules)?;
        Ok(Self::of_kinds(made_kinds, expected_kinds, fits))
    }

    /// Compares what is grouped already: `fits` has, of each kind made, the expected kinds.
    pub(super) fn of_kinds<A, B>(made: Kinds<A>, expected: Kinds<B>, fits: Vec<Vec<u32>>) -> Self {
        let graph = Graph {
            made: made.sizes(),
            expected: expected.sizes(),
            fits,
        };
        let pairs = pairs(&made, &expected, &graph);
        Self {
            made_kinds: made.of,
            expected_kinds: expected.of,
            graph,
            pairs,
        }
    }

    pub(super) fn made(&self) -> usize {
        self.made_kinds.len()
    }

    pub(super) fn expected(&self) -> usize {
        self.expected_kinds.len()
    }

    fn fits(&self, made: usize, expected: usize) -> bool {
        let fits = &self.graph.fits[self.made_kinds[made] as usize];
        fits.binary_search(&self.expected_kinds[expected]).is_ok()
    }

    /// Returns the first place where the sequences differ.
    pub(super) fn first_difference(&self) -> Option<usize> {
        let common = self.made().min(self.expected());
        let differs = (0..common).find(|at| !self.fits(*at, *at));
        differs.or_else(|| (self.made() != self.expected()).then_some(common))
    }

    /// Returns the first expected call that does not come after those before it. The earliest partner
    /// leaves the most room, so looking for it finds a subsequence if there is one.
    pub(super) fn first_out_of_order(&self) -> Option<usize> {
        let mut from = 0;
        (0..self.expected()).find(|expected| {
            let found = (from..self.made()).find(|made| self.fits(*made, *expected));
            from = found.map_or(self.made(), |made| made + 1);
            found.is_none()
        })
    }

    /// Returns the length of the longest common subsequence.
    pub(super) fn common_subsequence(&self) -> usize {
        let words = self.expected().div_ceil(64);
        let mut masks = vec![vec![0u64; words]; self.graph.made.len()];
        let mut places = vec![Vec::new(); self.graph.expected.len()];
        for (at, kind) in self.expected_kinds.iter().enumerate() {
            places[*kind as usize].push(at);
        }
        for (mask, fits) in masks.iter_mut().zip(&self.graph.fits) {
            for at in fits.iter().flat_map(|kind| &places[*kind as usize]) {
                mask[at / 64] |= 1 << (at % 64);
            }
        }
        let mask = |at: usize| masks[self.made_kinds[at] as usize].as_slice();
        order::common_subsequence(self.made(), self.expected(), mask)
    }

    /// Returns the weight of the heaviest common subsequence, where calls of the same tool that do not
    /// fit count by how much of their arguments is equal.
    pub(super) fn common_weight(&self, made: &[Call], expected: &[Call]) -> Result<f64, NoScore> {
        let pairs = made.len() * expected.len();
        if pairs > WEIGHED_PAIRS_MAX {
            return Err(NoScore::budget(format!(
                "{pairs} pairs of calls: at most {WEIGHED_PAIRS_MAX} are weighed for partial credit",
            )));
        }
        let size = |call: &Call| call.arguments.as_ref().map_or(0, |it| it.to_string().len());
        let sizes: Vec<usize> = expected.iter().map(size).collect();
        let mut weights: HashMap<(u32, u32), f64> = HashMap::new();
        let mut spent = 0;
        for (m, call) in made.iter().enumerate() {
            let size = size(call);
            for (e, other) in expected.iter().enumerate() {
                if call.name == other.name && !self.fits(m, e) {
                    let kinds = (self.made_kinds[m], self.expected_kinds[e]);
                    weights.entry(kinds).or_insert_with(|| {
                        spent += price(size + sizes[e]);
                        alike(call, other)
                    });
                }
            }
            within_budget(spent)?;
        }
        let weight = |m: usize, e: usize| {
            let kinds = (self.made_kinds[m], self.expected_kinds[e]);
            match self.fits(m, e) {
                true => 1.0,
                false => weights.get(&kinds).copied().unwrap_or(0.0),
            }
        };
        Ok(order::common_weight(made.len(), expected.len(), weight))
    }

    /// Returns, of each item made, whether it does for anything that is expected, partner or not.
    pub(super) fn planned(&self) -> impl Iterator<Item = bool> {
        self.made_kinds
            .iter()
            .map(|kind| !self.graph.fits[*kind as usize].is_empty())
    }

    /// Returns the places of the calls made that have no partner.
    pub(super) fn extra(&self) -> Vec<usize> {
        let paired = self.pairs.iter().map(|(made, _)| *made as usize);
        without(self.made(), paired)
    }

    /// Returns the places of the expected calls that have no partner.
    pub(super) fn missing(&self) -> Vec<usize> {
        let paired = self.pairs.iter().map(|(_, expected)| *expected as usize);
        without(self.expected(), paired)
    }
}

fn alike(made: &Call, expected: &Call) -> f64 {
    match (&made.arguments, &expected.arguments) {
        (Some(made), Some(expected)) => likeness(made, expected),
        _ => 0.0,
    }
}

fn without(count: usize, paired: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut alone = vec![true; count];
    for at in paired {
        alone[at] = false;
    }
    (0..count).filter(|at| alone[*at]).collect()
}

/// Items grouped by what makes them the same.
#[derive(Debug)]
pub(super) struct Kinds<K> {
    /// The kind of each item.
    of: Vec<u32>,
    /// The places of each kind's items, ascending.
    places: Vec<Vec<u32>>,
    numbers: HashMap<K, u32>,
}

impl<K: Hash + Eq> Kinds<K> {
    pub(super) fn of(keys: impl Iterator<Item = K>) -> Self {
        let mut kinds = Self {
            of: Vec::new(),
            places: Vec::new(),
            numbers: HashMap::new(),
        };
        for (at, key) in (0u32..).zip(keys) {
            let next = u32::try_from(kinds.places.len()).expect("as many as items at most");
            let kind = *kinds.numbers.entry(key).or_insert(next);
            if kind == next {
                kinds.places.push(Vec::new());
            }
            kinds.places[kind as usize].push(at);
            kinds.of.push(kind);
        }
        kinds
    }

    /// Returns the first item of each kind, in the order of kinds.
    pub(super) fn firsts(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|places| places[0] as usize)
    }
}

impl<K> Kinds<K> {
    fn sizes(&self) -> Vec<u32> {
        let size =
            |places: &Vec<u32>| u32::try_from(places.len()).expect("places are counted in u32");
        self.places.iter().map(size).collect()
    }
}

type CallKinds = Kinds<(String, Option<String>)>;

/// Returns, of each kind made, the kinds expected that it does for.
fn fitting(
    made_kinds: &CallKinds,
    expected_kinds: &CallKinds,
    made: &[Call],
    expected: &[Call],
    rules: Rules<'_>,
) -> Result<Vec<Vec<u32>>, NoScore> {
    let mut by_tool: HashMap<&str, Vec<(u32, &Call)>> = HashMap::new();
    for (kind, first) in (0u32..).zip(expected_kinds.firsts()) {
        let call = &expected[first];
        by_tool.entry(&call.name).or_default().push((kind, call));
    }
    let keys: HashMap<u32, &(String, Option<String>)> = made_kinds
        .numbers
        .iter()
        .map(|(key, kind)| (*kind, key))
        .collect();
    let sizes: HashMap<u32, usize> = (expected_kinds.numbers.iter())
        .map(|((_, arguments), kind)| (*kind, arguments.as_ref().map_or(0, String::len)))
        .collect();
    let mut spent = 0;
    let mut all = Vec::new();
    for (kind, first) in (0u32..).zip(made_kinds.firsts()) {
        let call = &made[first];
        let (name, arguments) = keys[&kind];
        let mode = rules.mode(name);
        let mut fits = Vec::new();
        if matches!(mode, ArgumentMode::Exact | ArgumentMode::Ignore) {
            // equal ones are found by their text; and where arguments are not told, any will do
            let same = expected_kinds
                .numbers
                .get(&(name.clone(), arguments.clone()));
            let any = expected_kinds.numbers.get(&(name.clone(), None));
            fits.extend(same.into_iter().chain(any).copied());
        } else {
            for (kind, other) in by_tool.get(name.as_str()).into_iter().flatten() {
                let bytes = arguments.as_ref().map_or(0, String::len) + sizes[kind];
                let is_expression = matches!(mode, ArgumentMode::Matcher(_));
                spent += price(bytes) * if is_expression { EXPRESSION_COST } else { 1 };
                within_budget(spent)?;
                if rules.fits(mode, call, other)? {
                    fits.push(*kind);
                }
            }
        }
        fits.sort_unstable();
        fits.dedup();
        all.push(fits);
    }
    Ok(all)
}

/// Returns what comparing so many bytes of arguments costs.
fn price(bytes: usize) -> u64 {
    1 + bytes as u64 / 1024
}

fn within_budget(spent: u64) -> Result<(), NoScore> {
    match spent > COMPARISON_COST_MAX {
        true => Err(NoScore::budget(format!(
            "comparing the arguments of so many calls costs more than {COMPARISON_COST_MAX} comparisons",
        ))),
        false => Ok(()),
    }
}

/// Returns the single pairs of a largest matching. Calls of one kind are alike, so of those that a
/// call may stand for it takes the first: equal calls are paired in order.
fn pairs<A, B>(made: &Kinds<A>, expected: &Kinds<B>, graph: &Graph) -> Vec<(u32, u32)> {
    let mut shares = graph.largest_matching();
    let mut taken = vec![0usize; expected.places.len()];
    let mut pairs = Vec::new();
    for (at, kind) in (0u32..).zip(&made.of) {
        let shares = &mut shares[*kind as usize];
        let open =
            |kind: u32, taken: &[usize]| expected.places[kind as usize][taken[kind as usize]];
        let first = (0..shares.len())
            .filter(|share| shares[*share].count > 0)
            .min_by_key(|share| open(shares[*share].expected, &taken));
        if let Some(first) = first {
            let kind = shares[first].expected;
            pairs.push((at, open(kind, &taken)));
            taken[kind as usize] += 1;
            shares[first].count -= 1;
        }
    }
    pairs
}
