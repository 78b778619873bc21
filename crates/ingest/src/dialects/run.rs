//! What spans say of the run they belong to: session, user, labels and metadata.
//!
//! They belong to the trace and are said by many spans; the outermost that says it is believed.

use model::{GroupId, JsonText, Rank, Source, TraceId, TraceItem};

use crate::json::{json_string, push_json_string};
use crate::messages::Doc;
use crate::otlp::Any;

use super::Seen;
use super::mlflow::unquoted;

const SESSIONS: [&str; 6] = [
    "session.id",
    "langfuse.session.id",
    "gen_ai.conversation.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.thread_id",
    "group_id",
];

const MORE_SESSIONS: [&str; 8] = [
    "lmnr.association.properties.session_id",
    "session_id",
    "sessionId",
    "langsmith.metadata.session_id",
    "langsmith.metadata.thread_id",
    "langsmith.metadata.conversation_id",
    "ai.telemetry.metadata.sessionId",
    "gcp.vertex.agent.session_id",
];

/// Keys of metadata that name the session; LangGraph's is the thread.
const OF_METADATA: [&str; 4] = ["session_id", "conversation_id", "group_id", "thread_id"];

const USERS: [&str; 9] = [
    "user.id",
    "langfuse.user.id",
    "enduser.id",
    "traceloop.association.properties.user_id",
    "lmnr.association.properties.user_id",
    "langsmith.metadata.user_id",
    "ai.telemetry.metadata.userId",
    "user_id",
    "userId",
];

const TAGS: [&str; 5] = [
    "tag.tags",
    "langfuse.trace.tags",
    "ai.telemetry.metadata.tags",
    "lmnr.association.properties.tags",
    "langsmith.span.tags",
];

/// Metadata key by key, under a prefix.
const METADATA: [&str; 6] = [
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
    "traceloop.association.properties.",
    "lmnr.association.properties.metadata.",
    "langsmith.metadata.",
    "ai.telemetry.metadata.",
];

/// Keys that libraries write into metadata for themselves.
const OWN_METADATA: [&str; 11] = [
    "LANGSMITH_",
    "ls_",
    "lc_",
    "langgraph_",
    "checkpoint",
    "__pregel",
    "usage_metadata",
    "is_langchain_root",
    "revision_id",
    "thread_id",
    "_type",
];

/// What one span says of its run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RunFacts {
    /// The name of the workflow.
    pub(crate) workflow_name: Option<String>,
    /// The session.
    pub(crate) session: Option<GroupId>,
    /// The user.
    pub(crate) user_id: Option<String>,
    /// Where it runs.
    pub(crate) environment: Option<String>,
    /// The version of what runs.
    pub(crate) version: Option<String>,
    /// Free labels.
    pub(crate) tags: Option<Vec<String>>,
    /// Metadata: a JSON object.
    pub(crate) metadata: Option<JsonText>,
}

impl RunFacts {
    /// Returns what a span says.
    pub(crate) fn of(seen: &Seen<'_, '_>) -> Self {
        let metadata = metadata(seen);
        let from_metadata = |keys: &[&str]| {
            let doc = Doc::parse_container(metadata.as_ref()?.as_str())?;
            let root = doc.root();
            let found = keys.iter().find_map(|key| root.get(key)?.scalar());
            found.map(String::from)
        };
        let attributes = seen.attributes;
        let first = |keys: &[&str]| attributes.first_text(keys).map(str::to_owned);
        let session = first(&SESSIONS)
            .or_else(|| first(&MORE_SESSIONS))
            .or_else(|| from_metadata(&OF_METADATA));
        Self {
            workflow_name: workflow_name(seen),
            session: session.and_then(|session| GroupId::new(&session).ok()),
            user_id: first(&USERS).or_else(|| from_metadata(&["user_id"])),
            environment: first(&["langfuse.environment"])
                .or_else(|| from_metadata(&["environment"])),
            version: first(&["langfuse.release", "langfuse.version"])
                .or_else(|| from_metadata(&["version", "release", "agent_version"])),
            tags: tags(seen),
            metadata,
        }
    }

