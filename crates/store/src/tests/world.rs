//! A store on a simulated disk and an account of what it must hold.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use model::payload::{Side, Writer, restore};
use model::{
    Batch, Clock, FixedClock, Grade, Message, MessageHash, Outcome, ProjectId, Source, Span,
    SpanId, SpanStatus, SpanType, Time, TraceId, TraceItem, Verdict,
};
use tempfile::TempDir;

use crate::append::AppendError;
use crate::disk::faulty::FaultyDisk;
use crate::engine::StoreError;
use crate::lake::{Columns, Table};
use crate::{GradeFilter, Rebuilt, Store, StoreConfig, TraceBounds, rebuild_catalog};

/// 2026-01-02T03:04:05Z.
pub(super) const NOW: Time = Time::from_micros(1_767_323_045_000_000);

/// Every version of a span that was sent, oldest first, and how many of them were acknowledged.
#[derive(Debug, Default, Clone)]
struct Sent {
    versions: Vec<Version>,
}

#[derive(Debug, Clone, PartialEq)]
struct Version {
    name: String,
    ended: bool,
    acked: bool,
}

/// What a grade said, and whether it was acknowledged.
#[derive(Debug, Clone)]
struct Said {
    reasoning: String,
    acked: bool,
}

/// A store and what it must hold.
#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: FaultyDisk,
    pub(super) clock: Arc<FixedClock>,
    pub(super) store: Option<Store>,
    pub(super) project: ProjectId,
    dir: TempDir,
    config: StoreConfig,
    sent: BTreeMap<(TraceId, SpanId), Sent>,
    /// What was said of each trace by a grade, by the grade's id: each said something else.
    graded: BTreeMap<(TraceId, String), Vec<Said>>,
    deleted: HashSet<TraceId>,
    /// Traces whose deletion was not answered: they may be gone, and refused, or not.
    unknown: HashSet<TraceId>,
    counter: u64,
}

/// Grades by trace and id.
pub(super) type Grades = BTreeMap<(TraceId, String), Grade>;

/// A span to be sent.
#[derive(Debug, Clone)]
pub(super) struct Sketch {
    pub(super) trace: String,
    pub(super) span: String,
    pub(super) ended: bool,
    pub(super) started_at: Option<Time>,
    pub(super) messages: Vec<String>,
}

/// Returns a span of a trace that has ended.
pub(super) fn span(trace: &str, span: &str) -> Sketch {
    Sketch {
        trace: trace.to_owned(),
        span: span.to_owned(),
        ended: true,
        started_at: Some(NOW),
        messages: vec![format!("\"history of {trace}\"")],
    }
}

