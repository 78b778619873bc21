//! When are two traces the same to a grader?

use std::collections::HashMap;
use std::sync::Arc;

use blake3::Hasher;
use insight::template::{span_facts, trace_facts};
use insight::{ToldSpan, TraceView};
use model::{ChatMessage, JsonText};

/// Returns a hash of all that a grader can read of a trace: of what was sent, not of how it is kept, nor of
/// what should have been done, which most graders do not look at.
///
/// Agents send their history with every call, so a message that many spans share is read once.
pub fn content_hash(view: &TraceView) -> String {
    let mut hash = Hasher::new();
    let item = trace_facts(view);
    part(&mut hash, item.to_string().as_bytes());
    let mut known: HashMap<*const ChatMessage, blake3::Hash> = HashMap::new();
    for (at, one) in (0u32..).zip(&view.spans) {
        let mut span = span_facts(view, at, false);
        // A price that is corrected does not change what was said.
        if let Some(facts) = span.as_object_mut() {
            facts.shift_remove("cost_usd");
        }
        part(&mut hash, span.to_string().as_bytes());
        told(&mut hash, &one.told, &mut known);
    }
    hash.finalize().to_hex().to_string()
}

fn told(hash: &mut Hasher, told: &ToldSpan, known: &mut HashMap<*const ChatMessage, blake3::Hash>) {
    for messages in [&told.input, &told.output] {
        hash.update(&(messages.len() as u64).to_le_bytes());
        for message in messages {
            let hashed = known.entry(Arc::as_ptr(message));
            let hashed = hashed.or_insert_with(|| {
                let text = serde_json::to_vec(&**message);
                blake3::hash(&text.expect("a message is made of texts and JSON"))
            });
            hash.update(hashed.as_bytes());
        }
    }
    for json in [&told.arguments, &told.result] {
        let text = json.as_ref().map(JsonText::as_str).unwrap_or_default();
        part(hash, text.as_bytes());
    }
    hash.update(&(told.tools.len() as u64).to_le_bytes());
    for tool in told.tools.iter() {
        part(hash, tool.name.as_bytes());
        let parameters = tool.parameters.as_ref().map(JsonText::as_str);
        part(hash, parameters.unwrap_or_default().as_bytes());
    }
}

/// With its length, so that no two lists of parts run into the same bytes.
fn part(hash: &mut Hasher, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}
