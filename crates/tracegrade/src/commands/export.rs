//! `export`: traces out again, whole as JSON lines or one of their tables for other programs.

use clap::ValueEnum;

use crate::cli::passing::Export;

use super::{Ask, copy};

/// Exports what is meant.
pub(super) async fn run(ask: &Ask, export: &Export) -> anyhow::Result<()> {
    let mut pairs = export.filter.with_rule(export.rule.as_deref()).pairs();
    let mut push = |name: &str, value: Option<clap::builder::PossibleValue>| {
        if let Some(value) = value {
            pairs.push((name.to_owned(), value.get_name().to_owned()));
        }
    };
    push("format", export.format.to_possible_value());
    push(
        "table",
        export.table.and_then(|table| table.to_possible_value()),
    );
    let answer = ask.client.get(&["v1", "export"], &pairs).await?;
    copy(answer, export.output.as_deref()).await
}
