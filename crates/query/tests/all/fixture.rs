//! A view put together by hand: files of several projects, rows in memory, hidden rows, any clock.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::{
    Content, Grade, Message, MessageHash, Outcome, ProjectId, Source, Span, SpanError, SpanId,
    SpanStatus, SpanType, Time, TraceId, TraceItem, TraceRow, TraceStatus, Usage, Verdict,
};
use query::{Engine, EngineConfig, Hidden, View, ViewError};
use store::ScanFile;
use store::catalog::FileId;
use store::lake::{
    Columns, Footer, GradeRow, LakeRow, LakeWriter, Level, MessageRow, Partition, SCHEMA_VERSION,
    SpanRow, Table, TraceEntry, TraceHash, TraceSet, WriterLimits, encode,
};
use tempfile::TempDir;

pub(crate) const SECOND: i64 = 1_000_000;

/// 2026-01-02T00:00:00Z and so many seconds.
pub(crate) fn at(seconds: i64) -> Time {
    Time::parse_rfc3339("2026-01-02T00:00:00Z")
        .unwrap()
        .plus_micros(seconds * SECOND)
}

pub(crate) fn project(name: &str) -> ProjectId {
    ProjectId::new(name).unwrap()
}

pub(crate) fn engine() -> Engine {
    Engine::new(EngineConfig {
        threads: 2,
        ..EngineConfig::default()
    })
    .unwrap()
}

/// A row of a table, with what a file is indexed by.
pub(crate) trait Row: LakeRow + PartialEq {
    fn project(&self) -> &ProjectId;
    fn trace_id(&self) -> &TraceId;
}

impl Row for TraceEntry {
    fn project(&self) -> &ProjectId {
        &self.project
    }
    fn trace_id(&self) -> &TraceId {
        &self.row.item.trace_id
    }
}

impl Row for SpanRow {
    fn project(&self) -> &ProjectId {
        &self.project
    }
    fn trace_id(&self) -> &TraceId {
        &self.span.trace_id
    }
}

impl Row for MessageRow {
    fn project(&self) -> &ProjectId {
        &self.project
    }
    fn trace_id(&self) -> &TraceId {
        &self.message.trace_id
    }
}

impl Row for GradeRow {
    fn project(&self) -> &ProjectId {
        &self.project
    }
    fn trace_id(&self) -> &TraceId {
        &self.trace_id
    }
}

/// Hidden rows: by trace, and by trace and span, up to a sequence number.
#[derive(Debug, Default, Clone)]
pub(crate) struct Hides(pub(crate) HashMap<(String, Option<String>), i64>);

impl Hidden for Hides {
    fn hides(&self, trace_id: &str, span_id: Option<&str>, seq: i64) -> bool {
        let upto = |span: Option<&str>| self.0.get(&(trace_id.to_owned(), span.map(str::to_owned)));
        let whole = upto(None).is_some_and(|upto| seq <= *upto);
        whole || span_id.is_some_and(|id| upto(Some(id)).is_some_and(|upto| seq <= *upto))
    }
}

/// Files of any projects, and the rows of one project in memory.
#[derive(Debug)]
pub(crate) struct Lake {
    pub(crate) dir: TempDir,
    files: Vec<(Table, BTreeMap<ProjectId, ScanFile>)>,
}

