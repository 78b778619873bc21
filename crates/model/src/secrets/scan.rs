//! One pass over a text for what digits, `@` and `:` give away.
//!
//! Most bytes of a text begin nothing, so the pass stops at those that may: a digit (cards, phones,
//! addresses, accounts), an `@` (e-mail) or a colon (IPv6). What stands around it decides. A text is
//! often JSON or code itself, in which `\n` is two characters: a letter behind a backslash is no
//! part of the word that follows.

use std::net::Ipv6Addr;

use super::figures;
use super::{Recogniser, Recognisers, Secret};

/// The longest local part of an address that is looked at, in characters.
const LOCAL_CHARS_MAX: usize = 64;

/// The longest host name that is looked at, in bytes.
const HOST_BYTES_MAX: usize = 255;

/// The longest IPv6 address, in bytes.
const IPV6_BYTES_MAX: usize = 45;

/// The bytes at which the pass stops.
static TRIGGERS: [bool; 256] = {
    let mut triggers = [false; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        triggers[digit as usize] = true;
        digit += 1;
    }
    triggers[b'@' as usize] = true;
    triggers[b'%' as usize] = true;
    triggers[b':' as usize] = true;
    triggers
};

/// Appends what is found in `text`, front to back.
pub(super) fn scan(text: &str, kinds: Recognisers, hits: &mut Vec<Secret>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(passed) = bytes[at..]
        .iter()
        .position(|byte| TRIGGERS[usize::from(*byte)])
    {
        let found = at + passed;
        let hit = match bytes[found] {
            b'@' => email(text, found, 1).filter(|_| kinds.has(Recogniser::Email)),
            b'%' if bytes[found..].starts_with(b"%40") => {
                email(text, found, 3).filter(|_| kinds.has(Recogniser::Email))
            }
            b'%' => None,
            b':' => match ipv6(bytes, found) {
                Ok(hit) => Some(hit).filter(|_| kinds.has(Recogniser::Ip)),
                Err(end) => {
                    at = end;
                    continue;
                }
            },
            _ => match figures::find(bytes, found, kinds) {
                Ok(hit) => Some(hit),
                Err(end) => {
                    at = end;
                    continue;
                }
            },
        };
        at = hit.as_ref().map_or(found + 1, |hit| hit.end.max(found + 1));
        hits.extend(hit);
    }
}

