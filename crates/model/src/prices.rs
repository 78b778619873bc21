//! What did a model call cost?
//!
//! Prices change, so every line has the day it holds from, and a call is priced by its own time. The
//! reckoning is in whole pico-dollars per token (which is micro-dollars per million tokens, so that
//! every list price is exact) and is rounded once, to the nano-dollar. What is not known costs
//! `None`, never 0: a model that is not listed, a call from before the first listing, a count that
//! the sender left out.

use std::fmt;

use crate::{NanoUsd, Time, Usage};

const BUILTIN: &str = include_str!("../prices.tsv");
const COLUMNS: [&str; 8] = [
    "provider",
    "model",
    "from",
    "input_above",
    "input",
    "cached_input",
    "output",
    "reasoning",
];

/// A price in 10⁻¹² US dollars per token, which is 10⁻⁶ US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(pub u64);

/// One line of the table: what a model costs from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Who must have served the call, in lower case; `None` holds for everybody.
    pub provider: Option<String>,
    /// The model's name in lower case, or the beginning of one followed by `*`.
    pub model: String,
    /// The first moment it holds.
    pub from: Time,
    /// It holds for calls that read more tokens than this.
    pub input_above: u64,
    /// Per token read.
    pub input: Rate,
    /// Per token read from the provider's cache; `None` is the price of any token read.
    pub cached_input: Option<Rate>,
    /// Per token written.
    pub output: Rate,
    /// Per token of reasoning; `None` is the price of any token written.
    pub reasoning: Option<Rate>,
}

/// A table of prices cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the price table: {kind}")]
pub struct PriceError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub kind: PriceErrorKind,
}

/// What is wrong with a line of a price table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceErrorKind {
    /// The table has no line that names its columns, or that line lacks one that is needed.
    #[error("the first line must name the columns, {0:?} is missing")]
    ColumnMissing(&'static str),
    /// A column that nobody reads: most likely a typing error in its name.
    #[error(
        "unknown column {0:?}; known: provider, model, from, input_above, input, cached_input, output, reasoning"
    )]
    ColumnUnknown(String),
    /// The line has more or fewer fields than the first.
    #[error("{got} fields where the first line has {want}")]
    FieldCount {
        /// How many it has.
        got: usize,
        /// How many it should have.
        want: usize,
    },
    /// A field does not hold what its column needs.
    #[error("{column}: {value:?} is not {want}")]
    BadField {
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What should.
        want: &'static str,
    },
    /// The same model, provider, day and size of input as an earlier line.
    #[error("says again what line {0} says")]
    Twice(usize),
}

/// The prices in force, by model and day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceTable {
    prices: Vec<Price>,
}

impl PriceTable {
    /// Returns the list prices that came with this version.
    pub fn builtin() -> Self {
        Self::parse(BUILTIN).expect("a test reads the table that is built in")
    }

    /// Reads a table of tab-separated values whose first line names the columns; lines that are
    /// empty or start with `#` are passed over.
    pub fn parse(tsv: &str) -> Result<Self, PriceError> {
        let mut lines = (1..)
            .zip(tsv.lines())
            .filter(|(_, text)| !text.trim().is_empty() && !text.starts_with('#'));
        let (line, head) = lines.next().unwrap_or((1, ""));
        let head = Head::parse(head).map_err(|kind| PriceError { line, kind })?;
        let mut table = Self::default();
        let mut told_at: Vec<usize> = Vec::new();
        for (line, text) in lines {
            let error = |kind| PriceError { line, kind };
            let price = head.price(text).map_err(error)?;
            if let Some(earlier) = table
                .prices
                .iter()
                .position(|known| known.key() == price.key())
            {
                return Err(error(PriceErrorKind::Twice(told_at[earlier])));
            }
            told_at.push(line);
            table.prices.push(price);
        }
        Ok(table)
    }

    /// Returns the table as [`PriceTable::parse`] reads it.
    pub fn to_tsv(&self) -> String {
        let optional = |rate: Option<Rate>| rate.map_or_else(String::new, |rate| rate.to_string());
        let mut tsv = COLUMNS.join("\t") + "\n";
        for price in &self.prices {
            let day = price.from.to_string().replace("T00:00:00.000000Z", "");
            let fields = [
                price.provider.clone().unwrap_or_default(),
                price.model.clone(),
                day,
                if price.input_above == 0 {
                    String::new()
                } else {
                    price.input_above.to_string()
                },
                price.input.to_string(),
                optional(price.cached_input),
                price.output.to_string(),
                optional(price.reasoning),
            ];
            tsv.push_str(&fields.join("\t"));
            tsv.push('\n');
        }
        tsv
    }

