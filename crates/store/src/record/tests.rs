//! Every field comes back, and damaged bytes are errors.

use bytes::Bytes;
use model::{
    Batch, DroppedCounts, GroupId, JsonText, Message, MessageHash, NanoUsd, Payload, ProjectId,
    Rank, Ranks, Source, Span, SpanError, SpanId, SpanStatus, SpanType, Time, TraceId, TraceItem,
    Usage,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{
    BatchRecord, DeleteRecord, EncodedRecord, GradesRecord, RECORD_VERSION, Record, RecordError,
};
use crate::lake::samples::any_grade;

fn text() -> impl Strategy<Value = String> {
    "[a-zé🦀\"\\\\ ]{0,8}"
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    "trace_[0-4]".prop_map(|id| TraceId::new(&id).unwrap())
}

fn span_id() -> impl Strategy<Value = SpanId> {
    "span_[0-9é]{1,3}".prop_map(|id| SpanId::new(&id).unwrap())
}

fn json() -> impl Strategy<Value = JsonText> {
    vec(any::<f32>(), 0..4).prop_map(|numbers| JsonText::from_trusted(format!("{numbers:?}")))
}

fn time() -> impl Strategy<Value = Time> {
    any::<i64>().prop_map(Time::from_micros)
}

fn source() -> impl Strategy<Value = Source> {
    select(Source::ALL)
}

fn hashes() -> impl Strategy<Value = Vec<MessageHash>> {
    vec(any::<[u8; 16]>().prop_map(MessageHash), 0..4)
}

prop_compose! {
    fn item()(
        (trace_id, source) in (trace_id(), source()),
        texts in [of(text()), of(text()), of(text()), of(text()), of(text())],
        group_id in of("[a-z]{1,5}".prop_map(|id| GroupId::new(&id).unwrap())),
        tags in of(vec(text(), 0..3)),
        (metadata, extra, ended) in (of(json()), of(json()), any::<Option<bool>>()),
        (is_root, started_at, ended_at) in (any::<bool>(), of(time()), of(time())),
    ) -> TraceItem {
        let [workflow_name, user_id, agent_id, version, environment] = texts;
        TraceItem {
            trace_id, workflow_name, group_id, user_id, agent_id, version, environment, tags,
            metadata, extra, ended, source,
            ranks: Ranks::all(Rank::of_span(is_root, started_at, ended_at)),
        }
    }
}

prop_compose! {
    fn payload()(
        (input_refs, output_refs) in (hashes(), hashes()),
        texts in [of(json()), of(json()), of(json()), of(json()), of(json()), of(json()), of(json())],
        (attributes_dropped, events_dropped, links_dropped) in any::<(u32, u32, u32)>(),
    ) -> Payload {
        let [data, attributes, resource, scope, events, links, extra] = texts;
        let dropped = DroppedCounts {
            attributes: attributes_dropped, events: events_dropped, links: links_dropped,
        };
        Payload { input_refs, output_refs, data, attributes, resource, scope, events, links, extra, dropped }
    }
}

prop_compose! {
    fn error()((kind, message, data) in (text(), text(), of(json()))) -> SpanError {
        SpanError { kind, message, data }
    }
}

prop_compose! {
    fn span()(
        (trace_id, span_id, parent_id, merged_into) in (trace_id(), span_id(), of(span_id()), of(span_id())),
        (span_type, status, source) in (select(SpanType::ALL), select(SpanStatus::ALL), source()),
        (source_type, name, error, payload) in (text(), text(), of(error()), payload()),
        names in [of(text()), of(text()), of(text()), of(text()), of(text())],
        more in [of(text()), of(text()), of(text()), of(text()), of(text())],
        (started_at, ended_at) in (of(time()), of(time())),
        tokens in any::<[Option<i64>; 4]>(),
        (cost, cost_assumed, noise, derived) in any::<(Option<i64>, bool, bool, bool)>(),
        (ttft_ms, triggered) in (of(-1e9..1e9_f64), any::<Option<bool>>()),
    ) -> Span {
        let [agent, model, provider, finish_reason, tool_call_id] = names;
        let [handoff_from, handoff_to, guardrail_type, input_preview, output_preview] = more;
        let [input_tokens, cached_tokens, output_tokens, reasoning_tokens] = tokens;
        Span {
            trace_id, span_id, parent_id, span_type, source_type, name, agent, started_at, ended_at,
            status, error, model, provider,
            usage: Usage { input_tokens, cached_tokens, output_tokens, reasoning_tokens },
            cost: cost.map(NanoUsd), cost_assumed, finish_reason, ttft_ms, tool_call_id, handoff_from,
            handoff_to, triggered, guardrail_type, input_preview, output_preview, noise, derived,
            merged_into, source, payload,
        }
    }
}

prop_compose! {
    fn message()((trace_id, role, content) in (trace_id(), text(), text())) -> Message {
        let content = Bytes::from(content);
        Message { trace_id, hash: MessageHash::of(&content), role: role.into(), content }
    }
}

prop_compose! {
    fn batch()(
        traces in vec(item(), 0..4), spans in vec(span(), 0..6), messages in vec(message(), 0..6),
    ) -> Batch {
        Batch { accepted: spans.len(), traces, spans, messages, rejected: model::Rejections::default() }
    }
}

fn project() -> ProjectId {
    ProjectId::new("proj_1").unwrap()
}

fn encode(batch: &Batch) -> EncodedRecord {
    EncodedRecord::batch(&project(), Source::Sdk, Time::from_micros(-7), batch)
}

/// Returns the frame of a record with the chosen messages.
fn frame(encoded: &EncodedRecord, chosen: impl IntoIterator<Item = usize>) -> Bytes {
    let mut bytes = encoded.fixed().to_vec();
    chosen
        .into_iter()
        .for_each(|index| bytes.extend_from_slice(encoded.message(index)));
    bytes.into()
}

fn check(batch: &Batch, chosen: &[usize]) {
    let encoded = encode(batch);
    assert_eq!(
        frame(&encoded, 0..batch.messages.len()).len(),
        encoded.bytes()
    );
    let decoded = Record::decode(&frame(&encoded, chosen.iter().copied())).unwrap();
    let want = BatchRecord {
        project: project(),
        source: Source::Sdk,
        received_at: Time::from_micros(-7),
        traces: batch.traces.clone(),
        spans: batch.spans.clone(),
        messages: chosen
            .iter()
            .map(|&index| batch.messages[index].clone())
            .collect(),
    };
    assert_eq!(decoded, Record::Batch(want));
}

proptest! {
    #[test]
    fn every_field_comes_back_with_any_choice_of_messages(batch in batch(), picks in vec(any::<bool>(), 6)) {
        let chosen: Vec<usize> = (0..batch.messages.len()).filter(|&n| picks[n]).collect();
        check(&batch, &chosen);
    }

    #[test]
    fn damaged_bytes_never_panic(
        batch in batch(), at in vec((any::<Index>(), any::<u8>()), 1..4), cut in any::<Index>(),
    ) {
        let encoded = encode(&batch);
        let mut bytes = frame(&encoded, 0..batch.messages.len()).to_vec();
        for (at, value) in at {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        // Whatever comes out, its texts are texts.
        let damaged = Record::decode(&Bytes::from(bytes.clone()));
        if let Ok(Record::Batch(record)) = damaged {
            record.messages.iter().for_each(|message| { message.text(); });
        }
        bytes.truncate(cut.index(bytes.len()));
        let _is_ok = Record::decode(&Bytes::from(bytes)).is_ok();
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..200), kind in 1_u8..4) {
        let bytes: Vec<u8> = [RECORD_VERSION, kind].into_iter().chain(bytes).collect();
        let _is_ok = Record::decode(&Bytes::from(bytes)).is_ok();
    }

    #[test]
    fn grades_come_back_and_damaged_ones_never_panic(
        grades in vec(any_grade().boxed(), 0..4), at in time(), damage in (any::<Index>(), any::<u8>()),
    ) {
        let encoded = EncodedRecord::grades(&project(), at, grades.iter());
        let whole = frame(&encoded, []);
        let want = GradesRecord { project: project(), received_at: at, grades };
        prop_assert_eq!(Record::decode(&whole).unwrap(), Record::Grades(want));
        let mut bytes = whole.to_vec();
        let place = damage.0.index(bytes.len());
        bytes[place] = damage.1;
        let _is_ok = Record::decode(&Bytes::from(bytes.clone())).is_ok();
        bytes.truncate(place);
        let _is_ok = Record::decode(&Bytes::from(bytes)).is_ok();
    }

    #[test]
    fn records_of_the_first_version_stay_readable(batch in batch()) {
        let encoded = encode(&batch);
        let mut bytes = frame(&encoded, 0..batch.messages.len()).to_vec();
        let now = Record::decode(&Bytes::from(bytes.clone())).unwrap();
        bytes[0] = 1;
        prop_assert_eq!(Record::decode(&Bytes::from(bytes)).unwrap(), now);
    }

    #[test]
    fn deletions_come_back(traces in vec(trace_id(), 0..5), at in time()) {
        let encoded = EncodedRecord::delete(&project(), &traces, at);
        let decoded = Record::decode(&frame(&encoded, [])).unwrap();
        prop_assert_eq!(decoded.project(), &project());
        prop_assert_eq!(decoded, Record::Delete(DeleteRecord { project: project(), traces, at }));
    }
}

fn small() -> Batch {
    let trace = TraceId::new("t").unwrap();
    let content = Bytes::from_static(b"\"hi\"");
    let hash = MessageHash::of(&content);
    Batch {
        spans: vec![Span::new(
            trace.clone(),
            SpanId::new("s").unwrap(),
            SpanType::Turn,
            Source::Otlp,
        )],
        messages: vec![Message {
            trace_id: trace,
            hash,
            role: "user".into(),
            content,
        }],
        ..Batch::default()
    }
}

#[test]
fn what_a_later_minor_version_adds_is_skipped() {
    let encoded = encode(&small());
    let mut bytes = frame(&encoded, [0]).to_vec();
    let mut section = vec![200];
    section.extend_from_slice(&3_u64.to_le_bytes());
    section.extend_from_slice(b"new");
    bytes.splice(2..2, section.iter().copied());
    bytes.extend_from_slice(&section);
    // A field at the end of the message, whose section length grows by it.
    let message = bytes.len() - section.len() - encoded.message(0).len();
    let len = encoded.message(0).len() as u64 - 9 + 3;
    bytes[message + 1..message + 9].copy_from_slice(&len.to_le_bytes());
    let end = bytes.len() - section.len();
    bytes.splice(end..end, [250, 1, b'x']);
    let Record::Batch(record) = Record::decode(&bytes.into()).unwrap() else {
        panic!("a batch")
    };
    assert_eq!(
        (record.spans, record.messages),
        (small().spans, small().messages)
    );
}

#[test]
fn newer_versions_and_unknown_kinds_are_named() {
    let decode = |bytes: &'static [u8]| Record::decode(&Bytes::from_static(bytes)).unwrap_err();
    assert!(matches!(
        decode(&[3, 1]),
        RecordError::NewerVersion { found: 3 }
    ));
    assert!(matches!(decode(&[1, 9]), RecordError::UnknownKind(9)));
    assert!(matches!(
        decode(&[1, 1]),
        RecordError::Missing { what: "project" }
    ));
    assert!(matches!(decode(&[]), RecordError::CutShort));
}

#[test]
fn message_content_shares_the_memory_of_the_frame() {
    let bytes = frame(&encode(&small()), [0]);
    let Record::Batch(record) = Record::decode(&bytes).unwrap() else {
        panic!("a batch")
    };
    assert!(
        bytes
            .as_ptr_range()
            .contains(&record.messages[0].content.as_ptr())
    );
}
