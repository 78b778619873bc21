//! Keys and tokens: what opens something.
//!
//! Services begin their keys with letters of their own, so that they can be found. One expression
//! looks for all of those beginnings, and a table says how each goes on. What has none, such as a
//! password in a URL or a token behind `Bearer`, is known by what stands before it.

use std::sync::LazyLock;

use memchr::memmem;
use regex::Regex;

use super::scan::{begins, ends};
use super::{Recogniser, Secret};

/// How a service writes its keys.
struct Form {
    begins: &'static str,
    /// The bytes that may follow, besides letters and digits.
    marks: &'static [u8],
    /// How many must follow at least.
    bytes_min: usize,
    /// What else must be so.
    is_key: fn(&str) -> bool,
}

const fn form(begins: &'static str, marks: &'static [u8], bytes_min: usize) -> Form {
    Form {
        begins,
        marks,
        bytes_min,
        is_key: |_| true,
    }
}

const fn form_if(
    begins: &'static str,
    marks: &'static [u8],
    bytes_min: usize,
    is_key: fn(&str) -> bool,
) -> Form {
    Form {
        begins,
        marks,
        bytes_min,
        is_key,
    }
}

/// Of two that begin alike the longer stands first.
static FORMS: [Form; 37] = [
    // Hyphenated words begin like this one, and have no digits.
    form_if("sk-", b"-_", 20, has_digit),
    form("sk_live_", b"", 16),
    form("sk_test_", b"", 16),
    form("rk_live_", b"", 16),
    form("rk_test_", b"", 16),
    form("pk_live_", b"", 16),
    form("pk_test_", b"", 16),
    form("whsec_", b"+/=", 24),
    form_if("AKIA", b"", 16, is_aws),
    form_if("ASIA", b"", 16, is_aws),
    form("ghp_", b"", 36),
    form("gho_", b"", 36),
    form("ghu_", b"", 36),
    form("ghs_", b"", 36),
    form("ghr_", b"", 36),
    form("github_pat_", b"_", 22),
    form("glpat-", b"-_", 20),
    form_if("xoxa-", b"-", 10, has_digit),
    form_if("xoxb-", b"-", 10, has_digit),
    form_if("xoxe-", b"-", 10, has_digit),
    form_if("xoxo-", b"-", 10, has_digit),
    form_if("xoxp-", b"-", 10, has_digit),
    form_if("xoxr-", b"-", 10, has_digit),
    form_if("xoxs-", b"-", 10, has_digit),
    form_if("xapp-", b"-", 10, has_digit),
    form("hooks.slack.com/services/", b"/_+", 20),
    form("AIza", b"-_", 35),
    form("ya29.", b"-_", 20),
    form("GOCSPX-", b"-_", 28),
    form_if("hf_", b"", 30, has_digit),
    form("gsk_", b"", 40),
    form("xai-", b"", 40),
    form("npm_", b"", 36),
    form("pypi-", b"-_", 50),
    form_if("SG.", b"-_.", 40, |rest| rest.contains('.')),
    form_if("tg_", b"-_", 40, has_digit),
    // A JSON object in base64, and behind a dot another one.
    form_if("eyJ", b"-_.", 20, |rest| {
        rest.contains(".eyJ") && rest.matches('.').count() >= 2
    }),
];

const PRIVATE_KEY: &str = "-----BEGIN ";

/// The longest first line of a private key behind its beginning, in bytes.
const FIRST_LINE_BYTES_MAX: usize = 48;

/// Parts of the words that announce a key, in the cases they are written in; hardly any text has one.
const MARKS: [&str; 9] = [
    "://", "earer", "EARER", "asic ", "ASIC ", "ecret", "ECRET", "ountKey", "ount_key",
];

static BEGINNINGS: LazyLock<Regex> = LazyLock::new(|| {
    let known = FORMS.iter().map(|form| form.begins);
    let known = known.chain([PRIVATE_KEY]).chain(MARKS);
    let escaped: Vec<_> = known.map(regex::escape).collect();
    Regex::new(&escaped.join("|")).expect("is a regular expression")
});

