//! A text that grows up to a limit.
//!
//! How much of a trace fits is found by trying. A trial ends the moment that it is too long, so it never
//! costs more than the budget, however large the trace is.

use super::tokens::{TOKEN, Weight, weigh};

/// The page is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// A text and what it weighs.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    weight: Weight,
    limit: Weight,
}

impl Page {
    /// Returns an empty page for `tokens` estimated tokens.
    pub(super) fn of(tokens: u64) -> Self {
        Self {
            text: String::new(),
            weight: 0,
            limit: tokens.saturating_mul(TOKEN),
        }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Full> {
        let weight = self.weight + weigh(line) + weigh("\n");
        if weight > self.limit {
            return Err(Full);
        }
        self.weight = weight;
        self.text.push_str(line);
        self.text.push('\n');
        Ok(())
    }

    /// Returns how much more fits.
    pub(super) fn left(&self) -> Weight {
        self.limit - self.weight
    }

    /// Returns the text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