impl World {
    /// Opens an empty store. Flushes, merges and erasures run when a test says so.
    pub(super) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(super) async fn with(adjust: impl FnOnce(&mut StoreConfig)) -> Self {
        let shm = std::path::Path::new("/dev/shm");
        let dir = match shm.is_dir() {
            true => tempfile::tempdir_in(shm),
            false => tempfile::tempdir(),
        };
        let dir = dir.expect("a folder for the databases");
        let mut config = StoreConfig::new(dir.path());
        config.background = false;
        config.wal_segment_bytes = 256 << 10;
        config.free_bytes_min = 0;
        adjust(&mut config);
        let mut world = Self {
            disk: FaultyDisk::new(),
            clock: Arc::new(FixedClock::at(NOW)),
            store: None,
            project: ProjectId::new("default").expect("a name"),
            dir,
            config,
            sent: BTreeMap::new(),
            graded: BTreeMap::new(),
            deleted: HashSet::new(),
            unknown: HashSet::new(),
            counter: 0,
        };
        world.open().await.expect("an empty store opens");
        world
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    pub(super) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(super) fn config(&self) -> &StoreConfig {
        &self.config
    }

    pub(super) async fn open(&mut self) -> Result<(), StoreError> {
        let disk = Arc::new(self.disk.clone());
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        self.store = Some(Store::open(self.config.clone(), clock, disk).await?);
        Ok(())
    }

    /// Ends the process without a word.
    pub(super) async fn kill(&mut self) {
        if let Some(store) = self.store.take() {
            store.crash().await;
        }
    }

    /// Ends the process, drops what was not synced, and starts again.
    pub(super) async fn power_cut(&mut self, seed: u64) {
        self.kill().await;
        self.disk = self.disk.power_cut(seed);
        self.open().await.unwrap_or_else(|error| {
            panic!(
                "seed {seed}: the store opens after a power cut: {}",
                crate::lanes::chain(&error)
            )
        });
    }

    /// Ends the process and starts again on the same disk, whole.
    pub(super) async fn restart(&mut self) {
        self.kill().await;
        self.disk.heal();
        self.open().await.expect("the store opens after a kill");
    }

    /// Ends the process, loses the catalog, makes a new one and starts again.
    pub(super) async fn lose_catalog(&mut self, what: &str) -> Rebuilt {
        self.kill().await;
        self.disk.heal();
        for ending in ["", "-wal", "-shm"] {
            // The journal is there or not, as the databases were closed.
            drop(std::fs::remove_file(
                self.dir.path().join(format!("catalog.db{ending}")),
            ));
        }
        let disk = Arc::new(self.disk.clone());
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let rebuilt = rebuild_catalog(&self.config, clock, disk)
            .await
            .unwrap_or_else(|e| panic!("{what}: a new catalog: {}", crate::lanes::chain(&e)));
        self.open()
            .await
            .unwrap_or_else(|e| panic!("{what}: opens: {}", crate::lanes::chain(&e)));
        rebuilt
    }

    /// Sends spans in one batch and notes what became of it.
    pub(super) async fn send(&mut self, sketches: &[Sketch]) -> Result<i64, AppendError> {
        let batch = self.batch(sketches);
        self.send_batch(batch).await
    }

    /// Makes a batch, each span with a name that no other version has.
    pub(super) fn batch(&mut self, sketches: &[Sketch]) -> Batch {
        let mut batch = Batch::default();
        for sketch in sketches {
            self.counter += 1;
            let (span, messages) = build(sketch, &format!("v{}", self.counter));
            batch.spans.push(span);
            for message in messages {
                if !batch
                    .messages
                    .iter()
                    .any(|m: &Message| m.hash == message.hash && m.trace_id == message.trace_id)
                {
                    batch.messages.push(message);
                }
            }
        }
        batch
    }

    pub(super) async fn send_batch(&mut self, batch: Batch) -> Result<i64, AppendError> {
        let sent = batch.clone();
        let answer = self.append(batch).await;
        for span in &sent.spans {
            let key = (span.trace_id.clone(), span.span_id.clone());
            let version = Version {
                name: span.name.clone(),
                ended: span.has_ended(),
                acked: answer.is_ok(),
            };
            self.sent.entry(key).or_default().versions.push(version);
        }
        answer
    }

    /// Sends a batch that the account knows nothing of.
    pub(super) async fn append(&self, batch: Batch) -> Result<i64, AppendError> {
        let store = self.store().clone();
        let (project, now) = (self.project.clone(), self.clock.now());
        let prepared = tokio::task::spawn_blocking(move || {
            (store.prepare(&project, Source::Openai, now, batch), store)
        });
        let (prepared, store) = prepared.await.expect("preparing does not panic");
        store.append(prepared?).await.map(|ack| ack.seq)
    }

    /// Appends a grade by each of these graders, each trace's once, and notes what became of it.
    pub(super) async fn grade(
        &mut self,
        run: &str,
        trace: &str,
        graders: &[&str],
    ) -> Result<i64, AppendError> {
        let mut grades = Vec::new();
        for grader in graders {
            self.counter += 1;
            grades.push(grade(run, trace, grader, &format!("v{}", self.counter)));
        }
        let answer = self
            .store()
            .append_grades(&self.project, grades.clone())
            .await;
        for grade in grades {
            let key = (TraceId::new(trace).expect("an id"), grade.id());
            let said = Said {
                reasoning: grade.verdict.reasoning.expect("each has one"),
                acked: answer.is_ok(),
            };
            self.graded.entry(key).or_default().push(said);
        }
        answer.map(|ack| ack.seq)
    }

    /// Returns the grades that can be read, by trace and id: D2, each id once.
    pub(super) fn grades(&self, what: &str, filter: &GradeFilter) -> Grades {
        let snapshot = self.store().snapshot(&self.project);
        let mut found = Grades::new();
        let read = snapshot.for_each_grade(filter, &mut |grade| {
            let trace_id = TraceId::new(&grade.item_id).expect("an id");
            let again = found.insert((trace_id, grade.id()), grade);
            assert!(
                again.is_none(),
                "{what}: D2: a grade is there twice: {again:?}"
            );
            ControlFlow::Continue(())
        });
        read.unwrap_or_else(|error| panic!("{what}: grades are readable: {error}"));
        found
    }

    fn check_grades(&self, what: &str) {
        let filter = GradeFilter {
            with_texts: true,
            ..GradeFilter::default()
        };
        let found = self.grades(what, &filter);
        for ((trace_id, id), said) in &self.graded {
            let last_acked = said.iter().rposition(|said| said.acked);
            let allowed = &said[last_acked.unwrap_or(0)..];
            match found.get(&(trace_id.clone(), id.clone())) {
                None => assert!(last_acked.is_none(), "{what}: D1: {trace_id}/{id} is lost"),
                Some(grade) => assert!(
                    allowed
                        .iter()
                        .any(|said| grade.verdict.reasoning.as_ref() == Some(&said.reasoning)),
                    "{what}: {trace_id}/{id} says {grade:?}, not one of {allowed:?}"
                ),
            }
        }
        for (trace_id, id) in found.keys() {
            assert!(
                !self.deleted.contains(trace_id),
                "{what}: D6: the grade {id} of {trace_id}, which was deleted"
            );
        }
    }

    /// Compares what is read of many traces at once with what is read of each.
    pub(super) fn check_bulk(&self, what: &str) {
        self.check(what);
        let snapshot = self.store().snapshot(&self.project);
        let mut entries = Vec::new();
        let columns = Columns::all(Table::Traces);
        let taken = snapshot.for_each_trace(TraceBounds::default(), &columns, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        });
        taken.expect("trace rows are readable");
        let traces: Vec<(TraceId, Time)> = entries
            .iter()
            .map(|entry| (entry.row.item.trace_id.clone(), entry.home_started_at))
            .collect();
        let distinct: BTreeSet<_> = traces.iter().map(|(id, _)| id).collect();
        assert_eq!(
            distinct.len(),
            traces.len(),
            "{what}: D2: a trace has a row"
        );
        let columns = Columns::all(Table::Spans);
        let many = snapshot.spans_of_many(&traces, &columns);
        let mut many = many.expect("many traces are readable at once");
        let told = snapshot.texts_of_many(&traces, usize::MAX);
        let mut told = told.expect("they are readable").expect("there is room");
        for entry in &entries {
            let alone = snapshot.spans(entry, &columns).expect("spans are readable");
            let id = &entry.row.item.trace_id;
            let texts = snapshot.messages(id).expect("messages are readable");
            let silent = HashMap::new();
            for (found, texts) in [(many.remove(id), silent), (told.remove(id), texts)] {
                let found = found.expect("it is there");
                assert_eq!(found.entry, *entry, "{what}");
                assert_eq!(found.spans, alone, "{what}");
                assert_eq!(found.messages, texts, "{what}");
            }
        }
        let is_silent = snapshot
            .texts_of_many(&traces, 0)
            .expect("they are readable");
        let spans: i64 = entries.iter().map(|entry| entry.row.span_count).sum();
        assert_eq!(is_silent.is_none(), spans > 0, "{what}: no room");
        // Of what came later than half of it no row is missed.
        let mut seqs: Vec<i64> = entries.iter().map(|entry| entry.row.seq).collect();
        seqs.sort_unstable();
        let above_seq = seqs.get(seqs.len() / 2).copied();
        let bounds = TraceBounds {
            above_seq,
            ..TraceBounds::default()
        };
        let mut later = 0;
        let taken = snapshot.for_each_trace(bounds, &Columns::all(Table::Traces), &mut |_| {
            later += 1;
            ControlFlow::Continue(())
        });
        taken.expect("trace rows are readable");
        let expected = seqs.iter().filter(|seq| Some(**seq) > above_seq).count();
        assert_eq!(later, expected, "{what}: behind {above_seq:?}");
    }

