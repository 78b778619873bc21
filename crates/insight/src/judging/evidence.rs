//! Does a trace say what a judge quotes from it?

use crate::fence::{Fence, STAND_IN};
use crate::render::{Renderer, resolve_place};
use model::SpanId;

/// A trace that citations are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    renderer: &'a Renderer<'a>,
    fence: &'a Fence,
}

impl<'a> Evidence<'a> {
    /// Returns the evidence in the trace of `renderer`, as it was shown with `fence`.
    pub fn new(renderer: &'a Renderer<'a>, fence: &'a Fence) -> Self {
        Self { renderer, fence }
    }

    /// Returns the place of the span that a judge names.
    pub fn place(&self, name: &str) -> Option<u32> {
        resolve_place(self.renderer.view(), name)
    }

    /// Returns the id of the span at `at`.
    pub fn span_id(&self, at: u32) -> &'a SpanId {
        self.renderer.view().spans[at as usize].id()
    }

    /// Returns whether the span at `at` says `quote`, whatever the white space: in its texts as they were
    /// sent or as they were shown, or in its line. An empty quote points at the span as a whole, as a judge
    /// must where something is missing.
    pub fn says(&self, at: u32, quote: &str) -> bool {
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
        let tool = evidence.place("s3").unwrap();
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
        assert_eq!(evidence.place("f1"), Some(tool));
        assert_eq!(evidence.span_id(tool).as_str(), "f1");
        assert_eq!(samples::booking().spans.len(), 4);
    }
}
