//! The rows of a batch, text by text: every column and every document in which words can stand.
//!
//! Ids of traces and spans stay, for rows are found by them. What is derived from content, the
//! previews, is made anew from what is left of it: a secret that the cut of a preview has halved would
//! not be known any more.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::payload::{self, Side, Writer};
use model::{Batch, GroupId, JsonText, Payload, Span, SpanError, SpanId, TraceId, TraceItem};

use crate::agents_sdk;
use crate::json::push_json_string;
use crate::otlp;

use super::messages::{Messages, SpanReferences};
use super::place::{NOTE_KEY, Place};
use super::redact::{Step, Tally};
use super::rules::{ProcessRules, Switches};
use super::walk::Walk;

/// What stands in the place of the words of an error where content is not kept.
const CONTENT_MARK: &str = "[redacted:content]";

/// Texts of removed attributes that are looked for in the columns of the trace, in bytes.
const REMOVED_BYTES_MAX: usize = model::ID_BYTES_MAX;

/// What a document has become, for the many that are alike: who sends is said with every span.
type Known = Option<(JsonText, Document)>;

/// A document as it has become, what was taken out of it, and the texts of attributes that are gone.
type Document = (Option<JsonText>, Tally, Vec<String>);

/// The work on one batch.
pub(super) struct Editor<'a> {
    rules: &'a ProcessRules,
    switches: Switches,
    messages: Messages<'a>,
    total: Tally,
    /// Texts of attributes that are gone, by trace: columns of the trace may hold them too.
    removed: HashMap<TraceId, HashSet<String>>,
    resource: Known,
    scope: Known,
}

impl<'a> Editor<'a> {
    pub(super) fn new(rules: &'a ProcessRules, switches: Switches, batch: &mut Batch) -> Self {
        let list = std::mem::take(&mut batch.messages);
        Self {
            rules,
            switches,
            messages: Messages::new(rules, switches, list),
            total: Tally::default(),
            removed: HashMap::new(),
            resource: None,
            scope: None,
        }
    }

    /// Edits the batch and returns what was taken out.
    pub(super) fn edit(mut self, batch: &mut Batch) -> BTreeMap<String, u64> {
        let mut lost = HashMap::new();
        for (at, span) in batch.spans.iter_mut().enumerate() {
            let before = [span.input_preview.is_some(), span.output_preview.is_some()];
            self.span(span);
            if self.switches.include_sensitive_data {
                let after = [span.input_preview.is_some(), span.output_preview.is_some()];
                if before != after {
                    lost.insert((span.trace_id.clone(), span.span_id.clone()), at);
                }
            }
        }
        fill_from_doubles(&mut batch.spans, &lost);
        for item in &mut batch.traces {
            self.item(item);
        }
        self.total.add_all(&self.messages.total);
        batch.messages = self.messages.into_list();
        let named = self.rules.redactor.named(&self.total);
        named
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }

    fn span(&mut self, span: &mut Span) {
        let mut tally = Tally::default();
        let is_telemetry = otlp::is_telemetry(span);
        self.columns(span, &mut tally);
        self.error(span, &mut tally);
        let before = tally.clone();
        let of_messages = self.data(span, is_telemetry, &mut tally);
        self.documents(span, is_telemetry, &mut tally);
        if !self.switches.include_sensitive_data {
            (span.input_preview, span.output_preview) = (None, None);
        } else if tally != before || !of_messages.is_empty() {
            self.previews(span, is_telemetry);
        }
        self.sender(span, &mut tally);
        self.total.add_all(&tally);
        tally.add_all(&of_messages);
        self.note(&mut span.payload.extra, &tally);
    }