impl Lake {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            files: Vec::new(),
        }
    }

    /// Writes one file as the store does, which gives each project row groups of its own.
    pub(crate) fn write<R: Row>(&mut self, mut rows: Vec<R>) -> PathBuf {
        rows.sort_by(LakeRow::file_order);
        let number = self.files.len();
        let path = self
            .dir
            .path()
            .join(format!("{}-{number:05}.parquet", R::TABLE));
        let sink = File::create(&path).unwrap();
        let limits = WriterLimits::default();
        let mut writer = LakeWriter::new(sink, footer(R::TABLE), limits, |_, _| Ok(())).unwrap();
        writer.write_rows(&rows).unwrap();
        let summary = writer.finish(1).unwrap().summary;
        let hashes = rows
            .iter()
            .map(|row| TraceHash::of(row.project(), row.trace_id()));
        let trace_set = Arc::new(TraceSet::build(hashes));
        let parts = summary.projects.into_iter().map(|part| {
            let file = ScanFile {
                id: FileId(number as i64),
                path: path.clone(),
                bytes: summary.bytes,
                rows: part.rows as i64,
                row_groups: part.row_groups,
                min_time: part.min_time,
                max_time: part.max_time,
                trace_set: Some(Arc::clone(&trace_set)),
            };
            (part.project, file)
        });
        self.files.push((R::TABLE, parts.collect()));
        path
    }

    pub(crate) fn view(&self, project: &ProjectId, now: Time) -> Fake {
        let of = |(table, parts): &(Table, BTreeMap<ProjectId, ScanFile>)| {
            Some((*table, parts.get(project)?.clone()))
        };
        Fake {
            project: project.clone(),
            now,
            idle_micros: 600 * SECOND,
            files: self.files.iter().filter_map(of).collect(),
            traces: Vec::new(),
            spans: Vec::new(),
            messages: Vec::new(),
            grades: Vec::new(),
            hides: HashMap::new(),
        }
    }
}

fn footer(table: Table) -> Footer {
    Footer {
        schema_version: SCHEMA_VERSION,
        store_id: "fixture".to_owned(),
        table,
        level: Level::L0,
        node: "n1".to_owned(),
        lo: 1,
        hi: 1,
        partition: Partition::Mixed,
        part: 0,
        parts: 1,
        inputs: Vec::new(),
        hides_applied_v: 0,
        created_at: at(0),
    }
}

/// One project of a [`Lake`].
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    pub(crate) project: ProjectId,
    pub(crate) now: Time,
    pub(crate) idle_micros: i64,
    pub(crate) files: Vec<(Table, ScanFile)>,
    pub(crate) traces: Vec<TraceEntry>,
    pub(crate) spans: Vec<SpanRow>,
    pub(crate) messages: Vec<MessageRow>,
    pub(crate) grades: Vec<GradeRow>,
    pub(crate) hides: HashMap<Table, Hides>,
}

impl Fake {
    pub(crate) fn hide(&mut self, table: Table, trace_id: &str, span_id: Option<&str>, upto: i64) {
        let key = (trace_id.to_owned(), span_id.map(str::to_owned));
        self.hides.entry(table).or_default().0.insert(key, upto);
    }

    pub(crate) fn into_view(mut self) -> Arc<dyn View> {
        self.traces.sort_by(LakeRow::file_order);
        self.spans.sort_by(LakeRow::file_order);
        self.messages.sort_by(LakeRow::file_order);
        self.grades.sort_by(LakeRow::file_order);
        Arc::new(self)
    }
}

impl View for Fake {
    fn project(&self) -> &ProjectId {
        &self.project
    }

    fn now(&self) -> Time {
        self.now
    }

    fn idle_micros(&self) -> i64 {
        self.idle_micros
    }

    fn watermark(&self) -> Result<i64, ViewError> {
        Ok(1_000_000)
    }

    fn files(&self, table: Table) -> Vec<ScanFile> {
        self.files
            .iter()
            .filter(|(of, _)| *of == table)
            .map(|(_, file)| file.clone())
            .collect()
    }

    fn memory(&self, table: Table, projection: &[usize]) -> Result<RecordBatch, ViewError> {
        let columns = Columns::at(table, projection)?;
        Ok(match table {
            Table::Spans => encode::<SpanRow, SpanRow>(&self.spans, &columns)?,
            Table::Messages => encode::<MessageRow, MessageRow>(&self.messages, &columns)?,
            Table::Traces => encode::<TraceEntry, TraceEntry>(&self.traces, &columns)?,
            Table::Grades => encode::<GradeRow, GradeRow>(&self.grades, &columns)?,
        })
    }

