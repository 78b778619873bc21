//! What a group of digits may be: a card, an account, a social security number, an address of a
//! machine, a telephone.
//!
//! Ids, times, amounts and hashes are digits too, and there are many more of them. So a card needs its
//! brand's length, first digits and check digit, an account the check of its country, and a
//! telephone a form that people write telephones in.

use super::scan::{begins, digits_end, ends, is_word};
use super::{Recogniser, Recognisers, Secret, phones};

/// Groups of digits that are looked at together; a card has five at most.
const GROUPS_MAX: usize = 6;

/// Groups of digits with what stands between them.
#[derive(Debug)]
pub(super) struct Figure<'b> {
    pub(super) bytes: &'b [u8],
    groups: [(usize, usize); GROUPS_MAX],
    len: usize,
}

impl<'b> Figure<'b> {
    /// Returns the figure that begins with the digit at `at`.
    fn at(bytes: &'b [u8], at: usize) -> Self {
        let mut figure = Self {
            bytes,
            groups: [(0, 0); GROUPS_MAX],
            len: 0,
        };
        let mut start = at;
        while figure.len < GROUPS_MAX {
            let end = digits_end(bytes, start);
            figure.groups[figure.len] = (start, end);
            figure.len += 1;
            match gap_end(bytes, end) {
                Some(next) => start = next,
                None => break,
            }
        }
        figure
    }

    pub(super) fn start(&self) -> usize {
        self.groups[0].0
    }

    /// Returns the end of group `last`.
    pub(super) fn end(&self, last: usize) -> usize {
        self.groups[last].1
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn group(&self, at: usize) -> &'b [u8] {
        let (start, end) = self.groups[at];
        &self.bytes[start..end]
    }

    /// Returns the lengths of the first `count` groups.
    pub(super) fn lengths(&self, count: usize) -> impl Iterator<Item = usize> {
        self.groups[..count].iter().map(|(start, end)| end - start)
    }

    /// Returns what stands behind group `at`, up to the next.
    pub(super) fn gap(&self, at: usize) -> &'b [u8] {
        &self.bytes[self.groups[at].1..self.groups[at + 1].0]
    }

    /// Returns the digits of the first `count` groups.
    pub(super) fn digits(&self, count: usize) -> impl DoubleEndedIterator<Item = u8> {
        self.groups[..count]
            .iter()
            .flat_map(|(start, end)| &self.bytes[*start..*end])
            .map(|digit| digit - b'0')
    }

    /// Returns whether the figure is part of something longer: `id-12`, `1.2.12`.
    pub(super) fn is_joined(&self) -> bool {
        let start = self.start();
        !begins(self.bytes, start)
            || (start >= 2
                && matches!(self.bytes[start - 1], b'-' | b'.' | b'/')
                && is_word(self.bytes[start - 2]))
    }

    /// Returns whether something goes on behind group `last`: `12-3`, `12.5`, `12a`.
    pub(super) fn goes_on(&self, last: usize) -> bool {
        let end = self.end(last);
        let digit = self.bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        !ends(self.bytes, end) || (digit && matches!(self.bytes[end], b'-' | b'.' | b'/'))
    }
}

/// Returns where the next group begins, if one follows behind the usual separators.
fn gap_end(bytes: &[u8], end: usize) -> Option<usize> {
    let mut at = end;
    // Two of them: `(030) 12`.
    for _ in 0..2 {
        at += separator(&bytes[at..]);
    }
    let is_gap = at > end && bytes.get(at).is_some_and(u8::is_ascii_digit);
    is_gap.then_some(at)
}

/// Returns how long the separator at the start of `bytes` is; 0 if there is none.
pub(super) fn separator(bytes: &[u8]) -> usize {
    match bytes {
        [b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'\n', ..] => 1,
        // The space that does not break, hyphens and dashes, the narrow space.
        [0xC2, 0xA0, ..] => 2,
        [0xE2, 0x80, 0x90..=0x93 | 0xAF, ..] => 3,
        _ => 0,
    }
}

