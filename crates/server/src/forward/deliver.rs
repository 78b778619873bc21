//! One request to a target, what its answer means, and when to try again.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};

use crate::error::chain;

use super::batch::{Outgoing, Signal};
use super::settings::ForwardSettings;

/// The first pause, doubled with each further try.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause, also where a target asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// So much of an answer is read: it may say why.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was taken.
    Taken,
    /// It will never be taken.
    Refused(String),
    /// It may be taken later; the target may have said when.
    Later(String, Option<Duration>),
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
            let why = match status.is_success() {
                true => String::new(),
                false => told(response).await,
            };
            verdict(status, after, &why)
        }
        Err(error) => Verdict::Later(chain(&error.without_url()), None),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let told = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    told.trim().parse().ok().map(Duration::from_secs)
}

/// Returns the beginning of what an answer says.
async fn told(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Returns what an answer means: what the request is to blame for will not pass.
fn verdict(status: StatusCode, after: Option<Duration>, why: &str) -> Verdict {
    let told = || {
        format!("{status}: {why}")
            .trim_end_matches([':', ' '])
            .to_owned()
    };
    match status.as_u16() {
        200..300 => Verdict::Taken,
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

    #[test]
    fn answers_mean_what_they_say() {
        let check = |status: u16, want: fn(&Verdict) -> bool| {
            let status = StatusCode::from_u16(status).unwrap();
            let got = verdict(status, Some(Duration::from_secs(7)), "because");
            assert!(want(&got), "{status}: {got:?}");
        };
        for status in [200, 202, 204] {
            check(status, |got| *got == Verdict::Taken);
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