/// Returns whether a byte is part of a word.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns whether a word can begin at `at`: no letter, digit or underscore stands before it, but the
/// end of an escape may.
pub(super) fn begins(bytes: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else {
        return true;
    };
    match bytes[before] {
        byte if !is_word(byte) => true,
        b'n' | b'r' | b't' if is_escaped(bytes, before) => true,
        byte if byte.is_ascii_hexdigit() && before >= 5 => {
            let escape = &bytes[before - 5..at];
            escape.starts_with(b"\\u") && escape[2..].iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}

/// Returns whether a word can end at `end`.
pub(super) fn ends(bytes: &[u8], end: usize) -> bool {
    !bytes.get(end).copied().is_some_and(is_word)
}

/// Returns whether the byte at `at` stands behind a backslash that is not escaped itself.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let slashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\');
    slashes.count() % 2 == 1
}

/// Letters of alphabets that are written with spaces; others stand beside an address without one.
fn is_letter(char: char) -> bool {
    char.is_ascii_alphanumeric() || (char < '\u{530}' && char.is_alphanumeric())
}

/// Returns the address around the sign of `sign_bytes` at `at`.
fn email(text: &str, at: usize, sign_bytes: usize) -> Option<Secret> {
    let is_local = |char: char| is_letter(char) || matches!(char, '.' | '_' | '+' | '-' | '\'');
    let before = text[..at].char_indices().rev().take(LOCAL_CHARS_MAX);
    let local = before.take_while(|(_, char)| is_local(*char));
    let mut start = local.last().map(|(start, _)| start)?;
    let bytes = text.as_bytes();
    if matches!(bytes[start], b'n' | b'r' | b't') && is_escaped(bytes, start) {
        start += 1;
    }
    let skipped = text[start..at].find(|char: char| is_letter(char) || char == '_')?;
    start += skipped;
    let local = &text[start..at];
    let end = host(text, at + sign_bytes)?;
    let next = bytes.get(end);
    // A remote of git, a call in Python, a label in Kotlin.
    let is_code = (local == "git" && next == Some(&b':'))
        || next == Some(&b'(')
        || matches!(local, "this" | "super" | "return");
    (!is_code && !local.ends_with('.')).then_some(Secret::new(start, end, Recogniser::Email))
}

/// Returns the end of the host name with a dot that begins at `from`.
fn host(text: &str, from: usize) -> Option<usize> {
    let is_host = |char: char| is_letter(char) || matches!(char, '.' | '-');
    let rest = &text[from..];
    let run = rest.find(|char: char| !is_host(char)).unwrap_or(rest.len());
    let mut name = &rest[..run];
    if name.len() > HOST_BYTES_MAX {
        return None;
    }
    // What follows behind a dot may be no part of it.
    while !is_host_name(name.trim_end_matches(['.', '-'])) {
        name = name.rsplit_once('.')?.0;
    }
    Some(from + name.trim_end_matches(['.', '-']).len())
}

/// Returns whether a text is a host name with a dot, and neither a file nor a version.
fn is_host_name(name: &str) -> bool {
    /// What looks like the end of a host and is that of a file: `icon@2x.png`.
    const FILES: [&str; 14] = [
        "png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "tsx", "css", "json", "tgz", "whl",
        "jar",
    ];
    let is_label = |label: &str| !label.is_empty() && !label.starts_with('-');
    let Some((rest, top)) = name.rsplit_once('.') else {
        return false;
    };
    let is_top = top.chars().count() >= 2
        && (top.chars().all(char::is_alphabetic) || top.starts_with("xn--"));
    let first = rest.split('.').next().unwrap_or_default();
    // Versions: `pkg@1.2.beta`, `pkg@v2.x.dev`.
    let number = first.strip_prefix('v').unwrap_or(first);
    let is_version = !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && (rest.contains('.') || first.starts_with('v'));
    is_top && rest.split('.').all(is_label) && !is_version && !FILES.contains(&top)
}

/// Returns the IPv6 address around the colon at `at`, or from where on to look further.
fn ipv6(bytes: &[u8], at: usize) -> Result<Secret, usize> {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let before = bytes[..at].iter().rev().take(IPV6_BYTES_MAX);
    let start = at - before.take_while(|byte| is_part(byte)).count();
    let after = bytes[at..].iter().take(IPV6_BYTES_MAX + 1);
    let run = at + after.take_while(|byte| is_part(byte)).count();
    // A sentence may end behind an address.
    let text = std::str::from_utf8(&bytes[start..run]).map_err(|_| at + 1)?;
    let trimmed = match text {
        text if text.ends_with("::") => text,
        text => text.trim_end_matches(['.', ':']),
    };
    let end = start + trimmed.len();
    let groups = trimmed.split(':');
    // `std::fmt`, `12:30:00` and the bytes of a fingerprint are none.
    let is_address = trimmed
        .parse::<Ipv6Addr>()
        .is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
        && trimmed.bytes().any(|byte| byte.is_ascii_digit())
        && groups.into_iter().any(|group| group.len() >= 3)
        && begins(bytes, start)
        && ends(bytes, run);
    match is_address {
        true => Ok(Secret::new(start, end, Recogniser::Ip)),
        false => Err(at + 1),
    }
}

/// Returns the end of the digits at `at`.
pub(super) fn digits_end(bytes: &[u8], at: usize) -> usize {
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit());
    at + digits.count()
}
