//! How is a trace shown without the words of some spans?
//!
//! A trace in which something addresses its judge is graded twice, the second time without that text. It is
//! not enough to leave out the span: the next model call reads what the tool said, and answers quote it. So
//! the texts that the spans brought in are taken out wherever they stand. What an earlier span that is not
//! masked had told before stays: the masked span only repeated it.

use std::borrow::Cow;

use hashbrown::HashSet;
use memchr::memmem;

use super::told::Told;
use crate::TraceView;

/// What is shown in place of a masked text.
pub(crate) const MASKED: &str = "[masked]";

/// Texts from this length on are also looked for inside of other texts.
const SOUGHT_BYTES_MIN: usize = 24;

/// At most this many are looked for inside of others: the longest ones.
const SOUGHT_MAX: usize = 32;

/// The texts that some spans brought into a trace.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    spans: HashSet<u32>,
    texts: HashSet<String>,
    /// Longest first; with the forms they have inside of JSON.
    sought: Vec<String>,
}

impl Mask {
    /// Returns the mask of the spans at `places`.
    pub(super) fn of(view: &TraceView, told: &Told<'_>, places: &[u32]) -> Self {
        let spans: HashSet<u32> = places
            .iter()
            .copied()
            .filter(|at| (*at as usize) < view.spans.len())
            .collect();
        let Some(last) = spans.iter().max() else {
            return Self::default();
        };
        let (mut known, mut texts) = (HashSet::new(), HashSet::new());
        for at in 0..=*last {
            for piece in told.of_span(at).flat_map(|saying| &saying.pieces) {
                if !spans.contains(&at) {
                    known.insert(piece.text_id);
                } else if !known.contains(&piece.text_id) && !piece.text.trim().is_empty() {
                    texts.insert(piece.text.clone().into_owned());
                }
            }
        }
        let mut long: Vec<&String> = texts
            .iter()
            .filter(|text| text.len() >= SOUGHT_BYTES_MIN)
            .collect();
        long.sort_by(|a, b| (b.len(), a).cmp(&(a.len(), b)));
        long.truncate(SOUGHT_MAX);
        let mut sought = Vec::new();
        for text in long {
            let quoted = serde_json::Value::from(text.as_str()).to_string();
            let inside = &quoted[1..quoted.len() - 1];
            if inside != text {
                sought.push(inside.to_owned());
            }
            sought.push(text.clone());
        }
        Self {
            spans,
            texts,
            sought,
        }
    }

    /// Returns whether nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns whether the span at `at` is masked.
    pub(super) fn has(&self, at: u32) -> bool {
        self.spans.contains(&at)
    }

    /// Returns `text` without what is masked.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.texts.contains(text) {
            return MASKED.into();
        }
        let mut text = Cow::from(text);
        for sought in &self.sought {
            if memmem::find(text.as_bytes(), sought.as_bytes()).is_some() {
                text = text.replace(sought.as_str(), MASKED).into();
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use crate::Effects;
    use crate::render::{Renderer, samples};

    #[test]
    fn a_masked_text_is_gone_wherever_it_stands() {
        let view = samples::booking();
        let effects = Effects::default();
        let renderer = Renderer::new(&view, &effects);
        let mask = renderer.mask(&[view.functions[0]]);
        let said = view.spans[view.functions[0] as usize]
            .output_text()
            .unwrap();
        assert_eq!(mask.apply(&said), "[masked]");
        let inside = serde_json::json!({ "seen": said }).to_string();
        assert_eq!(mask.apply(&inside), r#"{"seen":"[masked]"}"#);
        assert_eq!(mask.apply("hello"), "hello");
    }

    #[test]
    fn what_was_told_before_is_not_masked() {
        let view = samples::booking();
        let effects = Effects::default();
        let renderer = Renderer::new(&view, &effects);
        // The second model call repeats what the user had asked in the first.
        let mask = renderer.mask(&[view.generations[1]]);
        let asked = view.user_input.clone().unwrap();
        assert_eq!(mask.apply(&asked), asked.as_str());
        let answer = view.final_output.clone().unwrap();
        assert_ne!(mask.apply(&answer), answer.as_str());
    }
}
