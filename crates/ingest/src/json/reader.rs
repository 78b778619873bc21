//! The walk over the bytes: a strict one that notes positions, and a loose one that only finds where
//! a value ends, for the values that are refused or of no interest.

use super::{Node, Open, Tape, VALUES_MAX};

/// Why a text is not JSON that we take; `at` is a byte of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Something else stands where the grammar wants `what`.
    #[error("expected {what} at byte {at}")]
    Expected {
        /// What should have stood there.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// More brackets are open than are taken.
    #[error("nested deeper than {depth_max} levels at byte {at}")]
    TooDeep {
        /// How many are taken.
        depth_max: usize,
        /// The bracket that is one too many.
        at: usize,
    },
    /// The item has more values than [`VALUES_MAX`].
    #[error("more than {VALUES_MAX} values in one item at byte {at}")]
    TooManyValues {
        /// The value that is one too many.
        at: usize,
    },
    /// The item is longer than 4 GiB.
    #[error("an item of more than 4 GiB ends at byte {at}")]
    TooLong {
        /// Where the item ends.
        at: usize,
    },
}

/// A place in a body, moving forward.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    /// Returns a reader at the start of `bytes`.
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns how many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Returns the next byte without taking it.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Returns the bytes from here to where `end` is.
    pub(crate) fn until(&self, end: &Self) -> &'b [u8] {
        &self.bytes[self.at..end.at]
    }

    /// Returns the fault of not finding `what` here.
    pub(crate) fn expected(&self, what: &'static str) -> Fault {
        Fault::Expected { what, at: self.at }
    }

    /// Passes over white space.
    pub(crate) fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte` and the white space around it, or says that `what` was expected.
    pub(crate) fn take(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        self.skip_whitespace();
        if self.peek() != Some(byte) {
            return Err(self.expected(what));
        }
        self.at += 1;
        self.skip_whitespace();
        Ok(())
    }

    /// Takes a separator inside brackets: true for a comma, false for `close`.
    pub(crate) fn take_comma_or(&mut self, close: u8, what: &'static str) -> Result<bool, Fault> {
        self.skip_whitespace();
        let more = match self.peek() {
            Some(b',') => true,
            Some(byte) if byte == close => false,
            _ => return Err(self.expected(what)),
        };
        self.at += 1;
        self.skip_whitespace();
        Ok(more)
    }

    /// Takes a key and its colon; returns what stands between the quotes.
    pub(crate) fn take_key(&mut self) -> Result<&'b [u8], Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key"));
        }
        let start = self.at + 1;
        self.string()?;
        let key = &self.bytes[start..self.at - 1];
        self.take(b':', "':'")?;
        Ok(key)
    }

    /// Checks the value that starts here, notes its parts on `tape`, and moves behind it.
    pub(crate) fn index(&mut self, tape: &mut Tape) -> Result<(), Fault> {
        tape.nodes.clear();
        let mut open = std::mem::take(&mut tape.open);
        open.clear();
        let indexed = self.index_parts(tape, &mut open);
        tape.open = open;
        indexed
    }

    fn index_parts(&mut self, tape: &mut Tape, open: &mut Vec<Open>) -> Result<(), Fault> {
        let base = self.at;
        loop {
            let byte = self.peek().ok_or_else(|| self.expected("a value"))?;
            if let b'{' | b'[' = byte {
                let is_object = byte == b'{';
                if open.len() == tape.depth_max {
                    return Err(Fault::TooDeep {
                        depth_max: tape.depth_max,
                        at: self.at,
                    });
                }
                open.push(Open {
                    node: tape.nodes.len() as u32,
                    is_object,
                });
                self.note(tape, base, self.at, 0)?;
                self.at += 1;
                self.skip_whitespace();
                if self.peek() != Some(if is_object { b'}' } else { b']' }) {
                    if is_object {
                        self.note_key(tape, base)?;
                    }
                    continue;
                }
            } else {
                self.note_scalar(tape, base, byte)?;
            }
            if !self.close(tape, base, open)? {
                return Ok(());
            }
        }
    }

    /// After a value: closes what closes here. Returns whether another value follows.
    fn close(&mut self, tape: &mut Tape, base: usize, open: &mut Vec<Open>) -> Result<bool, Fault> {
        while let Some(&Open { node, is_object }) = open.last() {
            self.skip_whitespace();
            match (self.peek(), is_object) {
                (Some(b','), _) => {
                    self.at += 1;
                    self.skip_whitespace();
                    if is_object {
                        self.note_key(tape, base)?;
                    }
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    open.pop();
                    let behind = tape.nodes.len() as u32;
                    let node = &mut tape.nodes[node as usize];
                    (node.end, node.link) = (self.offset(base)?, behind);
                }
                (_, true) => return Err(self.expected("',' or '}'")),
                (_, false) => return Err(self.expected("',' or ']'")),
            }
        }
        Ok(false)
    }

    fn offset(&self, base: usize) -> Result<u32, Fault> {
        u32::try_from(self.at - base).map_err(|_| Fault::TooLong { at: self.at })
    }

    /// Notes a value from `start` up to here.
    fn note(&self, tape: &mut Tape, base: usize, start: usize, link: u32) -> Result<(), Fault> {
        if tape.nodes.len() == VALUES_MAX {
            return Err(Fault::TooManyValues { at: start });
        }
        let end = self.offset(base)?;
        tape.nodes.push(Node {
            start: (start - base) as u32,
            end,
            link,
        });
        Ok(())
    }

    fn note_key(&mut self, tape: &mut Tape, base: usize) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key"));
        }
        self.note_scalar(tape, base, b'"')?;
        self.take(b':', "':'")
    }

    fn note_scalar(&mut self, tape: &mut Tape, base: usize, first: u8) -> Result<(), Fault> {
        let start = self.at;
        let mut link = 0;
        match first {
            b'"' => link = u32::from(self.string()?),
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => return Err(self.expected("a value")),
        }
        self.note(tape, base, start, link)
    }

    fn literal(&mut self, word: &'static str) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            Err(self.expected("a digit"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Takes a string, quotes included; returns whether it has escapes.
    fn string(&mut self) -> Result<bool, Fault> {
        self.at += 1;
        let mut has_escapes = false;
        loop {
            self.at = next_stop(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(has_escapes);
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(self.expected("an escape in place of a control character")),
                None => return Err(self.expected("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let hex = self.bytes.get(self.at + 1..self.at + 5);
                if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.expected("four hexadecimal digits"));
                }
                self.at += 5;
            }
            _ => return Err(self.expected("an escape")),
        }
        Ok(())
    }

    /// Moves behind the value that starts here by counting brackets, whatever stands between them.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{' | b'[') => self.skip_brackets(),
            Some(b'"') => self.skip_string(),
            Some(byte) if !is_structural(byte) => {
                let rest = &self.bytes[self.at..];
                self.at += rest
                    .iter()
                    .position(|byte| is_structural(*byte))
                    .unwrap_or(rest.len());
                Ok(())
            }
            _ => Err(self.expected("a value")),
        }
    }

    fn skip_brackets(&mut self) -> Result<(), Fault> {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.expected("a closing bracket"))
    }

    fn skip_string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.at = next_stop(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at = (self.at + 2).min(self.bytes.len()),
                Some(_) => self.at += 1,
                None => return Err(self.expected("the end of a string")),
            }
        }
    }
}

fn is_structural(byte: u8) -> bool {
    matches!(
        byte,
        b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"' | b' ' | b'\n' | b'\r' | b'\t'
    )
}

/// Returns the first place from `at` on with a quote, a backslash or a control character: nearly all
/// bytes of a body are looked at here and nowhere else. Steps are short at first, for keys are, and
/// then wide.
pub(super) fn next_stop(bytes: &[u8], mut at: usize) -> usize {
    let wide_from = at + 32;
    while let Some(chunk) = bytes[at..].first_chunk::<16>() {
        let chunk = u128::from_le_bytes(*chunk);
        let (low, high) = (stops(chunk as u64), stops((chunk >> 64) as u64));
        let stops = u128::from(low) | u128::from(high) << 64;
        if stops != 0 {
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += 16;
        if at == wide_from {
            at = pass_wide(bytes, at);
        }
    }
    let found = bytes[at..].iter().position(|byte| is_stop(*byte));
    found.map_or(bytes.len(), |found| at + found)
}

fn is_stop(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Returns the start of the first 64 bytes with a stop, or of the last few bytes.
fn pass_wide(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes[at..].first_chunk::<64>() {
        // No way out in between: this is what compilers make vector instructions of.
        if chunk
            .iter()
            .fold(false, |found, byte| found | is_stop(*byte))
        {
            break;
        }
        at += 64;
    }
    at
}

/// Returns a word whose lowest set bit is the top bit of the first stopping byte of `word`. Bits
/// above it may be false alarms: a borrow only runs upwards.
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let quote = below(word ^ (ONES * b'"' as u64), 1);
    let backslash = below(word ^ (ONES * b'\\' as u64), 1);
    (below(word, 0x20) | quote | backslash) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_loose_walk_ends_where_the_value_ends() {
        let cases = [
            (r#"{"a":NaN,"b":[1,{}]},"#, 20),
            (r#""say \"hi\"" ,"#, 12),
            ("NaN]", 3),
            ("[[\"]\"]] ", 7),
            ("{\"\u{1}\":\x07}", 7),
        ];
        for (text, want) in cases {
            let mut reader = Reader::new(text.as_bytes());
            reader.skip().unwrap();
            assert_eq!(reader.position(), want, "{text}");
        }
        for bad in ["", "[", "{\"a", "\"a\\", "]", ",", "[[]"] {
            assert!(Reader::new(bad.as_bytes()).skip().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_stop_is_found_where_it_is(bytes in proptest::collection::vec(any::<u8>(), 0..40), from in 0_usize..40) {
            let from = from.min(bytes.len());
            let want = (from..bytes.len()).find(|at| bytes[*at] < 0x20 || b"\"\\".contains(&bytes[*at]));
            prop_assert_eq!(next_stop(&bytes, from), want.unwrap_or(bytes.len()));
        }
    }
}
