//! `import`: files of recorded items to the server's own way in.
//!
//! A file may be larger than memory: it is read in pieces, cut into documents, and its items are put
//! together to requests anew. What cannot be read is told and passed over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use model::{ProjectId, Source, SystemClock};
use serde::Deserialize;
use serde_json::value::RawValue;
use server::App;
use server::local::Documents;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::cli::Import;
use crate::client::{Client, Connection};
use crate::output;
use crate::text;

use super::local;

/// One document of a file; an exported trace is one, and may be large.
const DOCUMENT_BYTES_MAX: usize = 512 << 20;

/// A request is closed once it is this large.
const BODY_BYTES_SOFT: usize = 2 << 20;

/// Requests under way at the same time.
const BODIES_AT_ONCE: usize = 4;

/// Faults of files that are told one by one.
const FAULTS_TOLD_MAX: usize = 10;

/// What became of the files.
#[derive(Debug, Default)]
struct Outcome {
    accepted: u64,
    /// Items the server refused, by reason.
    rejected: BTreeMap<String, u64>,
    /// Parts of files that are no items.
    faults: Vec<String>,
}

/// Imports every file.
pub(super) async fn run(
    connection: &Connection,
    as_json: bool,
    import: &Import,
) -> anyhow::Result<()> {
    let to = Destination::open(connection, import).await?;
    let outcome = all_files(&to, &import.files).await;
    // Closed in any case: what was taken is in the log, and the folder is let go.
    to.close().await?;
    tell(as_json, &outcome?)
}

/// Where items go.
#[derive(Debug)]
enum Destination {
    /// To a server.
    Server(Client),
    /// Into a data folder that no server has open.
    Folder(Box<App>, ProjectId),
}

impl Destination {
    async fn open(connection: &Connection, import: &Import) -> anyhow::Result<Self> {
        let Some(data_dir) = &import.data_dir else {
            return Ok(Self::Server(Client::new(connection)?));
        };
        let project = connection.project().unwrap_or("default");
        let project = ProjectId::new(project)
            .with_context(|| format!("{project:?} cannot be a project's id"))?;
        let app = local::open(data_dir, Arc::new(SystemClock)).await?;
        Ok(Self::Folder(Box::new(app), project))
    }

    async fn send(&self, body: Bytes) -> anyhow::Result<Answer> {
        match self {
            Self::Server(client) => {
                let answer = client.ingest(body).await?;
                Ok(client.json(answer).await?)
            }
            Self::Folder(app, project) => {
                let taken = local::take(app, project, Source::Import, body).await?;
                // Told as a server would tell it, so that there is one way to read it.
                Ok(serde_json::from_value(serde_json::to_value(&taken)?)?)
            }
        }
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Folder(app, _) => Ok(app.close().await?),
        }
    }
}

async fn all_files(to: &Destination, files: &[PathBuf]) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for path in files {
        one_file(to, path, &mut outcome)
            .await
            .with_context(|| format!("failed to import {}", path.display()))?;
    }
    Ok(outcome)
}

/// Says what became of the files; it is a failure if not everything was taken.
fn tell(as_json: bool, outcome: &Outcome) -> anyhow::Result<()> {
    let rejected: u64 = outcome.rejected.values().sum();
    if as_json {
        let told = serde_json::json!({
            "accepted": outcome.accepted,
            "rejected_count": rejected,
            "rejected": outcome.rejected,
            "faults": outcome.faults,
        });
        output::line(told.to_string())?;
    } else {
        output::line(format!("{} items imported", text::count(outcome.accepted)))?;
    }
    for fault in outcome.faults.iter().take(FAULTS_TOLD_MAX) {
        output::note(text::safe_text(fault));
    }
    if rejected > 0 || !outcome.faults.is_empty() {
        let reasons: Vec<_> = outcome
            .rejected
            .iter()
            .map(|(code, n)| format!("{} {code}", text::count(*n)))
            .collect();
        bail!(
            "not everything was taken: {} items refused ({}), {} parts of files unreadable; the rest is kept",
            text::count(rejected),
            reasons.join(", "),
            text::count(outcome.faults.len() as u64)
        );
    }
    Ok(())
}

