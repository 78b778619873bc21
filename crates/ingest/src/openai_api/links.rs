//! What ties a call to earlier ones: the messages it repeats, the response it goes on from, and a
//! request that is sent once more.

use model::MessageHash;

use crate::json::{Kind, Reader, Tape, Value};

use super::{Api, sse};

/// What ties a call to earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// The hash of the call's messages up to each of them, the last being that of all.
    pub history: Vec<MessageHash>,
    /// The response that the call goes on from.
    pub previous_response_id: Option<String>,
}

/// Returns what ties a call with this request to earlier ones; nothing where it cannot be read.
pub fn links(api: Api, request: &[u8]) -> Links {
    let mut tape = Tape::default();
    let Some(request) = index(request, &mut tape) else {
        return Links::default();
    };
    let mut links = Links {
        history: Vec::new(),
        previous_response_id: request
            .get("previous_response_id")
            .and_then(Value::words)
            .map(Into::into),
    };
    let Some(messages) = request.get(api.messages_key()) else {
        return links;
    };
    let mut hash = MessageHash::of(api.source_type().as_bytes());
    let mut add = |message: Value<'_, '_>| {
        let own = MessageHash::of(message.raw().as_bytes());
        hash = MessageHash::of(&[hash.0, own.0].concat());
        links.history.push(hash);
    };
    match messages.kind() {
        Kind::Array => messages.elements().for_each(&mut add),
        _ => add(messages),
    }
    links
}

/// Returns the id by which later calls name the response that a body, streamed or not, tells.
pub fn response_id(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let id = |value: Value<'_, '_>| value.get("id").and_then(Value::words).map(Into::into);
    let mut tape = Tape::default();
    if !sse::is_stream(&text) {
        return index(body, &mut tape).and_then(id);
    }
    sse::Events::new(&text).find_map(|event| {
        let event = index(event.data.as_bytes(), &mut tape)?;
        event.get("response").and_then(id)
    })
}

fn index<'b, 't>(bytes: &'b [u8], tape: &'t mut Tape) -> Option<Value<'b, 't>> {
    let text = std::str::from_utf8(bytes).ok()?.trim_ascii_start();
    Reader::new(text.as_bytes()).index(tape).ok()?;
    Some(tape.root(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(api: Api, request: &str) -> Vec<MessageHash> {
        links(api, request.as_bytes()).history
    }

    #[test]
    fn a_call_that_extends_another_begins_with_its_history() {
        let chat = Api::ChatCompletions;
        let first = history(
            chat,
            r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#,
        );
        let second = history(
            chat,
            r#"{"messages": [{"role":"user","content":"a"}, {"role":"assistant","content":"b"}, {"role":"user","content":"c"}]}"#,
        );
        assert_eq!((first.len(), second.len()), (1, 3));
        assert_eq!(first[0], second[0]);
        let other = history(chat, r#"{"messages":[{"role":"user","content":"x"}]}"#);
        assert_ne!(first, other);
        let response = history(
            Api::Responses,
            r#"{"input":[{"role":"user","content":"a"}]}"#,
        );
        assert_ne!(first, response, "each API by itself");
        assert_eq!(history(Api::Responses, r#"{"input":"a"}"#).len(), 1);
        for odd in ["", "[]", "{", r#"{"messages":null}"#] {
            assert_eq!(history(chat, odd), [], "{odd}");
        }
    }

    #[test]
    fn responses_are_found_by_their_id() {
        let request = br#"{"input":"x","previous_response_id":"resp_1"}"#;
        let told = links(Api::Responses, request);
        assert_eq!(told.previous_response_id.as_deref(), Some("resp_1"));
        let cases: [(&str, Option<&str>); 4] = [
            (r#" {"id":"resp_1","object":"response"}"#, Some("resp_1")),
            (
                "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_2\"}}\n\n",
                Some("resp_2"),
            ),
            ("data: {}\n\n", None),
            ("<html>", None),
        ];
        for (body, want) in cases {
            assert_eq!(response_id(body.as_bytes()).as_deref(), want, "{body}");
        }
    }
}