    pub(super) async fn delete(&mut self, trace: &str) {
        let trace_id = TraceId::new(trace).expect("an id");
        let deleted = self
            .store()
            .delete_traces(&self.project, vec![trace_id.clone()])
            .await;
        deleted.expect("the deletion is acknowledged");
        self.note_deleted(&trace_id);
    }

    pub(super) fn note_deleted(&mut self, trace_id: &TraceId) {
        self.forget_sent(trace_id);
        self.deleted.insert(trace_id.clone());
    }

    /// Says nothing more of a trace.
    pub(super) fn forget_sent(&mut self, trace_id: &TraceId) {
        self.sent.retain(|(id, _), _| id != trace_id);
        self.graded.retain(|(id, _), _| id != trace_id);
    }

    /// Says nothing more of the grades of a run.
    pub(super) fn forget_run(&mut self, run: &str) {
        let run = Grade::run_part(run);
        self.graded.retain(|(_, id), _| !id.starts_with(&run));
    }

    /// Notes that nothing can be said of a trace from now on.
    pub(super) fn note_unknown(&mut self, trace_id: &TraceId) {
        self.forget_sent(trace_id);
        self.unknown.insert(trace_id.clone());
    }

    pub(super) fn is_deleted(&self, trace: &str) -> bool {
        self.deleted
            .iter()
            .chain(&self.unknown)
            .any(|id| id.as_str() == trace)
    }

