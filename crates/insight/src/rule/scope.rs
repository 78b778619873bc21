//! What an evaluation holds: the trace, the variables, the count of steps, and what it makes.
//!
//! Values borrow from the trace, the rule and the arenas here, so that they can be copied. Nothing is
//! allocated before a rule makes a text, a list or JSON of its own.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};

use hashbrown::HashMap;
use model::{JsonText, Span};
use serde_json::Value as Json;
use typed_arena::Arena;

use super::environment::Environment;
use super::eval::{Fault, FaultKind};
use super::node::Node;
use super::value::Value;
use super::{STEPS_MAX, VARIABLES_MAX};
use crate::view::{SpanView, TraceView};

/// What an evaluation makes and its values borrow.
pub(super) struct Store<'a> {
    texts: Arena<String>,
    trees: Arena<Json>,
    lists: Arena<Value<'a>>,
}

impl Store<'_> {
    pub(super) fn new() -> Self {
        Self {
            texts: Arena::with_capacity(0),
            trees: Arena::with_capacity(0),
            lists: Arena::with_capacity(0),
        }
    }
}

/// What takes time and may be asked for again.
#[derive(Default)]
struct Known<'a> {
    /// Inputs (false) and outputs (true) of spans.
    span_texts: RefCell<HashMap<(u32, bool), Option<&'a str>>>,
    /// JSON that was read, by where its text lies.
    json: RefCell<HashMap<(usize, usize), Option<&'a Json>>>,
}

/// One evaluation of one rule over one trace.
pub(super) struct Eval<'a> {
    pub(super) trace: &'a TraceView,
    pub(super) world: &'a dyn Environment,
    store: &'a Store<'a>,
    /// The elements that the variables in scope stand for.
    slots: [Cell<Value<'a>>; VARIABLES_MAX],
    steps: Cell<u32>,
    /// Whether something held for every element of nothing.
    pub(super) saw_nothing: Cell<bool>,
    known: OnceCell<Box<Known<'a>>>,
}

/// Bytes that are searched or put together in one step, and bytes that are made in one step.
const SEARCHED_PER_STEP: usize = 256;
const MADE_PER_STEP: usize = 8;

impl<'a> Eval<'a> {
    pub(super) fn new(
        trace: &'a TraceView,
        world: &'a dyn Environment,
        store: &'a Store<'a>,
    ) -> Self {
        Self {
            trace,
            world,
            store,
            slots: [const { Cell::new(Value::Null) }; VARIABLES_MAX],
            steps: Cell::new(0),
            saw_nothing: Cell::new(false),
            known: OnceCell::new(),
        }
    }

    /// Starts the count of steps anew.
    pub(super) fn rest(&self) {
        self.steps.set(0);
    }

