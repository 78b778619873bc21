//! With what is each trace of a run compared? Paired once, and frozen with the selection.
//!
//! Traces find their partners by the value of a key of their metadata, or by their group. Where a key has
//! several on a side, the first goes with the first and so on, in the order of the run's hash: which that is
//! depends on no trace's content. What finds no partner is left out before a sample is drawn, and counted.
//! When one of two traces is deleted later, the words of their comparison go (`store/src/comparisons.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};

use model::{GroupId, ID_BYTES_MAX, TraceFilter, TraceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stats::sample::Sampler;
use utoipa::ToSchema;

use super::start::GradeRequest;
use crate::error::ApiError;
use crate::state::AppState;

/// Traces of a run that are held against others are read so many at a time.
const ITEMS_PER_READ: u32 = 1_000;

/// The traces that those of a run are compared with, as they are asked for: one of these.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AgainstSent {
    /// Those that a list with these fields shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    /// These traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_ids: Option<Vec<String>>,
    /// Those that this run graded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
}

/// What traces are compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Against {
    pub(super) filter: TraceFilter,
    pub(super) pair_by: PairBy,
}

/// What makes two traces a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PairBy {
    /// Their group.
    Group,
    /// The value of this key of their metadata.
    Metadata(String),
}

impl PairBy {
    fn parse(word: &str) -> Result<Self, ApiError> {
        match (word, word.strip_prefix("metadata.")) {
            ("group", _) => Ok(Self::Group),
            (_, Some(key)) if !key.is_empty() => Ok(Self::Metadata(key.to_owned())),
            _ => {
                let message = format!("{word:?} is not group or metadata.KEY");
                Err(ApiError::invalid("pair_by", message))
            }
        }
    }

    /// Returns the key of a trace, if it has one. Pairs of one key are a group, so it fits into an id: of a
    /// long value it is the hash.
    pub(super) fn key(&self, group: Option<&GroupId>, metadata: Option<&str>) -> Option<String> {
        let Self::Metadata(key) = self else {
            return group.map(ToString::to_string);
        };
        let metadata: Value = serde_json::from_str(metadata?).ok()?;
        let value = match metadata.get(key)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match value.len() {
            0 => None,
            1..=ID_BYTES_MAX => Some(value),
            _ => Some(blake3::hash(value.as_bytes()).to_hex().to_string()),
        }
    }

    pub(super) fn reads_metadata(&self) -> bool {
        matches!(self, Self::Metadata(_))
    }

    fn word(&self) -> String {
        match self {
            Self::Group => "group".to_owned(),
            Self::Metadata(key) => format!("metadata.{key}"),
        }
    }
}

/// Reads what the traces of a run are compared with; `graders` that compare need it, and it needs one.
pub(super) async fn against(
    state: &AppState,
    project: &model::ProjectId,
    request: &GradeRequest,
    comparing: Option<&str>,
) -> Result<Option<Against>, ApiError> {
    let refuse = |field: &str, message: String| Err(ApiError::invalid(field, message));
    let Some(sent) = &request.against else {
        return match (comparing, &request.pair_by) {
            (Some(grader), _) => {
                let message = format!(
                    "`{grader}` compares two traces: say with which those of the run are compared, such as \
                     {{\"filter\": {{\"version\": \"v1.8.2\"}}}}, and `pair_by`, such as \"metadata.case\""
                );
                refuse("against", message)
            }
            (None, Some(_)) => refuse("pair_by", "it needs `against`".to_owned()),
            (None, None) => Ok(None),
        };
    };
    if comparing.is_none() {
        let message =
            "no grader of the run compares two traces (one with `\"pairwise\": true` does)";
        return refuse("against", message.to_owned());
    }
    let Some(pair_by) = &request.pair_by else {
        let message = "say what makes two traces a pair: \"metadata.KEY\" or \"group\"";
        return refuse("pair_by", message.to_owned());
    };
    let pair_by = PairBy::parse(pair_by)?;
    let filter = match (&sent.filter, &sent.trace_ids, &sent.run_id) {
        (Some(filter), None, None) => {
            TraceFilter::from_json(filter, state.clock.now()).map_err(|error| {
                ApiError::invalid(format!("against.filter.{}", error.field), error.message)
            })?
        }
        (None, Some(ids), None) => of_ids(ids)?,
        (None, None, Some(run_id)) => of_run(state, project, run_id).await?,
        _ => {
            let message = "write one of `filter`, `trace_ids` and `run_id`";
            return refuse("against", message.to_owned());
        }
    };
    Ok(Some(Against { filter, pair_by }))
}

