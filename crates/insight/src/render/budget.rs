//! How much may a judge read?

use super::tokens::estimate_tokens;

/// Calls of the reading tools in one judgement.
pub const READING_CALLS_MAX: u32 = 20;

/// Tokens read with them in one judgement.
pub const READING_TOKENS_MAX: u64 = 60_000;

/// What is left of the calls and tokens of one judgement. Its time is watched by whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingBudget {
    calls_left: u32,
    tokens_left: u64,
}

impl Default for ReadingBudget {
    fn default() -> Self {
        Self::new(READING_CALLS_MAX, READING_TOKENS_MAX)
    }
}

impl ReadingBudget {
    /// Returns a budget of so many calls and tokens.
    pub const fn new(calls: u32, tokens: u64) -> Self {
        Self {
            calls_left: calls,
            tokens_left: tokens,
        }
    }

    /// Returns whether nothing more can be read: the judge must now answer from what it has read.
    pub const fn is_exhausted(&self) -> bool {
        self.calls_left == 0 || self.tokens_left == 0
    }

    /// Returns the answer to one call as the judge gets it, with what is left; an answer longer than
    /// what is left is not given.
    pub fn spend(&mut self, answer: impl FnOnce() -> String) -> String {
        if self.is_exhausted() {
            return EXHAUSTED.to_owned();
        }
        self.calls_left -= 1;
        let answer = answer();
        let tokens = estimate_tokens(&answer);
        if tokens > self.tokens_left {
            self.tokens_left = 0;
            return EXHAUSTED.to_owned();
        }
        self.tokens_left -= tokens;
        let (calls, tokens) = (self.calls_left, self.tokens_left);
        format!("{answer}\n({calls} calls and {tokens} tokens left)")
    }
}

const EXHAUSTED: &str = "Nothing more can be read. Answer now, from what you have read.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_tokens_run_out() {
        let mut calls = ReadingBudget::new(2, 1_000);
        assert_eq!(
            calls.spend(|| "one".to_owned()),
            "one\n(1 calls and 999 tokens left)"
        );
        assert!(calls.spend(|| "two".to_owned()).contains("(0 calls"));
        assert!(calls.is_exhausted());
        assert_eq!(
            calls.spend(|| unreachable!("nothing is read any more")),
            EXHAUSTED
        );

        let mut tokens = ReadingBudget::new(9, 10);
        assert_eq!(tokens.spend(|| "too much ".repeat(10)), EXHAUSTED);
        assert!(tokens.is_exhausted());
    }
}
