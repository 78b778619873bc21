//! How far a file was taken, so that an import that was ended goes on.
//!
//! A small file beside the one that is read: `FILE.tracegrade-import`. It is written, under another name
//! and then moved into its place, whenever the server has answered that everything up to a place is on
//! disk. An import that is killed in between sends at most the requests once more that were under way,
//! which changes nothing: ids come from the file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use model::MessageHash;
use serde::{Deserialize, Serialize};

use super::reading::Body;
use super::report::Outcome;

/// So much of the beginning of a file tells whether it is the same.
const HEAD_BYTES: u64 = 64 << 10;

/// What the file beside says.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// The form of this file.
    version: u32,
    /// Where the documents go.
    destination: String,
    /// The size of the file, and the hash of its beginning.
    bytes: u64,
    head: String,
    /// Up to here the inflated file was taken, and how many documents that is.
    taken_bytes: u64,
    documents: u64,
    outcome: Outcome,
}

const VERSION: u32 = 1;

/// The state of one file.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    saved: Saved,
}

impl State {
    /// Returns the state of `file`, new if none was kept.
    pub(super) fn open(file: &Path, destination: &str) -> anyhow::Result<Self> {
        if file.as_os_str() == "-" {
            bail!("stdin cannot be read again: --resume needs a file");
        }
        let path = beside(file, ".tracegrade-import");
        let (bytes, head) = identity(file)?;
        let kept = match fs::read(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", path.display()));
            }
        };
        let Some(text) = kept else {
            let saved = Saved {
                version: VERSION,
                destination: destination.to_owned(),
                bytes,
                head,
                taken_bytes: 0,
                documents: 0,
                outcome: Outcome::default(),
            };
            let state = Self { path, saved };
            // Found out now that it cannot be written, not after an hour.
            state.write()?;
            return Ok(state);
        };
        let way_out = || format!("remove {} to begin anew", path.display());
        let saved: Saved = serde_json::from_slice(&text)
            .with_context(|| format!("the state of an earlier import is damaged: {}", way_out()))?;
        if saved.version != VERSION {
            bail!(
                "the state of an earlier import is of another version: {}",
                way_out()
            );
        }
        if (saved.bytes, &saved.head) != (bytes, &head) {
            bail!(
                "the file has changed since it was imported in part: {}",
                way_out()
            );
        }
        if saved.destination != destination {
            bail!(
                "an earlier import of it went to {}, this one goes to {destination}: {}",
                saved.destination,
                way_out()
            );
        }
        Ok(Self { path, saved })
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        self.saved.taken_bytes
    }

    pub(super) fn documents(&self) -> u64 {
        self.saved.documents
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.saved.outcome.clone()
    }

    /// Notes that everything up to the end of `body` was taken.
    pub(super) fn taken(&mut self, body: &Body, outcome: &Outcome) -> anyhow::Result<()> {
        self.saved.taken_bytes = body.end;
        self.saved.documents = body.documents;
        self.saved.outcome = outcome.clone();
        self.write()
    }

    fn write(&self) -> anyhow::Result<()> {
        let new = beside(&self.path, ".new");
        let text = serde_json::to_vec(&self.saved)?;
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &self.path))
            .with_context(|| format!("failed to write {}", self.path.display()))
    }

    /// Forgets the state: the file is through.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(end);
    name.into()
}

/// Returns what tells a file from another: its size and the hash of its beginning.
fn identity(file: &Path) -> io::Result<(u64, String)> {
    let file = File::open(file)?;
    let bytes = file.metadata()?.len();
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok((bytes, MessageHash::of(&head).to_string()))
}
