//! `keys`: who may ask a server.

use std::sync::Arc;

use anyhow::Context;
use model::SystemClock;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use server::keys::{self, KeyRequest};

use crate::cli::operate::Keys;
use crate::client::{Client, Connection};
use crate::output::{self, Align, Cell, DIM};
use crate::text::safe_text;

use super::{Ask, local};

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    id: String,
    name: String,
    shown: String,
    scopes: Vec<String>,
    projects: Option<Vec<String>>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
}

/// Runs a command of the family.
pub(super) async fn run(connection: &Connection, json: bool, keys: &Keys) -> anyhow::Result<()> {
    let ask = || {
        anyhow::Ok(Ask {
            client: Client::new(connection)?,
            json,
        })
    };
    match keys {
        Keys::Create {
            name,
            scopes,
            projects,
            data_dir,
        } => {
            let (name, scopes, projects) = (name.clone(), scopes.clone(), projects.clone());
            let request = KeyRequest {
                name,
                scopes,
                projects,
            };
            match data_dir {
                Some(data_dir) => create_locally(data_dir, json, &request).await,
                None => create(&ask()?, &request).await,
            }
        }
        Keys::List => list(&ask()?).await,
        Keys::Revoke { id } => {
            let ask = ask()?;
            let answer = ask.client.delete(&["v1", "keys", id], &[]).await?;
            match ask.tell::<Key>(answer).await? {
                Some(key) => Ok(output::line(format!(
                    "revoked {} ({})",
                    safe_text(&key.shown),
                    safe_text(&key.name)
                ))?),
                None => Ok(()),
            }
        }
    }
}

async fn create(ask: &Ask, request: &KeyRequest) -> anyhow::Result<()> {
    let body =
        json!({"name": request.name, "scopes": request.scopes, "projects": request.projects});
    let answer = ask
        .client
        .send_json(Method::POST, &["v1", "keys"], &body)
        .await?;
    match ask.tell::<Value>(answer).await? {
        Some(made) => tell_secret(
            made.get("secret")
                .and_then(Value::as_str)
                .context("the server sent no key")?,
        ),
        None => Ok(()),
    }
}

async fn create_locally(
    data_dir: &std::path::Path,
    json: bool,
    request: &KeyRequest,
) -> anyhow::Result<()> {
    let app = local::open(data_dir, Arc::new(SystemClock)).await?;
    let made = keys::create(app.store().meta(), "local", request).await;
    app.close().await?;
    let made = made?;
    match json {
        true => Ok(output::line(
            json!({"object": "key", "id": made.id, "secret": made.secret}).to_string(),
        )?),
        false => tell_secret(&made.secret),
    }
}

/// The key alone goes to stdout, so that it can be kept by a script.
fn tell_secret(secret: &str) -> anyhow::Result<()> {
    output::line(safe_text(secret))?;
    output::note("keep it: it is not shown again. From now on every request needs a key");
    Ok(())
}

async fn list(ask: &Ask) -> anyhow::Result<()> {
    let answer = ask.client.get(&["v1", "keys"], &[]).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    if list.data.is_empty() {
        output::note("there is no key: whoever reaches the server may do everything");
        return Ok(());
    }
    let columns = ["id", "name", "key", "scopes", "projects", "last used", ""]
        .map(|name| (name, Align::Left));
    let row = |key: &Key| {
        let projects = key
            .projects
            .as_ref()
            .map_or_else(|| "all".to_owned(), |ids| ids.join(","));
        let revoked = if key.revoked_at.is_some() {
            "revoked"
        } else {
            ""
        };
        let used = key.last_used_at.as_deref().unwrap_or("never");
        let texts = [
            &key.id,
            &key.name,
            &key.shown,
            &key.scopes.join(","),
            &projects,
            used,
            revoked,
        ];
        let style = if key.revoked_at.is_some() {
            DIM
        } else {
            output::PLAIN
        };
        texts
            .iter()
            .map(|text| Cell::styled(style, safe_text(text).into_owned()))
            .collect()
    };
    let rows: Vec<Vec<Cell>> = list.data.iter().map(row).collect();
    Ok(output::block(&output::table(&columns, &rows))?)
}