    /// Edits the columns that hold words.
    fn columns(&self, span: &mut Span, tally: &mut Tally) {
        let redactor = &self.rules.redactor;
        for text in [&mut span.name, &mut span.source_type] {
            if let Some(new) = redactor.text(text, tally) {
                *text = new;
            }
        }
        for text in [
            &mut span.agent,
            &mut span.model,
            &mut span.provider,
            &mut span.finish_reason,
            &mut span.tool_call_id,
            &mut span.handoff_from,
            &mut span.handoff_to,
            &mut span.guardrail_type,
        ] {
            self.text(text, tally);
        }
    }

    fn text(&self, text: &mut Option<String>, tally: &mut Tally) {
        let new = text
            .as_ref()
            .and_then(|text| self.rules.redactor.text(text, tally));
        if new.is_some() {
            *text = new;
        }
    }

    /// Edits what went wrong. Its class stays; its words are content, but for those of the SDK itself.
    fn error(&mut self, span: &mut Span, tally: &mut Tally) {
        let Some(SpanError {
            kind,
            message,
            data,
        }) = &mut span.error
        else {
            return;
        };
        let redactor = &self.rules.redactor;
        if let Some(new) = redactor.text(kind, tally) {
            *kind = new;
        }
        if self.switches.include_sensitive_data {
            if let Some(new) = redactor.text(message, tally) {
                *message = new;
            }
        } else {
            if !message.is_empty() && message != CONTENT_MARK && !SpanError::is_sentence(message) {
                CONTENT_MARK.clone_into(message);
                tally.add(Step::Content.kind());
            }
            if data
                .as_ref()
                .is_some_and(|data| !data.as_str().starts_with('{'))
            {
                *data = None;
                tally.add(Step::Content.kind());
            }
        }
        document(self.walk(), Place::ErrorData, data, tally);
    }