fn of_ids(ids: &[String]) -> Result<TraceFilter, ApiError> {
    let field = "against.trace_ids";
    if ids.is_empty() {
        return Err(ApiError::invalid(field, "it names no trace"));
    }
    let read = |id: &String| {
        TraceId::new(id).map_err(|error| ApiError::invalid(field, format!("{id:?}: {error}")))
    };
    Ok(TraceFilter {
        ids: ids.iter().map(read).collect::<Result<_, _>>()?,
        ..TraceFilter::default()
    })
}

/// Returns a filter for the traces of a run.
async fn of_run(
    state: &AppState,
    project: &model::ProjectId,
    run_id: &str,
) -> Result<TraceFilter, ApiError> {
    let meta = state.store.meta();
    let run = meta.grading_run(project, run_id).await?;
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let items = meta.grading_items(&run.id, None, after, ITEMS_PER_READ);
        let items = items.await?;
        let Some(last) = items.last() else { break };
        after = Some(last.position);
        ids.extend(items.into_iter().filter_map(|item| item.trace_id));
    }
    if ids.is_empty() {
        let message = format!("{run_id} has no traces");
        return Err(ApiError::invalid("against.run_id", message));
    }
    Ok(TraceFilter {
        ids,
        ..TraceFilter::default()
    })
}

/// How traces were paired, as it is kept and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Pairs {
    /// `group`, or `metadata.KEY`.
    by: String,
    /// Traces of the run without a partner: nothing is said of them.
    unpaired: usize,
    /// Traces of the other side without one.
    unpaired_of_other_side: usize,
    /// Traces of the other side that were left out because they still run.
    running_of_other_side: usize,
    /// Ids of the other side that were named and are not there.
    missing_of_other_side: usize,
}

/// The traces of the other side, and what was left out of them.
#[derive(Debug, Default)]
pub(super) struct OtherSide {
    pub(super) traces: Vec<Lonely>,
    pub(super) running: usize,
    pub(super) missing: usize,
}

/// A trace that may find a partner.
#[derive(Debug, Clone)]
pub(super) struct Lonely {
    pub(super) trace_id: TraceId,
    pub(super) key: Option<String>,
}

/// The partner of a trace, and the group that they make with other pairs of their key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partner {
    pub(super) trace_id: TraceId,
    /// None where the key has this pair alone.
    pub(super) group: Option<GroupId>,
}

/// Pairs the traces of a run with those of the other side: for each of them its partner, or none.
pub(super) fn pair(
    pair_by: &PairBy,
    seed: &str,
    own: &[Lonely],
    others: OtherSide,
) -> (Vec<Option<Partner>>, Pairs) {
    let sampler = Sampler::new(seed.as_bytes());
    let rank = |id: &TraceId| sampler.rank(id.as_str());
    // A trace is not compared with one that is compared itself.
    let here: HashSet<&TraceId> = own.iter().map(|one| &one.trace_id).collect();
    let mut all_others = 0;
    let mut by_key: HashMap<String, Vec<TraceId>> = HashMap::new();
    for other in others.traces {
        if here.contains(&other.trace_id) {
            continue;
        }
        all_others += 1;
        if let Some(key) = other.key {
            by_key.entry(key).or_default().push(other.trace_id);
        }
    }
    for ids in by_key.values_mut() {
        ids.sort_by_cached_key(rank);
    }
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, one) in own.iter().enumerate() {
        if let Some(key) = &one.key {
            places.entry(key).or_default().push(at);
        }
    }
    let mut partners: Vec<Option<Partner>> = vec![None; own.len()];
    let mut paired = 0;
    for (key, mut places) in places {
        let Some(ids) = by_key.remove(key) else {
            continue;
        };
        places.sort_by_cached_key(|at| rank(&own[*at].trace_id));
        let is_alone = places.len().min(ids.len()) < 2;
        let group = if is_alone {
            None
        } else {
            GroupId::new(key).ok()
        };
        for (at, trace_id) in places.into_iter().zip(ids) {
            paired += 1;
            partners[at] = Some(Partner {
                trace_id,
                group: group.clone(),
            });
        }
    }
    let told = Pairs {
        by: pair_by.word(),
        unpaired: own.len() - paired,
        unpaired_of_other_side: all_others - paired,
        running_of_other_side: others.running,
        missing_of_other_side: others.missing,
    };
    (partners, told)
}

