//! Rows and files for the tests of this module.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::{
    Content, DroppedCounts, Grade, GroupId, JsonText, JudgeUse, Message, MessageHash, NanoUsd,
    Outcome, Payload, ProjectId, Rank, Ranks, Source, Span, SpanError, SpanId, SpanStatus,
    SpanType, Time, TraceId, TraceItem, TraceRow, TraceStatus, UnscoredReason, Usage, Verdict,
};
use proptest::prelude::*;
use proptest::{collection::vec, option};

use super::*;

pub(super) fn footer(table: Table, level: Level) -> Footer {
    Footer {
        schema_version: SCHEMA_VERSION,
        store_id: "store".to_owned(),
        table,
        level,
        node: "n1".to_owned(),
        lo: 1,
        hi: 255,
        partition: Partition::Mixed,
        part: 0,
        parts: 0,
        inputs: vec!["spans/l0/a.parquet".to_owned()],
        hides_applied_v: 7,
        created_at: Time::from_micros(1_767_225_600_000_000),
    }
}

pub(super) fn project(name: &str) -> ProjectId {
    ProjectId::new(name).unwrap()
}

pub(super) fn trace(n: usize) -> TraceId {
    // Ids are random to the file's order, as hex ids are.
    TraceId::new(&blake3::hash(&n.to_le_bytes()).to_hex()[..32]).unwrap()
}

/// Returns the `n`th span of a trace, with a payload of about `bytes`.
pub(crate) fn span_row(project_name: &str, trace_n: usize, n: usize, bytes: usize) -> SpanRow {
    let home = Time::from_micros(1_767_225_600_000_000 + trace_n as i64 * 1_000_000);
    let span_id = SpanId::new(&format!("span_{trace_n}_{n}")).unwrap();
    let mut span = Span::new(
        trace(trace_n),
        span_id,
        SpanType::Generation,
        Source::Openai,
    );
    span.started_at = Some(home.plus_micros(n as i64 * 1_000));
    span.ended_at = Some(home.plus_micros(n as i64 * 1_000 + 900));
    span.status = SpanStatus::Success;
    span.name = format!("call {}", n % 7);
    span.payload.data = Some(JsonText::from_trusted(noise(trace_n * 1_000 + n, bytes)));
    SpanRow {
        project: project(project_name),
        span: Arc::new(span),
        trace_started_at: home,
        received_at: home.plus_micros(5_000),
        seq: (trace_n * 100 + n) as i64,
    }
}

/// Returns a JSON string of about `bytes` that does not compress well.
pub(super) fn noise(seed: usize, bytes: usize) -> String {
    let mut reader = blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof();
    let mut random = vec![0; bytes / 2];
    reader.fill(&mut random);
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n & 15)]);
    let mut text = String::with_capacity(bytes + 2);
    text.push('"');
    text.extend(
        random
            .iter()
            .flat_map(|&byte| [digit(byte >> 4), digit(byte)]),
    );
    text.push('"');
    text
}

pub(super) fn message_row(project_name: &str, trace_n: usize, n: usize, text: &str) -> MessageRow {
    let home = Time::from_micros(1_767_225_600_000_000 + trace_n as i64 * 1_000_000);
    let content = Bytes::from(format!("{{\"content\":\"{text}\"}}"));
    let hash = MessageHash::of(&content);
    MessageRow {
        project: project(project_name),
        message: Message {
            trace_id: trace(trace_n),
            hash,
            role: "user".into(),
            content,
        },
        ordinal: n as i64,
        trace_started_at: home,
        seq: n as i64,
    }
}

/// Sorts the rows, writes them as one file, and returns its bytes and its summary.
pub(super) fn write_file<R: LakeRow>(rows: &[R], limits: WriterLimits) -> (Bytes, FileSummary) {
    let mut rows = rows.to_vec();
    rows.sort_by(R::file_order);
    let footer = footer(R::TABLE, Level::L0);
    let mut writer = LakeWriter::new(Vec::new(), footer, limits, |_, _| Ok(())).unwrap();
    writer.write_rows::<R, R>(&rows).unwrap();
    let Finished { sink, summary } = writer.finish(1).unwrap();
    (sink.into(), summary)
}

