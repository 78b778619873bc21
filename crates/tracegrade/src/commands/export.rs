//! `export`: traces out again, whole as JSON lines or their table for other programs.

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;

use crate::cli::{Export, ExportFormat};

use super::{Ask, copy};

/// Exports what is meant.
pub(super) async fn run(ask: &Ask, export: &Export) -> anyhow::Result<()> {
    let format = match export.format {
        ExportFormat::Jsonl => {
            let answer = ask
                .client
                .get(&["v1", "export"], &export.filter.pairs())
                .await?;
            return copy(answer, export.output.as_deref()).await;
        }
        ExportFormat::Csv => "csv",
        ExportFormat::Parquet => "parquet",
    };
    ensure!(
        export.filter.is_empty(),
        "{format} is the whole table `traces`: for a part of it, ask `tracegrade sql --format {format} 'select … where …'`"
    );
    let body = json!({"query": "select * from traces order by started_at desc", "format": format});
    let answer = ask
        .client
        .send_json(Method::POST, &["v1", "sql"], &body)
        .await?;
    copy(answer, export.output.as_deref()).await
}
