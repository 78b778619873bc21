//! What became of the files: what was read, kept and refused, and why.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::output;
use crate::text;

use super::reading::{Body, Fault};

/// Refusals that are told one by one; all are counted.
const TOLD_MAX: usize = 10;

/// The server's answer to one request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer {
    accepted: u64,
    rejected_count: u64,
    rejected: Vec<Refused>,
    #[serde(default)]
    formats: Vec<FormatAnswer>,
    #[serde(default)]
    ignored: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    document: Option<usize>,
    index: Option<usize>,
    code: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct FormatAnswer {
    format: String,
    documents: u64,
    accepted: u64,
    rejected: u64,
}

/// Why a whole request was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    code: String,
    message: String,
}

impl Refusal {
    pub(super) fn of_request(code: String, message: String) -> Self {
        Self { code, message }
    }
}

/// What there was of one format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    documents: u64,
    accepted: u64,
    rejected: u64,
}

/// One refusal with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    file: String,
    /// From 1; in a file of lines the number of the line.
    document: u64,
    /// Where the document begins in the inflated file.
    #[serde(skip_serializing_if = "Option::is_none")]
    byte: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<u64>,
    code: String,
    reason: String,
}

/// What became of files so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) files: u64,
    accepted: u64,
    formats: BTreeMap<String, Counts>,
    ignored: BTreeMap<String, u64>,
    rejected: BTreeMap<String, u64>,
    first_rejected: Vec<Told>,
}

impl Outcome {
    /// Takes in the answer to one request.
    pub(super) fn take(&mut self, path: &Path, answer: Result<Answer, Refusal>, body: &Body) {
        for fault in &body.faults {
            self.fault(path, fault);
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => return self.refused_whole(path, &refusal, body),
        };
        self.accepted += answer.accepted;
        for format in answer.formats {
            let counts = self.formats.entry(format.format).or_default();
            counts.documents += format.documents;
            counts.accepted += format.accepted;
            counts.rejected += format.rejected;
        }
        for (reason, count) in answer.ignored {
            *self.ignored.entry(reason).or_default() += count;
        }
        let listed = answer.rejected.len() as u64;
        for refused in answer.rejected {
            *self.rejected.entry(refused.code.clone()).or_default() += 1;
            let place = refused.document.unwrap_or(0);
            let place = body.places.get(place).or(body.places.last());
            let Some(place) = place.filter(|_| self.first_rejected.len() < TOLD_MAX) else {
                continue;
            };
            self.first_rejected.push(Told {
                file: path.display().to_string(),
                document: place.number,
                byte: Some(place.at),
                item: refused.index.map(|index| index as u64 + 1),
                code: refused.code,
                reason: refused.reason,
            });
        }
        // The server lists the first thousand and counts all.
        if answer.rejected_count > listed {
            let more = answer.rejected_count - listed;
            *self.rejected.entry("not_listed".to_owned()).or_default() += more;
        }
    }

    fn refused_whole(&mut self, path: &Path, refusal: &Refusal, body: &Body) {
        let count = body.places.len() as u64;
        *self.rejected.entry(refusal.code.clone()).or_default() += count;
        for place in &body.places {
            if self.first_rejected.len() < TOLD_MAX {
                self.first_rejected.push(Told {
                    file: path.display().to_string(),
                    document: place.number,
                    byte: Some(place.at),
                    item: None,
                    code: refusal.code.clone(),
                    reason: refusal.message.clone(),
                });
            }
        }
    }

    /// Takes in a part of a file that is no document.
    fn fault(&mut self, path: &Path, fault: &Fault) {
        let code = fault.error.code();
        *self.rejected.entry(code.to_owned()).or_default() += 1;
        if self.first_rejected.len() < TOLD_MAX {
            self.first_rejected.push(Told {
                file: path.display().to_string(),
                document: fault.number,
                byte: None,
                item: None,
                code: code.to_owned(),
                reason: fault.error.to_string(),
            });
        }
    }

    /// Adds what became of a further file.
    pub(super) fn add(&mut self, file: Outcome) {
        self.files += file.files;
        self.accepted += file.accepted;
        for (format, counts) in file.formats {
            let all = self.formats.entry(format).or_default();
            all.documents += counts.documents;
            all.accepted += counts.accepted;
            all.rejected += counts.rejected;
        }
        for (mine, theirs) in [
            (&mut self.ignored, file.ignored),
            (&mut self.rejected, file.rejected),
        ] {
            for (reason, count) in theirs {
                *mine.entry(reason).or_default() += count;
            }
        }
        let room = TOLD_MAX - self.first_rejected.len();
        self.first_rejected
            .extend(file.first_rejected.into_iter().take(room));
    }

    /// Says what became of the files; it is a failure if not everything was taken.
    pub(super) fn tell(&self, as_json: bool) -> anyhow::Result<()> {
        let rejected: u64 = self.rejected.values().sum();
        if as_json {
            let mut told = serde_json::to_value(self)?;
            told["rejected_count"] = rejected.into();
            output::line(told.to_string())?;
        } else {
            output::block(&self.words())?;
        }
        for told in &self.first_rejected {
            output::note(text::safe_text(&told.words()));
        }
        if rejected > 0 {
            let reasons: Vec<_> = self
                .rejected
                .iter()
                .map(|(code, n)| format!("{} {code}", text::count(*n)))
                .collect();
            bail!(
                "not everything was taken: {} refused ({}); the rest is kept",
                text::count(rejected),
                reasons.join(", ")
            );
        }
        Ok(())
    }

    fn words(&self) -> String {
        let mut out = format!("{} items imported\n", text::count(self.accepted));
        for (format, counts) in &self.formats {
            let Counts {
                documents,
                accepted,
                rejected,
            } = counts;
            out.push_str(&format!(
                "  {format}: {} documents, {} items kept",
                text::count(*documents),
                text::count(*accepted)
            ));
            if *rejected > 0 {
                out.push_str(&format!(", {} refused", text::count(*rejected)));
            }
            out.push('\n');
        }
        for (reason, count) in &self.ignored {
            out.push_str(&format!(
                "  read and not kept: {} {reason}\n",
                text::count(*count)
            ));
        }
        out
    }
}

impl Told {
    fn words(&self) -> String {
        let Self {
            file,
            document,
            code,
            reason,
            ..
        } = self;
        let byte = self
            .byte
            .map_or_else(String::new, |byte| format!(" at byte {byte}"));
        let item = self
            .item
            .map_or_else(String::new, |item| format!(", item {item}"));
        format!("{file}: document {document}{byte}{item}: {code}: {reason}")
    }
}
