//! What the models of a run of an eval may cost, and whom its rows ask.
//!
//! A run asks the model under test and judges of two sorts: those of OpenAI's graders, which see a row, and
//! those of ours, which see a trace. All of it comes out of one purse, so that a run ends where it was
//! told to and not behind. What was answered to a row is kept until the row is written: a server that dies
//! between them finds it again, and nobody pays twice. It answers no other row and no other run, for whoever
//! grades the same rows again wants to know what the models say then.

use std::time::Duration;

use grade::judge::{Budget, CacheKey, DeskError, Exhausted, Tariff};
use grade::openai::{Answer, Model, ModelAnswer, ModelError, ModelRequest};
use grade::trace::Halt;
use model::{NanoUsd, ProjectId, TraceId};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::judge::{Bill, ProjectJudge};
use crate::state::AppState;

/// How often is looked whether calls that are under way cost less than was set aside for them.
const ROOM_AWAITED: Duration = Duration::from_millis(50);

/// The money of a run of an eval.
#[derive(Debug)]
pub(crate) struct Purse {
    judge: ProjectJudge,
    run_id: String,
}

impl Purse {
    /// Opens the purse of a run, which may cost `cap` in all, of which `spent` is gone.
    pub(crate) fn new(
        state: &AppState,
        project: &ProjectId,
        run_id: &str,
        (cap, spent): (NanoUsd, NanoUsd),
    ) -> Self {
        Self {
            judge: ProjectJudge::of(state, project, Budget::new(cap, spent)),
            run_id: run_id.to_owned(),
        }
    }

    /// Opens the bill of a row.
    pub(crate) fn row(&self, position: i64, trace_id: Option<&TraceId>) -> RowBill<'_> {
        let payer = format!("{}/{position}", self.run_id);
        let nothing = NanoUsd::default();
        RowBill {
            bill: self.judge.bill(trace_id, Some(payer.clone()), nothing),
            payer,
            kept: Mutex::default(),
            halt: Mutex::default(),
        }
    }
}

/// Returns whether it is known what a model costs: where it is not, no cap could be kept.
pub(crate) fn is_priced(state: &AppState, model: &str) -> bool {
    let request = ModelRequest {
        model: model.to_owned(),
        messages: Vec::new(),
        params: Value::Null,
        schema: None,
    };
    let tariff = Tariff {
        prices: &state.prices.table(),
        provider: None,
        at: state.clock.now(),
    };
    tariff.estimate(&request).is_some()
}

/// Returns whether a question fits once the calls that are under way have told what they cost: estimates are
/// high, and many calls are under way at a time.
pub(super) fn fits_later(why: &Exhausted) -> bool {
    why.spent.saturating_add(why.needed) <= why.cap
}

/// Waits until it is worth looking again.
pub(super) async fn wait_for_room() {
    tokio::time::sleep(ROOM_AWAITED).await;
}

/// What is asked about one row, and what that costs.
#[derive(Debug)]
pub(crate) struct RowBill<'a> {
    bill: Bill<'a>,
    payer: String,
    kept: Mutex<Vec<String>>,
    halt: Mutex<Option<Halt>>,
}

impl<'a> RowBill<'a> {
    /// Returns a model for whoever asks about this row by this name.
    pub(crate) fn asker<'b>(&'b self, name: &'b str) -> Asker<'a, 'b> {
        Asker { row: self, name }
    }

    /// Returns why nothing more can be asked about this row or any other, if that is so.
    pub(crate) fn halt(&self) -> Option<Halt> {
        self.halt.lock().clone()
    }

    /// Returns what was asked about the row has cost.
    pub(crate) fn cost(&self) -> NanoUsd {
        self.bill.unwritten()
    }

    /// Returns the questions whose answers are kept until the row is written.
    pub(crate) fn kept_answers(&self) -> Vec<String> {
        self.kept.lock().clone()
    }

    pub(super) fn bill(&self) -> &Bill<'a> {
        &self.bill
    }

    fn halted(&self, halt: Halt) -> ModelError {
        let why = ModelError::Refused(halt.to_string());
        self.halt.lock().get_or_insert(halt);
        why
    }
}

/// Somebody who asks a model about a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a, 'b> {
    row: &'b RowBill<'a>,
    name: &'b str,
}

impl Asker<'_, '_> {
    async fn asked(&self, request: &ModelRequest) -> Result<ModelAnswer, ModelError> {
        let Some(desk) = self.row.bill.services().desk else {
            return Err(ModelError::Absent);
        };
        let key = self.key(request);
        loop {
            match desk.answer(key, request).await {
                Ok(answered) => {
                    self.row.kept.lock().push(key.to_string());
                    return Ok(answered.answer);
                }
                Err(DeskError::Model(error)) => return Err(error),
                Err(DeskError::Exhausted(why)) if fits_later(&why) => wait_for_room().await,
                Err(DeskError::Exhausted(why)) => return Err(self.row.halted(Halt::Budget(why))),
                Err(error @ DeskError::Unpriced(_)) => {
                    return Err(self.row.halted(Halt::Terminal(error.to_string())));
                }
            }
        }
    }

    fn key(&self, request: &ModelRequest) -> CacheKey {
        let asked = json!({"row": self.row.payer, "by": self.name, "messages": request.messages,
            "schema": request.schema.as_ref().map(|(_, schema)| schema)});
        let judge = json!({"model": request.model, "params": request.params});
        CacheKey::new(&asked, b"", "", &judge)
    }
}

impl Model for Asker<'_, '_> {
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
        Box::pin(self.asked(request))
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
        self.row.bill.embed(texts)
    }

    fn embeds(&self) -> bool {
        self.row.bill.embeds()
    }
}