/// Returns what a figure begins with, if it is of one kind.
type Try = fn(&Figure<'_>) -> Option<Secret>;

/// Returns what the digits at `at` are the beginning of, or from where on to look further.
pub(super) fn find(bytes: &[u8], at: usize, kinds: Recognisers) -> Result<Secret, usize> {
    let end = digits_end(bytes, at);
    let before = at.checked_sub(1).map(|before| bytes[before]);
    if kinds.has(Recogniser::Phone)
        && before == Some(b'+')
        && let Some(hit) = phones::international(bytes, at)
    {
        return Ok(hit);
    }
    if kinds.has(Recogniser::Iban)
        && before.is_some_and(|byte| byte.is_ascii_uppercase())
        && let Some(hit) = iban(bytes, at)
    {
        return Ok(hit);
    }
    if !begins(bytes, at) {
        return Err(end);
    }
    let figure = Figure::at(bytes, at);
    let tries: [(Recogniser, Try); 4] = [
        (Recogniser::Ip, ipv4),
        (Recogniser::Card, card),
        (Recogniser::Ssn, ssn),
        (Recogniser::Phone, phones::national),
    ];
    let wanted = tries.iter().filter(|(kind, _)| kinds.has(*kind));
    wanted
        .into_iter()
        .find_map(|(_, find)| find(&figure))
        .ok_or(end)
}

fn card(figure: &Figure<'_>) -> Option<Secret> {
    const FORMS: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];
    match figure.group(0).len() {
        13..=19 => card_of(figure, 1),
        4 => {
            let mut forms = FORMS.iter().filter(|form| is_written(figure, form));
            forms.find_map(|form| card_of(figure, form.len()))
        }
        _ => None,
    }
}

/// Returns the card that the first `count` groups are the number of.
fn card_of(figure: &Figure<'_>, count: usize) -> Option<Secret> {
    let start = figure.start();
    let is_fraction =
        start >= 2 && figure.bytes[start - 1] == b'.' && figure.bytes[start - 2].is_ascii_digit();
    if is_fraction || figure.goes_on(count - 1) || (count > 1 && figure.is_joined()) {
        return None;
    }
    let mut digits = [0; 19];
    let mut len = 0;
    for digit in figure.digits(count) {
        *digits.get_mut(len)? = digit;
        len += 1;
    }
    let is_card = is_brand(&digits[..len]) && luhn(&digits[..len]);
    is_card.then(|| Secret::new(start, figure.end(count - 1), Recogniser::Card))
}

/// Returns whether the figure begins with groups of these lengths and one separator throughout; a line
/// may break once.
fn is_written(figure: &Figure<'_>, form: &[usize]) -> bool {
    if figure.len() < form.len() || !figure.lengths(form.len()).eq(form.iter().copied()) {
        return false;
    }
    let gaps = || (0..form.len() - 1).map(|at| figure.gap(at));
    let breaks = gaps().filter(|gap| *gap == b"\n").count();
    let mut others = gaps().filter(|gap| *gap != b"\n");
    let Some(separator) = others.next() else {
        return false;
    };
    let is_one = separator.len() != 2 || separator[0] == 0xC2;
    let is_usual = is_one && !matches!(separator, [b'/' | b'(' | b')']);
    is_usual && breaks <= 1 && others.all(|gap| gap == separator)
}