    fn walk(&self) -> Walk<'a> {
        Walk::new(self.rules, self.switches)
    }

    /// Edits the data and the messages it refers to. Returns what was taken out of those.
    fn data(&mut self, span: &mut Span, is_telemetry: bool, tally: &mut Tally) -> Tally {
        let Some(data) = span.payload.data.take() else {
            return Tally::default();
        };
        let place = match is_telemetry {
            true => Place::Telemetry,
            false => Place::SpanData(span.span_type),
        };
        let walk = self.walk();
        let mut references = SpanReferences {
            messages: &mut self.messages,
            trace_id: span.trace_id.clone(),
            payload: &mut span.payload,
            tally: Tally::default(),
        };
        let edited = walk
            .with_references(&mut references)
            .document(data.as_str(), place);
        let of_messages = references.tally;
        tally.add_all(&edited.tally);
        let changed = edited.text.map(JsonText::from_trusted);
        let data = match changed {
            Some(changed) => renumbered(&changed, &mut span.payload),
            None => data,
        };
        span.payload.data = Some(data);
        self.note_removed(&span.trace_id, edited.removed);
        of_messages
    }

    /// Edits who sent a span.
    fn sender(&mut self, span: &mut Span, tally: &mut Tally) {
        let walk = || Walk::new(self.rules, self.switches);
        let payload = &mut span.payload;
        let mut removed = known_document(walk(), &mut self.resource, &mut payload.resource, tally);
        removed.extend(known_document(
            walk(),
            &mut self.scope,
            &mut payload.scope,
            tally,
        ));
        self.note_removed(&span.trace_id, removed);
    }

    /// Edits the other documents of a span.
    fn documents(&mut self, span: &mut Span, is_telemetry: bool, tally: &mut Tally) {
        let of_span = match is_telemetry {
            true => Place::Attributes,
            false => Place::Metadata,
        };
        let payload = &mut span.payload;
        let mut removed = Vec::new();
        for (place, text) in [
            (of_span, &mut payload.attributes),
            (Place::Events, &mut payload.events),
            (Place::Events, &mut payload.links),
            (Place::Extra, &mut payload.extra),
        ] {
            removed.extend(document(self.walk(), place, text, tally));
        }
        self.note_removed(&span.trace_id, removed);
    }

    fn note_removed(&mut self, trace_id: &TraceId, removed: Vec<String>) {
        let mut removed = removed
            .into_iter()
            .filter(|text| text.len() <= REMOVED_BYTES_MAX)
            .peekable();
        if removed.peek().is_some() {
            self.removed
                .entry(trace_id.clone())
                .or_default()
                .extend(removed);
        }
    }

    /// Makes the previews of a span anew from what is left of its content.
    fn previews(&self, span: &mut Span, is_telemetry: bool) {
        let payload = &span.payload;
        let content = |hash: &model::MessageHash| self.messages.text(&span.trace_id, hash);
        let restore = |data: &JsonText| {
            payload::restore(
                data.as_str(),
                &payload.input_refs,
                &payload.output_refs,
                content,
            )
        };
        let (input, output) = match payload.data.as_ref().map(restore) {
            // A reference that leads nowhere: whoever reads the span is told so.
            Some(Err(_)) => (None, None),
            data if is_telemetry => {
                let data = data.and_then(Result::ok);
                otlp::previews(otlp::Sent {
                    span,
                    data: data.as_deref(),
                })
            }
            Some(Ok(data)) => agents_sdk::previews(span.span_type, &data),
            None => (None, None),
        };
        // What stood apart may stand side by side here, and is counted where it came from.
        let mut counted = Tally::default();
        for (old, mut new) in [
            (&mut span.input_preview, input),
            (&mut span.output_preview, output),
        ] {
            self.text(&mut new, &mut counted);
            *old = old.take().and(new);
        }
    }

    fn item(&mut self, item: &mut TraceItem) {
        let mut tally = Tally::default();
        let removed = self.removed.get(&item.trace_id);
        let is_removed = |text: &str| removed.is_some_and(|removed| removed.contains(text));
        for text in [
            &mut item.workflow_name,
            &mut item.user_id,
            &mut item.agent_id,
            &mut item.version,
            &mut item.environment,
        ] {
            if text.take_if(|text| is_removed(text)).is_some() {
                tally.add(Step::Attribute.kind());
            }
            self.text(text, &mut tally);
        }
        if item
            .group_id
            .take_if(|id| is_removed(id.as_str()))
            .is_some()
        {
            tally.add(Step::Attribute.kind());
        }
        let redactor = &self.rules.redactor;
        let group = item.group_id.as_ref();
        if let Some(new) = group.and_then(|id| redactor.text(id.as_str(), &mut tally)) {
            item.group_id = GroupId::new(model::preview(&new)).ok();
        }
        for tag in item.tags.iter_mut().flatten() {
            if let Some(new) = redactor.text(tag, &mut tally) {
                *tag = new;
            }
        }
        let walk = self.walk().without(removed);
        document(walk, Place::Metadata, &mut item.metadata, &mut tally);
        document(self.walk(), Place::Extra, &mut item.extra, &mut tally);
        self.total.add_all(&tally);
        self.note(&mut item.extra, &tally);
    }

    /// Writes down in a row what was taken out of it.
    fn note(&self, extra: &mut Option<JsonText>, tally: &Tally) {
        if tally.is_empty() {
            return;
        }
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut members = serde_json::Map::new();
        if let Some(known) = extra
            .as_ref()
            .filter(|extra| extra.as_str().contains(NOTE_KEY))
        {
            // Taken out once before: an export that comes back.
            if let serde_json::Value::Object(all) = known.to_value() {
                members = all;
            }
            let before = members.remove(NOTE_KEY);
            counts.extend(
                before
                    .and_then(|before| serde_json::from_value(before).ok())
                    .into_iter()
                    .flat_map(|counts: BTreeMap<String, u64>| counts),
            );
            *extra = (!members.is_empty())
                .then(|| JsonText::from_trusted(serde_json::Value::Object(members).to_string()));
        }
        for (name, count) in self.rules.redactor.named(tally) {
            *counts.entry(name.to_owned()).or_default() += count;
        }
        let mut out = match extra
            .as_ref()
            .and_then(|extra| extra.as_str().strip_suffix('}'))
        {
            Some(begun) if begun.len() > 1 => format!("{begun},"),
            _ => "{".to_owned(),
        };
        push_json_string(&mut out, NOTE_KEY);
        let counts: Vec<_> = counts
            .iter()
            .map(|(name, count)| format!("{name:?}:{count}"))
            .collect();
        out.push_str(&format!(":{{{}}}}}", counts.join(",")));
        *extra = Some(JsonText::from_trusted(out));
    }
}

