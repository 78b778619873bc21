//! Inspect AI: a log of an evaluation, of which each sample is a trace.
//!
//! A sample is told by events. Those that begin and end a span, calls of models and calls of tools
//! become spans; all others are moments of the span in which they happened. Around them stands a span
//! for the sample itself, with its question, its answer and its scores. Logs keep long texts and
//! histories apart, once for the whole sample; they are put back where they belong, for here every
//! message is stored once anyway.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use model::{GroupId, TraceId, TraceItem};

use crate::json::{Kind, Tape, Value, json_string};
use crate::otlp::{Any, Attributes, RawEvent, RawSpan, Run};

use super::To;
use super::record::{
    Members, Object, Refusal, any, fail, id_of_content, id_text, ids, nanos, span, text, texts,
};

/// So much may be written in one request to put records together again: a few bytes can refer to many.
const EXPANDED_BYTES_MAX: usize = 256 << 20;

/// Parts of a sample that become spans and moments, or are put in their places there.
const PARTS: [&str; 3] = ["events", "events_data", "attachments"];

/// Takes a whole log, or one sample out of an unpacked archive.
pub(super) fn log(root: Value<'_, '_>, to: &mut To<'_, '_>) {
    if root.get("epoch").is_some() {
        return sample(None, root, to);
    }
    // Sums over the samples; the samples themselves are what is kept.
    let sums = ["results", "reductions"]
        .iter()
        .filter(|key| root.get(key).is_some());
    to.tally.ignored("eval_results", sums.count());
    for one in root.get("samples").into_iter().flat_map(Value::elements) {
        sample(root.get("eval"), one, to);
    }
}

fn sample(eval: Option<Value<'_, '_>>, sample: Value<'_, '_>, to: &mut To<'_, '_>) {
    let reader = match Sample::of(eval, sample, to.tally.expanded_bytes) {
        Ok(reader) => reader,
        Err(refusal) => return to.item(Err(refusal)),
    };
    to.item(reader.item(to.source));
    let events = || sample.get("events").into_iter().flat_map(Value::elements);
    let mut moments = Moments::of(&reader.id, events());
    to.tally.ignored("score", moments.scores);
    let mut take = |part: Result<Part, Refusal>| {
        let record = part.and_then(|mut part| {
            let own = moments.by_span.remove(&*part.id).unwrap_or_default();
            part.span
                .events
                .extend(own.into_iter().map(|event| reader.moment(event)));
            Ok((
                ids(&reader.id, &part.id, part.parent.as_deref())?,
                part.span,
            ))
        });
        to.span(record, Run::ToldApart);
    };
    take(reader.root());
    let ends = reader.ends();
    for event in events() {
        match &*kind(event) {
            "span_begin" => take(reader.begun(event, &ends)),
            "model" => take(reader.whole(event).and_then(|text| reader.model(&text))),
            "tool" => take(reader.whole(event).and_then(|text| reader.tool(&text))),
            _ => {}
        }
    }
    to.tally.expanded_bytes = reader.expanded_bytes.get();
}

fn kind<'b>(event: Value<'b, '_>) -> Cow<'b, str> {
    event.get("event").and_then(Value::text).unwrap_or_default()
}

/// Events that are no spans, by the span in which they happened.
struct Moments<'b, 't> {
    by_span: HashMap<Cow<'b, str>, Vec<Value<'b, 't>>>,
    scores: usize,
}

impl<'b, 't> Moments<'b, 't> {
    /// What happened in a span that the log does not have, happened in the sample.
    fn of(sample_id: &str, events: impl Iterator<Item = Value<'b, 't>> + Clone) -> Self {
        let begun = events.clone().filter(|event| kind(*event) == "span_begin");
        let begun: HashSet<_> = begun.filter_map(|event| event.get("id")?.words()).collect();
        let (mut by_span, mut scores) = (HashMap::<_, Vec<_>>::new(), 0);
        for event in events {
            match &*kind(event) {
                "span_begin" | "span_end" | "model" | "tool" => continue,
                other => scores += usize::from(other == "score"),
            }
            let within = event.get("span_id").and_then(Value::words);
            let within = within.filter(|id| begun.contains(id));
            let within = within.unwrap_or_else(|| sample_id.to_owned().into());
            by_span.entry(within).or_default().push(event);
        }
        Self { by_span, scores }
    }
}

