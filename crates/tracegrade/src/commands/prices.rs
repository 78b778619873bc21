//! `prices`: what models cost, as this server reckons.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::operate::{PriceRemove, PriceSet, Prices};
use crate::output::{self, Align, Cell};
use crate::text::{self, safe_text};

use super::Ask;

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Price>,
}

#[derive(Debug, Deserialize)]
struct Price {
    provider: Option<String>,
    model: String,
    from: String,
    input_above: u64,
    input: String,
    cached_input: Option<String>,
    output: String,
    reasoning: Option<String>,
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, prices: &Prices) -> anyhow::Result<()> {
    match prices {
        Prices::List { model } => list(ask, model.as_deref()).await,
        Prices::Set(set) => self::set(ask, set).await,
        Prices::Remove(price) => remove(ask, price).await,
    }
}

async fn list(ask: &Ask, model: Option<&str>) -> anyhow::Result<()> {
    let answer = ask.client.get(&["v1", "prices"], &[]).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    let columns = [
        ("model", Align::Left),
        ("provider", Align::Left),
        ("from", Align::Left),
        ("above", Align::Right),
        ("input", Align::Right),
        ("cached", Align::Right),
        ("output", Align::Right),
        ("reasoning", Align::Right),
    ];
    let row = |price: &Price| {
        let maybe = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let above = if price.input_above > 0 {
            text::count(price.input_above)
        } else {
            "-".to_owned()
        };
        let texts = [
            price.model.clone(),
            maybe(&price.provider),
            price.from.get(..10).unwrap_or(&price.from).to_owned(),
            above,
            price.input.clone(),
            maybe(&price.cached_input),
            price.output.clone(),
            maybe(&price.reasoning),
        ];
        texts
            .iter()
            .map(|text| Cell::from(safe_text(text).into_owned()))
            .collect()
    };
    let meant =
        |price: &&Price| model.is_none_or(|part| price.model.contains(&part.to_lowercase()));
    let rows: Vec<Vec<Cell>> = list.data.iter().filter(meant).map(row).collect();
    output::block(&output::table(&columns, &rows))?;
    output::note("US dollars per million tokens; the latest day that has come holds");
    Ok(())
}

async fn remove(ask: &Ask, price: &PriceRemove) -> anyhow::Result<()> {
    let mut pairs = vec![
        ("model".to_owned(), price.model.clone()),
        ("from".to_owned(), price.from.clone()),
    ];
    if let Some(provider) = &price.provider {
        pairs.push(("provider".to_owned(), provider.clone()));
    }
    if price.input_above > 0 {
        pairs.push(("input_above".to_owned(), price.input_above.to_string()));
    }
    let answer = ask.client.delete(&["v1", "prices"], &pairs).await?;
    match ask.tell::<Value>(answer).await? {
        Some(_) => Ok(output::line(format!(
            "removed the price of {} from {} on",
            safe_text(&price.model),
            safe_text(&price.from)
        ))?),
        None => Ok(()),
    }
}

async fn set(ask: &Ask, set: &PriceSet) -> anyhow::Result<()> {
    let body = json!({
        "provider": set.provider,
        "model": set.model,
        "from": set.from,
        "input_above": set.input_above,
        "input": set.input,
        "cached_input": set.cached_input,
        "output": set.output,
        "reasoning": set.reasoning,
    });
    let answer = ask
        .client
        .send_json(Method::PUT, &["v1", "prices"], &body)
        .await?;
    match ask.tell::<Value>(answer).await? {
        Some(_) => Ok(output::line(format!(
            "{} is priced from {} on",
            safe_text(&set.model),
            safe_text(&set.from)
        ))?),
        None => Ok(()),
    }
}
