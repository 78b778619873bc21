//! How are rules written for what comes in?

use ingest::process::{ProcessSettings, Recogniser, RuleSettings, Switches};
use toml::Value;

use super::words::{Wanted, millis, millis_text};

/// What is done with what comes in, before it is stored.
#[derive(Clone, Default)]
pub struct Processing {
    /// What holds for every project.
    pub rules: ProcessSettings,
    /// What a project may decide otherwise.
    pub switches: Switches,
}

impl std::fmt::Debug for Processing {
    /// Says nothing of secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rules, switches } = self;
        f.debug_struct("Processing")
            .field("redact", &rules.redact)
            .field("redact_rules", &rules.redact_rules)
            .field("switches", switches)
            .finish_non_exhaustive()
    }
}

/// Reads names separated by commas.
pub(super) fn names(text: &str) -> Result<Vec<String>, Wanted> {
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

/// Reads a number from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, Wanted> {
    let share = text.parse().ok().filter(is_share);
    share.ok_or("a number from 0 to 1")
}

/// Returns whether a number can be a part of all.
pub(crate) fn is_share(share: &f64) -> bool {
    (0.0..=1.0).contains(share)
}

/// Reads a duration, or nothing.
pub(super) fn maybe_millis(text: &str) -> Result<Option<f64>, Wanted> {
    match text {
        "" => Ok(None),
        text => millis(text).map(|ms| Some(ms as f64)),
    }
}

/// Writes a duration as [`maybe_millis`] reads it.
pub(super) fn maybe_millis_text(ms: &Option<f64>) -> Value {
    match ms {
        Some(ms) => millis_text(*ms as i64),
        None => Value::String(String::new()),
    }
}

/// Reads an amount, or nothing.
pub(super) fn maybe_dollars(text: &str) -> Result<Option<f64>, Wanted> {
    if text.is_empty() {
        return Ok(None);
    }
    let amount = text
        .parse::<f64>()
        .ok()
        .filter(|amount| amount.is_finite() && *amount >= 0.0);
    amount.map(Some).ok_or("US dollars such as 0.50")
}

/// Writes an amount as [`maybe_dollars`] reads it.
pub(super) fn maybe_dollars_text(amount: &Option<f64>) -> Value {
    Value::String(amount.map(|amount| amount.to_string()).unwrap_or_default())
}

/// Reads the words for what is recognised.
pub(super) fn recognisers(text: &str) -> Result<Vec<Recogniser>, Wanted> {
    if text == "all" {
        return Ok(Recogniser::ALL.to_vec());
    }
    let known = |word: &String| {
        Recogniser::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
    };
    let kinds: Option<Vec<_>> = names(text)?.iter().map(known).collect();
    kinds.ok_or("all, or a list of key, card, email, phone, ip, iban, ssn")
}

/// Writes the words for what is recognised.
pub(super) fn recognisers_text(kinds: &[Recogniser]) -> Value {
    let word = |kind: &Recogniser| Value::String(kind.as_str().to_owned());
    Value::Array(kinds.iter().map(word).collect())
}

/// Reads rules; whether they can be used is found when they are compiled.
pub(super) fn rules(text: &str) -> Result<Vec<RuleSettings>, Wanted> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|_| {
        "a list of rules such as [{\"name\": \"customer\", \"regex\": \"CUST-[0-9]+\"}], each with a name, a regex or a \
         path, and perhaps the action redact or drop"
    })
}

/// Returns rules of a file as [`rules`] reads them.
pub(super) fn rules_text(rules: &[Value]) -> String {
    serde_json::to_string(rules).unwrap_or_default()
}

/// Writes rules as [`rules`] reads them.
pub(super) fn rules_shown(rules: &[RuleSettings]) -> Value {
    let text = match rules.is_empty() {
        true => String::new(),
        false => serde_json::to_string(rules).unwrap_or_default(),
    };
    Value::String(text)
}

/// Reads a secret.
pub(super) fn secret(text: &str) -> Result<String, Wanted> {
    Ok(text.to_owned())
}

/// Reads a secret, or nothing.
pub(super) fn maybe_secret(text: &str) -> Result<Option<String>, Wanted> {
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Shows that there is a secret.
pub(super) fn hidden(secret: &str) -> Value {
    let shown = if secret.is_empty() { "" } else { "***" };
    Value::String(shown.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_or_word_of_its_kind_is_refused() {
        for good in ["0", "1", "0.25", "1e-3"] {
            assert!(share(good).is_ok(), "{good}");
        }
        for bad in ["", "1.1", "-0.1", "NaN", "half"] {
            assert!(share(bad).is_err(), "{bad}");
        }
        assert_eq!(maybe_dollars("0.5"), Ok(Some(0.5)));
        for bad in ["-1", "inf", "$1"] {
            assert!(maybe_dollars(bad).is_err(), "{bad}");
        }
        assert_eq!(recognisers("all").map(|kinds| kinds.len()), Ok(7));
        assert_eq!(
            recognisers("email, ip"),
            Ok(vec![Recogniser::Email, Recogniser::Ip])
        );
        assert!(recognisers("emails").is_err());
        for bad in [
            "x",
            "{}",
            "[{\"nam\": 1}]",
            "[{\"name\": \"a\", \"action\": \"burn\"}]",
        ] {
            assert!(rules(bad).is_err(), "{bad}");
        }
    }
}
