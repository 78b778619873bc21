//! What is a judge shown of a trace?
//!
//! A trace is written down in start order: one line for each span, then blocks of what it tells, each inside
//! a fence. The same trace, request and nonce give the same bytes. If all of it fits the budget, all of it is
//! shown. If not, the spans that matter most keep their texts, long texts are cut in the middle, and every
//! other span keeps its line. If too much is lost by that, the judge gets the outline and tools to read with.
//!
//! Traces of more spans than there is room for lines share lines between neighbours; no span is ever left
//! out of the outline.

mod budget;
mod calls;
mod diff;
mod lines;
mod mask;
mod outline;
mod page;
mod rank;
mod reading;
#[cfg(test)]
pub(crate) mod samples;
mod search;
mod shown;
mod spans;
#[cfg(test)]
mod tests;
mod tokens;
mod told;

pub use budget::{READING_CALLS_MAX, READING_TOKENS_MAX, ReadingBudget};
pub use calls::{ReadingCall, reading_tools, reading_tools_of_two, trace_of_call};
pub use mask::Mask;
pub use reading::{ANSWER_TOKENS_MAX, Reading, Select};
pub use spans::{resolve, resolve_place, span_name};
pub use tokens::estimate_tokens;
pub use told::Field;

use crate::fence::Fence;
use crate::{Effects, TraceView};
use lines::Lines;
use outline::Fold;
use page::{Full, Page};
use shown::Shown;
use tokens::{TOKEN, Weight};
use told::Told;

/// The version of the form in which traces are shown. Whatever changes a byte of it raises this number:
/// answers of judges are kept under it.
pub const RENDERER_VERSION: u32 = 1;

/// No rendering is longer than this, whatever window the judge has.
pub const BUDGET_TOKENS_MAX: u32 = 100_000;

/// A budget below this holds not even an outline.
pub const BUDGET_TOKENS_MIN: u32 = 1_000;

/// So much an outline is always given: names of 64 characters, each of two tokens, and their tags fit.
const OUTLINE_TOKENS_MIN: u64 = 800;

/// Kept texts over this are cut in the middle.
const KEPT_TOKENS_MAX: u64 = 2_000;

/// Returns the budget for a judge with a window of so many tokens: 60 % of it.
pub fn budget_of_window(window_tokens: u32) -> u32 {
    let share = u64::from(window_tokens) * 3 / 5;
    u32::try_from(share).map_or(BUDGET_TOKENS_MAX, |share| share.min(BUDGET_TOKENS_MAX))
}

/// How much of a trace is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// All of it.
    Full,
    /// The texts of the spans that matter most.
    Elided,
    /// The outline; the judge reads the rest with tools.
    Agentic,
}

impl Tier {
    /// Returns its number.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// What is to be shown. Places are indices into [`TraceView::spans`].
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The budget, of which at most [`BUDGET_TOKENS_MAX`] is used.
    pub budget_tokens: u32,
    /// The spans that the question is about; of others only the line is shown. `None`: of all.
    pub focus: Option<&'a [u32]>,
    /// Spans at which detectors point.
    pub hits: &'a [u32],
    /// Spans at which rules point.
    pub cited: &'a [u32],
    /// What is not to be shown.
    pub mask: Option<&'a Mask>,
    /// Whether a question needs the whole trace searched, so that leaving texts out is no help.
    pub needs_search: bool,
    /// The least tier, higher after the judge's window was found too small.
    pub tier_min: Tier,
}

impl Request<'_> {
    /// Returns a request for all of a trace.
    pub const fn new(budget_tokens: u32) -> Self {
        Self {
            budget_tokens,
            focus: None,
            hits: &[],
            cited: &[],
            mask: None,
            needs_search: false,
            tier_min: Tier::Full,
        }
    }
}