    /// Returns the facts as an item of the trace, told so far out; `None` if there are none.
    pub(crate) fn into_item(
        self,
        trace_id: TraceId,
        source: Source,
        rank: Rank,
    ) -> Option<TraceItem> {
        if self == Self::default() {
            return None;
        }
        let mut item = TraceItem::new(trace_id, source).told(rank);
        item.workflow_name = self.workflow_name;
        item.group_id = self.session;
        item.user_id = self.user_id;
        item.environment = self.environment;
        item.version = self.version;
        item.tags = self.tags;
        item.metadata = self.metadata;
        Some(item)
    }
}

/// Returns the name of the run, if a span can know it: most tell it on the root alone.
fn workflow_name(seen: &Seen<'_, '_>) -> Option<String> {
    if let Some(name) = seen.text("langfuse.trace.name") {
        return Some(name.to_owned());
    }
    if !seen.is_root {
        return None;
    }
    let of_logfire = || {
        let template = super::logfire::template(seen);
        let is_trace = template.starts_with("OpenAI Agents trace:");
        seen.text("name").filter(|_| is_trace)
    };
    let keys = [
        "gen_ai.workflow.name",
        "traceloop.workflow.name",
        "langsmith.trace.name",
    ];
    let told = seen
        .attributes
        .first_text(&keys)
        .or_else(of_logfire)
        .or_else(|| seen.text("logfire.msg"))
        .unwrap_or(seen.name);
    (!told.is_empty()).then(|| told.to_owned())
}

fn tags(seen: &Seen<'_, '_>) -> Option<Vec<String>> {
    let value = TAGS.iter().find_map(|key| seen.attributes.get(key))?;
    let from_text = |text: &str| {
        let tags = text.split(',').map(str::trim);
        tags.filter(|tag| !tag.is_empty()).map(Into::into).collect()
    };
    let tags: Vec<String> = match value {
        Any::List(items) => items
            .iter()
            .filter_map(|item| item.scalar().map(Into::into))
            .collect(),
        Any::Text(text) => match Doc::parse_container(text) {
            Some(doc) => {
                let elements = doc.root().elements();
                elements
                    .filter_map(|tag| tag.scalar().map(Into::into))
                    .collect()
            }
            None => from_text(text),
        },
        _ => return None,
    };
    // LangGraph's own marks are no labels of the user.
    let tags: Vec<_> = tags
        .into_iter()
        .filter(|tag| !tag.starts_with("seq:step"))
        .collect();
    (!tags.is_empty()).then_some(tags)
}

/// Returns the metadata as one JSON object, from a whole object or from single keys.
fn metadata(seen: &Seen<'_, '_>) -> Option<JsonText> {
    if let Some(value) = seen.attributes.get("metadata") {
        let text = super::written_value(value);
        let is_told = |doc: &Doc<'_>| doc.root().is_object() && !doc.root().is_empty();
        let doc = Doc::parse_container(&text).filter(is_told);
        return doc.map(|doc| JsonText::from_trusted(doc.root().raw()));
    }
    let mut out = String::new();
    for prefix in METADATA {
        for (key, value) in seen.attributes.under(prefix) {
            if OWN_METADATA.iter().any(|own| key.starts_with(own)) {
                continue;
            }
            out.push(if out.is_empty() { '{' } else { ',' });
            push_json_string(&mut out, key);
            out.push(':');
            match value {
                Any::Text(text) if prefix.starts_with("langfuse.") => {
                    out.push_str(&json_string(&unquoted(text)));
                }
                other => out.push_str(&other.to_json()),
            }
        }
        if !out.is_empty() {
            out.push('}');
            return Some(JsonText::from_trusted(out));
        }
    }
    None
}
