//! One request to a target, what its answer means, and when to try again.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};

use crate::error::chain;
use crate::protobuf::{bytes_field, varint_field};

use super::batch::{Outgoing, Signal};
use super::settings::{ForwardSettings, TargetKind};

/// The first pause, doubled with each further try.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause, also where a target asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// So much of an answer is read: it may say why.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was taken; some of it may have been refused for good.
    Taken(Option<Partly>),
    /// It will never be taken.
    Refused(String),
    /// It may be taken later; the target may have said when.
    Later(String, Option<Duration>),
}

/// What a target of OpenTelemetry refused of a request that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Partly {
    /// How many spans or log records.
    pub(super) refused: u64,
    /// What it said of them.
    pub(super) why: String,
}

/// Sends a request once.
pub(super) async fn send(client: &Client, settings: &ForwardSettings, out: &Outgoing) -> Verdict {
    let mut url = settings.url.clone();
    if out.signal == Signal::Logs {
        let base = url.path().trim_end_matches("/v1/traces").to_owned();
        url.set_path(&format!("{base}/v1/logs"));
    }
    let request = client
        .post(url)
        .timeout(settings.timeout)
        .headers(settings.headers.clone())
        .header(CONTENT_TYPE, out.content_type)
        .header(CONTENT_ENCODING, "gzip")
        .body(out.body.clone());
    match request.send().await {
        Ok(response) => {
            let (status, after) = (response.status(), retry_after(&response));
            let is_json = out.content_type == "application/json";
            let answer = beginning(response).await;
            match (status.is_success(), settings.kind) {
                (true, TargetKind::Otlp(_)) => Verdict::Taken(partly(&answer, is_json)),
                (true, _) => Verdict::Taken(None),
                (false, _) => verdict(status, after, &text(&answer)),
            }
        }
        Err(error) => Verdict::Later(chain(&error.without_url()), None),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let told = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    told.trim().parse().ok().map(Duration::from_secs)
}

/// Returns the beginning of an answer.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    bytes
}

/// Returns what an answer says, fit to be shown.
fn text(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Returns what a 200 refuses all the same; an answer that is none of OpenTelemetry refuses nothing.
fn partly(answer: &[u8], is_json: bool) -> Option<Partly> {
    let told = match is_json {
        true => partly_in_json(answer)?,
        false => {
            let message = bytes_field(answer, 1)?;
            Partly {
                refused: varint_field(message, 1)?,
                why: text(bytes_field(message, 2)?),
            }
        }
    };
    (told.refused > 0).then_some(told)
}

fn partly_in_json(answer: &[u8]) -> Option<Partly> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let told = answer.get("partialSuccess")?;
    let count = ["rejectedSpans", "rejectedLogRecords"];
    let count = count.iter().find_map(|key| told.get(key))?;
    let why = told.get("errorMessage").and_then(|why| why.as_str());
    Some(Partly {
        // A 64-bit number is a text in this JSON, but not to everybody.
        refused: count.as_u64().or_else(|| count.as_str()?.parse().ok())?,
        why: text(why.unwrap_or_default().as_bytes()),
    })
}

/// Returns what an answer means: what the request is to blame for will not pass.
fn verdict(status: StatusCode, after: Option<Duration>, why: &str) -> Verdict {
    let told = || {
        format!("{status}: {why}")
            .trim_end_matches([':', ' '])
            .to_owned()
    };
    match status.as_u16() {
        200..300 => Verdict::Taken(None),
        408 | 429 | 500..600 => Verdict::Later(told(), after),
        _ => Verdict::Refused(told()),
    }
}

/// Returns how long to wait before try number `tries`; `luck` is between 0 and 1 and keeps many from
/// coming back at one time.
pub(super) fn pause(tries: u32, asked: Option<Duration>, luck: f64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1).min(16)));
    let own = doubled
        .min(PAUSE_MAX)
        .mul_f64(0.5 + luck.clamp(0.0, 1.0) / 2.0);
    own.max(asked.unwrap_or_default()).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingest::protobuf::Message;

    #[test]
    fn answers_mean_what_they_say() {
        let check = |status: u16, want: fn(&Verdict) -> bool| {
            let status = StatusCode::from_u16(status).unwrap();
            let got = verdict(status, Some(Duration::from_secs(7)), "because");
            assert!(want(&got), "{status}: {got:?}");
        };
        for status in [200, 202, 204] {
            check(status, |got| *got == Verdict::Taken(None));
        }
        for status in [408, 429, 500, 502, 503, 504] {
            check(
                status,
                |got| matches!(got, Verdict::Later(_, Some(after)) if after.as_secs() == 7),
            );
        }
        for status in [301, 400, 401, 403, 404, 413, 415] {
            check(
                status,
                |got| matches!(got, Verdict::Refused(why) if why.ends_with("because")),
            );
        }
    }

    #[test]
    fn a_part_that_was_refused_is_told() {
        let check = |answer: &[u8], is_json, want: Option<(u64, &str)>| {
            let got = partly(answer, is_json);
            let got = got.as_ref().map(|told| (told.refused, told.why.as_str()));
            assert_eq!(got, want);
        };
        let mut answer = Message::default();
        answer.message(1, |told| {
            told.varint(1, 300);
            told.bytes(2, b"too old");
        });
        check(&answer.into_bytes(), false, Some((300, "too old")));
        check(b"", false, None);
        check(b"OK", false, None);
        let json = br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"bad\u0007"}}"#;
        check(json, true, Some((2, "bad")));
        check(br#"{"partialSuccess":{"rejectedSpans":0}}"#, true, None);
        check(b"{}", true, None);
    }

    #[test]
    fn pauses_grow_are_bounded_and_heed_what_was_asked() {
        let millis = |tries, asked: Option<u64>, luck| {
            pause(tries, asked.map(Duration::from_secs), luck).as_millis()
        };
        assert_eq!((millis(1, None, 0.0), millis(1, None, 1.0)), (250, 500));
        assert_eq!((millis(2, None, 1.0), millis(5, None, 1.0)), (1_000, 8_000));
        assert_eq!(
            (millis(60, None, 1.0), millis(u32::MAX, None, 0.0)),
            (60_000, 30_000)
        );
        assert_eq!(
            (millis(1, Some(9), 0.5), millis(1, Some(86_400), 0.5)),
            (9_000, 60_000)
        );
    }
}
