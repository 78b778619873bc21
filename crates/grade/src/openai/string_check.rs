//! Two texts are the same, or one holds the other.
//!
//! Nothing is trimmed and nothing normalised. `like` is no SQL: it asks whether the input contains the
//! reference.

use super::definition;
use super::held::Held;
use super::problems::Fields;
use super::report::Fault;
use super::template::Template;

/// A `string_check`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StringCheck {
    input: Template,
    reference: Template,
    operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Equal,
    Unequal,
    Contains,
    ContainsFolded,
}

const OPERATIONS: &str = "write `eq`, `ne`, `like` (contains) or `ilike` (contains, case ignored)";

impl StringCheck {
    /// Reads one.
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let input = definition::template(fields, "input");
        let reference = definition::template(fields, "reference");
        let operation = fields.text("operation", OPERATIONS);
        let operation = operation.and_then(|operation| match operation {
            "eq" => Some(Operation::Equal),
            // OpenAI's guide says `neq` where its API says `ne`
            "ne" | "neq" => Some(Operation::Unequal),
            "like" => Some(Operation::Contains),
            "ilike" => Some(Operation::ContainsFolded),
            other => {
                fields.note("operation", format!("`{other}` is unknown"), OPERATIONS);
                None
            }
        });
        Some(Self {
            input: input?,
            reference: reference?,
            operation: operation?,
        })
    }

    /// Returns 1 or 0.
    pub(super) fn score(&self, held: Held<'_>) -> Result<f64, Fault> {
        let input = self.input.render(held)?;
        let reference = self.reference.render(held)?;
        let holds = match self.operation {
            Operation::Equal => input == reference,
            Operation::Unequal => input != reference,
            Operation::Contains => input.contains(&reference),
            Operation::ContainsFolded => input.to_lowercase().contains(&reference.to_lowercase()),
        };
        Ok(f64::from(u8::from(holds)))
    }
}
