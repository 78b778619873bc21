//! Telephones, in the forms that people write them in.
//!
//! With a plus and the code of a country nearly all forms are taken. Without, only those that hardly
//! anything else has: `(212) 555-0123`, `020 7946 0958`, `01 23 45 67 89`; and digits of any form
//! behind a word such as `phone:`.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::figures::{Figure, separator};
use super::scan::{begins, digits_end, ends};
use super::{Recogniser, Secret};

/// Digits of a whole number, its country included: E.164 allows no more.
const DIGITS_MAX: usize = 15;

/// So far back a word such as `phone` is looked for, in bytes.
const WORD_BYTES_MAX: usize = 28;

/// Words that are followed by a telephone.
static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
    let words = r#"(?i-u)(?:^|[^a-z_])(?:tele)?(?:phone|tel|fon|mobile|cell|fax|whatsapp|sms|handy)(?:[ _](?:number|no|nr|num|is))?\\?["']?[\s:.#=]{1,3}\\?["']?\(?$"#;
    Regex::new(words).expect("is a regular expression")
});

/// Codes of countries with one or two digits; all others have three.
const SHORT_CODES: [u8; 43] = [
    7, 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55,
    56, 57, 58, 60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94,
];

/// Returns the number whose plus stands before `at`.
pub(super) fn international(bytes: &[u8], at: usize) -> Option<Secret> {
    let start = at - 1;
    if !begins(bytes, start) {
        return None;
    }
    let (mut digits, mut ends_at) = (Vec::with_capacity(DIGITS_MAX), Vec::new());
    let mut next = at;
    loop {
        let end = digits_end(bytes, next);
        if digits.len() + (end - next) > DIGITS_MAX {
            break;
        }
        digits.extend_from_slice(&bytes[next..end]);
        ends_at.push((end, digits.len()));
        let mut gap = end;
        for _ in 0..2 {
            gap += match bytes.get(gap) {
                Some(b'\n') => 0,
                _ => separator(&bytes[gap..]),
            };
        }
        if gap == end || !bytes.get(gap).is_some_and(u8::is_ascii_digit) {
            break;
        }
        next = gap;
    }
    let (first, last) = (*ends_at.first()?, *ends_at.last()?);
    // `+3.14159265`
    let is_decimal = ends_at.len() == 2 && bytes[first.0] == b'.' && first.1 == 1;
    let fits = |(end, count): &&(usize, usize)| {
        (8..=DIGITS_MAX).contains(count) && is_number(&digits[..*count]) && ends(bytes, *end)
    };
    let found = ends_at.iter().rev().find(fits)?;
    let is_whole = *found == last || !bytes[found.0].is_ascii_alphanumeric();
    let is_code_alone = ends_at.len() == 1 || is_code(&digits[..first.1]);
    let start = if start > 0 && bytes[start - 1] == b'(' && bytes[first.0] == b')' {
        start - 1
    } else {
        start
    };
    (!is_decimal && is_whole && is_code_alone)
        .then(|| Secret::new(start, found.0, Recogniser::Phone))
}

/// Returns whether the first group, which may hold more than it, begins with the code of a country.
fn is_code(digits: &[u8]) -> bool {
    let value = |count: usize| {
        let first = digits.iter().take(count);
        first.fold(0_u16, |number, digit| number * 10 + u16::from(digit - b'0'))
    };
    let short =
        |count: usize| u8::try_from(value(count)).is_ok_and(|code| SHORT_CODES.contains(&code));
    match digits {
        [b'1', ..] | [b'7', ..] => true,
        [_] => false,
        [b'9', b'5' | b'8', ..] => true,
        [_, _, ..] if short(2) => true,
        [b'2' | b'3' | b'4' | b'5' | b'6' | b'8' | b'9', _, _, ..] => true,
        _ => false,
    }
}

fn is_number(digits: &[u8]) -> bool {
    match digits {
        // North America: area and exchange begin with 2 to 9.
        [b'1', area, _, _, exchange, ..] => {
            digits.len() == 11 && *area >= b'2' && *exchange >= b'2'
        }
        // A round amount with a sign is none.
        _ => is_code(digits) && !digits.ends_with(b"00000"),
    }
}

/// Returns the number that the figure is, without the code of a country.
pub(super) fn national(figure: &Figure<'_>) -> Option<Secret> {
    let found = american(figure)
        .or_else(|| in_pairs(figure))
        .or_else(|| with_zero(figure))
        .or_else(|| announced(figure))?;
    let (start, last) = found;
    (!figure.goes_on(last)).then(|| Secret::new(start, figure.end(last), Recogniser::Phone))
}

/// What a form says: where the number starts, and which group is its last.
type Found = Option<(usize, usize)>;