async fn one_file(to: &Destination, path: &Path, outcome: &mut Outcome) -> anyhow::Result<()> {
    let is_stdin = path.as_os_str() == "-";
    let bytes = if is_stdin {
        None
    } else {
        Some(path.metadata()?.len())
    };
    let bar = match bytes {
        Some(bytes) => output::bar(bytes, "importing"),
        None => output::counter("bytes read"),
    };
    let (send, receive) = mpsc::channel(BODIES_AT_ONCE);
    let (path, progress) = (path.to_owned(), bar.clone());
    let reading = spawn_blocking(move || {
        let raw: Box<dyn Read> = if is_stdin {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(&path)?)
        };
        let mut packer = Packer {
            send,
            body: Vec::new(),
            faults: Vec::new(),
        };
        read(inflated(Counted { raw, bar: progress })?, &mut packer)?;
        anyhow::Ok(packer.faults)
    });
    let bodies = stream::unfold(receive, async |mut receive: mpsc::Receiver<Bytes>| {
        receive.recv().await.map(|body| (body, receive))
    });
    let answers = bodies
        .map(|body| to.send(body))
        .buffer_unordered(BODIES_AT_ONCE);
    let taken: Vec<Answer> = answers.try_collect().await?;
    outcome
        .faults
        .extend(reading.await.context("the reader of the file died")??);
    for answer in taken {
        outcome.accepted += answer.accepted;
        let listed = answer.rejected.len() as u64;
        for refused in answer.rejected {
            *outcome.rejected.entry(refused.code).or_default() += 1;
        }
        // The server lists the first thousand and counts all.
        if answer.rejected_count > listed {
            *outcome.rejected.entry("not_listed".to_owned()).or_default() +=
                answer.rejected_count - listed;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The server's answer to a request of items.
#[derive(Debug, Deserialize)]
struct Answer {
    accepted: u64,
    rejected_count: u64,
    rejected: Vec<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    code: String,
}

/// A file that moves a bar as it is read.
struct Counted {
    raw: Box<dyn Read>,
    bar: ProgressBar,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        self.bar.inc(count as u64);
        Ok(count)
    }
}

/// Returns what a file holds, inflated if its first bytes are those of gzip or zstd.
fn inflated(file: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(1 << 20, file);
    let first = file.fill_buf()?;
    if first.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file)))
    } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Box::new(zstd::Decoder::with_buffer(file)?))
    } else {
        Ok(Box::new(file))
    }
}

/// Reads a file to its end and hands its items on.
fn read(mut file: impl Read, packer: &mut Packer) -> anyhow::Result<()> {
    let mut documents = Documents::new(DOCUMENT_BYTES_MAX);
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut piece)?;
        match count {
            0 => documents.finish(),
            count => documents.feed(&piece[..count]),
        }
        for document in documents.by_ref() {
            match document {
                Ok(document) => packer.document(&document)?,
                Err(error) => packer.faults.push(error.to_string()),
            }
        }
        if count == 0 {
            return packer.send_body();
        }
    }
}

/// Puts items together to requests.
struct Packer {
    send: mpsc::Sender<Bytes>,
    body: Vec<u8>,
    faults: Vec<String>,
}

/// The documents that hold items, by their keys.
#[derive(Debug, Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    span_data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    trace: Option<&'a RawValue>,
    #[serde(borrow, default)]
    spans: Option<&'a RawValue>,
}

