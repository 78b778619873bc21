//! Tokens, in every shape in which they are told.
//!
//! | where | keys |
//! | --- | --- |
//! | response and generation spans | `input_tokens`, `input_tokens_details.cached_tokens`, … |
//! | task and turn spans | `input_tokens`, `cached_input_tokens`, … |
//! | as OpenAI's endpoint gets it | `input_tokens`, `details.input_tokens_details.cached_tokens`, … |
//! | chat completions | `prompt_tokens`, `prompt_tokens_details.cached_tokens`, … |

use model::Usage;

use crate::json::Value;

/// More tokens than any call has: a sender's mistake, which sums over many calls must not take in.
const TOKENS_MAX: i64 = 1_000_000_000_000;

/// Returns the counts that `usage` tells.
pub(crate) fn read(usage: Value<'_, '_>) -> Usage {
    let details = usage.get("details");
    let top = |key: &str| usage.get(key).or_else(|| details?.get(key));
    let tokens = |value: Value<'_, '_>| value.count().filter(|count| *count <= TOKENS_MAX);
    let count = |key: &str| top(key).and_then(tokens);
    let nested = |object: &str, key: &str| tokens(top(object)?.get(key)?);
    Usage {
        input_tokens: count("input_tokens").or_else(|| count("prompt_tokens")),
        cached_tokens: nested("input_tokens_details", "cached_tokens")
            .or_else(|| nested("prompt_tokens_details", "cached_tokens"))
            .or_else(|| count("cached_input_tokens")),
        output_tokens: count("output_tokens").or_else(|| count("completion_tokens")),
        reasoning_tokens: nested("output_tokens_details", "reasoning_tokens")
            .or_else(|| nested("completion_tokens_details", "reasoning_tokens")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Reader, Tape};

    fn check(text: &str, want: [Option<i64>; 4]) {
        let mut tape = Tape::default();
        Reader::new(text.as_bytes()).index(&mut tape).unwrap();
        let got = read(tape.root(text));
        let got = [
            got.input_tokens,
            got.cached_tokens,
            got.output_tokens,
            got.reasoning_tokens,
        ];
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn every_shape_is_read() {
        let full = [Some(100), Some(20), Some(30), Some(5)];
        check(
            r#"{"requests":1,"input_tokens":100,"output_tokens":30,"total_tokens":130,
                "input_tokens_details":{"cached_tokens":20},"output_tokens_details":{"reasoning_tokens":5}}"#,
            full,
        );
        check(
            r#"{"input_tokens":100,"output_tokens":30,"details":{"requests":1,
                "input_tokens_details":{"cached_tokens":20},"output_tokens_details":{"reasoning_tokens":5}}}"#,
            full,
        );
        check(
            r#"{"prompt_tokens":100,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":20},
                "completion_tokens_details":{"reasoning_tokens":5}}"#,
            full,
        );
        check(
            r#"{"input_tokens":100,"output_tokens":30,"cached_input_tokens":20}"#,
            [Some(100), Some(20), Some(30), None],
        );
        check(
            r#"{"input_tokens":0,"output_tokens":null}"#,
            [Some(0), None, None, None],
        );
        check(r#"{"input_tokens":"many","output_tokens":-1}"#, [None; 4]);
        check(
            r#"{"input_tokens":9000000000000000000,"output_tokens":1000000000000}"#,
            [None, None, Some(1_000_000_000_000), None],
        );
        check("[1]", [None; 4]);
    }
}
