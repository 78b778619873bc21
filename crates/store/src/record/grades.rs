//! The fields of a grade in a record, written and read side by side as those of rows are.

use model::{
    Grade, GroupId, JudgeUse, NanoUsd, Outcome, SpanId, Time, TraceId, UnscoredReason, Verdict,
};

use super::RecordError;
use super::wire::{Reader, Value, Writer};

/// Fields of a grade. Numbers are never used again.
mod grade {
    pub(super) const RUN_ID: u8 = 1;
    pub(super) const ITEM_ID: u8 = 2;
    pub(super) const ATTEMPT: u8 = 3;
    pub(super) const GRADER_ID: u8 = 4;
    pub(super) const GRADER_NAME: u8 = 5;
    pub(super) const GRADER_VERSION: u8 = 6;
    pub(super) const GRADER_HASH: u8 = 7;
    pub(super) const TRACE_ID: u8 = 8;
    pub(super) const SPAN_ID: u8 = 9;
    pub(super) const GROUP_ID: u8 = 10;
    pub(super) const STRATUM: u8 = 11;
    pub(super) const WEIGHT: u8 = 12;
    pub(super) const CREATED_AT: u8 = 13;
    pub(super) const TRACE_STARTED_AT: u8 = 14;
    pub(super) const OUTCOME: u8 = 15;
    pub(super) const SCORE: u8 = 16;
    pub(super) const LABEL: u8 = 17;
    pub(super) const UNSCORED_REASON: u8 = 18;
    pub(super) const REASONING: u8 = 19;
    pub(super) const CITATIONS: u8 = 20;
    pub(super) const CONFIDENCE: u8 = 21;
    pub(super) const VACUOUS: u8 = 22;
    pub(super) const JUDGE: u8 = 23;
}

/// Fields of a judge's part. Numbers are never used again.
mod judge {
    pub(super) const MODEL: u8 = 1;
    pub(super) const PARAMS: u8 = 2;
    pub(super) const PROMPT_HASH: u8 = 3;
    pub(super) const INPUT_TOKENS: u8 = 4;
    pub(super) const CACHED_TOKENS: u8 = 5;
    pub(super) const OUTPUT_TOKENS: u8 = 6;
    pub(super) const COST: u8 = 7;
    pub(super) const LATENCY_MS: u8 = 8;
    pub(super) const CACHED: u8 = 9;
}

pub(super) fn write_grade(w: &mut Writer<'_>, row: &Grade) {
    w.text(grade::RUN_ID, Some(&row.run_id));
    w.text(grade::ITEM_ID, Some(&row.item_id));
    w.int(grade::ATTEMPT, Some(row.attempt.into()));
    w.text(grade::GRADER_ID, Some(&row.grader_id));
    w.text(grade::GRADER_NAME, Some(&row.grader_name));
    w.int(grade::GRADER_VERSION, Some(row.grader_version.into()));
    w.text(grade::GRADER_HASH, Some(&row.grader_hash));
    w.text(grade::TRACE_ID, row.trace_id.as_ref().map(TraceId::as_str));
    w.text(grade::SPAN_ID, row.span_id.as_ref().map(SpanId::as_str));
    w.text(grade::GROUP_ID, row.group_id.as_ref().map(GroupId::as_str));
    w.text(grade::STRATUM, row.stratum.as_deref());
    w.float(grade::WEIGHT, Some(row.weight));
    w.int(grade::CREATED_AT, Some(row.created_at.as_micros()));
    let started_at = row.trace_started_at.as_micros();
    w.int(grade::TRACE_STARTED_AT, Some(started_at));
    write_verdict(w, &row.verdict);
}

fn write_verdict(w: &mut Writer<'_>, verdict: &Verdict) {
    w.text(grade::OUTCOME, Some(verdict.outcome.as_str()));
    w.float(grade::SCORE, verdict.score);
    w.text(grade::LABEL, verdict.label.as_deref());
    let reason = verdict.unscored_reason.map(UnscoredReason::as_str);
    w.text(grade::UNSCORED_REASON, reason);
    w.text(grade::REASONING, verdict.reasoning.as_deref());
    if !verdict.citations.is_empty() {
        w.list(
            grade::CITATIONS,
            verdict.citations.iter().map(SpanId::as_str),
        );
    }
    w.float(grade::CONFIDENCE, verdict.confidence);
    w.flag(grade::VACUOUS, verdict.vacuous.then_some(true));
    if let Some(used) = &verdict.judge {
        let mut fields = Vec::new();
        write_judge(&mut Writer(&mut fields), used);
        w.bytes(grade::JUDGE, &fields);
    }
}

