//! What is audio, and what is left of it where it is not kept: how long it was.

use crate::json::{Kind, Value};

use super::place::Place;

/// Base64 under a key that says nothing is taken for audio from this length on.
const BASE64_BYTES_MIN: usize = 64;

const DATA_URL: &str = "data:audio/";

/// Returns whether what stands under `key` may be audio.
pub(super) fn is_announced(place: Place, key: &str) -> bool {
    let is_voice = matches!(place, Place::SpanData(span_type) if match span_type {
        model::SpanType::Transcription => key == "input",
        model::SpanType::Speech => key == "output",
        _ => false,
    });
    is_voice || key.to_ascii_lowercase().contains("audio")
}

/// Returns whether an object says of itself that it is audio.
pub(super) fn is_audio(object: Value<'_, '_>) -> bool {
    const TYPES: [&str; 5] = ["type", "modality", "mime_type", "mimeType", "media_type"];
    object.is_object()
        && TYPES.iter().any(|key| {
            let told = object.get(key).and_then(Value::text);
            told.is_some_and(|told| told.contains("audio"))
        })
}

/// Returns the mark for a text that is audio; `key` is what it stands under.
pub(super) fn mark(key: Option<&str>, text: &str) -> Option<String> {
    let base64 = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").map(|(_, base64)| base64)?,
        None => text,
    };
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_\r\n".contains(&byte);
    let is_data = matches!(key, Some("data" | "b64_json"));
    let is_long = base64.len() >= BASE64_BYTES_MIN || text.len() > base64.len() || is_data;
    (is_long && !base64.is_empty() && base64.bytes().all(is_base64)).then(|| of_length(base64))
}

fn of_length(base64: &str) -> String {
    let padding = base64
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'=')
        .count();
    let letters = base64
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .count();
    format!(
        "[redacted:audio {} bytes]",
        letters * 3 / 4 - padding.min(letters * 3 / 4)
    )
}

/// Returns the text without the audio that URLs in it hold, and how many those were.
pub(super) fn without_urls(text: &str) -> Option<(String, usize)> {
    let (mut out, mut rest, mut count) = (String::new(), text, 0);
    while let Some(at) = rest.find(DATA_URL) {
        let url = &rest[at..];
        let is_part = |char: char| char.is_ascii_alphanumeric() || "+/=-_:;,.".contains(char);
        let end = url.find(|char| !is_part(char)).unwrap_or(url.len());
        out.push_str(&rest[..at]);
        match url[..end].split_once(";base64,") {
            Some((_, base64)) => {
                out.push_str(&of_length(base64));
                count += 1;
            }
            None => out.push_str(&url[..end]),
        }
        rest = &url[end..];
    }
    out.push_str(rest);
    (count > 0).then_some((out, count))
}

/// Returns whether a text may hold audio further in, as JSON.
pub(super) fn may_hold(value: Value<'_, '_>) -> bool {
    value.kind() == Kind::String && value.raw().contains("audio")
}
