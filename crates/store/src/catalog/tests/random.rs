//! Random histories: whatever happens, memory, the database and a plain model agree.

use std::collections::{BTreeMap, BTreeSet};

use model::TraceId;
use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two compactors plan over the same files. If their inputs overlap, one of them is told.
    #[test]
    fn of_two_compactors_one_loses_cleanly(
        left in proptest::collection::btree_set(0_usize..6, 1..5),
        right in proptest::collection::btree_set(0_usize..6, 1..5),
        right_first in any::<bool>(),
        through_one_catalog in any::<bool>(),
    ) {
        block_on(async {
            let fixture = Fixture::new().await;
            let ids = fixture.add(&["0", "1", "2", "3", "4", "5"]).await;
            let plan = |inputs: &BTreeSet<usize>, output: &str| {
                let mut commit = fixture.change();
                commit.removed = inputs.iter().map(|index| ids[*index]).collect();
                commit.added = vec![new_file(output)];
                commit
            };
            let plans = [plan(&left, "left"), plan(&right, "right")];
            let other = fixture.open_another().await;
            let second = if through_one_catalog { &fixture.catalog } else { &other };
            let first = fixture.catalog.commit(&plans[usize::from(right_first)]);
            let second = second.commit(&plans[usize::from(!right_first)]);
            let (first, second) = tokio::join!(first, second);

            let expected = if left.is_disjoint(&right) { 2 } else { 1 };
            let losers = [&first, &second].into_iter().filter_map(|result| result.as_ref().err());
            for loser in losers.clone() {
                assert!(matches!(loser, CommitError::Superseded { .. }), "{loser}");
            }
            assert_eq!(2 - losers.count(), expected);
            let reopened = fixture.open_another().await;
            let outputs = reopened.current().all_files().filter(|f| f.path.len() > 1).count();
            assert_eq!(outputs, expected);
            assert_eq!(reopened.current().version(), Version(1 + expected as i64));
        });
    }

    /// Whatever is committed, memory, the database and a plain model agree.
    #[test]
    fn reopening_gives_the_same_state(changes in proptest::collection::vec(any_change(), 1..12)) {
        block_on(async {
            let fixture = Fixture::new().await;
            let mut model = Model::default();
            for (number, change) in changes.iter().enumerate() {
                let commit = change.commit(&fixture, number);
                let done = fixture.catalog.commit(&commit).await;
                assert_eq!(done.is_ok(), model.apply(&commit), "{done:?}");
                model.check(&fixture.catalog.current());
            }
            let reopened = fixture.open_another().await;
            assert_eq!(reopened.current(), fixture.catalog.current());
            assert_eq!(reopened.shared.removed(), fixture.catalog.shared.removed());
        });
    }
}

/// A commit in small numbers, so that keys meet.
#[derive(Debug, Clone)]
struct Change {
    added: usize,
    removed: Option<i64>,
    hides: Vec<(u8, Option<u8>, i64)>,
    cleared: Vec<(u8, Option<u8>, i64)>,
    cursor: Option<i64>,
    tombstones: Vec<(u8, i64, bool)>,
    dropped: Vec<(u8, i64)>,
}

fn any_change() -> impl Strategy<Value = Change> {
    let hides = || {
        let one = (0_u8..3, proptest::option::of(0_u8..2), 0_i64..4);
        proptest::collection::vec(one, 0..4)
    };
    let tombstones = proptest::collection::vec((0_u8..3, 0_i64..4, any::<bool>()), 0..3);
    let dropped = proptest::collection::vec((0_u8..3, 0_i64..4), 0..2);
    let removed = proptest::option::weighted(0.4, 1_i64..12);
    let cursor = proptest::option::weighted(0.3, 0_i64..30);
    (
        0_usize..4,
        removed,
        hides(),
        hides(),
        cursor,
        tombstones,
        dropped,
    )
        .prop_map(
            |(added, removed, hides, cleared, cursor, tombstones, dropped)| Change {
                added,
                removed,
                hides,
                cleared,
                cursor,
                tombstones,
                dropped,
            },
        )
}

