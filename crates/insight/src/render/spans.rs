//! How are spans called in a prompt?
//!
//! Ids of spans are long, and they are text of the sender, which may be hostile. In a prompt the spans are
//! `s1` to `sn` in start order.

use model::SpanId;

use crate::TraceView;

/// Returns the name of the span at `at`.
pub fn span_name(at: u32) -> String {
    format!("s{}", u64::from(at) + 1)
}

/// Returns the place of the span that `name` names: `s12`, also as `[s12]` or `s12.output`, or its id. Where
/// an id of the sender looks like a name of ours, it is ours: that is what the judge was shown.
pub fn resolve_place(view: &TraceView, name: &str) -> Option<u32> {
    let name = name.trim().trim_start_matches('[').trim_end_matches(']');
    let short = name.split_once('.').map_or(name, |(before, _)| before);
    let number = short.strip_prefix(['s', 'S']).unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let by_name = number.parse::<usize>().ok().filter(|_| is_number);
    let place = by_name
        .and_then(|number| number.checked_sub(1))
        .filter(|at| *at < view.spans.len())
        .or_else(|| {
            view.spans
                .iter()
                .position(|span| span.id().as_str() == name)
        })?;
    u32::try_from(place).ok()
}

/// Returns the id of the span that `name` names.
pub fn resolve<'a>(view: &'a TraceView, name: &str) -> Option<&'a SpanId> {
    let place = resolve_place(view, name)?;
    Some(view.spans[place as usize].id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn names_and_ids_lead_to_spans() {
        let view = samples::booking();
        assert_eq!(span_name(0), "s1");
        let first = resolve(&view, "s1").map(SpanId::as_str);
        assert_eq!(first, Some("root"));
        for same in ["root", "S1", "[s1]", "s1.output", " s1 "] {
            assert_eq!(resolve(&view, same).map(SpanId::as_str), first, "{same}");
        }
        for none in [
            "",
            "s",
            "s0",
            "s999",
            "s-1",
            "s+1",
            "s99999999999999999999",
            "nobody",
        ] {
            assert_eq!(resolve(&view, none), None, "{none}");
        }
    }
}
