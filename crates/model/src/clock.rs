//! The clock is an argument: the store's tests make it step back, jump and stand still.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::Time;

/// Tells the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the present moment by this clock.
    fn now(&self) -> Time;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> Time {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Time::from_micros(since_epoch.as_micros() as i64)
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// Returns a clock that stands at `at`.
    pub fn at(at: Time) -> Self {
        Self(AtomicI64::new(at.as_micros()))
    }

    /// Moves the clock to `at`, forwards or backwards.
    pub fn set(&self, at: Time) {
        self.0.store(at.as_micros(), Ordering::SeqCst);
    }

    /// Moves the clock by `micros`, which may be negative.
    pub fn advance_micros(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::SeqCst))
    }
}
