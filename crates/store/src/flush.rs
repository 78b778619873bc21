//! From memory to Parquet.
//!
//! One lane, in log order: a sealed buffer becomes one L0 file per table, and one catalog commit puts
//! the files in, hides what they replace and moves the cursor (D3). Only then are the rows released
//! from memory and the log cut (D4). A crash between any two steps repeats work and loses nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Time;

use crate::catalog::{Commit, Cursor, Erasure, Hide, HideKey, NewFile, Tombstone};
use crate::engine::{Engine, StoreError};
use crate::grades::GradedItems;
use crate::lake::{Footer, LakeRow, Level, Partition, SCHEMA_VERSION, Table};
use crate::live::{Buffer, GradeBatch, Home, Live, TraceKey, TraceView, newest};
use crate::outputs::write_rows;
use crate::set_aside::may_be_a_row;
use crate::snapshot::{message_rows, span_rows, trace_entry};

/// What a flush writes.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// The traces that its buffer touched, as of its end.
    pub(crate) views: Vec<(TraceKey, TraceView)>,
    /// The grades of its buffer, each project's in the order of the log.
    pub(crate) grades: Vec<Arc<GradeBatch>>,
}

/// What is known of the live buffer when the question "seal now?" is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pressure {
    pub(crate) active_bytes: usize,
    pub(crate) active_since: Option<Time>,
    pub(crate) now: Time,
    pub(crate) buffer_bytes: usize,
    pub(crate) flush_age_micros: i64,
    pub(crate) sealed: usize,
    pub(crate) sealed_max: usize,
}

/// Returns whether the active buffer should be closed and written. A clock that was set back counts
/// as old: waiting for it to catch up could take hours.
pub(crate) fn should_seal(pressure: &Pressure) -> bool {
    let Some(since) = pressure.active_since else {
        return false;
    };
    let age = pressure.now.as_micros() - since.as_micros();
    let due = pressure.active_bytes >= pressure.buffer_bytes
        || age >= pressure.flush_age_micros
        || age < 0;
    due && pressure.sealed < pressure.sealed_max
}