    /// Returns the lines of the table.
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// Adds a line, in the place of the one for the same provider, model, day and size of input.
    pub fn set(&mut self, mut price: Price) -> Result<(), PriceErrorKind> {
        price.model = checked_name("model", &price.model)?;
        if let Some(provider) = &mut price.provider {
            *provider = checked_name("provider", provider)?;
        }
        match self
            .prices
            .iter_mut()
            .find(|known| known.key() == price.key())
        {
            Some(known) => *known = price,
            None => self.prices.push(price),
        }
        Ok(())
    }

    /// Removes every line for this provider and model, and returns how many there were.
    pub fn remove(&mut self, provider: Option<&str>, model: &str) -> usize {
        let before = self.prices.len();
        self.prices
            .retain(|price| price.provider.as_deref() != provider || price.model != model);
        before - self.prices.len()
    }

    /// Returns what a call cost that `model` of `provider` answered at `at`.
    ///
    /// Cached tokens are a part of the input, reasoning tokens of the output. A count that was not
    /// told is taken as none only where such tokens are free (embeddings write nothing).
    pub fn cost(
        &self,
        model: &str,
        provider: Option<&str>,
        usage: &Usage,
        at: Time,
    ) -> Option<NanoUsd> {
        if usage.input_tokens.is_none() && usage.output_tokens.is_none() {
            return None;
        }
        let input = count(usage.input_tokens);
        self.price(model, provider, input, at)?.cost(usage)
    }

    /// Returns the line that prices a call of `input` tokens: the provider's own before anybody's,
    /// the longest name before shorter ones, the newest day, the largest size of input.
    fn price(&self, model: &str, provider: Option<&str>, input: u64, at: Time) -> Option<&Price> {
        let model = plain_name(model);
        let provider = provider.map(str::to_ascii_lowercase);
        let serves = |price: &Price| price.provider.is_none() || price.provider == provider;
        self.prices
            .iter()
            .filter(|price| price.from <= at && price.fits(&model) && serves(price))
            .filter(|price| price.input_above == 0 || price.input_above < input)
            .max_by_key(|price| {
                let exact = !price.model.ends_with('*');
                (
                    price.provider.is_some(),
                    exact,
                    price.model.len(),
                    price.from,
                    price.input_above,
                )
            })
    }
}

impl Price {
    fn key(&self) -> (Option<&str>, &str, Time, u64) {
        (
            self.provider.as_deref(),
            &self.model,
            self.from,
            self.input_above,
        )
    }

    fn fits(&self, model: &str) -> bool {
        match self.model.strip_suffix('*') {
            Some(start) => model.starts_with(start),
            None => model == self.model,
        }
    }

    fn cost(&self, usage: &Usage) -> Option<NanoUsd> {
        let priced = |count: Option<i64>, rate: Rate| count.is_some() || rate == Rate(0);
        if !priced(usage.input_tokens, self.input) || !priced(usage.output_tokens, self.output) {
            return None;
        }
        let (input, output) = (count(usage.input_tokens), count(usage.output_tokens));
        let cached = count(usage.cached_tokens).min(input);
        let reasoning = count(usage.reasoning_tokens).min(output);
        let part = |tokens: u64, rate: Rate| u128::from(tokens) * u128::from(rate.0);
        let pico = part(input - cached, self.input)
            + part(cached, self.cached_input.unwrap_or(self.input))
            + part(output - reasoning, self.output)
            + part(reasoning, self.reasoning.unwrap_or(self.output));
        Some(NanoUsd(
            i64::try_from((pico + 500) / 1_000).unwrap_or(i64::MAX),
        ))
    }
}

/// Returns a model's or provider's name in lower case, if the table can hold it.
fn checked_name(column: &'static str, name: &str) -> Result<String, PriceErrorKind> {
    let is_plain = !name.is_empty() && name.trim() == name && !name.starts_with('#');
    if !is_plain || name.chars().any(char::is_control) {
        let value = name.chars().take(64).collect();
        let want = "a name without spaces around it";
        return Err(PriceErrorKind::BadField {
            column,
            value,
            want,
        });
    }
    Ok(name.to_ascii_lowercase())
}

