//! One piece of work: answered from the cache, or by a call that money was set aside for.
//!
//! The order is what matters. What is known costs nothing; what is not is paid for before it is asked,
//! so that a run stops at its cap and not behind it; and an answer is kept before anybody may lose it.

use model::NanoUsd;

use super::budget::{Budget, Exhausted};
use super::cache::{Cache, CacheKey};
use super::tariff::Tariff;
use crate::openai::{Model, ModelAnswer, ModelError, ModelRequest};

/// Where work is answered.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "it only borrows what has no form to show"
)]
pub struct Desk<'a> {
    /// Who is asked.
    pub model: &'a dyn Model,
    /// What was asked before.
    pub cache: &'a dyn Cache<ModelAnswer>,
    /// What may be spent.
    pub budget: &'a Budget,
    /// What it costs.
    pub tariff: Tariff<'a>,
}

/// An answer and what it cost this time.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What the model said.
    pub answer: ModelAnswer,
    /// Nothing if it was known; none if the answer has no price.
    pub cost: Option<NanoUsd>,
    /// Whether it was known.
    pub is_cached: bool,
}

/// Why a piece of work has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// The run is over.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// What has no price fits no budget; a model that is free has a price of 0.
    #[error("the model `{0}` has no price, so the budget cannot be kept")]
    Unpriced(String),
    /// The model gave none.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl Desk<'_> {
    /// Answers a question, whose key is that of all work that would be answered the same.
    pub async fn answer(
        &self,
        key: CacheKey,
        request: &ModelRequest,
    ) -> Result<Answered, DeskError> {
        if let Some(answer) = self.cache.get(&key).await {
            return Ok(Answered {
                answer,
                cost: Some(NanoUsd::default()),
                is_cached: true,
            });
        }
        let estimate = self.tariff.estimate(request);
        let estimate = match estimate {
            Some(estimate) => estimate,
            // What has no price can only be asked where no cap is to be kept.
            None if self.budget.has_cap() => {
                return Err(DeskError::Unpriced(request.model.clone()));
            }
            None => NanoUsd::default(),
        };
        let reservation = self.budget.reserve(estimate)?;
        match self.model.ask(request).await {
            Ok(answer) => {
                let cost = self.tariff.cost(request, &answer);
                reservation.settle(cost);
                self.cache.put(key, &answer).await;
                Ok(Answered {
                    answer,
                    cost,
                    is_cached: false,
                })
            }
            Err(error) => {
                // Failures are not charged for. Counting them would let an outage use up the budget.
                reservation.release();
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use model::{PriceTable, Time};
    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::super::MemoryCache;
    use super::*;
    use crate::openai::{Answer, Tokens};

    /// Says what it was told to and looks at the budget while it is asked.
    struct Scripted {
        script: Mutex<Vec<Result<i64, ModelError>>>,
        budget: Budget,
        refused_meanwhile: Mutex<Vec<bool>>,
    }

    impl Model for Scripted {
        fn ask<'a>(&'a self, _: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
            // Nearly all of the cap: free only if nothing is set aside for this call.
            let all = self.budget.reserve(NanoUsd(24_000_000));
            self.refused_meanwhile.lock().push(all.is_err());
            all.into_iter().for_each(crate::judge::Reservation::release);
            let said = self.script.lock().remove(0);
            Box::pin(async move {
                let completion = said?;
                let usage = Tokens {
                    prompt: 0,
                    completion,
                    ..Tokens::default()
                };
                Ok(ModelAnswer {
                    model: "m".to_owned(),
                    text: "yes".to_owned(),
                    tool_calls: Value::Null,
                    refusal: None,
                    usage,
                    ..ModelAnswer::default()
                })
            })
        }

        fn embed<'a>(&'a self, _: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
            Box::pin(async { Err(ModelError::Absent) })
        }
    }

    #[tokio::test]
    async fn work_is_paid_for_once_and_until_the_cap() {
        let prices = "provider\tmodel\tfrom\tinput_above\tinput\tcached_input\toutput\treasoning\n\
                      \tm\t2024-01-01\t\t0\t\t10\t\n";
        let prices = PriceTable::parse(prices).unwrap();
        // An answer is thought to take 1000 tokens, which is 10 million nano-dollars.
        let budget = Budget::new(NanoUsd(25_000_000), NanoUsd::default());
        let outage = ModelError::Unavailable("down".to_owned());
        let scripted = Scripted {
            script: Mutex::new(vec![Ok(500), Err(outage.clone()), Ok(1_500), Ok(2)]),
            budget: budget.clone(),
            refused_meanwhile: Mutex::default(),
        };
        let cache = MemoryCache::new(NonZeroUsize::new(10).unwrap());
        let desk = Desk {
            model: &scripted,
            cache: &cache,
            budget: &budget,
            tariff: Tariff {
                prices: &prices,
                provider: None,
                at: Time::from_micros(1_790_000_000_000_000),
            },
        };
        let request = ModelRequest {
            model: "m".to_owned(),
            messages: Vec::new(),
            params: Value::Null,
            schema: None,
        };
        let key = |n: i32| CacheKey::new(&json!(n), b"", "", &Value::Null);

        let first = desk.answer(key(1), &request).await.unwrap();
        assert_eq!(
            (first.cost, first.is_cached),
            (Some(NanoUsd(5_000_000)), false)
        );
        let again = desk.answer(key(1), &request).await.unwrap();
        assert_eq!((again.cost, again.is_cached), (Some(NanoUsd(0)), true));
        assert_eq!(again.answer, first.answer);
        let failed = desk.answer(key(2), &request).await;
        assert_eq!(failed, Err(DeskError::Model(outage)));
        assert_eq!(budget.spent(), NanoUsd(5_000_000));
        desk.answer(key(2), &request).await.unwrap();
        assert_eq!(budget.spent(), NanoUsd(20_000_000));
        let over = desk.answer(key(3), &request).await;
        assert!(matches!(over, Err(DeskError::Exhausted(_))), "{over:?}");
        assert_eq!(*scripted.refused_meanwhile.lock(), [true; 3]);

        let unpriced = ModelRequest {
            model: "nobody".to_owned(),
            ..request
        };
        let refused = desk.answer(key(4), &unpriced).await;
        assert_eq!(refused, Err(DeskError::Unpriced("nobody".to_owned())));
        let open = Budget::without_cap(NanoUsd::default());
        let desk = Desk {
            budget: &open,
            ..desk
        };
        // The name that answers may have a price though the one that was asked for has none.
        let priced = desk.answer(key(4), &unpriced).await.unwrap();
        let two_tokens = NanoUsd(20_000);
        assert_eq!((priced.cost, open.spent()), (Some(two_tokens), two_tokens));
    }
}