impl Engine {
    /// Seals and writes everything that is in memory now.
    pub(crate) async fn flush_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let _lane = self.flush_lane.lock().await;
        let now = self.clock.now();
        self.live.write().seal(now);
        self.flush_sealed().await
    }

    /// Seals if it is time to, and writes what is sealed.
    pub(crate) async fn flush_due(self: &Arc<Self>) -> Result<(), StoreError> {
        let _lane = self.flush_lane.lock().await;
        let now = self.clock.now();
        {
            let mut live = self.live.write();
            let pressure = self.pressure(&live, now);
            if should_seal(&pressure) {
                live.seal(now);
            }
        }
        self.flush_sealed().await
    }

    async fn flush_sealed(self: &Arc<Self>) -> Result<(), StoreError> {
        while let Some(buffer) = { self.live.read().oldest_sealed() } {
            self.flush_buffer(buffer).await?;
        }
        Ok(())
    }

    fn pressure(&self, live: &Live, now: Time) -> Pressure {
        Pressure {
            active_bytes: live.bytes().0,
            active_since: live.active_since(),
            now,
            buffer_bytes: self.config.buffer_bytes,
            flush_age_micros: self.config.flush_age_ms * 1_000,
            sealed: live.sealed_count(),
            sealed_max: self.config.sealed_max,
        }
    }

    async fn flush_buffer(self: &Arc<Self>, buffer: Arc<Buffer>) -> Result<(), StoreError> {
        let hi = buffer.hi;
        let (this, of_buffer) = (Arc::clone(self), Arc::clone(&buffer));
        let take = move || {
            let live = this.live.read();
            Ok(Arc::new(Outgoing {
                views: live.views_as_of(&of_buffer),
                grades: live.grades_of(&of_buffer),
            }))
        };
        let outgoing = self.on_worker(take).await?;
        let written = self.write_outgoing(&buffer, &outgoing).await;
        let (commit, outgoing) = match written {
            Err(error) if may_be_a_row(&error) => {
                let outgoing = self.without_faults(&buffer, &outgoing, error).await?;
                (self.write_outgoing(&buffer, &outgoing).await?, outgoing)
            }
            written => (written?, outgoing),
        };
        // D5: with the log cut, the catalog alone would know of a deletion.
        self.keep_deleted(&commit.tombstones).await?;
        self.commit(&commit).await?;
        {
            let mut live = self.live.write();
            live.release(hi, &outgoing.views, &self.keep());
            self.note_live_bytes(&live);
        }
        // D4: the commit is on disk, so the log may go.
        self.cut_wal(hi)?;
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_waiters();
        Ok(())
    }

    async fn write_outgoing(
        self: &Arc<Self>,
        buffer: &Arc<Buffer>,
        outgoing: &Arc<Outgoing>,
    ) -> Result<Commit, StoreError> {
        let (this, buffer, outgoing) = (Arc::clone(self), Arc::clone(buffer), Arc::clone(outgoing));
        self.on_worker(move || this.write_buffer(&buffer, &outgoing))
            .await
    }

    /// Returns what is to be written without rows that cannot be, or `error` if all can.
    async fn without_faults(
        self: &Arc<Self>,
        buffer: &Arc<Buffer>,
        outgoing: &Arc<Outgoing>,
        error: StoreError,
    ) -> Result<Arc<Outgoing>, StoreError> {
        let (this, buffer) = (Arc::clone(self), Arc::clone(buffer));
        let mut outgoing = Outgoing::clone(outgoing);
        self.on_worker(move || match this.set_aside(&buffer, &mut outgoing)? {
            0 => Err(error),
            _ => Ok(Arc::new(outgoing)),
        })
        .await
    }

    /// Writes the files of one buffer. Nothing refers to them until the commit that is returned.
    fn write_buffer(&self, buffer: &Buffer, outgoing: &Outgoing) -> Result<Commit, StoreError> {
        let below = buffer.lo - 1;
        let views = &outgoing.views;
        let mut commit = Commit::new(self.clock.now());
        for skewed in [false, true] {
            let of = || {
                views
                    .iter()
                    .filter(move |(_, view)| view.home.skewed == skewed)
            };
            let spans = of()
                .flat_map(|(key, view)| span_rows(&key.project, view, below))
                .collect();
            let messages = of()
                .flat_map(|(key, view)| message_rows(&key.project, view, below))
                .collect();
            let traces = of()
                .map(|(key, view)| trace_entry(&key.project, view))
                .collect();
            commit.added.extend(self.write_l0(buffer, skewed, spans)?);
            commit
                .added
                .extend(self.write_l0(buffer, skewed, messages)?);
            commit.added.extend(self.write_l0(buffer, skewed, traces)?);
        }
        commit.hides = replaced_rows(views, below);
        self.write_grades(buffer, &outgoing.grades, &mut commit)?;
        self.add_deletions(buffer, &mut commit);
        let node = self.config.node.clone();
        commit.cursor = Some(Cursor {
            node,
            flushed_seq: buffer.hi,
        });
        Ok(commit)
    }

    /// Writes the grades of a buffer, of each key the newest, and hides what they replace in files.
    fn write_grades(
        &self,
        buffer: &Buffer,
        grades: &[Arc<GradeBatch>],
        commit: &mut Commit,
    ) -> Result<(), StoreError> {
        let catalog = self.catalog.current();
        let (mut plain, mut skewed) = (Vec::new(), Vec::new());
        for of_project in grades.chunk_by(|a, b| a.project == b.project) {
            let rows = newest(of_project.iter(), |_| true);
            let items = GradedItems::of(self, &catalog, &of_project[0].project);
            let replaced = items.may_hold(rows.iter().copied());
            commit.hides.extend(replaced.into_iter().map(|row| Hide {
                key: HideKey {
                    table: Table::Grades,
                    project_id: row.project.clone(),
                    trace_id: row.trace_id.clone(),
                    span_id: Some(row.id.clone()),
                },
                upto_seq: buffer.lo - 1,
            }));
            for row in rows {
                match Home::is_skewed(Some(row.grade.trace_started_at), row.grade.created_at) {
                    true => skewed.push(row.clone()),
                    false => plain.push(row.clone()),
                }
            }
        }
        commit.added.extend(self.write_l0(buffer, false, plain)?);
        commit.added.extend(self.write_l0(buffer, true, skewed)?);
        Ok(())
    }

    fn write_l0<R: LakeRow>(
        &self,
        buffer: &Buffer,
        skewed: bool,
        mut rows: Vec<R>,
    ) -> Result<Option<NewFile>, StoreError> {
        if rows.is_empty() {
            return Ok(None);
        }
        rows.sort_by(R::file_order);
        let footer = Footer {
            schema_version: SCHEMA_VERSION,
            store_id: self.store_id.to_string(),
            table: R::TABLE,
            level: Level::L0,
            node: self.config.node.clone(),
            lo: buffer.lo,
            hi: buffer.hi,
            partition: if skewed {
                Partition::Skewed
            } else {
                Partition::Mixed
            },
            part: u32::from(skewed),
            parts: 1,
            inputs: Vec::new(),
            // Its rows are newer than every hide that is committed now.
            hides_applied_v: self.catalog.current().version().0,
            created_at: self.clock.now(),
        };
        Ok(Some(write_rows(self, footer, &rows)?))
    }

    /// Deletions of the buffer's range: rows in files are hidden where there may be any, and the
    /// traces refused for a day.
    fn add_deletions(&self, buffer: &Buffer, commit: &mut Commit) {
        let catalog = self.catalog.current();
        for (key, seq) in &buffer.deleted {
            for table in Table::ALL {
                if catalog
                    .files(table)
                    .iter()
                    .any(|file| self.files.may_hold(file, key))
                {
                    commit.hides.push(whole_trace(table, key, *seq));
                }
            }
            commit.tombstones.push(Tombstone {
                project_id: key.project.clone(),
                trace_id: key.trace_id.clone(),
                deleted_at: commit.at,
                expires_at: commit.at.plus_micros(self.config.tombstone_ms * 1_000),
                upto_seq: *seq,
                erasure: Erasure::Pending,
            });
        }
    }
}