/// Fills previews that could not be made anew from a span's own content: a span that tells of the same
/// call had told them.
fn fill_from_doubles(spans: &mut [Span], lost: &HashMap<(TraceId, SpanId), usize>) {
    if lost.is_empty() {
        return;
    }
    for double in 0..spans.len() {
        let target = spans[double].merged_into.clone();
        let key = target.map(|target| (spans[double].trace_id.clone(), target));
        let Some(at) = key.and_then(|key| lost.get(&key)) else {
            continue;
        };
        let told = (
            spans[double].input_preview.clone(),
            spans[double].output_preview.clone(),
        );
        let span = &mut spans[*at];
        span.input_preview = span.input_preview.take().or(told.0);
        span.output_preview = span.output_preview.take().or(told.1);
    }
}

/// Edits one document and returns the texts of attributes that are gone.
fn document(
    walk: Walk<'_>,
    place: Place,
    text: &mut Option<JsonText>,
    tally: &mut Tally,
) -> Vec<String> {
    let Some(sent) = text else { return Vec::new() };
    let edited = walk.document(sent.as_str(), place);
    tally.add_all(&edited.tally);
    if let Some(new) = edited.text {
        *text = (new != "{}").then(|| JsonText::from_trusted(new));
    }
    edited.removed
}

/// As [`document`], for a resource or a scope, which mostly is the one of the span before.
fn known_document(
    walk: Walk<'_>,
    known: &mut Known,
    text: &mut Option<JsonText>,
    tally: &mut Tally,
) -> Vec<String> {
    let Some(sent) = text.clone() else {
        return Vec::new();
    };
    if let Some((_, (new, taken, removed))) = known.as_ref().filter(|(before, _)| *before == sent) {
        tally.add_all(taken);
        text.clone_from(new);
        return removed.clone();
    }
    let mut taken = Tally::default();
    let removed = document(walk, Place::Group, text, &mut taken);
    tally.add_all(&taken);
    *known = Some((sent, (text.clone(), taken, removed.clone())));
    removed
}

/// Returns the data with its references numbered without gaps, and lets go of those that are gone.
fn renumbered(data: &JsonText, payload: &mut Payload) -> JsonText {
    const MARK: &str = "\"$ref:";
    let text = data.as_str();
    let before = [
        std::mem::take(&mut payload.input_refs),
        std::mem::take(&mut payload.output_refs),
    ];
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(text.as_bytes(), MARK.as_bytes()) {
        let body = &text[at + MARK.len()..];
        let Some((token, _)) = body.split_once('"') else {
            continue;
        };
        let Some((side, first, last)) = payload::parse_token(token) else {
            continue;
        };
        let (old, new) = match side {
            Side::Input => (&before[0], &mut payload.input_refs),
            Side::Output => (&before[1], &mut payload.output_refs),
        };
        let Some(run) = old.get(first..=last) else {
            continue;
        };
        let number = new.len();
        new.extend_from_slice(run);
        let mut writer = Writer::default();
        writer.push_refs(side, number, number + last - first);
        out.push_str(&text[from..at]);
        out.push_str(writer.finish().as_str());
        from = at + MARK.len() + token.len() + 1;
    }
    out.push_str(&text[from..]);
    JsonText::from_trusted(out)
}