/// A trace as a judge is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendering {
    /// The text.
    pub text: String,
    /// How much of the trace it shows.
    pub tier: Tier,
    /// The estimated tokens of `text`, never more than the budget.
    pub tokens: u64,
    /// The estimated tokens of all of it.
    pub full_tokens: u64,
    /// The spans whose texts are shown, in start order.
    pub shown: Vec<u32>,
    /// Whether only some spans were asked for.
    pub is_focused: bool,
}

/// A trace cannot be shown as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The budget holds not even an outline.
    #[error(
        "a budget of {budget_tokens} tokens is too small for a trace: {BUDGET_TOKENS_MIN} at least"
    )]
    BudgetTooSmall {
        /// The budget.
        budget_tokens: u32,
    },
}

/// Shows one trace, as often as it is asked for.
#[derive(Debug)]
pub struct Renderer<'a> {
    view: &'a TraceView,
    effects: &'a Effects,
    told: Told<'a>,
}

/// A rendering in the making.
struct Attempt<'r> {
    lines: Lines<'r>,
    request: &'r Request<'r>,
    budget: u64,
}

impl<'a> Renderer<'a> {
    /// Returns the renderer of a trace. Every text is read once here.
    pub fn new(view: &'a TraceView, effects: &'a Effects) -> Self {
        Self {
            view,
            effects,
            told: Told::of(view),
        }
    }

    /// Returns the mask of the spans at `places`: of all the texts that they brought in.
    pub fn mask(&self, places: &[u32]) -> Mask {
        Mask::of(self.view, &self.told, places)
    }

