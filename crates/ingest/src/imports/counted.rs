//! What became of the documents of one request, kept by format.

use std::collections::BTreeMap;

use model::{Batch, Rejection, Rejections, TraceItem};

use super::record::Refusal;
use super::{Format, joined, rejection};

/// A request in which more is refused than this is refused itself: it is no file of traces.
pub(super) const REFUSED_MAX: usize = 100_000;

/// What one request held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// All that was taken, and what was refused.
    pub batch: Batch,
    /// For each of [`Batch::rejected`] the document it was in, from 0.
    pub documents: Vec<usize>,
    /// How many documents and items of each format there were.
    pub formats: Vec<FormatCount>,
    /// Items that were read and are not kept, by reason.
    pub ignored: Vec<(&'static str, usize)>,
}

/// What was read of one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FormatCount {
    /// The format.
    pub format: Format,
    /// Documents, of a list each of its records.
    pub documents: usize,
    /// Items that were taken: spans, and what was said of traces.
    pub accepted: usize,
    /// Items that were refused.
    pub rejected: usize,
}

/// The account of one request while it is read.
#[derive(Debug, Default)]
pub(super) struct Tally {
    batches: Vec<Batch>,
    /// What records said of traces; behind all that spans say of them.
    items: Vec<TraceItem>,
    rejected: Rejections,
    /// Of each that is listed.
    documents: Vec<usize>,
    formats: BTreeMap<Format, (usize, usize, usize)>,
    ignored: BTreeMap<&'static str, usize>,
    /// Bytes that were written to put records together again.
    pub(super) expanded_bytes: usize,
    /// The document that is read, and how many items of it were counted.
    document: usize,
    in_document: usize,
    /// Its format, once that is known.
    format: Option<Format>,
}

impl Tally {
    /// Returns whether it is no use to read on.
    pub(super) fn is_hopeless(&self) -> bool {
        let counts = self.rejected.counts();
        // Items of deleted traces are good ones: a file is often read in again after a deletion.
        let deleted = counts.get(Rejection::TRACE_DELETED).copied();
        self.rejected.count() - deleted.unwrap_or_default() > REFUSED_MAX
    }

    pub(super) fn has_no_document(&self) -> bool {
        self.document == 0
    }

    /// Notes that the next document begins.
    pub(super) fn next_document(&mut self) {
        self.document += 1;
        self.in_document = 0;
        self.format = None;
    }

    /// Counts a document, or a record of a list.
    pub(super) fn found(&mut self, format: Format) {
        self.format = Some(format);
        self.formats.entry(format).or_default().0 += 1;
    }

    /// Counts an item that was taken.
    pub(super) fn accept(&mut self, format: Format) {
        self.formats.entry(format).or_default().1 += 1;
        self.in_document += 1;
    }

    /// Takes what was said of a trace.
    pub(super) fn item(&mut self, format: Format, item: TraceItem) {
        self.accept(format);
        self.items.push(item);
    }

    /// Takes what a decoder of its own made of a document.
    pub(super) fn batch(&mut self, format: Format, mut batch: Batch) {
        let from = self.in_document;
        let rejected = std::mem::take(&mut batch.rejected);
        let counts = self.formats.entry(format).or_default();
        counts.1 += batch.accepted;
        counts.2 += rejected.count();
        self.in_document += batch.accepted + rejected.count();
        self.rejected.append(rejected, |index| from + index);
        self.documents.resize(self.rejected.len(), self.document);
        self.batches.push(batch);
    }

    /// Counts an item, or a whole document, that is refused.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        if let Some(format) = self.format {
            self.formats.entry(format).or_default().2 += 1;
        }
        self.reject(rejection(self.in_document, &refusal));
        self.in_document += 1;
    }

    /// Counts a part of the request that is no document.
    pub(super) fn unreadable(&mut self, code: &'static str, reason: String) {
        self.reject(Rejection {
            index: 0,
            code,
            reason,
            trace_id: None,
        });
    }

    fn reject(&mut self, rejection: Rejection) {
        self.rejected.push(rejection);
        self.documents.resize(self.rejected.len(), self.document);
    }

    /// Counts items that were read and are not kept.
    pub(super) fn ignored(&mut self, reason: &'static str, count: usize) {
        if count > 0 {
            *self.ignored.entry(reason).or_default() += count;
        }
    }

    /// Returns the account, together with the spans that records became.
    pub(super) fn finish(mut self, mut spans: Batch) -> Imported {
        spans.accepted += self.items.len();
        spans.traces.append(&mut self.items);
        self.batches.push(spans);
        let mut batch = joined(self.batches);
        batch.rejected = self.rejected;
        let count = |(format, (documents, accepted, rejected))| FormatCount {
            format,
            documents,
            accepted,
            rejected,
        };
        Imported {
            batch,
            documents: self.documents,
            formats: self.formats.into_iter().map(count).collect(),
            ignored: self.ignored.into_iter().collect(),
        }
    }
}