pub(super) fn open(bytes: Bytes) -> LakeFile {
    LakeFile::open("the file", Arc::new(bytes)).unwrap()
}

pub(super) fn rows_of<R: LakeRow>(
    batches: impl IntoIterator<Item = arrow::array::RecordBatch>,
) -> Vec<R> {
    batches
        .into_iter()
        .flat_map(|batch| decode::<R>(&batch).unwrap())
        .collect()
}

/// A file that counts what is read of it.
pub(super) struct Counted {
    pub(super) bytes: Bytes,
    pub(super) read: AtomicU64,
    /// Bytes that must not be read.
    pub(super) forbidden: parking_lot::Mutex<Vec<std::ops::Range<u64>>>,
}

impl Counted {
    pub(super) fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            read: AtomicU64::new(0),
            forbidden: Vec::new().into(),
        })
    }

    /// Returns the bytes read since the last call.
    pub(super) fn take(&self) -> u64 {
        self.read.swap(0, Ordering::SeqCst)
    }
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        ReadAt::len(&self.bytes)
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.read.fetch_add(len as u64, Ordering::SeqCst);
        let end = offset + len as u64;
        let hit = self
            .forbidden
            .lock()
            .iter()
            .any(|range| offset < range.end && range.start < end);
        assert!(!hit, "read {len} forbidden bytes at {offset}");
        self.bytes.read_at(offset, len)
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{1,8}",
        "\\PC{0,20}",
        Just("späße 🦀\n\"\\u0000".to_owned())
    ]
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[a-f0-9]{4}", "\\PC{1,20}", Just("x".repeat(256))]
}

fn json() -> impl Strategy<Value = Option<JsonText>> {
    option::of(
        text().prop_map(|text| JsonText::from_trusted(serde_json::to_string(&text).unwrap())),
    )
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

/// The years 1960 to 2110, and the ends of what a row can hold.
pub(super) fn time() -> impl Strategy<Value = Time> {
    let micros = prop_oneof![
        -315_619_200_000_000i64..4_417_977_600_000_000,
        Just(0),
        Just(4_102_444_800_000_000),
        Just(i64::MIN),
        Just(i64::MAX)
    ];
    micros.prop_map(Time::from_micros)
}

fn word<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-0.5), 0.0..1e9, Just(f64::MAX)]
}

fn usage() -> impl Strategy<Value = Usage> {
    let count = || option::of(any::<i64>());
    (count(), count(), count(), count()).prop_map(|(input, cached, output, reasoning)| Usage {
        input_tokens: input,
        cached_tokens: cached,
        output_tokens: output,
        reasoning_tokens: reasoning,
    })
}

fn money() -> impl Strategy<Value = Option<NanoUsd>> {
    option::of(any::<i64>().prop_map(NanoUsd))
}

fn hashes() -> impl Strategy<Value = Vec<MessageHash>> {
    vec(any::<[u8; 16]>().prop_map(MessageHash), 0..4)
}

fn payload() -> impl Strategy<Value = Payload> {
    let texts = (json(), json(), json(), json(), json(), json(), json());
    (hashes(), hashes(), texts, any::<(u32, u32, u32)>()).prop_map(
        |(
            input_refs,
            output_refs,
            (data, attributes, resource, scope, events, links, extra),
            n,
        )| {
            let dropped = DroppedCounts {
                attributes: n.0,
                events: n.1,
                links: n.2,
            };
            Payload {
                input_refs,
                output_refs,
                data,
                attributes,
                resource,
                scope,
                events,
                links,
                extra,
                dropped,
            }
        },
    )
}

fn error() -> impl Strategy<Value = Option<SpanError>> {
    option::of(
        (text(), text(), json()).prop_map(|(kind, message, data)| SpanError {
            kind,
            message,
            data,
        }),
    )
}