/// A span on its way.
struct Part {
    id: String,
    parent: Option<String>,
    span: RawSpan<'static>,
}

/// What is needed of a sample to read its events.
struct Sample<'b, 't> {
    /// The id of the trace, and of the span around everything.
    id: String,
    eval: Option<Value<'b, 't>>,
    sample: Value<'b, 't>,
    /// Texts that are kept apart, by their hashes: JSON strings without the quotes.
    attachments: HashMap<Cow<'b, str>, &'b str>,
    /// The messages that model calls refer to by their places.
    pool: Vec<&'b str>,
    /// When it was over.
    completed: Option<u64>,
    /// What was written so far in this request to put records together again.
    expanded_bytes: Cell<usize>,
}

impl<'b, 't> Sample<'b, 't> {
    fn of(
        eval: Option<Value<'b, 't>>,
        sample: Value<'b, 't>,
        expanded_bytes: usize,
    ) -> Result<Self, Refusal> {
        if !sample.is_object() {
            return Err(Refusal::NotARecord {
                expected: "a sample",
                found: sample.kind().as_str(),
            });
        }
        let raw = |key: &str| sample.get(key).map_or("", Value::raw);
        let run = eval.and_then(|eval| eval.get("eval_id").or_else(|| eval.get("run_id")));
        let id = match sample.get("uuid") {
            Some(id) => id_text("uuid", Some(id))?.into_owned(),
            None => id_of_content(&[
                run.map_or("", Value::raw),
                raw("id"),
                raw("epoch"),
                raw("input"),
            ]),
        };
        let attachments = sample
            .get("attachments")
            .into_iter()
            .flat_map(Value::members);
        let attachments = attachments
            .filter(|(_, value)| value.kind() == Kind::String)
            .map(|(key, value)| (key.text().unwrap_or_default(), inner(value)));
        let pool = sample
            .get("events_data")
            .and_then(|data| data.get("messages"));
        Ok(Self {
            id,
            eval,
            sample,
            attachments: attachments.collect(),
            pool: pool
                .into_iter()
                .flat_map(Value::elements)
                .map(Value::raw)
                .collect(),
            completed: nanos("completed_at", sample.get("completed_at"))?,
            expanded_bytes: Cell::new(expanded_bytes),
        })
    }

    /// Returns an event with what was kept apart put in again.
    fn whole(&self, event: Value<'_, '_>) -> Result<String, Refusal> {
        let refs = event
            .get("input_refs")
            .into_iter()
            .flat_map(Value::elements);
        let mut input: Vec<&str> = Vec::new();
        for range in refs {
            let mut bounds = range
                .elements()
                .map(|bound| bound.count().unwrap_or(0) as usize);
            let from = bounds.next().unwrap_or(0);
            let to = bounds.next().unwrap_or(0).min(self.pool.len());
            let part = self.pool.get(from..to).unwrap_or_default();
            // What it takes in memory to remember each of them is counted too.
            let bytes = part.iter().map(|message| message.len() + size_of::<&str>());
            self.spend(bytes.sum())?;
            input.extend(part);
        }
        if input.is_empty() {
            return self.attached(event.raw());
        }
        let mut out = Object::default();
        for (key, value) in event.members() {
            match key.text().as_deref() {
                Some("input" | "input_refs") => {}
                key => out.raw(key.unwrap_or_default(), value.raw()),
            }
        }
        out.raw("input", &format!("[{}]", input.join(",")));
        self.attached(out.finish().as_ref().map_or("{}", |text| text.as_str()))
    }

