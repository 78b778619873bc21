//! What does a model call cost, here and now?
//!
//! The table that came with this version, and over it what people entered. A line that people entered
//! and that this version cannot read is left out and logged; it stays in the database.

use std::sync::Arc;

use ingest::agents_sdk::PricedCall;
use model::{Batch, NanoUsd, Price, PriceError, PriceErrorKind, PriceTable, SpanType, Time};
use parking_lot::RwLock;
use store::meta::{Meta, MetaError, PriceOverride};
use tokio::sync::Mutex;

/// The prices in force.
#[derive(Debug)]
pub(crate) struct Prices {
    table: RwLock<Arc<PriceTable>>,
    /// One reload at a time: an older table must not take the place of a newer one.
    reloading: Mutex<()>,
}

impl Prices {
    /// Returns the prices of a store.
    pub(crate) async fn load(meta: &Meta) -> Result<Self, MetaError> {
        Ok(Self {
            table: RwLock::new(read(meta).await?),
            reloading: Mutex::new(()),
        })
    }

    /// Takes over what was changed.
    pub(crate) async fn reload(&self, meta: &Meta) -> Result<(), MetaError> {
        let _alone = self.reloading.lock().await;
        let table = read(meta).await?;
        *self.table.write() = table;
        Ok(())
    }

    /// Returns the table as it is now.
    pub(crate) fn table(&self) -> Arc<PriceTable> {
        Arc::clone(&self.table.read())
    }
}

/// Returns what a call cost that the sender named the model of.
pub(crate) fn price(table: &PriceTable, call: &PricedCall<'_>) -> Option<NanoUsd> {
    table.cost(call.model, call.provider, call.usage, call.at)
}

/// Prices the calls whose model was not told as if `model` had answered them, and marks them.
pub(crate) fn assume_model(batch: &mut Batch, table: &PriceTable, model: &str, received_at: Time) {
    let calls = batch.spans.iter_mut().filter(|span| {
        span.span_type == SpanType::Generation && span.model.is_none() && span.has_ended()
    });
    for span in calls.filter(|span| span.cost.is_none()) {
        let at = span.started_at.unwrap_or(received_at);
        span.cost = table.cost(model, span.provider.as_deref(), &span.usage, at);
        span.cost_assumed = span.cost.is_some();
    }
}

/// Reads one line of a table.
pub(crate) fn parse_line(line: &str) -> Result<Price, PriceError> {
    let table = PriceTable::parse(&format!("{}{line}\n", PriceTable::default().to_tsv()))?;
    // A line that is empty or a comment is no price; the reader of tables passes over it.
    table.prices().first().cloned().ok_or(PriceError {
        line: 2,
        kind: PriceErrorKind::ColumnMissing("model"),
    })
}

/// Returns a price as the table writes it, and how it is kept: its line, and a key that tells it from
/// others of the same day.
pub(crate) fn to_override(price: Price) -> Result<(Price, PriceOverride), PriceErrorKind> {
    let mut table = PriceTable::default();
    table.set(price)?;
    let price = table.prices()[0].clone();
    let line = table.to_tsv().lines().nth(1).unwrap_or_default().to_owned();
    let mut model = price.model.clone();
    if let Some(provider) = &price.provider {
        model = format!("{provider}/{model}");
    }
    if price.input_above > 0 {
        model = format!("{model} above {} tokens", price.input_above);
    }
    let kept = PriceOverride {
        model,
        valid_from: price.from,
        line,
    };
    Ok((price, kept))
}

async fn read(meta: &Meta) -> Result<Arc<PriceTable>, MetaError> {
    let mut table = PriceTable::builtin();
    for entered in meta.prices().await? {
        let price = parse_line(&entered.line).map_err(|error| error.kind);
        if let Err(error) = price.and_then(|price| table.set(price)) {
            tracing::warn!(model = entered.model, %error, "a price that was entered cannot be used");
        }
    }
    Ok(Arc::new(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Rate, Source, Span, SpanId, SpanStatus, TraceId, Usage};

    fn test_price() -> Price {
        Price {
            provider: Some("azure".into()),
            model: "test-model".into(),
            from: Time::parse_rfc3339("2026-01-01T00:00:00Z").unwrap(),
            input_above: 200_000,
            input: "2.50".parse().unwrap(),
            cached_input: None,
            output: Rate(0),
            reasoning: None,
        }
    }

    #[test]
    fn a_price_survives_the_database() {
        let (_, kept) = to_override(test_price()).unwrap();
        assert_eq!(kept.model, "azure/test-model above 200000 tokens");
        assert_eq!(parse_line(&kept.line), Ok(test_price()));
        assert!(parse_line("").is_err());
        assert!(parse_line("# nothing").is_err());
    }

    #[test]
    fn only_calls_without_a_model_are_assumed() {
        let mut table = PriceTable::default();
        let price = Price {
            provider: None,
            input_above: 0,
            ..test_price()
        };
        table.set(price).unwrap();
        let id = |text: &str| SpanId::new(text).unwrap();
        let mut call = Span::new(
            TraceId::new("t").unwrap(),
            id("a"),
            SpanType::Generation,
            Source::Openai,
        );
        call.usage = Usage {
            input_tokens: Some(1_000_000),
            ..Usage::default()
        };
        call.status = SpanStatus::Success;
        let told = Span {
            span_id: id("b"),
            model: Some("other".into()),
            ..call.clone()
        };
        let open = Span {
            span_id: id("c"),
            status: SpanStatus::Open,
            ..call.clone()
        };
        let tool = Span {
            span_id: id("d"),
            span_type: SpanType::Function,
            ..call.clone()
        };
        let mut batch = Batch {
            spans: vec![call, told, open, tool],
            ..Batch::default()
        };
        assume_model(&mut batch, &table, "test-model", test_price().from);
        let costs: Vec<_> = batch
            .spans
            .iter()
            .map(|span| (span.cost, span.cost_assumed))
            .collect();
        let none = (None, false);
        assert_eq!(
            costs,
            [(Some(NanoUsd::from_usd(2.5)), true), none, none, none]
        );
    }
}