prop_compose! {
    fn span()(
        ids in (id(), id(), option::of(id()), option::of(id())),
        span_type in word(SpanType::ALL),
        source in word(Source::ALL),
        status in word(SpanStatus::ALL),
        texts in (text(), text(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe(), maybe()),
        previews in (maybe(), maybe()),
        times in (option::of(time()), option::of(time()), option::of(number())),
        flags in any::<(bool, bool, bool, Option<bool>)>(),
        error in error(),
        usage in usage(),
        cost in money(),
        payload in payload(),
    ) -> Span {
        let span_id = |text: &String| SpanId::new(text).unwrap();
        let trace_id = TraceId::new(&ids.0).unwrap();
        let (source_type, name, agent, model, provider, finish_reason, tool_call_id, from, to, guardrail_type) = texts;
        Span {
            parent_id: ids.2.as_ref().map(span_id),
            merged_into: ids.3.as_ref().map(span_id),
            source_type, name, agent, model, provider, finish_reason, tool_call_id, guardrail_type,
            handoff_from: from,
            handoff_to: to,
            input_preview: previews.0,
            output_preview: previews.1,
            started_at: times.0,
            ended_at: times.1,
            ttft_ms: times.2,
            noise: flags.0,
            derived: flags.1,
            cost_assumed: flags.2,
            triggered: flags.3,
            status, error, usage, cost, payload,
            ..Span::new(trace_id, span_id(&ids.1), span_type, source)
        }
    }
}

pub(super) fn any_span_row() -> impl Strategy<Value = SpanRow> {
    (id(), span(), time(), time(), any::<i64>()).prop_map(
        |(project, span, home, received_at, seq)| SpanRow {
            project: ProjectId::new(&project).unwrap(),
            span: Arc::new(span),
            trace_started_at: home,
            received_at,
            seq,
        },
    )
}

pub(super) fn any_message_row() -> impl Strategy<Value = MessageRow> {
    (id(), id(), text(), text(), time(), any::<(i64, i64)>()).prop_map(
        |(project, trace_id, role, text, home, (ordinal, seq))| {
            let content = Bytes::from(text);
            let hash = MessageHash::of(&content);
            let trace_id = TraceId::new(&trace_id).unwrap();
            MessageRow {
                project: ProjectId::new(&project).unwrap(),
                message: Message {
                    trace_id,
                    hash,
                    role: role.into(),
                    content,
                },
                ordinal,
                trace_started_at: home,
                seq,
            }
        },
    )
}

prop_compose! {
    fn item()(
        ids in (id(), option::of(id())),
        source in word(Source::ALL),
        texts in (maybe(), maybe(), maybe(), maybe(), maybe()),
        tags in option::of(vec(text(), 0..3)),
        json in (json(), json()),
        ended in any::<Option<bool>>(),
        told in (any::<bool>(), option::of(time()), option::of(time())),
    ) -> TraceItem {
        let (workflow_name, user_id, agent_id, version, environment) = texts;
        TraceItem {
            workflow_name, user_id, agent_id, version, environment, tags, ended,
            group_id: ids.1.as_ref().map(|text| GroupId::new(text).unwrap()),
            metadata: json.0,
            extra: json.1,
            ranks: Ranks::all(Rank::of_span(told.0, told.1, told.2)),
            ..TraceItem::new(TraceId::new(&ids.0).unwrap(), source)
        }
    }
}

prop_compose! {
    pub(super) fn any_trace_entry()(
        project in id(),
        item in item(),
        words in (word(TraceStatus::ALL), word(Content::ALL)),
        texts in (maybe(), maybe(), maybe(), maybe(), maybe()),
        error_span_id in option::of(id()),
        told in (option::of(time()), option::of(time())),
        times in (time(), time(), time()),
        numbers in (option::of(number()), number(), number(), number()),
        counts in any::<[i64; 10]>(),
        usage in usage(),
        cost in money(),
        flags in any::<(bool, bool, bool, bool)>(),
        lists in (vec(text(), 0..3), vec(text(), 0..3), vec(text(), 0..3), vec(text(), 0..3)),
    ) -> TraceEntry {
        let (error_type, error_message, tokens_source, input_preview, output_preview) = texts;
        let (models, agents, tool_sequence, handoff_sequence) = lists;
        let row = TraceRow {
            item,
            settled_status: words.0,
            content: words.1,
            rooted: flags.0,
            cost_complete: flags.1,
            cost_assumed: flags.2,
            lists_cut: flags.3,
            error_type, error_message, tokens_source, input_preview, output_preview,
            error_span_id: error_span_id.as_ref().map(|text| SpanId::new(text).unwrap()),
            started_at: told.0,
            ended_at: told.1,
            duration_ms: numbers.0,
            llm_ms: numbers.1,
            tool_ms: numbers.2,
            overhead_ms: numbers.3,
            span_count: counts[0],
            generation_count: counts[1],
            tool_call_count: counts[2],
            tool_errors: counts[3],
            handoff_count: counts[4],
            guardrail_trips: counts[5],
            open_spans: counts[6],
            lost_spans: counts[7],
            first_seq: counts[8],
            seq: counts[9],
            usage, cost, models, agents, tool_sequence, handoff_sequence,
            first_received_at: times.0,
            last_received_at: times.1,
        };
        TraceEntry {
            project: ProjectId::new(&project).unwrap(),
            row: Arc::new(row),
            home_started_at: times.2,
        }
    }
}

fn judge() -> impl Strategy<Value = JudgeUse> {
    let texts = (text(), json(), maybe());
    let tokens = any::<(Option<i64>, Option<i64>, Option<i64>)>();
    (texts, tokens, money(), option::of(number()), any::<bool>()).prop_map(
        |((model, params, prompt_hash), (input, cached_tokens, output), cost, latency, cached)| {
            JudgeUse {
                model,
                params,
                prompt_hash,
                input_tokens: input,
                cached_tokens,
                output_tokens: output,
                cost,
                latency_ms: latency,
                cached,
            }
        },
    )
}

prop_compose! {
    fn verdict()(
        outcome in word(Outcome::ALL),
        (score, confidence) in (option::of(number()), option::of(number())),
        (label, reasoning) in (maybe(), maybe()),
        unscored_reason in option::of(word(UnscoredReason::ALL)),
        citations in vec(id(), 0..4),
        vacuous in any::<bool>(),
        judge in option::of(judge().boxed()),
    ) -> Verdict {
        let citations = citations.iter().map(|text| SpanId::new(text).unwrap()).collect();
        Verdict {
            outcome, score, label, unscored_reason, reasoning, citations, confidence, vacuous, judge,
        }
    }
}

prop_compose! {
    pub(crate) fn any_grade()(
        (run_id, item_id, grader_id) in (text(), id(), text()),
        (grader_name, grader_hash) in (text(), text()),
        (attempt, grader_version) in any::<(u32, u32)>(),
        (trace_id, span_id, group_id) in (option::of(id()), option::of(id()), option::of(id())),
        (stratum, weight) in (maybe(), number()),
        // Boxed: the tree of a grade is too large for the stack of a test.
        verdict in verdict().boxed(),
        (created_at, trace_started_at) in (time(), time()),
    ) -> Grade {
        Grade {
            run_id, item_id, attempt, grader_id, grader_name, grader_version, grader_hash, stratum,
            trace_id: trace_id.map(|text| TraceId::new(&text).unwrap()),
            span_id: span_id.map(|text| SpanId::new(&text).unwrap()),
            group_id: group_id.map(|text| GroupId::new(&text).unwrap()),
            weight, verdict, created_at, trace_started_at,
        }
    }
}

pub(super) fn any_grade_row() -> impl Strategy<Value = GradeRow> {
    (id(), any_grade().boxed(), any::<i64>()).prop_map(|(project, grade, seq)| GradeRow {
        seq,
        ..GradeRow::new(&ProjectId::new(&project).unwrap(), grade).unwrap()
    })
}
