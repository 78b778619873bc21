//! What is compared with what: two runs, or parts of them, and what pairs their traces.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use grade::compare::PairBy;
use grade::results::Collected;
use model::{Time, TraceFilter, TraceId};
use query::{Order, TraceList};
use serde::Deserialize;
use serde_json::Value;
use store::meta::GradingRun;
use store::{Columns, Table};
use utoipa::ToSchema;

use super::gathered::{Gathered, Part, gather, gather_some, run_of};
use crate::auth::Principal;
use crate::error::ApiError;
use crate::read::{filter_of, of_project};
use crate::state::AppState;

/// So many traces are read at a time to look up what pairs them: ids and metadata only, so some thousand
/// are one query.
const TRACES_PER_READ: usize = 20_000;

/// So many are looked up by their ids at a time.
const IDS_PER_READ: usize = 1_000;

/// A run, or a part of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SideSent {
    run_id: String,
    /// Only its traces that a list with these fields shows.
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
}

/// The grades of a side.
pub(super) struct Side {
    pub(super) run: GradingRun,
    grades: Grades,
}

enum Grades {
    Whole(Arc<Gathered>),
    Part(Box<Part>),
}

/// What pairs traces, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pairing {
    By(PairBy),
    /// By the value of this key of their metadata.
    Metadata(String),
}

impl Pairing {
    /// Reads `pair_by`: nothing means whatever fits.
    pub(super) fn parse(word: Option<&str>) -> Result<Self, ApiError> {
        let by = match word {
            None | Some("auto") => PairBy::Anything,
            Some("trace") => PairBy::Item,
            Some("group") => PairBy::Group,
            Some("none") => PairBy::Nothing,
            Some(other) => match other.strip_prefix("metadata.") {
                Some(key) if !key.is_empty() => return Ok(Self::Metadata(key.to_owned())),
                _ => {
                    let message =
                        format!("{other:?} is not auto, trace, group, none or metadata.KEY");
                    return Err(ApiError::invalid("pair_by", message));
                }
            },
        };
        Ok(Self::By(by))
    }

    /// Returns it as it is reckoned with.
    pub(super) fn by(&self) -> PairBy {
        match self {
            Self::By(by) => *by,
            Self::Metadata(_) => PairBy::Key,
        }
    }
}

impl Side {
    /// Gathers the grades of a side, which stands in the request under a name.
    async fn of(
        state: &AppState,
        principal: &Principal,
        (name, sent): (&str, &SideSent),
        pairing: &Pairing,
    ) -> Result<Self, ApiError> {
        let run = run_of(state, &principal.project, &sent.run_id).await;
        let run = run.map_err(|error| error.of_param(format!("{name}.run_id")))?;
        let filter = sent.filter.as_ref();
        let filter = filter
            .map(|filter| filter_of(Some(filter), state.clock.now()))
            .transpose()
            .map_err(|error| error.within("filter").within(name))?;
        let grades = match (filter, pairing) {
            (None, Pairing::By(_)) => Grades::Whole(gather(state, &run).await?),
            (Some(filter), Pairing::By(_)) => {
                let ids = trace_ids(state, &run, &filter).await?;
                let part = gather_some(state, &run, Some(ids)).await?;
                Grades::Part(Box::new(part))
            }
            (Some(filter), Pairing::Metadata(key)) => {
                let keys = keys(state, &run, filter, key).await?;
                let ids = keys.keys().cloned().collect();
                let mut part = gather_some(state, &run, Some(ids)).await?;
                part.set_keys(&keys);
                Grades::Part(Box::new(part))
            }
            (None, Pairing::Metadata(key)) => {
                Grades::Part(Box::new(keyed(state, &run, key).await?))
            }
        };
        Ok(Self { run, grades })
    }

    /// Gathers the grades of both sides, at the same time.
    pub(super) async fn both(
        state: &AppState,
        principal: &Principal,
        sent: [&SideSent; 2],
        pairing: &Pairing,
    ) -> Result<[Self; 2], ApiError> {
        let side = |sent| Self::of(state, principal, sent, pairing);
        let [baseline, candidate] = sent;
        let (baseline, candidate) =
            tokio::try_join!(side(("baseline", baseline)), side(("candidate", candidate)))?;
        Ok([baseline, candidate])
    }

    /// Returns the grades.
    pub(super) fn collected(&self) -> &Collected {
        match &self.grades {
            Grades::Whole(gathered) => &gathered.collected,
            Grades::Part(part) => &part.collected,
        }
    }
}

impl Part {
    /// Counts by a key of the metadata of its traces. Returns how many do not have it.
    pub(super) async fn regroup(
        &mut self,
        state: &AppState,
        run: &GradingRun,
        key: &str,
    ) -> Result<usize, ApiError> {
        let keys = keys_of_part(state, run, self, key).await?;
        let group = |item: &str| keys.get(&TraceId::new(item).ok()?)?.clone();
        Ok(self.collected.set_groups(group))
    }