/// Returns the hides for rows in files that the rows of a flush take the place of.
fn replaced_rows(views: &[(TraceKey, TraceView)], below: i64) -> Vec<Hide> {
    let mut hides = Vec::new();
    for (key, view) in views {
        if let Some(upto) = view.flushed_row_seq {
            hides.push(whole_trace(Table::Traces, key, upto));
        }
        for live in &view.spans {
            if let Some(upto_seq) = live.replaces_below(below) {
                let key = HideKey {
                    table: Table::Spans,
                    project_id: key.project.clone(),
                    trace_id: key.trace_id.clone(),
                    span_id: Some(live.span.span_id.clone()),
                };
                hides.push(Hide { key, upto_seq });
            }
        }
    }
    hides
}

fn whole_trace(table: Table, key: &TraceKey, upto_seq: i64) -> Hide {
    let (project_id, trace_id) = (key.project.clone(), key.trace_id.clone());
    Hide {
        key: HideKey {
            table,
            project_id,
            trace_id,
            span_id: None,
        },
        upto_seq,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_sealed_by_bytes_by_age_and_when_the_clock_steps_back() {
        let at = Time::from_micros;
        let calm = Pressure {
            active_bytes: 1,
            active_since: Some(at(100)),
            now: at(100),
            buffer_bytes: 10,
            flush_age_micros: 50,
            sealed: 0,
            sealed_max: 2,
        };
        let check =
            |pressure: Pressure, want| assert_eq!(should_seal(&pressure), want, "{pressure:?}");
        check(calm, false);
        check(
            Pressure {
                active_bytes: 10,
                ..calm
            },
            true,
        );
        check(
            Pressure {
                now: at(150),
                ..calm
            },
            true,
        );
        check(
            Pressure {
                now: at(99),
                ..calm
            },
            true,
        );
        check(
            Pressure {
                active_since: None,
                active_bytes: 10,
                ..calm
            },
            false,
        );
        check(
            Pressure {
                active_bytes: 10,
                sealed: 2,
                ..calm
            },
            false,
        );
    }
}