impl Packer {
    /// Hands on the items of one document.
    fn document(&mut self, document: &[u8]) -> anyhow::Result<()> {
        if document.starts_with(b"[") {
            return self.list(document);
        }
        let keys = match serde_json::from_slice::<Document<'_>>(document) {
            Ok(keys) => keys,
            Err(error) => return self.fault(&error),
        };
        match keys {
            Document {
                id: None,
                span_data: None,
                trace,
                spans,
                ..
            } if trace.is_some() || spans.is_some() => {
                if let Some(trace) = trace {
                    self.item(trace.get())?;
                }
                spans.map_or(Ok(()), |spans| self.list(spans.get().as_bytes()))
            }
            Document {
                id: None,
                span_data: None,
                data: Some(data),
                ..
            } => self.list(data.get().as_bytes()),
            Document {
                id: None,
                span_data: None,
                ..
            } => {
                self.faults.push("a document holds no items: neither an item, nor `data`, nor `trace` and `spans`".to_owned());
                Ok(())
            }
            _ => match std::str::from_utf8(document) {
                Ok(item) => self.item(item),
                Err(error) => self.fault(&error),
            },
        }
    }

    fn fault(&mut self, error: &dyn std::error::Error) -> anyhow::Result<()> {
        self.faults
            .push(format!("a document cannot be read: {error}"));
        Ok(())
    }

    fn list(&mut self, json: &[u8]) -> anyhow::Result<()> {
        match serde_json::from_slice::<Vec<&RawValue>>(json) {
            Ok(items) => items.into_iter().try_for_each(|item| self.item(item.get())),
            Err(error) => self.fault(&error),
        }
    }

    fn item(&mut self, json: &str) -> anyhow::Result<()> {
        self.body.extend_from_slice(if self.body.is_empty() {
            b"{\"data\":["
        } else {
            b","
        });
        self.body.extend_from_slice(json.as_bytes());
        match self.body.len() < BODY_BYTES_SOFT {
            true => Ok(()),
            false => self.send_body(),
        }
    }

    fn send_body(&mut self) -> anyhow::Result<()> {
        let mut body = std::mem::take(&mut self.body);
        if body.is_empty() {
            return Ok(());
        }
        body.extend_from_slice(b"]}");
        // Nobody takes it once a request failed; that failure is what is told.
        self.send
            .blocking_send(body.into())
            .context("the import was given up")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &[u8], want: &[&str], faults: usize) {
        let (send, mut receive) = mpsc::channel(100);
        let mut packer = Packer {
            send,
            body: Vec::new(),
            faults: Vec::new(),
        };
        let file = std::io::Cursor::new(file.to_vec());
        read(inflated(file).unwrap(), &mut packer).unwrap();
        assert_eq!(packer.faults.len(), faults, "{:?}", packer.faults);
        drop(packer.send);
        let mut bodies = Vec::new();
        while let Some(body) = receive.blocking_recv() {
            bodies.push(String::from_utf8(body.to_vec()).unwrap());
        }
        assert_eq!(bodies, want);
    }

    #[test]
    fn each_shape_of_a_file_holds_items() {
        let item = r#"{"object":"trace","id":"a"}"#;
        let span = r#"{"object":"trace.span","id":"s","trace_id":"a","span_data":{"type":"custom","data":[1.50]}}"#;
        let both = format!(r#"{{"data":[{item},{span}]}}"#);
        let want = [both.as_str()];
        check(both.as_bytes(), &want, 0);
        check(format!("{item}\n{span}\n").as_bytes(), &want, 0);
        check(format!("[{item}, {span}]").as_bytes(), &want, 0);
        check(
            format!(r#"{{"trace":{item},"spans":[{span}]}}"#).as_bytes(),
            &want,
            0,
        );
        check(b"", &[], 0);
        check(
            format!("nonsense\n{item}\n{{}}\n{span}").as_bytes(),
            &want,
            2,
        );
        check(format!("{item}{span}{{\"id\":").as_bytes(), &want, 1);
    }

    #[test]
    fn compressed_files_are_recognised() {
        let item = br#"{"object":"trace","id":"a"}"#;
        let want = [r#"{"data":[{"object":"trace","id":"a"}]}"#];
        check(&zstd::encode_all(&item[..], 1).unwrap(), &want, 0);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, item).unwrap();
        check(&gzip.finish().unwrap(), &want, 0);
    }
}
