//! `annotate` and `annotations`: what people say of traces.

use anyhow::ensure;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::grading::{Annotate, Annotations, AnnotationsList};
use crate::output::{self, Align, BAD, Cell, DIM, GOOD, PLAIN};
use crate::text::{self, safe_text, short_text};

use super::super::Ask;
use super::given;

pub(super) const PATH: [&str; 2] = ["v1", "annotations"];

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Annotation>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct Annotation {
    id: String,
    trace_id: String,
    span_id: Option<String>,
    rating: Option<String>,
    label: Option<String>,
    note: Option<String>,
    author: String,
    created_at: String,
}

/// Keeps what somebody says of a trace.
pub(super) async fn annotate(ask: &Ask, args: &Annotate) -> anyhow::Result<()> {
    let body = body(args)?;
    let answer = ask.client.send_json(Method::POST, &PATH, &body).await?;
    if let Some(made) = ask.tell::<Annotation>(answer).await? {
        let rating = made.rating.as_deref().or(made.label.as_deref());
        output::line(format!(
            "{} {} of {}",
            safe_text(&made.id),
            rating.map_or_else(|| "note".to_owned(), |word| short_text(word, 60)),
            safe_text(&made.trace_id)
        ))?;
    }
    Ok(())
}

fn body(args: &Annotate) -> anyhow::Result<Value> {
    let rating = match (args.good, args.bad) {
        (true, _) => Some("good".to_owned()),
        (_, true) => Some("bad".to_owned()),
        _ => None,
    };
    ensure!(
        rating.is_some() || args.label.is_some() || args.note.is_some(),
        "nothing is said: --good, --bad, --label or --note"
    );
    let fields = [
        ("trace_id", args.trace.as_ref()),
        ("span_id", args.span.as_ref()),
        ("grader", args.grader.as_ref()),
        ("rating", rating.as_ref()),
        ("label", args.label.as_ref()),
        ("note", args.note.as_ref()),
        ("author", args.author.as_ref()),
    ];
    let said = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let mut body: Map<String, Value> = said
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    if let (Some(queue), Some(chance)) = (&args.queue.queue_id, args.queue.chance) {
        body.insert("queue_id".to_owned(), json!(queue));
        body.insert("chance".to_owned(), json!(chance));
    }
    Ok(Value::Object(body))
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, annotations: &Annotations) -> anyhow::Result<()> {
    match annotations {
        Annotations::List(args) => list(ask, args).await,
        Annotations::Delete { id } => {
            let answer = ask.client.delete(&["v1", "annotations", id], &[]).await?;
            match ask.tell::<Value>(answer).await? {
                Some(_) => Ok(output::line(format!("deleted {}", safe_text(id)))?),
                None => Ok(()),
            }
        }
    }
}

async fn list(ask: &Ask, args: &AnnotationsList) -> anyhow::Result<()> {
    let fields = [
        ("trace_id", args.trace.clone()),
        ("grader", args.grader.clone()),
        ("label", args.label.clone()),
        ("author", args.author.clone()),
        ("limit", Some(args.limit.to_string())),
        ("after", args.after.clone()),
    ];
    let pairs = given(fields);
    let answer = ask.client.get(&PATH, &pairs).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    if list.data.is_empty() {
        output::note("nobody said anything: `tracegrade annotate TRACE --good|--bad`");
        return Ok(());
    }
    output::block(&table(&list.data))?;
    if let Some(last) = list.data.last().filter(|_| list.has_more) {
        output::note(format!("more: --after {}", safe_text(&last.id)));
    }
    Ok(())
}

fn table(annotations: &[Annotation]) -> String {
    let columns = ["said (UTC)", "", "trace", "label", "note", "author", "id"]
        .map(|name| (name, Align::Left));
    let row = |said: &Annotation| {
        let (rating, style) = match said.rating.as_deref() {
            Some("good") => ("good", GOOD),
            Some("bad") => ("bad", BAD),
            _ => ("", PLAIN),
        };
        let about = match &said.span_id {
            Some(span) => format!("{} {}", safe_text(&said.trace_id), safe_text(span)),
            None => safe_text(&said.trace_id).into_owned(),
        };
        vec![
            Cell::from(text::moment(&said.created_at)),
            Cell::styled(style, rating),
            Cell::from(about),
            Cell::from(short_text(said.label.as_deref().unwrap_or(""), 30)),
            Cell::from(short_text(said.note.as_deref().unwrap_or(""), 60)),
            Cell::from(short_text(&said.author, 20)),
            Cell::styled(DIM, safe_text(&said.id)),
        ]
    };
    let rows: Vec<Vec<Cell>> = annotations.iter().map(row).collect();
    output::table(&columns, &rows)
}