    /// Returns the trace.
    pub fn view(&self) -> &'a TraceView {
        self.view
    }

    /// Returns the line about the span at `at`.
    pub(crate) fn line(&self, fence: &Fence, at: u32) -> String {
        let lines = Lines {
            view: self.view,
            fence,
            mask: &Mask::default(),
            sizes: None,
        };
        lines.of_span(at)
    }

    /// Returns all that the span at `at` tells.
    pub(crate) fn texts(&self, at: u32) -> impl Iterator<Item = &str> {
        let sayings = self.told.of_span(at);
        sayings.flat_map(|saying| saying.pieces.iter().map(|piece| piece.text.as_ref()))
    }

    /// Returns the trace as `request` asks for it.
    pub fn render(&self, fence: &Fence, request: &Request<'_>) -> Result<Rendering, RenderError> {
        let budget_tokens = request.budget_tokens;
        if budget_tokens < BUDGET_TOKENS_MIN {
            return Err(RenderError::BudgetTooSmall { budget_tokens });
        }
        let nothing = Mask::default();
        let mut attempt = Attempt {
            lines: Lines {
                view: self.view,
                fence,
                mask: request.mask.unwrap_or(&nothing),
                sizes: None,
            },
            request,
            budget: u64::from(budget_tokens.min(BUDGET_TOKENS_MAX)),
        };
        let full_tokens = self.full_tokens(request);
        if request.tier_min == Tier::Full
            && let Ok(text) = self.full(&attempt)
        {
            let shown = self.candidates(request);
            return Ok(attempt.rendering(text, Tier::Full, full_tokens, shown));
        }
        if request.tier_min <= Tier::Elided && !request.needs_search {
            let (text, shown) = self.elided(&attempt);
            let elided = attempt.rendering(text, Tier::Elided, full_tokens, shown);
            if elided.tokens.saturating_mul(2) >= full_tokens {
                return Ok(elided);
            }
        }
        attempt.lines.sizes = Some(&self.told);
        // The rest of the window is for what the judge reads.
        let (text, _) = self.outline(&attempt, attempt.budget / 4);
        Ok(attempt.rendering(text, Tier::Agentic, full_tokens, Vec::new()))
    }

    /// Returns the spans that may be shown, in order.
    fn candidates(&self, request: &Request<'_>) -> Vec<u32> {
        let count = self.view.spans.len();
        let Some(focus) = request.focus else {
            return (0u32..).take(count).collect();
        };
        let mut focus: Vec<u32> = focus
            .iter()
            .copied()
            .filter(|at| (*at as usize) < count)
            .collect();
        focus.sort_unstable();
        focus.dedup();
        focus
    }

    fn full(&self, attempt: &Attempt<'_>) -> Result<String, Full> {
        let shown = self.candidates(attempt.request);
        self.page(attempt, attempt.budget, Fold::Nothing, &shown, Weight::MAX)
    }

    /// Shows as many of the most telling spans as fit.
    fn elided(&self, attempt: &Attempt<'_>) -> (String, Vec<u32>) {
        let candidates = self.candidates(attempt.request);
        let is_candidate = |at: &u32| candidates.binary_search(at).is_ok();
        let ranked = rank::ranked(self.view, &self.told, self.effects, attempt.request);
        let ranked: Vec<u32> = ranked.into_iter().filter(is_candidate).collect();
        let (mut best, fold) = self.outline(attempt, attempt.budget * 2 / 5);
        let cap = KEPT_TOKENS_MAX.min(attempt.budget / 10) * TOKEN;
        let (mut fitting, mut too_many) = (0, ranked.len() + 1);
        let mut kept = Vec::new();
        while too_many - fitting > 1 {
            let count = fitting + (too_many - fitting) / 2;
            let mut shown = ranked[..count].to_vec();
            shown.sort_unstable();
            match self.page(attempt, attempt.budget, fold, &shown, cap) {
                Ok(text) => (best, kept, fitting) = (text, shown, count),
                Err(Full) => too_many = count,
            }
        }
        (best, kept)
    }

    /// Returns the outline in as many lines as fit into `tokens`, and how it is folded. One line about all
    /// spans, which is what folding ends with, fits into the least that is given.
    fn outline(&self, attempt: &Attempt<'_>, tokens: u64) -> (String, Fold) {
        let tokens = tokens.max(OUTLINE_TOKENS_MIN);
        let mut fold = Fold::Nothing;
        loop {
            match self.page(attempt, tokens, fold, &[], 0) {
                Ok(text) => return (text, fold),
                Err(Full) => fold = fold.more(),
            }
        }
    }

    /// Returns the trace with the texts of the spans `shown`, which are in order.
    fn page(
        &self,
        attempt: &Attempt<'_>,
        tokens: u64,
        fold: Fold,
        shown: &[u32],
        cap: Weight,
    ) -> Result<String, Full> {
        let is_alone = attempt.request.focus.is_some();
        let mut out = Shown::new(&self.told, attempt.lines, Page::of(tokens), cap);
        out.page.line(&attempt.lines.of_trace())?;
        let mut from = 0;
        for at in shown {
            outline::write(&mut out.page, attempt.lines, fold, from, *at)?;
            out.span(*at, is_alone)?;
            from = *at + 1;
        }
        let count = u32::try_from(self.view.spans.len()).unwrap_or(u32::MAX);
        outline::write(&mut out.page, attempt.lines, fold, from, count)?;
        Ok(out.page.into_text())
    }

    /// Estimates what all of it would take: a line for each span, each text once between its tags.
    fn full_tokens(&self, request: &Request<'_>) -> u64 {
        const SPAN: Weight = 15 * TOKEN;
        const TAGS: Weight = 20 * TOKEN;
        let mut seen = vec![false; self.told.text_count];
        let mut total = SPAN * self.view.spans.len() as u64;
        for at in self.candidates(request) {
            for piece in self.told.of_span(at).flat_map(|saying| &saying.pieces) {
                if !std::mem::replace(&mut seen[piece.text_id as usize], true) {
                    total += piece.weight + TAGS;
                }
            }
        }
        total.div_ceil(TOKEN)
    }
}

impl Attempt<'_> {
    fn rendering(&self, text: String, tier: Tier, full_tokens: u64, shown: Vec<u32>) -> Rendering {
        let tokens = estimate_tokens(&text);
        let full_tokens = match tier {
            Tier::Full => tokens,
            _ => full_tokens.max(tokens),
        };
        Rendering {
            text,
            tier,
            tokens,
            full_tokens,
            shown,
            is_focused: self.request.focus.is_some(),
        }
    }
}