    pub(super) fn view(&self, at: u32) -> &'a SpanView {
        &self.trace.spans[at as usize]
    }

    pub(super) fn span(&self, at: u32) -> &'a Span {
        self.view(at).span()
    }

    /// Returns the count of steps, for what counts its own.
    pub(super) fn steps_taken(&self) -> &Cell<u32> {
        &self.steps
    }

    /// Counts steps that are noticed with the next one.
    pub(super) fn charge(&self, steps: usize) {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.steps.set(self.steps.get().saturating_add(steps));
    }

    /// Counts the steps of searching a text.
    pub(super) fn charge_search(&self, bytes: usize) {
        self.charge(bytes / SEARCHED_PER_STEP);
    }

    #[inline]
    pub(super) fn step(&self, node: &Node) -> Result<(), Fault> {
        let steps = self.steps.get().saturating_add(1);
        self.steps.set(steps);
        match steps > STEPS_MAX {
            true => Err(FaultKind::Budget.at(node)),
            false => Ok(()),
        }
    }

    fn known(&self) -> &Known<'a> {
        self.known.get_or_init(Box::default)
    }

    /// Counts the steps of making so many bytes, before they are made.
    pub(super) fn charge_making(&self, bytes: usize, node: &Node) -> Result<(), Fault> {
        self.charge(bytes / MADE_PER_STEP);
        self.step(node)
    }

    #[inline]
    pub(super) fn get(&self, slot: u8) -> Value<'a> {
        self.slots[usize::from(slot)].get()
    }

    #[inline]
    pub(super) fn set(&self, slot: u8, value: Value<'a>) {
        self.slots[usize::from(slot)].set(value);
    }

    pub(super) fn kept(&self, text: String) -> &'a str {
        self.store.texts.alloc(text)
    }

    pub(super) fn kept_list(&self, values: impl IntoIterator<Item = Value<'a>>) -> Value<'a> {
        let list: &'a [Value<'a>] = self.store.lists.alloc_extend(values);
        self.charge(list.len());
        Value::List(list)
    }

    pub(super) fn texts(&self, texts: &'a [String]) -> Value<'a> {
        self.kept_list(texts.iter().map(|text| Value::Text(text)))
    }

    pub(super) fn json(&self, text: Option<&'a JsonText>) -> Value<'a> {
        text.map_or(Value::Null, |text| self.parsed(text.as_str()))
    }

    /// Returns the arguments of a tool call.
    pub(super) fn arguments(&self, at: u32) -> Value<'a> {
        let view = self.view(at);
        self.read(view.told.arguments.as_ref(), || view.arguments_once())
    }

    /// Returns the result of a tool call.
    pub(super) fn result(&self, at: u32) -> Value<'a> {
        let view = self.view(at);
        self.read(view.told.result.as_ref(), || view.result_once())
    }

    /// Returns JSON that the view keeps. To read it counts the same whether another rule has read it or
    /// not: what comes of a rule does not hang on others.
    fn read(
        &self,
        text: Option<&'a JsonText>,
        tree: impl FnOnce() -> Option<&'a Json>,
    ) -> Value<'a> {
        let Some(text) = text.map(JsonText::as_str) else {
            return Value::Null;
        };
        let mut known = self.known().json.borrow_mut();
        let place = (text.as_ptr() as usize, text.len());
        let tree = known.entry(place).or_insert_with(|| {
            self.charge(text.len() / MADE_PER_STEP);
            (self.steps.get() <= STEPS_MAX).then(tree).flatten()
        });
        tree.map_or(Value::Null, Value::of_json)
    }

    /// Returns the JSON that a text holds; what holds none is missing.
    pub(super) fn parsed(&self, text: &'a str) -> Value<'a> {
        let mut known = self.known().json.borrow_mut();
        let place = (text.as_ptr() as usize, text.len());
        let tree = known.entry(place).or_insert_with(|| {
            self.charge(text.len() / MADE_PER_STEP);
            let tree = match self.steps.get() > STEPS_MAX {
                true => None,
                false => serde_json::from_str(text).ok(),
            };
            tree.map(|tree: Json| &*self.store.trees.alloc(tree))
        });
        tree.map_or(Value::Null, Value::of_json)
    }

    pub(super) fn input(&self, at: u32) -> Option<&'a str> {
        self.span_text(at, false)
    }

    pub(super) fn output(&self, at: u32) -> Option<&'a str> {
        self.span_text(at, true)
    }

    /// Returns why a span failed.
    pub(super) fn cause(&self, at: u32) -> Option<&'a str> {
        let error = self.span(at).error.as_ref()?;
        let data = error.data.as_ref().map_or(0, |data| data.as_str().len());
        self.charge((error.message.len() + data) / MADE_PER_STEP);
        if self.steps.get() > STEPS_MAX {
            return None;
        }
        Some(match error.cause() {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => self.kept(text),
        })
    }

    fn span_text(&self, at: u32, is_output: bool) -> Option<&'a str> {
        let mut known = self.known().span_texts.borrow_mut();
        *known.entry((at, is_output)).or_insert_with(|| {
            if self.steps.get() > STEPS_MAX {
                return None;
            }
            let view = self.view(at);
            let text = match is_output {
                true => view.output_once(),
                false => view.input_once(),
            }?;
            self.charge_search(text.len());
            Some(text)
        })
    }
}
