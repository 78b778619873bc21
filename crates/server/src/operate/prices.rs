//! Prices over HTTP.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
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

/// Which price is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceMeant {
    model: String,
    from: String,
    provider: Option<String>,
    #[serde(default)]
    input_above: u64,
}

/// A price that was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedPrice {
    /// `price.deleted`.
    object: &'static str,
    model: String,
    from: String,
    deleted: bool,
}

/// Remove a price that somebody entered. Where this version came with one for the same day, that one
/// holds again; calls that are priced already stay as they are.
#[utoipa::path(
    delete,
    path = "/v1/prices",
    tag = "operate",
    params(
        ("model" = String, Query, description = "The model, as it was entered"),
        ("from" = String, Query, description = "The first day or moment it holds"),
        ("provider" = Option<String>, Query, description = "The provider, if one was entered"),
        ("input_above" = Option<u64>, Query, description = "The tokens above which it holds, if some were entered"),
    ),
    responses(
        (status = 200, body = DeletedPrice),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, description = "Nobody entered it", body = ErrorBody)
    )
)]
pub(crate) async fn remove_price(
    State(state): State<AppState>,
    principal: Principal,
    meant: Result<Query<PriceMeant>, QueryRejection>,
) -> Result<Json<DeletedPrice>, ApiError> {
    principal.require_master()?;
    let Query(meant) =
        meant.map_err(|error| ApiError::new(ErrorCode::InvalidParameter, error.body_text()))?;
    let line = PriceLine {
        provider: meant.provider,
        model: meant.model,
        from: meant.from,
        input_above: meant.input_above,
        input: "0".to_owned(),
        cached_input: None,
        output: "0".to_owned(),
        reasoning: None,
    };
    let (price, kept) = prices::to_override(line.to_price()?)?;
    let meta = state.store.meta();
    meta.remove_price(principal.who(), &kept.model, kept.valid_from)
        .await?;
    state.prices.reload(meta).await?;
    Ok(Json(DeletedPrice {
        object: "price.deleted",
        model: price.model,
        from: price.from.to_string(),
        deleted: true,
    }))
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
