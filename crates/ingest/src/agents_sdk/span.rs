//! Span items: ids, times, how it ended; the rest is read by the type of the span.

use model::{JsonText, Span, SpanStatus, SpanType};

use crate::json::Value;

use super::fields::{parent_id, pick, span_id, time};
use super::kind::{self, Told};
use super::refusal::Refusal;
use super::{Context, Decoder, PricedCall, failure, hosted, payload};

impl<'b> Decoder<'b, '_> {
    /// Decodes a span item and the hosted tool calls that are recorded nowhere but in it.
    pub(super) fn span(&mut self, value: Value<'b, '_>) -> Result<(), Refusal> {
        let keys = [
            "object",
            "id",
            "trace_id",
            "parent_id",
            "started_at",
            "ended_at",
            "span_data",
            "error",
            "metadata",
            "span_type",
            "trace_metadata",
        ];
        let (
            [
                _,
                id,
                trace,
                parent,
                started,
                ended,
                data,
                error,
                metadata,
                told_type,
                trace_metadata,
            ],
            extra,
        ) = pick(value, keys);
        let span_id = span_id("id", id)?;
        let parent_id = parent_id("parent_id", parent)?;
        let (started_at, ended_at) = (time("started_at", started)?, time("ended_at", ended)?);
        let field = "trace_id";
        let trace_id = trace.and_then(Value::text).ok_or(Refusal::NoId { field })?;
        let place = self.traces.find(field, &trace_id)?;

        let told = Told::new(data, told_type, metadata);
        let mut span = Span::new(
            self.traces.id(place),
            span_id,
            told.span_type,
            self.context.source,
        );
        span.parent_id = parent_id;
        span.started_at = started_at;
        span.ended_at = ended_at;
        span.error = error.map(|error| failure::read(error, told.span_type));
        span.status = match (ended_at, &span.error) {
            (None, _) => SpanStatus::Open,
            (Some(_), Some(_)) => SpanStatus::Error,
            (Some(_), None) => SpanStatus::Success,
        };
        kind::fill(&mut span, &told);
        price(self.context, &mut span);
        if let Some(data) = data {
            let parts = payload::split(&mut self.traces, place, told.span_type, data);
            span.payload.data = parts.data;
            span.payload.input_refs = parts.input_refs;
            span.payload.output_refs = parts.output_refs;
        }
        span.payload.attributes = metadata.map(|metadata| JsonText::from_trusted(metadata.raw()));
        span.payload.extra = extra.finish();

        let derived = hosted::derive(&mut self.traces, place, &span, &told);
        self.batch.spans.push(span);
        self.batch.spans.extend(derived);
        if let Some(metadata) = trace_metadata {
            self.trace_of_span(place, metadata);
        }
        Ok(())
    }
}

/// Fills in what an ended model call costs, unless its sender said so.
pub(crate) fn price(context: &Context<'_>, span: &mut Span) {
    let Some(model) = span.model.as_deref().filter(|_| span.cost.is_none()) else {
        return;
    };
    if span.span_type != SpanType::Generation || !span.has_ended() || !span.usage.is_known() {
        return;
    }
    let at = span.started_at.unwrap_or(context.received_at);
    span.cost = (context.price)(&PricedCall {
        model,
        provider: span.provider.as_deref(),
        usage: &span.usage,
        at,
    });
}
