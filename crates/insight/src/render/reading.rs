//! What can a judge look up for itself?
//!
//! Where a trace is too long to be shown, the judge gets its outline and four tools: list spans, read a part
//! of a text, search, compare. They take names, numbers and patterns and look at this trace only; there is
//! nothing else they could reach. Every answer is fenced like the rest and at most 4,000 tokens long. A call
//! that makes no sense is answered with what would have made sense, in our own words: what the judge wrote
//! is not repeated, for it may have been told to write it.

use super::calls::ReadingCall;
use super::lines::{Lines, grouped};
use super::mask::Mask;
use super::page::Page;
use super::spans::{resolve_place, span_name};
use super::tokens::{TOKEN, Weight, head_within, weigh};
use super::told::{Address, Field, Piece, Told};
use super::{Renderer, diff, search};
use crate::fence::{Fence, Label};

/// No answer is longer than this.
pub const ANSWER_TOKENS_MAX: u64 = 4_000;

/// Spans on one page of a list.
const PAGE_SPANS: usize = 50;

/// What is left of an answer for data, beside tags and remarks.
const DATA_TOKENS_MAX: Weight = (ANSWER_TOKENS_MAX - 200) * TOKEN;

/// A little more than what two tags take.
const TAGS: Weight = 40 * TOKEN;

/// Finds the spans that a selector names: places in start order, or what is wrong with it in words that
/// do not repeat it.
pub type Select<'a> = &'a dyn Fn(&str) -> Result<Vec<u32>, String>;

/// Answers the calls of one judge about one trace.
pub struct Reading<'a> {
    pub(super) renderer: &'a Renderer<'a>,
    pub(super) fence: &'a Fence,
    pub(super) mask: &'a Mask,
    select: Select<'a>,
}

impl std::fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl<'a> Reading<'a> {
    /// Returns what answers calls about the trace of `renderer`.
    pub fn new(
        renderer: &'a Renderer<'a>,
        fence: &'a Fence,
        mask: &'a Mask,
        select: Select<'a>,
    ) -> Self {
        Self {
            renderer,
            fence,
            mask,
            select,
        }
    }

    /// Returns the answer to a call as a judge made it.
    pub fn answer_raw(&self, name: &str, arguments: &str) -> String {
        match ReadingCall::parse(name, arguments) {
            Ok(call) => self.answer(&call),
            Err(error) => format!("error: {error}"),
        }
    }

    /// Returns the answer to a call.
    pub fn answer(&self, call: &ReadingCall) -> String {
        let answer = match call {
            ReadingCall::ListSpans { selector, page } => self.list(selector, *page),
            ReadingCall::GetSpan {
                id,
                field,
                offset,
                limit,
            } => self.get(id, field, *offset, *limit),
            ReadingCall::Search { regex, selector } => self
                .selected(selector)
                .and_then(|places| search::search(self, regex, &places)),
            ReadingCall::Diff { a, b } => self.compare(a, b),
        };
        answer.unwrap_or_else(|error| format!("error: {error}"))
    }

    pub(super) fn told(&self) -> &'a Told<'a> {
        &self.renderer.told
    }

    pub(super) fn page(&self) -> Page {
        Page::of(ANSWER_TOKENS_MAX)
    }

