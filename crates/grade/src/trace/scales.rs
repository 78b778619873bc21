//! The scale of a grader, as its definition writes it.
//!
//! Whoever writes a criterion writes the scale into its text; what was read is echoed in the fields
//! `scale`, `range`, `integer`, `pass_threshold`, `labels` and `passing_labels`, which may as well be given.

use insight::judging::{Offered, Scale};
use serde_json::{Map, Value, json};

use crate::openai::problems::{Fields, kind_of};
use crate::scale::GraderScale;

/// Fields that tell a scale.
pub(super) const FIELDS: [&str; 6] = [
    "scale",
    "range",
    "integer",
    "pass_threshold",
    "labels",
    "passing_labels",
];

/// What the fields say, before the text of a criterion is looked at.
struct Told {
    kind: Option<ScaleKind>,
    range: Option<(f64, f64)>,
    integer: Option<bool>,
    pass_threshold: Option<f64>,
    labels: Option<(Vec<String>, Vec<String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScaleKind {
    PassFail,
    Number,
    Labels,
}

impl ScaleKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PassFail => "pass_fail",
            Self::Number => "number",
            Self::Labels => "labels",
        }
    }
}

impl Told {
    fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let kind = kind(fields);
        let range = range(fields);
        let integer = match fields.get("integer") {
            None => Some(None),
            Some(_) => fields.flag("integer", false).map(Some),
        };
        let help = "write a number: a score from it on passes";
        let pass_threshold = fields.number("pass_threshold", help);
        let labels = labels(fields);
        let told = Self {
            kind: kind?,
            range: range?,
            integer: integer?,
            pass_threshold: pass_threshold?,
            labels: labels?,
        };
        told.is_consistent(fields).then_some(told)
    }

    fn is_consistent(&self, fields: &mut Fields<'_, '_>) -> bool {
        let mut is_consistent = true;
        let mut clash = |key: &str, message: &str| {
            fields.note(key, message, "leave one of them out");
            is_consistent = false;
        };
        let is = |kind| self.kind == Some(kind);
        if self.labels.is_some() && (self.range.is_some() || self.pass_threshold.is_some()) {
            clash("labels", "stand beside a range or a threshold of numbers");
        }
        if self.labels.is_some() && (is(ScaleKind::PassFail) || is(ScaleKind::Number)) {
            clash("scale", "is none of labels, and there are `labels`");
        }
        if self.range.is_some() && (is(ScaleKind::PassFail) || is(ScaleKind::Labels)) {
            clash("scale", "is none of numbers, and there is a `range`");
        }
        if self.labels.is_none() && is(ScaleKind::Labels) {
            clash("labels", "are missing, and `scale` is \"labels\"");
        }
        if let (Some((low, high)), Some(least)) = (self.range, self.pass_threshold)
            && !(low..=high).contains(&least)
        {
            clash("pass_threshold", "is outside of `range`");
        }
        is_consistent
    }

    /// Returns the scale of the range.
    fn of_range(&self, fields: &mut Fields<'_, '_>, (low, high): (f64, f64)) -> Option<Scale> {
        let scale = match self.integer {
            Some(false) => Some(Scale::Real { low, high }),
            Some(true) if low.fract() == 0.0 && high.fract() == 0.0 => Some(Scale::Whole {
                low: low as i64,
                high: high as i64,
            }),
            Some(true) => None,
            None => Scale::of_range(low, high),
        };
        if scale.is_none() {
            fields.note(
                "range",
                "has ends that are no integers",
                "write whole numbers",
            );
        }
        scale
    }
}

/// Reads what a judge is offered: by the fields, else by what `read` finds in the criterion.
pub(super) fn of_judge(fields: &mut Fields<'_, '_>, read: Scale) -> Option<Offered> {
    let told = Told::parse(fields)?;
    if let Some((labels, passing)) = told.labels {
        return Some(Offered::Label { labels, passing });
    }
    let scale = match (told.range, told.kind) {
        (Some(range), _) => told.of_range(fields, range)?,
        (None, Some(ScaleKind::PassFail)) => Scale::PassFail,
        (None, _) => read,
    };
    let help = "write a `range`, or a scale such as \"(1-5)\" into the criterion";
    match (scale, told.pass_threshold) {
        (Scale::PassFail, Some(_)) => {
            fields.note("pass_threshold", "has no scale to stand on", help);
            None
        }
        (Scale::PassFail, None) if told.kind == Some(ScaleKind::Number) => {
            fields.note("scale", "is \"number\", and no range is known", help);
            None
        }
        (scale, Some(least))
            if scale
                .range()
                .is_some_and(|(low, high)| !(low..=high).contains(&least)) =>
        {
            fields.note("pass_threshold", "is outside of the scale", help);
            None
        }
        (scale, pass_threshold) => Some(Offered::of_scale(scale, pass_threshold)),
    }
}