    /// Puts attachments in the places of their names. Both are insides of JSON strings, so bytes may
    /// take the place of bytes.
    fn attached(&self, json: &str) -> Result<String, Refusal> {
        const NAME: &str = "\"attachment://";
        let mut out = String::with_capacity(json.len());
        let mut rest = json;
        while let Some(at) = rest.find(NAME) {
            let name = &rest[at + NAME.len()..];
            let end = name.find('"').unwrap_or(name.len());
            match self.attachments.get(&name[..end]) {
                Some(content) => {
                    self.spend(content.len())?;
                    out.push_str(&rest[..=at]);
                    out.push_str(content);
                }
                None => out.push_str(&rest[..at + NAME.len() + end]),
            }
            rest = &name[end..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Counts bytes that are to be written, or says that they are too many.
    fn spend(&self, bytes: usize) -> Result<(), Refusal> {
        let spent = self.expanded_bytes.get().saturating_add(bytes);
        if spent > EXPANDED_BYTES_MAX {
            return Err(Refusal::TooLarge {
                bytes_max: EXPANDED_BYTES_MAX,
            });
        }
        self.expanded_bytes.set(spent);
        Ok(())
    }

    /// Returns what is known of the trace.
    fn item(&self, source: model::Source) -> Result<TraceItem, Refusal> {
        let id = TraceId::new(&self.id).map_err(|_| Refusal::BadId {
            field: "uuid",
            found: self.id.chars().take(64).collect(),
        })?;
        let mut item = TraceItem::new(id, source);
        let of_eval = |key: &str| self.eval.and_then(|eval| eval.get(key));
        item.workflow_name = text(of_eval("task"));
        let group = text(of_eval("eval_id").or_else(|| of_eval("run_id")));
        item.group_id = group.and_then(|group| GroupId::new(&group).ok());
        item.version = of_eval("task_version")
            .and_then(Value::scalar)
            .map(Cow::into_owned);
        item.tags = texts(of_eval("tags"));
        let mut metadata = Object::default();
        for key in ["task", "model", "run_id", "eval_id"] {
            metadata.value(key, of_eval(key));
        }
        metadata.value("sample_id", self.sample.get("id"));
        metadata.value("epoch", self.sample.get("epoch"));
        item.metadata = metadata.finish();
        // Said once of many samples, kept with each.
        self.spend(self.eval.map_or(0, |eval| eval.raw().len()))?;
        let mut extra = Object::default();
        extra.value("eval", self.eval);
        item.extra = extra.finish();
        item.ended = Some(true);
        Ok(item)
    }

    /// Returns when each span ended.
    fn ends(&self) -> HashMap<String, u64> {
        let events = self
            .sample
            .get("events")
            .into_iter()
            .flat_map(Value::elements);
        let ends = events.filter(|event| {
            event
                .get("event")
                .is_some_and(|kind| kind.is_text("span_end"))
        });
        ends.filter_map(|event| {
            let id = text(event.get("id"))?;
            Some((id, nanos("timestamp", event.get("timestamp")).ok()??))
        })
        .collect()
    }

    /// Returns the span around everything.
    fn root(&self) -> Result<Part, Refusal> {
        let mut attributes: Members<'static> = vec![("inspect.event".into(), owned("sample"))];
        for (key, value) in self.sample.members() {
            let key = key.text().unwrap_or_default();
            if PARTS.contains(&&*key) || value.kind() == Kind::Null {
                continue;
            }
            let whole = self.attached(value.raw())?;
            attributes.push((format!("inspect.sample.{key}").into(), read_again(&whole)));
        }
        let calls = self
            .sample
            .get("events_data")
            .and_then(|data| data.get("calls"));
        if let Some(calls) = calls.filter(|calls| !calls.is_empty()) {
            attributes.push((
                "inspect.sample.calls".into(),
                read_again(&self.attached(calls.raw())?),
            ));
        }
        let output = self
            .sample
            .get("output")
            .and_then(|output| output.get("completion"));
        for (name, value) in [
            ("input.value", self.sample.get("input")),
            ("output.value", output),
        ] {
            if let Some(value) = value {
                attributes.push((name.into(), read_again(&self.attached(value.raw())?)));
            }
        }
        let start = nanos("started_at", self.sample.get("started_at"))?;
        let task = text(self.eval.and_then(|eval| eval.get("task")));
        let name = task.unwrap_or_else(|| "sample".to_owned());
        let mut span = span(name.into(), [start, self.completed], attributes);
        if let Some(error) = self.sample.get("error") {
            let told = error
                .get("message")
                .and_then(Value::text)
                .unwrap_or_default();
            let stack = error.get("traceback").and_then(Value::text);
            fail(&mut span, &told, stack.as_deref());
        }
        Ok(Part {
            id: self.id.clone(),
            parent: None,
            span,
        })
    }

    /// Returns the span that an event begins. One without an end ended with its sample at the latest.
    fn begun(&self, event: Value<'_, '_>, ends: &HashMap<String, u64>) -> Result<Part, Refusal> {
        let id = id_text("id", event.get("id"))?.into_owned();
        let name = text(event.get("name")).unwrap_or_default();
        let mut attributes = self.attributes(event, &["name", "id", "parent_id"]);
        if event.get("type").is_some_and(|kind| kind.is_text("agent")) {
            attributes.push(("gen_ai.operation.name".into(), owned("invoke_agent")));
            attributes.push(("gen_ai.agent.name".into(), owned(&name)));
        }
        let start = nanos("timestamp", event.get("timestamp"))?;
        let end = ends.get(&id).copied().or(self.completed);
        Ok(Part {
            parent: Some(text(event.get("parent_id")).unwrap_or_else(|| self.id.clone())),
            span: span(name.into(), [start, end], attributes),
            id,
        })
    }

    fn model(&self, event: &str) -> Result<Part, Refusal> {
        let mut tape = Tape::default();
        let event = super::root(event.as_bytes(), &mut tape)?;
        let mut attributes = self.attributes(event, &["input", "output", "uuid", "span_id"]);
        let mut tell = |name: &'static str, value: Option<Value<'_, '_>>| {
            if let Some(value) = value {
                attributes.push((name.into(), read_again(value.raw())));
            }
        };
        let output = event.get("output");
        let of_output = |key: &str| output.and_then(|output| output.get(key));
        tell("gen_ai.input.messages", event.get("input"));
        tell("gen_ai.request.model", event.get("model"));
        tell("gen_ai.response.model", of_output("model"));
        tell("gen_ai.completion", output);
        let first = of_output("choices").and_then(|choices| choices.elements().next());
        tell(
            "gen_ai.response.finish_reason",
            first.and_then(|first| first.get("stop_reason")),
        );
        let usage = of_output("usage");
        let of_usage = |key: &str| usage.and_then(|usage| usage.get(key));
        tell("gen_ai.usage.input_tokens", of_usage("input_tokens"));
        tell("gen_ai.usage.output_tokens", of_usage("output_tokens"));
        tell(
            "gen_ai.usage.cache_read.input_tokens",
            of_usage("input_tokens_cache_read"),
        );
        tell(
            "gen_ai.usage.cache_write.input_tokens",
            of_usage("input_tokens_cache_write"),
        );
        tell(
            "gen_ai.usage.reasoning_tokens",
            of_usage("reasoning_tokens"),
        );
        tell("gen_ai.usage.cost", of_usage("total_cost"));
        attributes.push(("gen_ai.operation.name".into(), owned("chat")));
        let name = text(event.get("model")).unwrap_or_default();
        let mut part = self.part(event, name, attributes)?;
        let error = event.get("error").or_else(|| of_output("error"));
        if let Some(error) = error.and_then(Value::text) {
            fail(&mut part.span, &error, None);
        }
        Ok(part)
    }

    fn tool(&self, event: &str) -> Result<Part, Refusal> {
        let mut tape = Tape::default();
        let event = super::root(event.as_bytes(), &mut tape)?;
        let read = [
            "arguments",
            "result",
            "uuid",
            "span_id",
            "function",
            "error",
        ];
        let mut attributes = self.attributes(event, &read);
        let mut tell = |name: &'static str, value: Option<Value<'_, '_>>| {
            if let Some(value) = value {
                attributes.push((name.into(), read_again(value.raw())));
            }
        };
        tell("gen_ai.tool.name", event.get("function"));
        tell("gen_ai.tool.call.id", event.get("id"));
        tell("gen_ai.tool.call.arguments", event.get("arguments"));
        tell("gen_ai.tool.call.result", event.get("result"));
        let error = event.get("error");
        tell("inspect.error", error);
        attributes.push(("gen_ai.operation.name".into(), owned("execute_tool")));
        let name = text(event.get("function")).unwrap_or_default();
        let mut part = self.part(event, name, attributes)?;
        if let Some(error) = error {
            let message = error.get("message").and_then(Value::text);
            fail(&mut part.span, &message.unwrap_or_default(), None);
        }
        Ok(part)
    }

    /// Returns the span of an event that has a beginning and an end.
    fn part(
        &self,
        event: Value<'_, '_>,
        name: String,
        attributes: Members<'static>,
    ) -> Result<Part, Refusal> {
        let start = nanos("timestamp", event.get("timestamp"))?;
        let end = nanos("completed", event.get("completed"))?;
        let is_pending = event.get("pending").and_then(Value::bool) == Some(true);
        let id = match event.get("uuid") {
            Some(id) => id_text("uuid", Some(id))?.into_owned(),
            None => id_of_content(&[&self.id, event.raw()]),
        };
        let end = end.or(self.completed).or(start).filter(|_| !is_pending);
        Ok(Part {
            id,
            parent: Some(text(event.get("span_id")).unwrap_or_else(|| self.id.clone())),
            span: span(name.into(), [start, end], attributes),
        })
    }

    /// Returns the members of an event as attributes, but for those that are told elsewhere.
    fn attributes(&self, event: Value<'_, '_>, elsewhere: &[&str]) -> Members<'static> {
        let members = event
            .members()
            .filter(|(_, value)| value.kind() != Kind::Null);
        let mut out: Members<'static> = Vec::new();
        for (key, value) in members {
            let key = key.text().unwrap_or_default();
            if !elsewhere.contains(&&*key) {
                out.push((format!("inspect.{key}").into(), read_again(value.raw())));
            }
        }
        out
    }

