//! How is what a span tells written down?
//!
//! One block of data for each run of words. What stands on the page already is referred to, not repeated:
//! instructions and schemas (`system [=s3.system]`), the history that a call has in common with an earlier
//! one (`input [+2 since s9]`), and any longer text (`input.4 [=s10.output]`). What is too long is cut in
//! the middle, and the mark says where to read the rest.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::lines::{Lines, grouped};
use super::page::{Full, Page};
use super::rank::asker;
use super::spans::span_name;
use super::tokens::{TOKEN, Weight, head_within, tail_within, weigh};
use super::told::{Address, CALLS, Field, Piece, REFERRED_CHARS_MIN, Told};
use crate::fence::Label;

/// A part of a text lighter than this is not worth its fence.
const PART_MIN: Weight = 20 * TOKEN;

/// Writes spans onto a page and knows what stands there.
#[derive(Debug)]
pub(super) struct Shown<'a, 't> {
    told: &'t Told<'a>,
    lines: Lines<'t>,
    /// What a field may weigh.
    cap: Weight,
    pub(super) page: Page,
    /// For each node of the tree of histories, the span in which it stands.
    histories: Vec<Option<u32>>,
    /// For each text, where it stands.
    texts: Vec<Option<Address>>,
    /// For each list of instructions, and for each list of tools, the span in which it stands.
    system: HashMap<&'t [u32], u32>,
    tools: HashMap<u32, u32>,
}

/// One piece to be shown, with its address and how many characters of its message come before it.
struct Item<'a, 't> {
    address: Address,
    before: usize,
    piece: &'t Piece<'a>,
    text: Cow<'t, str>,
    weight: Weight,
}

impl<'a, 't> Shown<'a, 't> {
    /// Returns a writer of an empty page.
    pub(super) fn new(told: &'t Told<'a>, lines: Lines<'t>, page: Page, cap: Weight) -> Self {
        Self {
            told,
            lines,
            cap,
            page,
            histories: vec![None; told.node_count],
            texts: vec![None; told.text_count],
            system: HashMap::new(),
            tools: HashMap::new(),
        }
    }

    /// Writes a span and all that it tells. Where only some spans are looked at (`is_alone`), a tool call
    /// is shown with the words that asked for it.
    pub(super) fn span(&mut self, at: u32, is_alone: bool) -> Result<(), Full> {
        let line = self.lines.of_span(at);
        self.page.line(&line)?;
        if is_alone && let Some(asker) = asker(self.lines.view, at) {
            self.asked(asker)?;
        }
        self.instructions(at)?;
        self.tools(at)?;
        self.input(at)?;
        self.field(self.told.of_field(at, Field::Output))?;
        self.field(self.told.of_field(at, Field::Error))?;
        let span = &self.told.spans[at as usize];
        for node in span.path.last().into_iter().chain([&span.path_after]) {
            self.histories[*node as usize].get_or_insert(at);
        }
        Ok(())
    }

    /// Writes the calls that a model call asked for.
    fn asked(&mut self, asker: u32) -> Result<(), Full> {
        self.page
            .line(&format!("asked for by {}:", span_name(asker)))?;
        let mut items = Vec::new();
        for (address, id) in self.told.of_field(asker, Field::Output) {
            self.items(address, id, &mut items);
        }
        items.retain(|item| item.piece.kind == Some(CALLS));
        self.fitted(&items)
    }

    fn instructions(&mut self, at: u32) -> Result<(), Full> {
        let system: &'t [u32] = &self.told.spans[at as usize].system;
        if system.is_empty() {
            return Ok(());
        }
        if let Some(first) = self.system.get(system) {
            let name = span_name(*first);
            return self.page.line(&format!("system [={name}.system]"));
        }
        self.system.insert(system, at);
        self.field(self.told.of_field(at, Field::System))
    }

    fn tools(&mut self, at: u32) -> Result<(), Full> {
        let Some(tools) = self.told.spans[at as usize].tools else {
            return Ok(());
        };
        if let Some(first) = self.tools.get(&tools) {
            let name = span_name(*first);
            return self.page.line(&format!("tools [={name}.tools]"));
        }
        self.tools.insert(tools, at);
        self.field(self.told.of_field(at, Field::Tools))
    }

    fn input(&mut self, at: u32) -> Result<(), Full> {
        let all = self.told.of_field(at, Field::Input);
        let path = &self.told.spans[at as usize].path;
        let known = path.iter().enumerate().rev().find_map(|(nth, node)| {
            let span = self.histories[*node as usize]?;
            Some((nth + 1, span))
        });
        let Some((known, since)) = known else {
            return self.field(all);
        };
        let new = all[known..].to_vec();
        let since = span_name(since);
        self.page
            .line(&format!("input [+{} since {since}]", new.len()))?;
        self.field(new)
    }

    /// Writes sayings, the middle left out if they are too long together.
    fn field(&mut self, sayings: Vec<(Address, u32)>) -> Result<(), Full> {
        let mut items = Vec::new();
        for (address, id) in sayings {
            self.items(address, id, &mut items);
        }
        self.fitted(&items)
    }

