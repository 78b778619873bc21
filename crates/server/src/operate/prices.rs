//! Prices over HTTP.

use axum::Json;
use axum::extract::State;
use model::{Price, PriceErrorKind, Rate, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody, ErrorCode};
use crate::json::JsonBody;
use crate::listing::List;
use crate::prices;
use crate::state::AppState;

/// What a model costs from a day on, in US dollars per million tokens. Amounts are texts, so that
/// they stay exact.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceLine {
    /// Who must have served the call; null is anybody.
    #[serde(default)]
    provider: Option<String>,
    /// The model, or the beginning of its name and `*`.
    model: String,
    /// The first day or moment it holds.
    from: String,
    /// It holds for calls that read more tokens than this.
    #[serde(default)]
    input_above: u64,
    /// Tokens read, such as `2.50`.
    input: String,
    /// Tokens read from the provider's cache; null costs what any token read does.
    #[serde(default)]
    cached_input: Option<String>,
    /// Tokens written.
    output: String,
    /// Tokens of reasoning; null costs what any token written does.
    #[serde(default)]
    reasoning: Option<String>,
}

/// List the prices in force: those that came with this version and those that were entered.
#[utoipa::path(
    get,
    path = "/v1/prices",
    tag = "operate",
    responses((status = 200, body = List<PriceLine>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list_prices(State(state): State<AppState>) -> Json<List<PriceLine>> {
    let table = state.prices.table();
    Json(List::of(
        table.prices().iter().map(PriceLine::from).collect(),
    ))
}

/// Set what a model costs from a day on. Calls that come in from now on are priced by it.
#[utoipa::path(
    put,
    path = "/v1/prices",
    tag = "operate",
    request_body = PriceLine,
    responses((status = 200, body = PriceLine), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody))
)]
pub(crate) async fn set_price(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(line): JsonBody<PriceLine>,
) -> Result<Json<PriceLine>, ApiError> {
    principal.require_master()?;
    let (price, kept) = prices::to_override(line.to_price()?)?;
    let meta = state.store.meta();
    meta.set_price(principal.who(), &kept).await?;
    state.prices.reload(meta).await?;
    Ok(Json(PriceLine::from(&price)))
}

impl PriceLine {
    fn to_price(&self) -> Result<Price, ApiError> {
        let rate = |param: &'static str, text: &str| {
            text.parse::<Rate>()
                .map_err(|error| ApiError::invalid(param, error.to_string()))
        };
        let maybe = |param, text: &Option<String>| {
            text.as_deref().map(|text| rate(param, text)).transpose()
        };
        let from = match self.from.len() {
            10 => format!("{}T00:00:00Z", self.from),
            _ => self.from.clone(),
        };
        Ok(Price {
            provider: self.provider.clone(),
            model: self.model.clone(),
            from: Time::parse_rfc3339(&from)
                .map_err(|error| ApiError::invalid("from", error.to_string()))?,
            input_above: self.input_above,
            input: rate("input", &self.input)?,
            cached_input: maybe("cached_input", &self.cached_input)?,
            output: rate("output", &self.output)?,
            reasoning: maybe("reasoning", &self.reasoning)?,
        })
    }
}

impl From<PriceErrorKind> for ApiError {
    fn from(error: PriceErrorKind) -> Self {
        match &error {
            PriceErrorKind::BadField { column, .. } => Self::invalid(*column, error.to_string()),
            _ => Self::new(ErrorCode::InvalidParameter, error.to_string()),
        }
    }
}

impl From<&Price> for PriceLine {
    fn from(price: &Price) -> Self {
        let text = |rate: Rate| rate.to_string();
        Self {
            provider: price.provider.clone(),
            model: price.model.clone(),
            from: price.from.to_string(),
            input_above: price.input_above,
            input: text(price.input),
            cached_input: price.cached_input.map(text),
            output: text(price.output),
            reasoning: price.reasoning.map(text),
        }
    }
}