    /// Traces find their partners by these.
    fn set_keys(&mut self, keys: &HashMap<TraceId, Option<String>>) {
        let key = |item: &str| keys.get(&TraceId::new(item).ok()?)?.clone();
        self.collected.set_keys(key);
    }
}

fn just_after(time: Time) -> Time {
    Time::from_micros(time.as_micros().saturating_add(1))
}

/// Returns the grades of a run, whose items have the values of a key of their metadata as keys.
pub(super) async fn keyed(state: &AppState, run: &GradingRun, key: &str) -> Result<Part, ApiError> {
    let mut part = gather_some(state, run, None).await?;
    let keys = keys_of_part(state, run, &part, key).await?;
    part.set_keys(&keys);
    Ok(part)
}

/// Returns the grades of a run counted by a key of the metadata of its traces instead of by their groups,
/// and how many have no such key: each of those stands by itself.
pub(super) async fn regrouped(
    state: &AppState,
    run: &GradingRun,
    key: &str,
) -> Result<(Part, usize), ApiError> {
    let mut part = gather_some(state, run, None).await?;
    let alone = part.regroup(state, run, key).await?;
    Ok((part, alone))
}

/// Returns the keys of the traces of a part. A run knows when its traces began, so no others are looked at;
/// those that have begun at another time since, or never, are looked up by their ids.
async fn keys_of_part(
    state: &AppState,
    run: &GradingRun,
    part: &Part,
    key: &str,
) -> Result<HashMap<TraceId, Option<String>>, ApiError> {
    let among = TraceFilter {
        started_from: part.started.map(|(first, _)| first),
        started_until: part.started.map(|(_, last)| just_after(last)),
        ..TraceFilter::default()
    };
    let mut found = keys(state, run, among, key).await?;
    let all = part.collected.item_ids();
    let all = all.filter_map(|id| TraceId::new(id).ok());
    let missing: Vec<TraceId> = all.filter(|id| !found.contains_key(id)).collect();
    for ids in missing.chunks(IDS_PER_READ) {
        let among = TraceFilter {
            ids: ids.to_vec(),
            ..TraceFilter::default()
        };
        found.extend(keys(state, run, among, key).await?);
    }
    Ok(found)
}

async fn trace_ids(
    state: &AppState,
    run: &GradingRun,
    filter: &TraceFilter,
) -> Result<HashSet<TraceId>, ApiError> {
    let ids = of_project(state, &run.project, async |snapshot| {
        let ids = state.engine.trace_ids(snapshot as _, filter.clone());
        Ok::<_, ApiError>(ids.await?)
    });
    Ok(ids.await?.into_iter().collect())
}

/// Returns each trace of a filter, with the value of a key of its metadata if it has it.
async fn keys(
    state: &AppState,
    run: &GradingRun,
    filter: TraceFilter,
    key: &str,
) -> Result<HashMap<TraceId, Option<String>>, ApiError> {
    let columns = ["trace_id", "metadata"];
    let columns = Columns::named(Table::Traces, &columns).map_err(ApiError::internal)?;
    of_project(state, &run.project, async |snapshot| {
        let mut keys = HashMap::new();
        let mut after = None;
        loop {
            let list = TraceList {
                filter: filter.clone(),
                order: Order::Descending,
                limit: TRACES_PER_READ,
                after: after.take(),
                columns: columns.clone(),
            };
            let page = state
                .engine
                .list_traces(Arc::clone(&snapshot) as _, list)
                .await?;
            for entry in &page.items {
                let item = &entry.row.item;
                let metadata = item.metadata.as_ref();
                let value = metadata.and_then(|text| metadata_value(text.as_str(), key));
                keys.insert(item.trace_id.clone(), value);
            }
            after = page.next;
            if after.is_none() {
                return Ok::<_, ApiError>(keys);
            }
        }
    })
    .await
}

/// Returns a value of a metadata object as a text.
fn metadata_value(metadata: &str, key: &str) -> Option<String> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    match metadata.get(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pairs_traces_is_one_of_a_few_words_or_a_key() {
        let check = |word: Option<&str>, want: Option<Pairing>| {
            assert_eq!(Pairing::parse(word).ok(), want, "{word:?}");
        };
        check(None, Some(Pairing::By(PairBy::Anything)));
        check(Some("trace"), Some(Pairing::By(PairBy::Item)));
        check(
            Some("metadata.task"),
            Some(Pairing::Metadata("task".to_owned())),
        );
        check(Some("metadata."), None);
        check(Some("user"), None);
    }

    #[test]
    fn a_value_of_the_metadata_is_a_text_whatever_it_was() {
        let metadata = r#"{"task":"a","n":7,"none":null}"#;
        assert_eq!(metadata_value(metadata, "task").as_deref(), Some("a"));
        assert_eq!(metadata_value(metadata, "n").as_deref(), Some("7"));
        assert_eq!(metadata_value(metadata, "none"), None);
        assert_eq!(metadata_value("[", "task"), None);
    }
}