    /// Checks, unless the process is about to die: reading is an operation too.
    pub(super) fn check_if_alive(&self, what: &str) {
        if !self.disk.is_doomed() {
            self.check(what);
        }
    }

    /// Compares what can be read with what must be there: D1, D2, D6, D7.
    pub(super) fn check(&self, what: &str) {
        self.check_grades(what);
        let snapshot = self.store().snapshot(&self.project);
        let mut traces: BTreeMap<&TraceId, Vec<(&SpanId, &Sent)>> = BTreeMap::new();
        for ((trace_id, span_id), sent) in &self.sent {
            traces.entry(trace_id).or_default().push((span_id, sent));
        }
        for (trace_id, expected) in &traces {
            let rows = snapshot
                .spans_of(trace_id, None, &Columns::all(Table::Spans))
                .expect("spans are readable");
            let messages = snapshot.messages(trace_id).expect("messages are readable");
            for (span_id, sent) in expected {
                let found: Vec<_> = rows
                    .iter()
                    .filter(|row| row.span.span_id == **span_id)
                    .collect();
                let allowed = sent.allowed();
                match found[..] {
                    [] => assert!(
                        sent.may_be_missing(),
                        "{what}: D1: {trace_id}/{span_id} is lost; {sent:?}"
                    ),
                    [row] => {
                        assert!(
                            allowed.contains(&row.span.name.as_str()),
                            "{what}: {trace_id}/{span_id} is {}, not one of {allowed:?}; {sent:?}",
                            row.span.name
                        );
                        self.check_content(what, &row.span, &messages);
                    }
                    _ => panic!(
                        "{what}: D2: {trace_id}/{span_id} is there {} times",
                        found.len()
                    ),
                }
            }
            let row = snapshot.trace(trace_id).expect("trace rows are readable");
            if let Some(entry) = &row {
                let by_home = snapshot.spans(entry, &Columns::all(Table::Spans));
                let by_home = by_home.expect("spans are readable");
                assert_eq!(by_home, rows, "{what}: the home of {trace_id} is frozen");
            }
            let count = row.map_or(0, |entry| entry.row.span_count);
            assert_eq!(
                count,
                rows.len() as i64,
                "{what}: the row of {trace_id} counts its spans"
            );
        }
        for trace_id in &self.deleted {
            let rows = snapshot
                .spans_of(trace_id, None, &Columns::narrow(Table::Spans))
                .expect("spans are readable");
            assert!(rows.is_empty(), "{what}: D6: {trace_id} was deleted");
            assert!(
                snapshot.trace(trace_id).expect("readable").is_none(),
                "{what}: D6: {trace_id}"
            );
        }
    }

