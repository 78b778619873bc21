//! How are values written for people?
//!
//! Names, prompts and errors are other people's words, and a terminal obeys what is written to it: an
//! escape sequence in a tool's result could hide lines or type commands. So nothing of a trace is
//! printed but through [`safe_text`].

use std::borrow::Cow;

/// Returns `text` on one line with nothing in it that a terminal would act upon: control characters,
/// and those that turn the direction of writing, are shown as escapes.
pub(crate) fn safe_text(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_active) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_active(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Returns `text` as [`safe_text`], cut to `chars_max` characters.
pub(crate) fn short_text(text: &str, chars_max: usize) -> String {
    let safe = safe_text(text);
    match safe.char_indices().nth(chars_max) {
        None => safe.into_owned(),
        Some(_) => {
            let kept: String = safe.chars().take(chars_max.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

/// Returns a number with up to four places, and none that say nothing.
pub(crate) fn value(number: f64) -> String {
    let text = format!("{number:.4}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Returns a number of which nobody knows the scale, such as a cost: three digits that say something, and all
/// that stand before the point.
pub(crate) fn significant(number: f64) -> String {
    let before_point = number.abs().log10().floor();
    let places = match before_point.is_finite() {
        true => (2.0 - before_point).clamp(0.0, 12.0) as usize,
        false => 0,
    };
    format!("{number:.places$}")
}

/// Returns a moment of the API to the second, as it stands in columns and lines: in UTC, without saying so.
pub(crate) fn moment(rfc3339: &str) -> String {
    safe_text(rfc3339.get(..19).unwrap_or(rfc3339)).replace('T', " ")
}

/// Returns a duration in the unit that suits it.
pub(crate) fn duration(ms: f64) -> String {
    // Rounded first, or 59.96 s would be told as 60.0 s.
    match ms.round() {
        rounded if rounded < 1.0 && ms > 0.0 => "<1 ms".to_owned(),
        rounded if rounded < 1_000.0 => format!("{rounded:.0} ms"),
        rounded if rounded < 59_950.0 => format!("{:.1} s", ms / 1e3),
        rounded if rounded < 3_599_500.0 => {
            let seconds = (ms / 1e3).round();
            format!(
                "{:.0} min {:02.0} s",
                (seconds / 60.0).floor(),
                seconds % 60.0
            )
        }
        _ => {
            let minutes = (ms / 6e4).round();
            format!(
                "{:.0} h {:02.0} min",
                (minutes / 60.0).floor(),
                minutes % 60.0
            )
        }
    }
}

/// Returns a cost: cents for large ones, more digits for small ones.
pub(crate) fn cost(usd: f64) -> String {
    match usd {
        0.0 => "$0".to_owned(),
        usd if usd < 0.01 => format!("${usd:.5}"),
        usd if usd < 1.0 => format!("${usd:.4}"),
        usd => format!("${usd:.2}"),
    }
}

/// Returns how many traces, such as `1 trace`.
pub(crate) fn traces(number: u64) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} trace{plural}", count(number))
}

/// Returns a count with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            [traces(0), traces(1), traces(1_000)],
            ["0 traces", "1 trace", "1,000 traces"]
        );
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        let check = |text: &str, want: &str| assert_eq!(safe_text(text), want);
        check("plain, späße, 日本語, 🙂", "plain, späße, 日本語, 🙂");
        check("\x1b[2J\x1b]0;title\x07", r"\u{1b}[2J\u{1b}]0;title\u{7}");
        check("a\nb\r\tc", r"a\nb\r\tc");
        check("\u{9b}31m", r"\u{9b}31m");
        check("abc\u{202e}txt.exe", r"abc\u{202e}txt.exe");
        check("a\u{200b}b\u{feff}", r"a\u{200b}b\u{feff}");
        check("مرحبا", "مرحبا");
        assert!(matches!(safe_text("as it is"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_cut_is_seen() {
        assert_eq!(short_text("späße", 5), "späße");
        assert_eq!(short_text("späßes", 5), "späß…");
        assert_eq!(short_text("a\n", 2), "a…");
    }

    #[test]
    fn numbers_without_a_scale_say_something_however_small_they_are() {
        for (number, want) in [
            (0.0, "0"),
            (0.001_234_5, "0.00123"),
            (-0.012_3, "-0.0123"),
            (0.5, "0.500"),
            (12.345, "12.3"),
            (99_876.5, "99876"),
        ] {
            assert_eq!(significant(number), want, "{number}");
        }
    }

    #[test]
    fn values_read_well() {
        for (ms, want) in [
            (0.0, "0 ms"),
            (0.2, "<1 ms"),
            (999.4, "999 ms"),
            (999.6, "1.0 s"),
            (59_960.0, "1 min 00 s"),
            (61_000.0, "1 min 01 s"),
            (3_599_700.0, "1 h 00 min"),
            (7_260_000.0, "2 h 01 min"),
        ] {
            assert_eq!(duration(ms), want, "{ms}");
        }
        for (usd, want) in [
            (0.0, "$0"),
            (0.00123, "$0.00123"),
            (0.25, "$0.2500"),
            (12.345, "$12.35"),
        ] {
            assert_eq!(cost(usd), want);
        }
        for (n, want) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (20_345_678, "20,345,678"),
        ] {
            assert_eq!(count(n), want);
        }
    }
}