    fn fitted(&mut self, items: &[Item<'a, 't>]) -> Result<(), Full> {
        let total: Weight = items.iter().map(|item| item.weight).sum();
        if total <= self.cap {
            return items.iter().try_for_each(|item| self.whole(item));
        }
        self.cut(items)
    }

    fn items(&self, address: Address, id: u32, items: &mut Vec<Item<'a, 't>>) {
        let mut before = 0;
        for piece in &self.told.sayings[id as usize].pieces {
            let text = self.lines.mask.apply(&piece.text);
            let weight = match text {
                Cow::Borrowed(same) if same.len() == piece.text.len() => piece.weight,
                _ => weigh(&text),
            };
            // What is only referred to weighs nothing worth counting.
            let weight = match self.standing(piece) {
                Some(_) => 0,
                None => weight,
            };
            items.push(Item {
                address,
                before,
                piece,
                text,
                weight,
            });
            before += piece.chars + 1;
        }
    }

    fn standing(&self, piece: &Piece<'_>) -> Option<Address> {
        let known = self.texts[piece.text_id as usize];
        known.filter(|_| piece.chars >= REFERRED_CHARS_MIN)
    }

    fn whole(&mut self, item: &Item<'a, 't>) -> Result<(), Full> {
        if let Some(known) = self.standing(item.piece) {
            let name = item.address.field_name();
            return self.page.line(&format!("{name} [={known}]"));
        }
        self.texts[item.piece.text_id as usize] = Some(item.address);
        self.block(item, &[&item.text], "")
    }

    fn block(&mut self, item: &Item<'a, 't>, parts: &[&str], mark: &str) -> Result<(), Full> {
        // Cleaning what cannot fit is wasted time. Text that is half of it invisible is taken for too long.
        let weight: Weight = parts.iter().map(|part| weigh(part)).sum();
        if weight / 2 > self.page.left() {
            return Err(Full);
        }
        let label = Label {
            id: &span_name(item.address.at),
            field: &item.address.field_name(),
            role: item.piece.role,
            kind: item.piece.kind,
        };
        let block = self.lines.fence.wrap_pieces(label, parts, mark);
        self.page.line(&block)
    }

    /// Writes the first 60 % and the last 40 % of what may be shown.
    fn cut(&mut self, items: &[Item<'a, 't>]) -> Result<(), Full> {
        let mut left = self.cap * 3 / 5;
        let mut first = 0;
        while first < items.len() && items[first].weight <= left {
            left -= items[first].weight;
            self.whole(&items[first])?;
            first += 1;
        }
        let head = part_end(&items[first].text, left);
        let mut left = self.cap * 2 / 5;
        let mut last = items.len() - 1;
        while last > first && items[last].weight <= left {
            left -= items[last].weight;
            last -= 1;
        }
        let tail = part_start(&items[last].text, left);
        if first == last {
            self.halves(&items[first], head, tail)?;
        } else {
            self.between((&items[first], head), (&items[last], tail), items)?;
        }
        items[last + 1..]
            .iter()
            .try_for_each(|item| self.whole(item))
    }

    /// Writes the two ends of one text.
    fn halves(&mut self, item: &Item<'a, 't>, head: usize, tail: usize) -> Result<(), Full> {
        let tail = tail.max(head);
        self.texts[item.piece.text_id as usize] = Some(item.address);
        let omitted = item.text[head..tail].chars().count();
        let from = item.before + item.text[..head].chars().count();
        let mark = format!(
            "…[{} chars omitted: read {} {from}–{}]…",
            grouped(omitted),
            item.address,
            from + omitted
        );
        self.block(item, &[&item.text[..head], &item.text[tail..]], &mark)
    }

    /// Writes the beginning of one text and the end of a later one.
    fn between(
        &mut self,
        (first, head): (&Item<'a, 't>, usize),
        (last, tail): (&Item<'a, 't>, usize),
        items: &[Item<'a, 't>],
    ) -> Result<(), Full> {
        if head > 0 {
            self.block(first, &[&first.text[..head]], "")?;
        }
        let from = first.before + first.text[..head].chars().count();
        let to = last.before + last.text[..tail].chars().count();
        let is_inside = |item: &&Item<'a, 't>| {
            let place = (item.address.message, item.before);
            place > (first.address.message, first.before)
                && place < (last.address.message, last.before)
        };
        let inside: usize = items
            .iter()
            .filter(is_inside)
            .map(|item| item.piece.chars)
            .sum();
        let omitted =
            inside + first.text[head..].chars().count() + last.text[..tail].chars().count();
        self.page.line(&format!(
            "…[{} chars omitted: read from {} {from} to {} {to}]…",
            grouped(omitted),
            first.address,
            last.address
        ))?;
        if tail < last.text.len() {
            self.block(last, &[&last.text[tail..]], "")?;
        }
        Ok(())
    }
}

/// Returns how much of the beginning of a text to show.
fn part_end(text: &str, limit: Weight) -> usize {
    if limit < PART_MIN {
        0
    } else {
        head_within(text, limit)
    }
}

/// Returns from where on to show the end of a text.
fn part_start(text: &str, limit: Weight) -> usize {
    if limit < PART_MIN {
        text.len()
    } else {
        tail_within(text, limit)
    }
}