fn write_judge(w: &mut Writer<'_>, used: &JudgeUse) {
    w.text(judge::MODEL, Some(&used.model));
    w.json(judge::PARAMS, used.params.as_ref());
    w.text(judge::PROMPT_HASH, used.prompt_hash.as_deref());
    w.int(judge::INPUT_TOKENS, used.input_tokens);
    w.int(judge::CACHED_TOKENS, used.cached_tokens);
    w.int(judge::OUTPUT_TOKENS, used.output_tokens);
    w.int(judge::COST, used.cost.map(|cost| cost.0));
    w.float(judge::LATENCY_MS, used.latency_ms);
    w.flag(judge::CACHED, used.cached.then_some(true));
}

fn number(value: Value<'_>, what: &'static str) -> Result<u32, RecordError> {
    u32::try_from(value.int(what)?).map_err(|_| RecordError::BadValue { what })
}

pub(super) fn read_grade(mut reader: Reader<'_>) -> Result<Grade, RecordError> {
    let (mut run_id, mut item_id, mut grader_id) = (None, None, None);
    let mut row = Grade {
        run_id: String::new(),
        item_id: String::new(),
        attempt: 1,
        grader_id: String::new(),
        grader_name: String::new(),
        grader_version: 1,
        grader_hash: String::new(),
        trace_id: None,
        span_id: None,
        group_id: None,
        stratum: None,
        weight: 1.0,
        verdict: Verdict::new(Outcome::Unscored),
        created_at: Time::default(),
        trace_started_at: Time::default(),
    };
    while let Some((tag, value)) = reader.field()? {
        match tag {
            grade::RUN_ID => run_id = Some(value.string()?),
            grade::ITEM_ID => item_id = Some(value.string()?),
            grade::GRADER_ID => grader_id = Some(value.string()?),
            grade::ATTEMPT => row.attempt = number(value, "attempt of a grade")?,
            grade::GRADER_NAME => row.grader_name = value.string()?,
            grade::GRADER_VERSION => row.grader_version = number(value, "version of a grader")?,
            grade::GRADER_HASH => row.grader_hash = value.string()?,
            grade::TRACE_ID => row.trace_id = Some(TraceId::new(value.text()?)?),
            grade::SPAN_ID => row.span_id = Some(SpanId::new(value.text()?)?),
            grade::GROUP_ID => row.group_id = Some(GroupId::new(value.text()?)?),
            grade::STRATUM => row.stratum = Some(value.string()?),
            grade::WEIGHT => row.weight = value.float("weight of a grade")?,
            grade::CREATED_AT => row.created_at = Time::from_micros(value.int("time of a grade")?),
            grade::TRACE_STARTED_AT => {
                row.trace_started_at = Time::from_micros(value.int("start of a trace")?);
            }
            _ => read_verdict(&mut row.verdict, tag, value)?,
        }
    }
    let missing = |what| RecordError::Missing { what };
    row.run_id = run_id.ok_or(missing("run of a grade"))?;
    row.item_id = item_id.ok_or(missing("item of a grade"))?;
    row.grader_id = grader_id.ok_or(missing("grader of a grade"))?;
    Ok(row)
}

fn read_verdict(verdict: &mut Verdict, tag: u8, value: Value<'_>) -> Result<(), RecordError> {
    match tag {
        grade::OUTCOME => verdict.outcome = value.word()?,
        grade::SCORE => verdict.score = Some(value.float("score")?),
        grade::LABEL => verdict.label = Some(value.string()?),
        grade::UNSCORED_REASON => verdict.unscored_reason = Some(value.word()?),
        grade::REASONING => verdict.reasoning = Some(value.string()?),
        grade::CITATIONS => {
            let ids = value.list()?.into_iter().map(SpanId::new);
            verdict.citations = ids.collect::<Result<_, _>>()?;
        }
        grade::CONFIDENCE => verdict.confidence = Some(value.float("confidence")?),
        grade::VACUOUS => verdict.vacuous = value.flag("vacuous")?,
        grade::JUDGE => verdict.judge = Some(read_judge(value.fields())?),
        _ => {}
    }
    Ok(())
}

fn read_judge(mut reader: Reader<'_>) -> Result<JudgeUse, RecordError> {
    let mut used = JudgeUse::default();
    while let Some((tag, value)) = reader.field()? {
        match tag {
            judge::MODEL => used.model = value.string()?,
            judge::PARAMS => used.params = Some(value.json()?),
            judge::PROMPT_HASH => used.prompt_hash = Some(value.string()?),
            judge::INPUT_TOKENS => used.input_tokens = Some(value.int("tokens")?),
            judge::CACHED_TOKENS => used.cached_tokens = Some(value.int("tokens")?),
            judge::OUTPUT_TOKENS => used.output_tokens = Some(value.int("tokens")?),
            judge::COST => used.cost = Some(NanoUsd(value.int("cost")?)),
            judge::LATENCY_MS => used.latency_ms = Some(value.float("latency")?),
            judge::CACHED => used.cached = value.flag("cached")?,
            _ => {}
        }
    }
    Ok(used)
}