    fn hidden(&self, table: Table) -> Option<Arc<dyn Hidden>> {
        self.hides
            .get(&table)
            .map(|hides| Arc::new(hides.clone()) as Arc<dyn Hidden>)
    }
}

/// A trace row that ended well a second after it began.
pub(crate) fn trace(
    project: &ProjectId,
    id: &str,
    started_at: Option<Time>,
    seq: i64,
) -> TraceEntry {
    let mut item = TraceItem::new(TraceId::new(id).unwrap(), Source::Openai);
    item.workflow_name = Some("support".to_owned());
    let received = started_at.unwrap_or(at(0)).plus_micros(SECOND);
    let row = TraceRow {
        item,
        settled_status: TraceStatus::Success,
        rooted: true,
        error_type: None,
        error_message: None,
        error_span_id: None,
        started_at,
        ended_at: started_at.map(|at| at.plus_micros(SECOND)),
        duration_ms: started_at.map(|_| 1_000.0),
        llm_ms: 500.0,
        tool_ms: 250.0,
        overhead_ms: 250.0,
        span_count: 2,
        generation_count: 1,
        tool_call_count: 1,
        tool_errors: 0,
        handoff_count: 0,
        guardrail_trips: 0,
        open_spans: 0,
        lost_spans: 0,
        usage: Usage {
            input_tokens: Some(100),
            output_tokens: Some(10),
            ..Usage::default()
        },
        tokens_source: Some("generation".to_owned()),
        cost: None,
        cost_complete: false,
        cost_assumed: false,
        models: vec!["gpt-5".to_owned()],
        agents: vec!["triage".to_owned()],
        tool_sequence: vec!["lookup".to_owned()],
        handoff_sequence: Vec::new(),
        lists_cut: false,
        input_preview: Some(format!("question of {id}")),
        output_preview: Some("answer".to_owned()),
        content: Content::Full,
        first_received_at: received,
        last_received_at: received,
        first_seq: seq,
        seq,
    };
    TraceEntry {
        project: project.clone(),
        row: Arc::new(row),
        home_started_at: started_at.unwrap_or(received),
    }
}

/// A grade of a trace in a run, logged as `seq`.
pub(crate) fn grade(
    project: &ProjectId,
    run_id: &str,
    trace_id: &str,
    verdict: Verdict,
    seq: i64,
) -> GradeRow {
    let grade = Grade {
        run_id: run_id.to_owned(),
        item_id: trace_id.to_owned(),
        attempt: 1,
        grader_id: "grader_polite".to_owned(),
        grader_name: "polite".to_owned(),
        grader_version: 1,
        grader_hash: "hash".to_owned(),
        trace_id: Some(TraceId::new(trace_id).unwrap()),
        span_id: None,
        group_id: None,
        stratum: None,
        weight: 1.0,
        verdict,
        created_at: at(seq),
        trace_started_at: at(seq),
    };
    GradeRow {
        seq,
        ..GradeRow::new(project, grade).unwrap()
    }
}

/// Changes the row of an entry.
pub(crate) fn with(mut entry: TraceEntry, change: impl FnOnce(&mut TraceRow)) -> TraceEntry {
    change(Arc::make_mut(&mut entry.row));
    entry
}