/// Reads what code promises: any number, unless it says more. With no default threshold a number passes
/// or fails only if the definition says from where on.
pub(super) fn of_code(
    fields: &mut Fields<'_, '_>,
    threshold_default: Option<f64>,
) -> Option<GraderScale> {
    let told = Told::parse(fields)?;
    if let Some((labels, passing)) = told.labels {
        return Some(GraderScale::Labels { labels, passing });
    }
    if told.kind == Some(ScaleKind::PassFail) {
        return Some(GraderScale::PassFail);
    }
    let Some(range) = told.range else {
        return Some(GraderScale::Number {
            low: None,
            high: None,
            pass_threshold: told.pass_threshold.or(threshold_default),
        });
    };
    let scale = told.of_range(fields, range)?;
    let default = threshold_default.and_then(|_| scale.default_pass_threshold());
    Some(GraderScale::Number {
        low: Some(range.0),
        high: Some(range.1),
        pass_threshold: told.pass_threshold.or(default),
    })
}

/// Returns the scale of what a judge is offered.
pub(super) fn of_offered(offered: &Offered) -> GraderScale {
    match offered {
        Offered::Verdict => GraderScale::PassFail,
        Offered::Score {
            scale,
            pass_threshold,
        } => GraderScale::Number {
            low: scale.range().map(|(low, _)| low),
            high: scale.range().map(|(_, high)| high),
            pass_threshold: Some(*pass_threshold),
        },
        Offered::Label { labels, passing } => GraderScale::Labels {
            labels: labels.clone(),
            passing: passing.clone(),
        },
        // The share of wins: neither good nor bad by itself.
        Offered::Better => GraderScale::Number {
            low: Some(0.0),
            high: Some(1.0),
            pass_threshold: None,
        },
    }
}

/// Writes a scale into a definition.
pub(super) fn write(scale: &GraderScale, definition: &mut Map<String, Value>) {
    let kind = match scale {
        GraderScale::PassFail => ScaleKind::PassFail,
        GraderScale::Number { .. } => ScaleKind::Number,
        GraderScale::Labels { .. } => ScaleKind::Labels,
    };
    definition.insert("scale".into(), kind.as_str().into());
    match scale {
        GraderScale::PassFail => {}
        GraderScale::Number {
            low,
            high,
            pass_threshold,
        } => {
            if let Some((low, high)) = low.zip(*high) {
                definition.insert("range".into(), json!([low, high]));
            }
            if let Some(least) = pass_threshold {
                definition.insert("pass_threshold".into(), json!(least));
            }
        }
        GraderScale::Labels { labels, passing } => {
            definition.insert("labels".into(), json!(labels));
            if !passing.is_empty() {
                definition.insert("passing_labels".into(), json!(passing));
            }
        }
    }
}

/// Writes what a judge is offered into a definition; of numbers, whether they are whole.
pub(super) fn write_offered(offered: &Offered, definition: &mut Map<String, Value>) {
    write(&of_offered(offered), definition);
    if let Offered::Score { scale, .. } = offered {
        let is_whole = matches!(scale, Scale::Whole { .. });
        definition.insert("integer".into(), is_whole.into());
    }
}

fn kind(fields: &mut Fields<'_, '_>) -> Option<Option<ScaleKind>> {
    let help = "write \"pass_fail\", \"number\" or \"labels\", or leave it out";
    let Some(word) = fields.words("scale", help)? else {
        return Some(None);
    };
    let all = [ScaleKind::PassFail, ScaleKind::Number, ScaleKind::Labels];
    let kind = all.into_iter().find(|kind| kind.as_str() == word);
    if kind.is_none() {
        fields.note("scale", format!("is {word:?}"), help);
    }
    kind.map(Some)
}

fn range(fields: &mut Fields<'_, '_>) -> Option<Option<(f64, f64)>> {
    let Some(value) = fields.get("range") else {
        return Some(None);
    };
    let ends: Option<Vec<f64>> = value
        .as_array()
        .and_then(|ends| ends.iter().map(Value::as_f64).collect());
    match ends.as_deref() {
        Some([low, high]) if low < high && low.abs().max(high.abs()) <= 1e9 => {
            Some(Some((*low, *high)))
        }
        _ => {
            let help = "write two numbers, the lower first, such as [1, 5]";
            fields.note("range", format!("is {value}"), help);
            None
        }
    }
}

/// Returns the labels and those that pass.
fn labels(fields: &mut Fields<'_, '_>) -> Option<Option<(Vec<String>, Vec<String>)>> {
    let help = "write those of `labels` that pass";
    if fields.get("labels").is_none() {
        if let Some(stray) = fields.get("passing_labels") {
            let message = format!("is {} and there are no `labels`", kind_of(stray));
            fields.note("passing_labels", message, "write `labels` too");
            return None;
        }
        return Some(None);
    }
    let labels = fields.texts("labels", "write the list of labels to choose from");
    let passing = match fields.get("passing_labels") {
        None => Some(Vec::new()),
        Some(_) => fields.texts("passing_labels", help),
    };
    let (labels, passing) = (labels?, passing?);
    let mut is_good = true;
    for stray in passing.iter().filter(|label| !labels.contains(label)) {
        let message = format!("`{stray}` is none of `labels`");
        fields.note("passing_labels", message, help);
        is_good = false;
    }
    if labels.len() < 2 {
        fields.note("labels", "leave nothing to choose", "write two or more");
        is_good = false;
    }
    is_good.then_some(Some((labels, passing)))
}
