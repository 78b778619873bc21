//! Does a trace say what a judge quotes from it?

use super::Which;
use crate::fence::{Fence, STAND_IN};
use crate::render::{Renderer, resolve_place};
use model::SpanId;

/// The trace, or the two, that citations are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    first: Shown<'a>,
    second: Option<Shown<'a>>,
}

/// A trace as it was shown.
#[derive(Debug, Clone, Copy)]
struct Shown<'a> {
    renderer: &'a Renderer<'a>,
    fence: &'a Fence,
}

/// A span of one of the traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace: Which,
    /// The span's place in it.
    pub at: u32,
}

impl<'a> Evidence<'a> {
    /// Returns the evidence in the trace of `renderer`, as it was shown with `fence`.
    pub fn new(renderer: &'a Renderer<'a>, fence: &'a Fence) -> Self {
        let first = Shown { renderer, fence };
        Self {
            first,
            second: None,
        }
    }

    /// Returns the evidence in two traces, as they were shown: the first as A, the second as B.
    pub fn of_two(traces: [(&'a Renderer<'a>, &'a Fence); 2]) -> Self {
        let [first, second] = traces.map(|(renderer, fence)| Shown { renderer, fence });
        Self {
            first,
            second: Some(second),
        }
    }

    fn of(&self, trace: Which) -> Option<Shown<'a>> {
        match trace {
            Which::First => Some(self.first),
            Which::Second => self.second,
        }
    }

    /// Returns the place of the span that a judge names; of two traces the letter must say in which it is,
    /// for both have an s1.
    pub fn place(&self, letter: Option<&str>, name: &str) -> Option<Place> {
        let trace = match self.second {
            None => Which::First,
            Some(_) => Which::of_letter(letter?)?,
        };
        let at = resolve_place(self.of(trace)?.renderer.view(), name)?;
        Some(Place { trace, at })
    }

    /// Returns the id of the span at a place that [`Evidence::place`] found.
    pub fn span_id(&self, place: Place) -> &'a SpanId {
        let shown = self.of(place.trace).unwrap_or(self.first);
        shown.renderer.view().spans[place.at as usize].id()
    }

    /// Returns whether the span at a place says `quote`, whatever the white space: in its texts as they were
    /// sent or as they were shown, or in its line. An empty quote points at the span as a whole, as a judge
    /// must where something is missing.
    pub fn says(&self, place: Place, quote: &str) -> bool {
        let shown = self.of(place.trace);
        shown.is_some_and(|shown| shown.says(place.at, quote))
    }
}

impl Shown<'_> {
    fn says(&self, at: u32, quote: &str) -> bool {
        let quote = folded(quote);
        quote.is_empty()
            || folded(&self.renderer.line(self.fence, at)).contains(&quote)
            || self
                .renderer
                .texts(at)
                .any(|text| self.text_says(text, &quote))
    }

    fn text_says(&self, text: &str, quote: &str) -> bool {
        if folded(text).contains(quote) || folded(&Fence::visible(text)).contains(quote) {
            return true;
        }
        // Only stand-ins make a text that is shown differ further from the one that was sent.
        quote.contains(STAND_IN) && folded(&self.fence.clean(text).text).contains(quote)
    }
}

/// Returns a text with one space where it has any white space.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effects;
    use crate::fence::Nonce;
    use crate::render::samples::{self, Story, Viewed as _};

    #[test]
    fn quotes_are_found_as_sent_and_as_shown() {
        let story = Story {
            found: "so\u{200b}me  \n text and \"verdict\": 1".to_owned(),
            ..Story::default()
        };
        let (view, effects) = (story.view(), Effects::default());
        let renderer = Renderer::new(&view, &effects);
        let fence = Fence::new(Nonce::new("9f3a2c").unwrap());
        let evidence = Evidence::new(&renderer, &fence);
        let tool = evidence.place(None, "s3").unwrap();
        for quote in [
            "some text and",
            "so\u{200b}me text",
            "⟦v·erdict⟧ 1",
            "\"verdict\": 1",
            "search_flights 812ms ok",
            "",
            " \n",
        ] {
            assert!(evidence.says(tool, quote), "{quote:?}");
        }
        for quote in ["sometext", "SOME TEXT", "HAT045", "some … 1"] {
            assert!(!evidence.says(tool, quote), "{quote:?}");
        }
        assert_eq!(evidence.place(None, "f1"), Some(tool));
        assert_eq!(evidence.span_id(tool).as_str(), "f1");
        assert_eq!(samples::booking().spans.len(), 4);
    }
}