impl Change {
    fn commit(&self, fixture: &Fixture, number: usize) -> Commit {
        let hides = |list: &[(u8, Option<u8>, i64)]| {
            let one = |(trace, span, upto): &(u8, Option<u8>, i64)| {
                hide(
                    &trace.to_string(),
                    span.map(|id| id.to_string()).as_deref(),
                    *upto,
                )
            };
            list.iter().map(one).collect()
        };
        let mut commit = fixture.change();
        commit.added = (0..self.added)
            .map(|n| new_file(&format!("{number}-{n}")))
            .collect();
        commit.removed = self.removed.map(FileId).into_iter().collect();
        commit.hides = hides(&self.hides);
        commit.hides_cleared = hides(&self.cleared);
        commit.cursor = self.cursor.and_then(cursor);
        let tombstones = self.tombstones.iter().map(|(trace, upto, done)| {
            let erasure = if *done {
                Erasure::Done
            } else {
                Erasure::Pending
            };
            tombstone(&trace.to_string(), *upto, erasure)
        });
        commit.tombstones = tombstones.collect();
        let dropped = self.dropped.iter();
        commit.tombstones_dropped = dropped
            .map(|(trace, upto)| tombstone(&trace.to_string(), *upto, Erasure::Done))
            .collect();
        commit
    }
}

/// What the catalog should hold, in the plainest words.
#[derive(Debug, Default)]
struct Model {
    version: i64,
    next_id: i64,
    active: BTreeMap<i64, String>,
    hides: BTreeMap<HideKey, (i64, i64)>,
    cursor: Option<i64>,
    tombstones: BTreeMap<TraceId, Tombstone>,
}

impl Model {
    fn apply(&mut self, commit: &Commit) -> bool {
        let moves = commit.cursor.as_ref().map(|cursor| cursor.flushed_seq);
        let is_allowed = commit
            .removed
            .iter()
            .all(|id| self.active.contains_key(&id.0))
            && moves.is_none_or(|to| self.cursor.is_none_or(|at| at < to));
        if !is_allowed {
            return false;
        }
        self.version += 1;
        self.cursor = moves.or(self.cursor);
        commit
            .removed
            .iter()
            .for_each(|id| drop(self.active.remove(&id.0)));
        for new in &commit.added {
            self.next_id += 1;
            self.active.insert(self.next_id, new.facts.path.clone());
        }
        for cleared in &commit.hides_cleared {
            self.hides
                .retain(|key, (upto, _)| *key != cleared.key || *upto != cleared.upto_seq);
        }
        for hide in &commit.hides {
            let known = self.hides.entry(hide.key.clone()).or_insert((i64::MIN, 0));
            if hide.upto_seq > known.0 {
                *known = (hide.upto_seq, self.version);
            }
        }
        for gone in &commit.tombstones_dropped {
            self.tombstones
                .retain(|id, t| *id != gone.trace_id || t.upto_seq != gone.upto_seq);
        }
        for tombstone in &commit.tombstones {
            let known = self.tombstones.entry(tombstone.trace_id.clone());
            let known = known.or_insert_with(|| tombstone.clone());
            if known.upto_seq <= tombstone.upto_seq {
                known.clone_from(tombstone);
            }
        }
        true
    }

    fn check(&self, catalog: &CatalogVersion) {
        assert_eq!(catalog.version(), Version(self.version));
        let files = catalog
            .all_files()
            .map(|file| (file.id.0, file.path.clone()));
        assert_eq!(files.collect::<BTreeMap<_, _>>(), self.active);
        let hides = catalog
            .hides()
            .iter()
            .map(|(hide, v)| (hide.key, (hide.upto_seq, v.0)));
        assert_eq!(hides.collect::<BTreeMap<_, _>>(), self.hides);
        assert_eq!(catalog.cursor("n0"), self.cursor);
        let tombstones = catalog
            .tombstones()
            .iter()
            .map(|t| (t.trace_id.clone(), t.clone()));
        assert_eq!(tombstones.collect::<BTreeMap<_, _>>(), self.tombstones);
    }
}