    fn check_content(
        &self,
        what: &str,
        span: &Span,
        messages: &std::collections::HashMap<MessageHash, Message>,
    ) {
        let payload = &span.payload;
        let data = payload.data.as_ref().expect("every test span has data");
        let text = restore(
            data.as_str(),
            &payload.input_refs,
            &payload.output_refs,
            |hash| messages.get(hash).map(Message::text),
        );
        let text = text.unwrap_or_else(|error| panic!("{what}: D7: {}: {error}", span.span_id));
        assert!(
            text.contains(&span.name),
            "{what}: the payload is the span's own"
        );
    }
}

impl Sent {
    /// Returns the names that the visible version may have: the winner among the acknowledged ones
    /// and whatever was sent after it, acknowledged or not.
    fn allowed(&self) -> Vec<&str> {
        let mut states: HashSet<Option<usize>> = HashSet::from([None]);
        for (index, version) in self.versions.iter().enumerate() {
            let apply = |state: &Option<usize>| match state {
                Some(held) if self.versions[*held].ended && !version.ended => *state,
                _ => Some(index),
            };
            let applied: HashSet<_> = states.iter().map(apply).collect();
            match version.acked {
                true => states = applied,
                // It may have reached the log before its process died.
                false => states.extend(applied),
            }
        }
        states
            .into_iter()
            .flatten()
            .map(|index| self.versions[index].name.as_str())
            .collect()
    }

    fn may_be_missing(&self) -> bool {
        self.versions.iter().all(|version| !version.acked)
    }
}

/// Returns what a grader says of a trace in a run.
pub(super) fn grade(run: &str, trace: &str, grader: &str, reasoning: &str) -> Grade {
    Grade {
        run_id: run.to_owned(),
        item_id: trace.to_owned(),
        attempt: 1,
        grader_id: grader.to_owned(),
        grader_name: grader.to_owned(),
        grader_version: 1,
        grader_hash: "hash".to_owned(),
        trace_id: Some(TraceId::new(trace).expect("an id")),
        span_id: None,
        group_id: None,
        stratum: None,
        weight: 1.0,
        verdict: Verdict {
            reasoning: Some(reasoning.to_owned()),
            ..Verdict::new(Outcome::Pass)
        },
        created_at: NOW,
        trace_started_at: NOW,
    }
}

fn build(sketch: &Sketch, name: &str) -> (Span, Vec<Message>) {
    let trace_id = TraceId::new(&sketch.trace).expect("an id");
    let span_id = SpanId::new(&sketch.span).expect("an id");
    let mut span = Span::new(
        trace_id.clone(),
        span_id,
        SpanType::Generation,
        Source::Openai,
    );
    span.name = name.to_owned();
    span.started_at = sketch.started_at;
    if sketch.ended {
        span.status = SpanStatus::Success;
        span.ended_at = sketch.started_at.map(|at| at.plus_micros(1_000));
    }
    let messages: Vec<_> = sketch
        .messages
        .iter()
        .map(|text| message(&trace_id, text))
        .collect();
    span.payload.input_refs = messages.iter().map(|message| message.hash).collect();
    let mut data = Writer::default();
    data.push_text(&format!("{{\"name\":\"{name}\",\"input\":["));
    if !messages.is_empty() {
        data.push_refs(Side::Input, 0, messages.len() - 1);
    }
    data.push_text("]}");
    span.payload.data = Some(data.finish());
    (span, messages)
}

fn message(trace_id: &TraceId, text: &str) -> Message {
    Message {
        trace_id: trace_id.clone(),
        hash: MessageHash::of(text.as_bytes()),
        role: "user".into(),
        content: Bytes::copy_from_slice(text.as_bytes()),
    }
}

/// Returns an item that names the workflow of a trace.
pub(super) fn item(trace: &str, workflow: &str) -> TraceItem {
    let mut item = TraceItem::new(TraceId::new(trace).expect("an id"), Source::Openai);
    item.workflow_name = Some(workflow.to_owned());
    item
}
