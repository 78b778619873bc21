//! `sql`: somebody's own question, as columns or in a format for programs.

use std::io::{IsTerminal, Read};

use anyhow::Context;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::traces::{Sql, SqlFormat};
use crate::output::{self, Align, Cell, DIM};
use crate::text::short_text;

use super::{Ask, copy};

/// A cell of the table is cut behind this many characters; the other formats cut nothing.
const CELL_CHARS_MAX: usize = 60;

/// The rows of a query.
#[derive(Debug, Deserialize)]
struct Rows {
    columns: Vec<Column>,
    data: Vec<Map<String, Value>>,
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

/// Runs the query.
pub(super) async fn run(ask: &Ask, sql: &Sql) -> anyhow::Result<()> {
    let query = match sql.query.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("failed to read stdin")?;
            text
        }
        text => text.to_owned(),
    };
    let (format, is_table) = match sql.format {
        SqlFormat::Table if ask.json => ("json", false),
        SqlFormat::Table => ("json", true),
        SqlFormat::Json => ("json", false),
        SqlFormat::Csv => ("csv", false),
        SqlFormat::Arrow => ("arrow", false),
        SqlFormat::Parquet => ("parquet", false),
    };
    let is_binary = matches!(sql.format, SqlFormat::Arrow | SqlFormat::Parquet);
    anyhow::ensure!(
        !(is_binary && sql.output.is_none() && std::io::stdout().is_terminal()),
        "{format} is not for a terminal: name a file with --output"
    );
    let body = json!({"query": query, "format": format});
    let answer = ask
        .client
        .send_json(Method::POST, &["v1", "sql"], &body)
        .await?;
    if !is_table {
        copy(answer, sql.output.as_deref()).await?;
        if format == "json" && sql.output.is_none() {
            output::line("")?;
        }
        return Ok(());
    }
    let rows: Rows = ask.client.json(answer).await?;
    let text = table(&rows);
    match &sql.output {
        None => output::block(&text)?,
        Some(path) => std::fs::write(path, anstream::adapter::strip_str(&text).to_string())
            .with_context(|| format!("failed to write {}", path.display()))?,
    }
    if rows.truncated {
        output::note("there are more rows: the result was cut at the server's limit");
    }
    Ok(())
}

fn table(rows: &Rows) -> String {
    let is_number = |column: &Column| {
        let mut values = rows
            .data
            .iter()
            .filter_map(|row| row.get(&column.name))
            .filter(|value| !value.is_null());
        values.all(Value::is_number)
    };
    let names: Vec<String> = rows
        .columns
        .iter()
        .map(|column| short_text(&column.name, CELL_CHARS_MAX))
        .collect();
    let aligned = |column| {
        if is_number(column) {
            Align::Right
        } else {
            Align::Left
        }
    };
    let aligns = rows.columns.iter().map(aligned);
    let columns: Vec<_> = names.iter().map(String::as_str).zip(aligns).collect();
    let cell = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Cell::styled(DIM, "null"),
        Some(Value::String(text)) => Cell::from(short_text(text, CELL_CHARS_MAX)),
        Some(other) => Cell::from(short_text(&other.to_string(), CELL_CHARS_MAX)),
    };
    let row = |row: &Map<String, Value>| {
        rows.columns
            .iter()
            .map(|column| cell(row.get(&column.name)))
            .collect()
    };
    let cells: Vec<Vec<Cell>> = rows.data.iter().map(row).collect();
    output::table(&columns, &cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_table_and_their_texts_are_safe() {
        let rows: Rows = serde_json::from_str(
            r#"{"columns":[{"name":"name","type":"Utf8"},{"name":"n","type":"Int64"}],
            "data":[{"name":"a\u001b[2J","n":1},{"n":12}],"row_count":2,"truncated":false}"#,
        )
        .unwrap();
        let text = anstream::adapter::strip_str(&table(&rows)).to_string();
        assert_eq!(text, "name         n\na\\u{1b}[2J   1\nnull        12\n");
    }
}