/// Keys that are known by what stands before them: the one group that matched is the key.
static ANNOUNCED: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r"(?i-u:bearer)\s+([A-Za-z0-9._~+/=-]{16,})",
        r#"(?i-u:authorization)\\?["']?\s*[:=]\s*\\?["']?(?i-u:basic)\s+([A-Za-z0-9+/=_-]{8,})"#,
        r#"(?i-u:secret_?access_?key)\\?["']?\s*[:=]\s*\\?["']?([A-Za-z0-9/+=]{40})"#,
        r"(?i-u:account_?key)=([A-Za-z0-9+/=]{40,})",
        r#"://[^\s/:@"'\[\]]*:([^\s/:@"'\[\]]{3,})@"#,
    ];
    Regex::new(&forms.join("|")).expect("is a regular expression")
});

/// Appends the keys in `text`.
pub(super) fn scan(text: &str, hits: &mut Vec<Secret>) {
    let bytes = text.as_bytes();
    let (mut at, mut is_announced) = (0, false);
    while let Some(found) = BEGINNINGS.find_at(text, at) {
        let (start, rest) = (found.start(), found.end());
        at = rest;
        let end = match found.as_str() {
            PRIVATE_KEY => private_key_end(text, rest),
            mark if MARKS.contains(&mark) => {
                is_announced = true;
                None
            }
            // Looked at before the rest is read: nothing is read twice.
            _ if !begins(bytes, start) => None,
            begun => {
                let form = FORMS.iter().find(|form| form.begins == begun);
                form.and_then(|form| {
                    at = form.end(bytes, rest);
                    let key = &text[rest..at];
                    let is_key = key.len() >= form.bytes_min && (form.is_key)(key);
                    (is_key && ends(bytes, at)).then_some(at)
                })
            }
        };
        if let Some(end) = end {
            hits.push(Secret::new(start, end, Recogniser::Key));
            at = end;
        }
    }
    if is_announced {
        announced(text, hits);
    }
}

impl Form {
    /// Returns the end of what may be a key and goes on at `rest`.
    fn end(&self, bytes: &[u8], rest: usize) -> usize {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || self.marks.contains(byte);
        let end = rest
            + bytes[rest..]
                .iter()
                .take_while(|byte| is_part(byte))
                .count();
        // A sentence may end behind it.
        let dots = bytes[rest..end]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'.');
        end - dots.count()
    }
}

fn announced(text: &str, hits: &mut Vec<Secret>) {
    for found in ANNOUNCED.captures_iter(text) {
        let Some(key) = found.iter().skip(1).flatten().next() else {
            continue;
        };
        // `Bearer authentication` is no key.
        let is_bearer = found.get(1).is_some();
        if !is_bearer || has_digit(key.as_str()) {
            hits.push(Secret::new(key.start(), key.end(), Recogniser::Key));
        }
    }
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

fn is_aws(rest: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    rest.len() == 16 && rest.bytes().all(is_part)
}

/// Returns the end of the private key that begins before `from`, if it is one: behind its last line, or,
/// where that is cut off, behind what can be a part of it.
fn private_key_end(text: &str, from: usize) -> Option<usize> {
    const END: &[u8] = b"-----END ";
    let bytes = text.as_bytes();
    let line = &bytes[from..bytes.len().min(from + FIRST_LINE_BYTES_MAX)];
    let close = memmem::find(line, b"-----")?;
    memmem::find(&line[..close], b"PRIVATE KEY")?;
    let from = from + close + 5;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\n\r\t \\-:,".contains(byte);
    let run = bytes[from..]
        .iter()
        .take_while(|byte| is_part(byte))
        .count();
    let body = &bytes[from..from + run];
    let Some(end) = memmem::find(body, END) else {
        return Some(from + run);
    };
    let line = &body[end + END.len()..];
    let close = memmem::find(line, b"-----").map_or(line.len(), |close| close + 5);
    Some(from + end + END.len() + close)
}