fn count(tokens: Option<i64>) -> u64 {
    u64::try_from(tokens.unwrap_or(0)).unwrap_or(0)
}

/// Returns the model's own name: without the path that routers, clouds and Google put before it
/// (`openai/gpt-4o`, `models/gemini-2.5-pro`, `us.anthropic.claude-…`), in lower case, and with `-`
/// where Vertex AI writes `@`.
fn plain_name(model: &str) -> String {
    let last = model
        .rsplit('/')
        .next()
        .unwrap_or(model)
        .to_ascii_lowercase()
        .replace('@', "-");
    match last.split_once("anthropic.") {
        Some((region, name)) if region.is_empty() || region.ends_with('.') => name.to_owned(),
        _ => last,
    }
}

impl fmt::Display for Rate {
    /// Writes US dollars per million tokens, without zeros at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        match micros {
            0 => write!(f, "{whole}"),
            _ => write!(
                f,
                "{whole}.{}",
                format!("{micros:06}").trim_end_matches('0')
            ),
        }
    }
}

impl std::str::FromStr for Rate {
    type Err = BadRate;

    /// Reads US dollars per million tokens: digits, and at most six after a point.
    fn from_str(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate(text.chars().take(64).collect());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 6 {
            return Err(bad());
        }
        let micros: u64 = format!("{part:0<6}").parse().map_err(|_| bad())?;
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let rate = whole
            .checked_mul(1_000_000)
            .and_then(|rate| rate.checked_add(micros));
        rate.map(Self).ok_or_else(bad)
    }
}

/// The text is not a price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a price in US dollars per million tokens such as 2.50")]
pub struct BadRate(pub String);

/// Which field of a line holds which column.
struct Head {
    places: [Option<usize>; COLUMNS.len()],
    fields: usize,
}

impl Head {
    fn parse(line: &str) -> Result<Self, PriceErrorKind> {
        let mut places = [None; COLUMNS.len()];
        for (place, name) in line.split('\t').map(str::trim).enumerate() {
            match COLUMNS.iter().position(|known| *known == name) {
                Some(column) => places[column] = Some(place),
                None if line.is_empty() => {}
                None => return Err(PriceErrorKind::ColumnUnknown(name.to_owned())),
            }
        }
        for needed in ["model", "from", "input", "output"] {
            let is_there = COLUMNS
                .iter()
                .zip(places)
                .any(|(c, at)| *c == needed && at.is_some());
            if !is_there {
                return Err(PriceErrorKind::ColumnMissing(needed));
            }
        }
        Ok(Self {
            places,
            fields: line.split('\t').count(),
        })
    }

    fn price(&self, line: &str) -> Result<Price, PriceErrorKind> {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        if fields.len() != self.fields {
            return Err(PriceErrorKind::FieldCount {
                got: fields.len(),
                want: self.fields,
            });
        }
        let [
            provider,
            model,
            from,
            above,
            input,
            cached_input,
            output,
            reasoning,
        ] = self
            .places
            .map(|place| place.map_or("", |place| fields[place]));
        let bad = |column, value: &str, want| PriceErrorKind::BadField {
            column,
            value: value.to_owned(),
            want,
        };
        let rate = |column, text: &str| {
            text.parse::<Rate>()
                .map_err(|_| bad(column, text, "a price such as 2.50"))
        };
        let optional = |column, text: &str| match text {
            "" => Ok(None),
            _ => rate(column, text).map(Some),
        };
        Ok(Price {
            provider: match provider {
                "" => None,
                _ => Some(checked_name("provider", provider)?),
            },
            model: checked_name("model", model)?,
            from: Time::parse_rfc3339(from)
                .map_err(|_| bad("from", from, "a date such as 2026-01-31"))?,
            input_above: match above {
                "" => 0,
                _ => above
                    .parse()
                    .map_err(|_| bad("input_above", above, "a number of tokens"))?,
            },
            input: rate("input", input)?,
            cached_input: optional("cached_input", cached_input)?,
            output: rate("output", output)?,
            reasoning: optional("reasoning", reasoning)?,
        })
    }
}

#[cfg(test)]
mod tests;