/// A tool call with one message in and one out.
pub(crate) fn span(
    project: &ProjectId,
    trace_id: &str,
    id: &str,
    started_at: Time,
    seq: i64,
) -> SpanRow {
    let mut span = Span::new(
        TraceId::new(trace_id).unwrap(),
        SpanId::new(id).unwrap(),
        SpanType::Function,
        Source::Openai,
    );
    span.name = format!("call {id}");
    span.started_at = Some(started_at);
    span.ended_at = Some(started_at.plus_micros(SECOND / 2));
    span.status = SpanStatus::Success;
    span.payload.data = Some(model::JsonText::parse(r#"{"city":"Zürich","n":1.0}"#).unwrap());
    SpanRow {
        project: project.clone(),
        span: Arc::new(span),
        trace_started_at: started_at,
        received_at: started_at.plus_micros(SECOND),
        seq,
    }
}

/// Changes the span of a row.
pub(crate) fn with_span(mut row: SpanRow, change: impl FnOnce(&mut Span)) -> SpanRow {
    change(Arc::make_mut(&mut row.span));
    row
}

/// A span's failure.
pub(crate) fn failure(kind: &str, message: &str) -> SpanError {
    SpanError {
        kind: kind.to_owned(),
        message: message.to_owned(),
        data: None,
    }
}

/// A message of a trace.
pub(crate) fn message(
    project: &ProjectId,
    trace_id: &str,
    content: &str,
    ordinal: i64,
) -> MessageRow {
    let content: bytes::Bytes = content.to_owned().into();
    let hash = MessageHash::of(&content);
    let trace_id = TraceId::new(trace_id).unwrap();
    MessageRow {
        project: project.clone(),
        message: Message {
            trace_id,
            hash,
            role: "user".into(),
            content,
        },
        ordinal,
        trace_started_at: at(0),
        seq: ordinal,
    }
}

/// Two projects in the same files; `other` has words that `mine` must never see.
pub(crate) fn demo() -> (Lake, Arc<dyn View>) {
    let (mine, other) = (project("mine"), project("other"));
    let mut lake = Lake::new();
    let mut traces = Vec::new();
    let mut spans = Vec::new();
    let mut messages = Vec::new();
    let mut grades = Vec::new();
    for n in 0..20 {
        let id = format!("t{n:02}");
        traces.push(with(trace(&mine, &id, Some(at(n)), n), |row| {
            row.tool_errors = n % 3
        }));
        traces.push(with(
            trace(&other, &format!("secret{n}"), Some(at(n)), n),
            |row| {
                row.item.workflow_name = Some("secret-workflow".to_owned());
                row.span_count = 1_000_000;
            },
        ));
        let text = format!("{{\"role\":\"user\",\"content\":\"question {n}\"}}");
        let row = message(&mine, &id, &text, n);
        let hash = row.message.hash;
        messages.push(row);
        messages.push(message(
            &other,
            &format!("secret{n}"),
            "\"secret-content\"",
            n,
        ));
        spans.push(with_span(span(&mine, &id, "s1", at(n), n), |span| {
            span.payload.input_refs = vec![hash, hash];
        }));
        spans.push(with_span(
            span(&other, &format!("secret{n}"), "s1", at(n), n),
            |span| {
                span.name = "secret-name".to_owned();
            },
        ));
        let verdict = Verdict {
            score: Some(f64::from(n as i32 % 5)),
            ..Verdict::new(if n % 4 == 0 {
                Outcome::Fail
            } else {
                Outcome::Pass
            })
        };
        grades.push(grade(&mine, "run_1", &id, verdict, n));
        let secret = Verdict {
            score: Some(1_000_000.0),
            label: Some("secret-label".to_owned()),
            reasoning: Some("secret-reasoning".to_owned()),
            ..Verdict::new(Outcome::Fail)
        };
        grades.push(grade(&other, "run_1", &format!("secret{n}"), secret, n));
    }
    lake.write(traces);
    lake.write(spans);
    lake.write(messages);
    lake.write(grades);
    let mut view = lake.view(&mine, at(100));
    view.traces.push(trace(&mine, "live", Some(at(50)), 50));
    let view = view.into_view();
    (lake, view)
}

/// Returns the rows of a batch as text.
pub(crate) fn values(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
        .collect();
    let row = |row| columns.iter().map(|c| c.value(row).to_string()).collect();
    (0..batch.num_rows()).map(row).collect()
}