impl Pairs {
    /// Says why a run has no trace with a partner; nothing if none was without one.
    pub(super) fn why_none(&self) -> Option<String> {
        if self.unpaired == 0 {
            return None;
        }
        let mut why = format!(
            "none of {} traces has a partner among those that it is compared with, by {}",
            self.unpaired, self.by
        );
        for (count, what) in [
            (self.unpaired_of_other_side, "others have no partner either"),
            (self.running_of_other_side, "others still run"),
            (self.missing_of_other_side, "ids of others are not there"),
        ] {
            if count > 0 {
                why += &format!("; {count} {what}");
            }
        }
        Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lonely(id: &str, key: Option<&str>) -> Lonely {
        Lonely {
            trace_id: TraceId::new(id).unwrap(),
            key: key.map(str::to_owned),
        }
    }

    fn side(traces: impl Into<Vec<Lonely>>) -> OtherSide {
        OtherSide {
            traces: traces.into(),
            ..OtherSide::default()
        }
    }

    fn by_case() -> PairBy {
        PairBy::parse("metadata.case").unwrap()
    }

    #[test]
    fn each_finds_its_partner_and_those_without_one_are_counted() {
        let own = [
            lonely("trace_a1", Some("a")),
            lonely("trace_b1", Some("b")),
            lonely("trace_c1", Some("c")),
            lonely("trace_d1", None),
        ];
        let others = [
            lonely("trace_b0", Some("b")),
            lonely("trace_a0", Some("a")),
            lonely("trace_e0", Some("e")),
            // It is a trace of the run itself.
            lonely("trace_c1", Some("c")),
        ];
        let (partners, told) = pair(&by_case(), "s", &own, side(others));
        let ids: Vec<_> = (partners.iter())
            .map(|it| it.as_ref().map(|it| it.trace_id.as_str()))
            .collect();
        assert_eq!(ids, [Some("trace_a0"), Some("trace_b0"), None, None]);
        assert!(partners.iter().flatten().all(|it| it.group.is_none()));
        assert_eq!((told.unpaired, told.unpaired_of_other_side), (2, 1));
    }

    #[test]
    fn repeats_of_a_case_are_pairs_of_one_group_whatever_order_they_come_in() {
        let mut own: Vec<_> = (0..3)
            .map(|n| lonely(&format!("trace_n{n}"), Some("a")))
            .collect();
        let mut others: Vec<_> = (0..4)
            .map(|n| lonely(&format!("trace_o{n}"), Some("a")))
            .collect();
        let of = |own: &[Lonely], others: Vec<Lonely>| {
            let (partners, told) = pair(&by_case(), "s", own, side(others));
            assert_eq!((told.unpaired, told.unpaired_of_other_side), (0, 1));
            let groups = partners.iter().flatten().map(|it| it.group.clone());
            assert!(groups.into_iter().all(|it| it == GroupId::new("a").ok()));
            let names = own.iter().map(|it| it.trace_id.to_string());
            names.zip(partners).collect::<BTreeMap<_, _>>()
        };
        let first = of(&own, others.clone());
        own.reverse();
        others.rotate_left(2);
        assert_eq!(of(&own, others), first);
    }

    #[test]
    fn pairs_of_a_long_key_are_a_group_too() {
        let key = |last: char| {
            let metadata = format!(r#"{{"case":"{}{last}"}}"#, "x".repeat(100_000));
            by_case().key(None, Some(&metadata)).unwrap()
        };
        assert!(key('a').len() <= ID_BYTES_MAX && key('a') != key('b'));
        let of = |version: &str| {
            let one = |n| lonely(&format!("trace_{version}{n}"), Some(&key('a')));
            [one(0), one(1)]
        };
        let (partners, _) = pair(&by_case(), "s", &of("new"), side(of("old")));
        assert!(partners.iter().flatten().all(|it| it.group.is_some()));
    }

    #[test]
    fn a_key_is_a_text_whatever_it_was() {
        let key = |metadata: &str| by_case().key(None, Some(metadata));
        assert_eq!(key(r#"{"case":"a"}"#).as_deref(), Some("a"));
        assert_eq!(key(r#"{"case":7}"#).as_deref(), Some("7"));
        assert_eq!(key(r#"{"case":null}"#), None);
        assert_eq!(key(r#"{"case":""}"#), None);
        assert_eq!(by_case().key(None, None), None);
        let group = GroupId::new("g").ok();
        assert_eq!(
            PairBy::Group.key(group.as_ref(), None).as_deref(),
            Some("g")
        );
        for wrong in ["trace", "metadata.", "", "none"] {
            assert!(PairBy::parse(wrong).is_err(), "{wrong}");
        }
    }
}