/// Returns whether a brand gives out cards of this length with these first digits.
fn is_brand(digits: &[u8]) -> bool {
    let prefix = |count: usize| {
        let first = digits.iter().take(count);
        first.fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    matches!(
        (digits.len(), prefix(4)),
        (13 | 16 | 19, 4000..=4999)
            | (16, 5100..=5599 | 2221..=2720)
            | (15, 3400..=3499 | 3700..=3799)
            | (14, 3000..=3059 | 3600..=3699 | 3800..=3999)
            | (16..=19, 6011 | 6440..=6599 | 3528..=3589 | 6200..=6299)
            | (13..=19, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763)
    )
}

fn luhn(digits: &[u8]) -> bool {
    let doubled = |(at, digit): (usize, &u8)| match (at % 2, digit * 2) {
        (0, _) => u32::from(*digit),
        (_, twice) if twice > 9 => u32::from(twice - 9),
        (_, twice) => u32::from(twice),
    };
    let sum: u32 = digits.iter().rev().enumerate().map(doubled).sum();
    sum.is_multiple_of(10)
}

fn ssn(figure: &Figure<'_>) -> Option<Secret> {
    let is_form = figure.len() >= 3
        && figure.lengths(3).eq([3, 2, 4])
        && figure.gap(0) == b"-"
        && figure.gap(1) == b"-";
    if !is_form || figure.is_joined() || figure.goes_on(2) {
        return None;
    }
    let (area, group, serial) = (figure.group(0), figure.group(1), figure.group(2));
    let is_given =
        area != b"000" && area != b"666" && area[0] != b'9' && group != b"00" && serial != b"0000";
    is_given.then(|| Secret::new(figure.start(), figure.end(2), Recogniser::Ssn))
}

fn ipv4(figure: &Figure<'_>) -> Option<Secret> {
    let has_form = figure.len() >= 4 && (0..3).all(|at| figure.gap(at) == b".");
    // Behind a slash stands the size of a network.
    let is_network = figure.bytes.get(figure.end(3)) == Some(&b'/');
    if !has_form || (!is_network && figure.goes_on(3)) {
        return None;
    }
    let octet = |at: usize| -> Option<u8> {
        let digits = figure.group(at);
        if digits.len() > 1 && digits[0] == b'0' {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let octets = [octet(0)?, octet(1)?, octet(2)?, octet(3)?];
    // This machine, no machine and masks name nobody.
    let is_nobody = matches!(octets, [0 | 127 | 255, ..]);
    let is_address = !is_nobody && !is_version(figure.bytes, figure.start());
    is_address.then(|| Secret::new(figure.start(), figure.end(3), Recogniser::Ip))
}

/// Returns whether what stands before `at` says that a version follows: `version 1.2.3.4`, `Chrome/1.2.3.4`.
fn is_version(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[at.saturating_sub(16)..at];
    match before {
        [.., word, b'/'] if word.is_ascii_alphanumeric() => return true,
        [.., word, b'-' | b'.' | b'_'] if word.is_ascii_alphanumeric() => return true,
        _ => {}
    }
    let end = before.iter().rposition(|byte| byte.is_ascii_alphanumeric());
    let Some(end) = end else { return false };
    let between = &before[end + 1..];
    let start = before[..=end]
        .iter()
        .rposition(|byte| !byte.is_ascii_alphanumeric());
    let word = before[start.map_or(0, |start| start + 1)..=end].to_ascii_lowercase();
    let is_close = between.len() <= 3
        && between
            .iter()
            .all(|byte| matches!(byte, b' ' | b':' | b'=' | b'"' | b'\''));
    is_close
        && matches!(
            word.as_slice(),
            b"version" | b"ver" | b"v" | b"release" | b"build"
        )
}

/// The lengths of account numbers, by country.
const IBANS: [(&[u8; 2], usize); 40] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AT", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BR", 29),
    (b"CH", 21),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"EE", 20),
    (b"ES", 24),
    (b"FI", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GR", 27),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"MC", 27),
    (b"MT", 31),
    (b"NL", 18),
    (b"NO", 15),
    (b"PL", 28),
    (b"PT", 25),
    (b"RO", 24),
    (b"SA", 24),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"TR", 26),
];

/// Returns the account number whose check digits stand at `at`.
fn iban(bytes: &[u8], at: usize) -> Option<Secret> {
    let start = at.checked_sub(2)?;
    let country = &bytes[start..at];
    let (_, len) = IBANS
        .iter()
        .find(|(known, _)| known.as_slice() == country)?;
    if !begins(bytes, start) {
        return None;
    }
    let mut number = Vec::with_capacity(*len);
    let mut end = start;
    while number.len() < *len {
        match *bytes.get(end)? {
            byte @ (b'0'..=b'9' | b'A'..=b'Z') => number.push(byte),
            // In groups of four.
            b' ' | b'-' if number.len().is_multiple_of(4) && bytes[end - 1] != bytes[end] => {}
            _ => return None,
        }
        end += 1;
    }
    let is_right = ends(bytes, end) && mod_97(&number) == 1;
    is_right.then(|| Secret::new(start, end, Recogniser::Iban))
}

fn mod_97(number: &[u8]) -> u32 {
    let turned = number[4..].iter().chain(&number[..4]);
    turned.fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}