    /// Returns an event that is a moment of a span; what is kept apart stays apart where it is too much.
    fn moment(&self, event: Value<'_, '_>) -> RawEvent<'static> {
        let whole = self.attached(event.raw());
        let whole = whole.unwrap_or_else(|_| event.raw().to_owned());
        let time = nanos("timestamp", event.get("timestamp")).ok().flatten();
        let attributes = vec![("inspect.event".into(), Any::Text(whole.into()))];
        RawEvent {
            nanos: time.unwrap_or(0),
            name: format!("inspect.{}", kind(event)).into(),
            attributes: Attributes::new(attributes),
            dropped_attributes: 0,
            body: Any::Empty,
        }
    }
}

/// Returns the inside of a JSON string, as it is written.
fn inner<'b>(value: Value<'b, '_>) -> &'b str {
    let raw = value.raw();
    raw.get(1..raw.len() - 1).unwrap_or_default()
}

fn owned(text: &str) -> Any<'static> {
    Any::Text(text.to_owned().into())
}

/// Returns the attribute of a JSON text that does not live long enough itself.
fn read_again(json: &str) -> Any<'static> {
    let mut tape = Tape::default();
    let Ok(value) = super::root(json.as_bytes(), &mut tape) else {
        return owned(&json_string(json));
    };
    match any(value) {
        Any::Text(text) => Any::Text(text.into_owned().into()),
        Any::Number(text) => Any::Number(text.into_owned().into()),
        Any::Bool(value) => Any::Bool(value),
        Any::Int(value) => Any::Int(value),
        Any::Double(value) => Any::Double(value),
        _ => Any::Empty,
    }
}
