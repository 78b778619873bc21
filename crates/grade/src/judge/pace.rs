//! How many questions may be asked of one model at one time, and when the next?
//!
//! Nobody knows what a provider will bear, so it is found out: four at first, one more for every twenty
//! that went well, half as many after a 429. What the headers tell of the limit on tokens is believed:
//! it is a bucket that fills, and a question waits until it has enough. A decision of values and
//! moments; who waits is in `gate.rs`.

use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::Instant;

use super::backoff::duration;
use super::failure::header;

/// How many are asked at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// At first.
    pub start: usize,
    /// So many successes let one more be asked.
    pub successes_per_step: usize,
    /// However well it goes.
    pub most: usize,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            start: 4,
            successes_per_step: 20,
            most: 64,
        }
    }
}

/// What is known of one model at one provider.
#[derive(Debug)]
pub(super) struct Pace {
    pacing: Pacing,
    /// So many may be asked at one time.
    width: usize,
    asking: usize,
    successes: usize,
    /// Counts halvings: a 429 to a question that was asked before the last one tells nothing new.
    epoch: u64,
    paused_until: Option<Instant>,
    bucket: Option<Bucket>,
}

/// What may happen to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is asked.
    Go { epoch: u64 },
    /// It waits until then.
    At(Instant),
    /// It waits until another is answered.
    Later,
}

/// How a question fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fared {
    /// It was answered.
    Well,
    /// It failed, for no reason of pace.
    Badly,
    /// There were too many; the provider may have said how long to wait.
    TooMany { after: Option<Duration> },
}

impl Pace {
    pub(super) fn new(pacing: Pacing) -> Self {
        Self {
            width: pacing.start.max(1),
            pacing,
            asking: 0,
            successes: 0,
            epoch: 0,
            paused_until: None,
            bucket: None,
        }
    }

    /// Decides about a question of so many tokens; if it goes, it counts as asked.
    pub(super) fn turn(&mut self, now: Instant, tokens: f64) -> Turn {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Turn::At(until);
        }
        if self.asking >= self.width {
            return Turn::Later;
        }
        if let Some(bucket) = &mut self.bucket
            && let Err(full_at) = bucket.take(now, tokens)
        {
            return Turn::At(full_at);
        }
        self.asking += 1;
        Turn::Go { epoch: self.epoch }
    }

    /// Takes note of what the headers of an answer tell of the limit on tokens.
    pub(super) fn note(&mut self, now: Instant, headers: &HeaderMap) {
        if let Some(bucket) = Bucket::read(now, headers) {
            self.bucket = Some(bucket);
        }
    }

    /// Takes note of how a question fared that was asked in this epoch.
    pub(super) fn end(&mut self, now: Instant, epoch: u64, fared: Fared) {
        self.asking = self.asking.saturating_sub(1);
        match fared {
            Fared::Well => {
                self.successes += 1;
                if self.successes >= self.pacing.successes_per_step {
                    self.successes = 0;
                    self.width = (self.width + 1).min(self.pacing.most.max(1));
                }
            }
            Fared::Badly => {}
            Fared::TooMany { after } => {
                if epoch == self.epoch {
                    self.epoch += 1;
                    self.successes = 0;
                    self.width = (self.width / 2).max(1);
                }
                let until = after.map(|after| now + after);
                self.paused_until = self.paused_until.max(until);
            }
        }
    }
}

/// Tokens that may be asked for now, and how fast they come back.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full: f64,
    level: f64,
    per_second: f64,
    at: Instant,
}

impl Bucket {
    /// The provider's own count stands above ours.
    fn read(now: Instant, headers: &HeaderMap) -> Option<Self> {
        let number = |name: &str| header(headers, name)?.parse::<f64>().ok();
        let full = number("x-ratelimit-limit-tokens").filter(|full| *full >= 1.0)?;
        let level = number("x-ratelimit-remaining-tokens")?.clamp(0.0, full);
        let reset = duration(header(headers, "x-ratelimit-reset-tokens")?)?.as_secs_f64();
        // One that is full does not tell how fast it fills: the limits are meant per minute.
        let per_second = match (full - level) / reset {
            rate if rate.is_finite() && rate > 0.0 => rate,
            _ => full / 60.0,
        };
        Some(Self {
            full,
            level,
            per_second,
            at: now,
        })
    }

    /// Takes tokens, or says when there will be enough. More than it holds are taken when it is full.
    fn take(&mut self, now: Instant, tokens: f64) -> Result<(), Instant> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second).min(self.full);
        self.at = now;
        let missing = tokens.min(self.full) - self.level;
        // Less than one is the rounding of time.
        if missing < 1.0 {
            self.level = (self.level - tokens).max(0.0);
            return Ok(());
        }
        let wait = Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX);
        Err(now + wait.min(WAIT_MAX))
    }
}