/// `(212) 555-0123`, `212-555-0123`, `212.555.0123`, `1-212-555-0123`.
fn american(figure: &Figure<'_>) -> Found {
    let from = usize::from(figure.len() > 3 && figure.group(0) == b"1");
    if figure.len() < from + 3 || !figure.lengths(from + 3).skip(from).eq([3, 3, 4]) {
        return None;
    }
    let (area, exchange) = (figure.group(from), figure.group(from + 1));
    let (one, two) = (figure.gap(from), figure.gap(from + 1));
    let start = figure.start();
    let is_open = match from {
        0 => start > 0 && figure.bytes[start - 1] == b'(',
        _ => figure.gap(0).ends_with(b"("),
    };
    let is_separated = match (one, two) {
        (b") " | b")" | b")-", b"-" | b"." | b" ") => is_open,
        (b"-", b"-") | (b".", b".") | (b" ", b"-") => !is_open,
        _ => false,
    };
    let is_number = area[0] >= b'2' && exchange[0] >= b'2' && area[1..] != *b"11";
    let start = start - usize::from(is_open && from == 0);
    (is_separated && is_number && !figure.is_joined()).then_some((start, from + 2))
}

/// `01 23 45 67 89`, as in France.
fn in_pairs(figure: &Figure<'_>) -> Found {
    if figure.len() < 5 || !figure.lengths(5).eq([2; 5]) || figure.is_joined() {
        return None;
    }
    let gap = figure.gap(0);
    let is_uniform = matches!(gap, b" " | b"." | b"-") && (1..4).all(|at| figure.gap(at) == gap);
    let first = figure.group(0);
    // A dump of bytes goes on.
    let is_dump = figure.len() > 5 && figure.gap(4) == gap;
    let goes_on_in_hex = {
        let rest = &figure.bytes[figure.end(4)..];
        matches!(rest, [b' ', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() && !matches!(rest.get(3), Some(c) if c.is_ascii_alphanumeric()))
    };
    (is_uniform && first[0] == b'0' && first[1] != b'0' && !is_dump && !goes_on_in_hex)
        .then_some((figure.start(), 4))
}

/// `020 7946 0958`, `0171/1234567`, `03-1234-5678`: a zero, an area, a number.
fn with_zero(figure: &Figure<'_>) -> Found {
    let first = figure.group(0);
    if first[0] != b'0' || first.get(1).is_none_or(|digit| *digit == b'0') || figure.is_joined() {
        return None;
    }
    let area_lengths = match figure.len() {
        1 => return None,
        _ if figure.gap(0) == b"-" => 2..=5,
        _ => 3..=5,
    };
    if !area_lengths.contains(&first.len()) {
        return None;
    }
    let start = figure.start();
    let is_open = start > 0 && figure.bytes[start - 1] == b'(';
    let fits = |count: usize| {
        let digits: usize = figure.lengths(count).sum();
        let gaps = (0..count - 1).map(|at| figure.gap(at));
        let is_separated = gaps.enumerate().all(|(at, gap)| match gap {
            b") " | b")" => at == 0 && is_open,
            b" " | b"-" => true,
            b"/" => at == 0,
            _ => false,
        });
        (10..=12).contains(&digits)
            && figure.lengths(count).skip(1).all(|len| len >= 3)
            && is_separated
            && !figure.goes_on(count - 1)
    };
    let count = [3, 2]
        .into_iter()
        .find(|count| figure.len() >= *count && fits(*count))?;
    Some((start - usize::from(is_open), count - 1))
}

/// Returns whether the last word of a text ends as one of those that are followed by a telephone: most
/// digits are dates and ids, and an expression is dear.
fn may_announce(before: &[u8]) -> bool {
    const ENDS: [&[u8]; 14] = [
        b"one", b"tel", b"fon", b"ile", b"ell", b"fax", b"app", b"sms", b"ndy", b"ber", b"no",
        b"nr", b"num", b"is",
    ];
    let end = before.iter().rposition(|byte| byte.is_ascii_alphabetic());
    let word = &before[..end.map_or(0, |end| end + 1)];
    let last = &word[word.len().saturating_sub(3)..];
    ENDS.iter().any(|end| {
        let from = last.len().saturating_sub(end.len());
        last[from..].eq_ignore_ascii_case(end)
    })
}

/// Any digits behind `phone:` and the like.
fn announced(figure: &Figure<'_>) -> Found {
    let bytes = figure.bytes;
    let mut digits = 0;
    let mut last = None;
    for at in 0..figure.len() {
        if at > 0 && figure.gap(at - 1).contains(&b'\n') {
            break;
        }
        digits += figure.group(at).len();
        if (7..=DIGITS_MAX).contains(&digits) {
            last = Some(at);
        }
    }
    let last = last?;
    let start = figure.start();
    let before = &bytes[start.saturating_sub(WORD_BYTES_MAX)..start];
    let is_open = before.last() == Some(&b'(');
    (may_announce(before) && ANNOUNCED.is_match(before))
        .then_some((start - usize::from(is_open), last))
}