    fn lines(&self) -> Lines<'a> {
        Lines {
            view: self.renderer.view,
            fence: self.fence,
            mask: self.mask,
            sizes: Some(self.told()),
        }
    }

    fn selected(&self, selector: &str) -> Result<Vec<u32>, String> {
        let count = self.renderer.view.spans.len();
        if selector.trim().is_empty() {
            return Ok((0u32..).take(count).collect());
        }
        let mut places = (self.select)(selector)?;
        places.retain(|at| (*at as usize) < count);
        Ok(places)
    }

    fn place(&self, id: &str) -> Result<u32, String> {
        resolve_place(self.renderer.view, id).ok_or_else(|| {
            let count = self.renderer.view.spans.len();
            format!("there is no such span: they are s1 to s{count}")
        })
    }

    fn list(&self, selector: &str, page: usize) -> Result<String, String> {
        let places = self.selected(selector)?;
        let pages = places.len().div_ceil(PAGE_SPANS).max(1);
        if page > pages {
            return Err(format!("there is no such page: the last one is {pages}"));
        }
        let mut out = self.page();
        let count = grouped(places.len());
        let head = format!("{count} spans, page {page} of {pages}");
        let lines = std::iter::once(head).chain(
            places
                .iter()
                .skip((page - 1) * PAGE_SPANS)
                .take(PAGE_SPANS)
                .map(|at| self.lines().of_span(*at)),
        );
        for line in lines {
            if out.line(&line).is_err() {
                return Ok(out.into_text() + "…[more on this page; use a narrower selector]…");
            }
        }
        Ok(out.into_text())
    }

    fn get(&self, id: &str, field: &str, offset: usize, limit: usize) -> Result<String, String> {
        let at = self.place(id)?;
        let sayings = self.field(at, field)?;
        let ids: Vec<u32> = sayings.iter().map(|(_, id)| *id).collect();
        // Each two messages of a field have a line end between them.
        let total = self.told().chars(&ids) + ids.len().saturating_sub(1);
        if offset >= total && offset > 0 {
            return Err(format!("the text ends at character {total}"));
        }
        let mut part = Part {
            reading: self,
            skip: offset,
            left: limit,
            weight: DATA_TOKENS_MAX,
            given: 0,
            blocks: String::new(),
        };
        for (address, id) in sayings {
            part.saying(address, id);
            if part.left == 0 {
                break;
            }
        }
        let to = (offset + part.given).min(total);
        let name = format!("{}.{}", span_name(at), field.trim());
        let more = if to < total {
            format!("; go on at offset {to}")
        } else {
            String::new()
        };
        let blocks = part.blocks;
        Ok(format!(
            "{blocks}{name} {offset}–{to} of {total} characters{more}"
        ))
    }

    /// Returns the sayings of a field as a judge names it.
    fn field(&self, at: u32, name: &str) -> Result<Vec<(Address, u32)>, String> {
        let (name, message) = match name.trim().split_once('.') {
            Some((name, message)) => (name, Some(message)),
            None => (name.trim(), None),
        };
        let field = Field::ALL
            .into_iter()
            .find(|field| field.as_str() == name)
            .ok_or("there is no such field: they are system, tools, input, output and error")?;
        let mut sayings = self.told().of_field(at, field);
        if let Some(message) = message {
            let number: Option<u32> = message.parse().ok();
            // Messages are numbered through: those that instruct come first.
            if field == Field::Input {
                sayings.extend(self.told().of_field(at, Field::System));
            }
            sayings.retain(|(address, _)| {
                number.is_some()
                    && (address.message == number
                        || (address.message.is_none() && number == Some(0)))
            });
        }
        if sayings.is_empty() {
            return Err("the span has nothing there".to_owned());
        }
        Ok(sayings)
    }

    fn compare(&self, a: &str, b: &str) -> Result<String, String> {
        let (a, b) = (self.place(a)?, self.place(b)?);
        let mut out = self.page();
        for field in [Field::Input, Field::Output] {
            let text = |at: u32| {
                let mut lines = Vec::new();
                for (_, id) in self.told().of_field(at, field) {
                    for piece in &self.told().sayings[id as usize].pieces {
                        lines.push(self.mask.apply(&piece.text));
                    }
                }
                lines.join("\n")
            };
            let changes = diff::lines(&text(a), &text(b));
            let end = head_within(&changes, DATA_TOKENS_MAX / 2);
            let label = Label {
                field: field.as_str(),
                kind: Some("diff"),
                ..Label::default()
            };
            let block = self.fence.wrap(label, &changes[..end]);
            let is_cut = end < changes.len();
            let note = if is_cut { "…[more differs]…" } else { "" };
            if out.line(&format!("{block}{note}")).is_err() {
                let name = field.as_str();
                return Ok(out.into_text() + &format!("the {name} differs more than can be shown"));
            }
        }
        Ok(out.into_text())
    }
}

/// A part of a field in the making.
struct Part<'r, 'a> {
    reading: &'r Reading<'a>,
    /// Characters before the part.
    skip: usize,
    /// Characters that are still wanted.
    left: usize,
    weight: Weight,
    given: usize,
    blocks: String,
}

impl Part<'_, '_> {
    fn saying(&mut self, address: Address, id: u32) {
        for piece in &self.reading.told().sayings[id as usize].pieces {
            if self.left == 0 {
                return;
            }
            // One more for the line end after it.
            if self.skip > piece.chars {
                self.skip -= piece.chars + 1;
                continue;
            }
            let from = char_offset(&piece.text, std::mem::take(&mut self.skip));
            let rest = &piece.text[from..];
            let wanted = &rest[..char_offset(rest, self.left)];
            let Some((fitting, block)) = self.block(address, piece, wanted) else {
                self.left = 0;
                return;
            };
            self.weight -= weigh(&block);
            self.blocks.push_str(&block);
            self.blocks.push('\n');
            let given = fitting.chars().count();
            let is_whole = fitting.len() == rest.len();
            self.given += given + usize::from(is_whole);
            self.left = if is_whole {
                self.left.saturating_sub(given + 1)
            } else {
                0
            };
        }
    }
}

impl Part<'_, '_> {
    /// Returns as much of a text as there is room for, and its block.
    fn block<'t>(
        &self,
        address: Address,
        piece: &Piece<'_>,
        text: &'t str,
    ) -> Option<(&'t str, String)> {
        let label = Label {
            id: &span_name(address.at),
            field: &address.field_name(),
            role: piece.role,
            kind: piece.kind,
        };
        let mut limit = self.weight.checked_sub(TAGS)?;
        // Stand-ins may be longer than what they stand for.
        while limit >= TAGS {
            let fitting = &text[..head_within(text, limit)];
            let shown = self.reading.mask.apply(fitting);
            let block = self.reading.fence.wrap(label, &shown);
            if weigh(&block) <= self.weight {
                return Some((fitting, block));
            }
            limit /= 2;
        }
        None
    }
}

/// Returns the byte at which the character number `chars` begins.
fn char_offset(text: &str, chars: usize) -> usize {
    let mut offsets = text.char_indices().map(|(at, _)| at);
    offsets.nth(chars).unwrap_or(text.len())
}