/// After so long it is looked again, whatever was calculated.
const WAIT_MAX: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Bucket, Duration, Fared, Instant, Pace, Pacing, Turn};

    fn go(pace: &mut Pace, now: Instant) -> Option<u64> {
        match pace.turn(now, 1.0) {
            Turn::Go { epoch } => Some(epoch),
            Turn::At(_) | Turn::Later => None,
        }
    }

    fn headers(full: u32, level: u32, reset: &str) -> HeaderMap {
        [
            ("x-ratelimit-limit-tokens", full.to_string()),
            ("x-ratelimit-remaining-tokens", level.to_string()),
            ("x-ratelimit-reset-tokens", reset.to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_str(&value).unwrap();
            (HeaderName::from_static(name), value)
        })
        .collect()
    }

    #[test]
    fn four_at_first_one_more_per_twenty_and_half_after_a_429() {
        let now = Instant::now();
        let mut pace = Pace::new(Pacing::default());
        let mut epochs: Vec<u64> = std::iter::from_fn(|| go(&mut pace, now)).collect();
        assert_eq!(epochs.len(), 4);
        for _ in 0..100 {
            pace.end(now, epochs.pop().unwrap(), Fared::Well);
            epochs.push(go(&mut pace, now).unwrap());
        }
        epochs.extend(std::iter::from_fn(|| go(&mut pace, now)));
        assert_eq!((pace.width, epochs.len()), (9, 9));
        // All nine come back with 429: it is halved once.
        for epoch in epochs {
            pace.end(now, epoch, Fared::TooMany { after: None });
        }
        assert_eq!((pace.width, pace.asking), (4, 0));
        for width in [2, 1, 1] {
            let epoch = go(&mut pace, now).unwrap();
            pace.end(now, epoch, Fared::TooMany { after: None });
            assert_eq!(pace.width, width);
        }
    }

    #[test]
    fn a_wait_that_one_was_told_holds_for_all() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(Pacing::default());
        let epoch = go(&mut pace, now).unwrap();
        let after = Some(second * 5);
        pace.end(now, epoch, Fared::TooMany { after });
        assert_eq!(pace.turn(now, 1.0), Turn::At(now + second * 5));
        assert!(go(&mut pace, now + second * 5).is_some());
    }

    #[test]
    fn questions_wait_for_tokens() {
        let now = Instant::now();
        let mut pace = Pace::new(Pacing::default());
        // 600 of 1000 are gone, and are back in a minute: ten a second.
        pace.note(now, &headers(1_000, 400, "1m0s"));
        assert_eq!(pace.turn(now, 300.0), Turn::Go { epoch: 0 });
        let Turn::At(at) = pace.turn(now, 300.0) else {
            panic!("there are only 100 left");
        };
        assert_eq!((at - now).as_secs(), 20);
        assert_eq!(pace.turn(at, 300.0), Turn::Go { epoch: 0 });
        // More than there ever are: once all are there.
        let later = at + Duration::from_mins(10);
        assert_eq!(pace.turn(later, 5_000.0), Turn::Go { epoch: 0 });
    }

    #[test]
    fn headers_that_tell_nothing_change_nothing() {
        let now = Instant::now();
        assert!(Bucket::read(now, &HeaderMap::new()).is_none());
        assert!(Bucket::read(now, &headers(0, 0, "1s")).is_none());
        assert!(Bucket::read(now, &headers(10, 10, "soon")).is_none());
        let full = Bucket::read(now, &headers(60, 60, "0s")).unwrap();
        assert!((full.per_second - 1.0).abs() < 1e-9);
    }

    proptest! {
        /// Whatever happens, the width stays between one and the most, and no more are asked.
        #[test]
        fn the_width_is_kept(ends in proptest::collection::vec(0_u8..4, 0..300)) {
            let now = Instant::now();
            let most = 6;
            let mut pace = Pace::new(Pacing { successes_per_step: 2, most, ..Pacing::default() });
            let mut asked = Vec::new();
            for end in ends {
                match (end, asked.pop()) {
                    (0, _) | (_, None) => asked.extend(go(&mut pace, now)),
                    (1, Some(epoch)) => pace.end(now, epoch, Fared::Well),
                    (2, Some(epoch)) => pace.end(now, epoch, Fared::Badly),
                    (_, Some(epoch)) => pace.end(now, epoch, Fared::TooMany { after: None }),
                }
                prop_assert!((1..=most).contains(&pace.width));
            }
        }

        #[test]
        fn a_bucket_never_keeps_one_waiting_for_ever(full in 1_u32..100_000, share in 0.0..1.0, tokens in 0.0..1e7) {
            let mut now = Instant::now();
            let level = (f64::from(full) * share) as u32;
            let mut bucket = Bucket::read(now, &headers(full, level, "30s")).unwrap();
            let mut waits = 0;
            while let Err(at) = bucket.take(now, tokens) {
                prop_assert!(at > now);
                now = at;
                waits += 1;
                prop_assert!(waits < 5, "{bucket:?}");
            }
        }
    }
}
