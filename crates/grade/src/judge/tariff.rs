//! What a question will cost, about, and what it did cost.

use model::{NanoUsd, PriceTable, Time, Usage};

use super::request;
use crate::openai::{ModelAnswer, ModelRequest, Tokens};

/// Bytes that make a token, about: few languages need more tokens than this.
const BYTES_PER_TOKEN: usize = 4;
/// What an answer takes if no limit is set.
const ANSWER_TOKENS: u64 = 1_000;
/// The same of a model that thinks first, and is paid for that.
const REASONED_ANSWER_TOKENS: u64 = 4_000;

/// Tokens that a provider may add to what it was sent.
const READ_TOKENS_SPARE: i64 = 50_000;
/// More tokens no model writes into one answer.
const WRITTEN_TOKENS_MAX: i64 = 1_000_000;

/// The prices of one provider on one day.
#[derive(Debug, Clone, Copy)]
pub struct Tariff<'a> {
    /// All that are known.
    pub prices: &'a PriceTable,
    /// Whose price goes before the model's own.
    pub provider: Option<&'a str>,
    /// The day.
    pub at: Time,
}

impl Tariff<'_> {
    /// Returns what a question is thought to cost; none if the model has no price.
    pub fn estimate(&self, request: &ModelRequest) -> Option<NanoUsd> {
        let messages: usize = request.messages.iter().map(|it| it.to_string().len()).sum();
        let schema = request
            .schema
            .as_ref()
            .map_or(0, |(_, it)| it.to_string().len());
        let tokens = Tokens {
            prompt: i64::try_from((messages + schema).div_ceil(BYTES_PER_TOKEN)).ok()?,
            completion: i64::try_from(answer_tokens(request)).ok()?,
            ..Tokens::default()
        };
        self.price(&request.model, tokens)
    }

    /// Returns what an answer cost, by the name that the provider gives the model or by the one that
    /// was asked for.
    pub fn cost(&self, request: &ModelRequest, answer: &ModelAnswer) -> Option<NanoUsd> {
        if !answer.usage.is_known() {
            return None;
        }
        let by = |model: &str| self.price(model, answer.usage);
        by(&answer.model).or_else(|| by(&request.model))
    }

    /// Takes tokens out of an answer that cannot be: more read than was sent, more written than a model
    /// writes. What it took is then not known, rather than wrong.
    pub fn doubt(&self, request: &ModelRequest, answer: &mut ModelAnswer) {
        let sent: usize = request.messages.iter().map(|it| it.to_string().len()).sum();
        let told = request.params.to_string().len();
        let schema = request.schema.as_ref();
        let schema = schema.map_or(0, |(_, schema)| schema.to_string().len());
        // A token is a byte at least; what a provider adds of its own, and pictures, have some room.
        let read_max = i64::try_from(sent + told + schema).unwrap_or(i64::MAX);
        let read_max = read_max.saturating_add(READ_TOKENS_SPARE);
        let usage = &answer.usage;
        let is_possible = (0..=read_max).contains(&usage.prompt)
            && (0..=WRITTEN_TOKENS_MAX).contains(&usage.completion)
            && (0..=usage.prompt).contains(&usage.cached);
        if !is_possible {
            answer.usage = Tokens::default();
        }
    }

    fn price(&self, model: &str, tokens: Tokens) -> Option<NanoUsd> {
        let usage = Usage {
            input_tokens: Some(tokens.prompt),
            cached_tokens: Some(tokens.cached),
            output_tokens: Some(tokens.completion),
            reasoning_tokens: None,
        };
        self.prices.cost(model, self.provider, &usage, self.at)
    }
}

/// Returns how much an answer may take, or is thought to.
pub(super) fn answer_tokens(request: &ModelRequest) -> u64 {
    let limits = [
        "max_completion_tokens",
        "max_completions_tokens",
        "max_tokens",
    ];
    let most = limits.iter().find_map(|name| request.params[name].as_u64());
    most.unwrap_or(match request::reasons(&request.model) {
        true => REASONED_ANSWER_TOKENS,
        false => ANSWER_TOKENS,
    })
}

#[cfg(test)]
mod tests {
    use model::{NanoUsd, PriceTable, Time};
    use serde_json::{Value, json};

    use super::{ModelAnswer, ModelRequest, Tariff, Tokens};

    fn request(model: &str, params: Value) -> ModelRequest {
        ModelRequest {
            model: model.to_owned(),
            messages: vec![json!("x".repeat(398))],
            params,
            schema: None,
        }
    }

    #[test]
    fn questions_and_answers_have_a_price() {
        let prices = PriceTable::parse(
            "provider\tmodel\tfrom\tinput_above\tinput\tcached_input\toutput\treasoning\n\
             \tm\t2024-01-01\t\t1\t0.5\t10\t\n\
             \to3\t2024-01-01\t\t1\t\t10\t\n",
        );
        let prices = prices.unwrap();
        let tariff = Tariff {
            prices: &prices,
            provider: None,
            at: Time::from_micros(1_790_000_000_000_000),
        };
        // 400 bytes are 100 tokens at a micro-dollar, and an answer's at ten.
        let estimate = |model, params| tariff.estimate(&request(model, params));
        assert_eq!(
            estimate("m", json!({"max_tokens": 10})),
            Some(NanoUsd(200_000))
        );
        assert_eq!(estimate("m", Value::Null), Some(NanoUsd(10_100_000)));
        assert_eq!(estimate("o3", Value::Null), Some(NanoUsd(40_100_000)));
        assert_eq!(estimate("nobody", Value::Null), None);

        let mut answer = ModelAnswer {
            model: "m".to_owned(),
            text: String::new(),
            tool_calls: Value::Null,
            refusal: None,
            finish_reason: None,
            usage: Tokens {
                prompt: 100,
                completion: 10,
                total: 110,
                cached: 60,
            },
            ..ModelAnswer::default()
        };
        let cost = |answer: &ModelAnswer| tariff.cost(&request("m", Value::Null), answer);
        assert_eq!(cost(&answer), Some(NanoUsd(170_000)));
        answer.model = "m-served-elsewhere".to_owned();
        assert_eq!(cost(&answer), Some(NanoUsd(170_000)));
    }
}
