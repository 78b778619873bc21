//! What each detector is called, how much a hit weighs, and what to do about it.

use model::UnknownWord;

/// How much a hit weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a look; often harmless.
    Low,
    /// Most runs with it are worse for it.
    Medium,
    /// The run went wrong, or something left that should not have.
    High,
}

impl Severity {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What is known of a detector besides how it works.
struct Row {
    id: &'static str,
    title: &'static str,
    severity: Severity,
    suggestion: &'static str,
}

macro_rules! detectors {
    ($($(#[$doc:meta])* $id:ident $title:literal, $severity:ident, $suggestion:literal;)+) => {
        /// A built-in detector.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Detector { $($(#[$doc])* $id),+ }

        impl Detector {
            /// Every detector, in order.
            pub const ALL: &'static [Self] = &[$(Self::$id),+];
        }

        const ROWS: &[Row] = &[$(Row {
            id: stringify!($id),
            title: $title,
            severity: Severity::$severity,
            suggestion: $suggestion,
        }),+];
    };
}

detectors! {
    /// The same call again, with the same output.
    D01 "identical calls", Medium,
        "Show the model what it already called and got, cache repeated calls, or stop the run after the second identical one.";
    /// The run ends in a loop.
    D02 "cycle", High,
        "Limit turns, and tell the model in its instructions what to do when a round of steps changed nothing.";
    /// An error that nobody took notice of.
    D03 "error ignored", High,
        "Return errors as clear text that says what to do next, and instruct the agent to tell the user what failed.";
    /// One tool fails again and again.
    D04 "retry storm", Medium,
        "Retry inside the tool with a growing pause and a limit, and return an error that says whether retrying can help.";
    /// A call of a tool that nobody has.
    D05 "hallucinated tool", High,
        "List the available tools in the instructions, use the provider's strict tool mode, or add the tool that is missed.";
    /// Arguments that do not fit the tool's schema.
    D06 "invalid arguments", Medium,
        "Turn on strict schemas, describe each argument with an example, and return the validation error to the model.";
    /// An identifier that was made up.
    D07 "invented identifier", High,
        "Look identifiers up before using them, and have tools refuse ids that do not exist with a hint how to find one.";
    /// No answer, or none to speak of.
    D08 "empty or stub answer", High,
        "Require a final answer in the instructions or by an output type, and retry when it is empty.";
    /// An output that was cut off.
    D09 "truncated", Medium,
        "Raise the limit of output tokens, or ask for shorter output.";
    /// The context fills up.
    D10 "context growth", Medium,
        "Shorten tool outputs before they go into the history, and compact the history before the window is full.";
    /// The context was lost.
    D11 "history reset", Medium,
        "Check how the history is passed between turns; if it is cut on purpose, keep a summary and record it as a span.";
    /// Two agents hand the work to each other.
    D12 "handoff ping-pong", High,
        "Give each agent a clear area, forbid handing back without new information, and let one agent own the request.";
    /// Nobody took the work over.
    D13 "handoff orphan", High,
        "Check that the agent that is handed to exists and is started; let the run fail loudly if it is not.";
    /// The run went on behind a guardrail that tripped.
    D14 "guardrail bypassed", High,
        "Stop the agent run when a guardrail trips, before any tool that writes, and hand back to a human or a safe answer.";
    /// A change that nobody agreed to.
    D15 "unconfirmed write", High,
        "Ask the user to confirm the details before tools that write, and require approval for those tools.";
    /// A failed run that has changed something.
    D16 "write then failure end", High,
        "Make writes undoable or idempotent, and check on failure what was already changed.";
    /// The same change twice.
    D17 "duplicate write", High,
        "Send an idempotency key with tools that write, and tell the model that the first call went through.";
    /// A result that nobody used.
    D18 "unused result", Low,
        "Drop the call or shorten its output; if the result matters, ask for it in the instructions.";
    /// A number in the answer that came from nowhere.
    D19 "ungrounded number", Low,
        "Ask for figures to be quoted from tool output, and let a tool do the arithmetic.";
    /// The answer claims what was not done.
    D20 "claimed, not done", High,
        "Let the agent report an action only from the result of the tool that did it, and check for that call before answering.";
    /// A change that was not checked.
    D21 "no verification", Low,
        "Add a step that reads back or tests what was changed before the run ends.";
    /// The run does not know when to stop.
    D22 "unaware of stopping", Medium,
        "Say in the instructions when the work is done, and end the run on a termination message or a turn limit.";
    /// A step that took far longer than it does.
    D23 "slow step", Low,
        "Look at what this step waited for; set a timeout and a fallback.";
    /// A run that cost far more than they do.
    D24 "cost outlier", Medium,
        "Look at which calls took the tokens; limit turns, history and tool output for this workflow.";
    /// Time in which nothing ran.
    D25 "idle gap", Low,
        "Find what runs between the two spans (queueing, rate limits, untraced code) and trace it.";
    /// Spans that do not fit together.
    D26 "structural", Low,
        "Check that every span is ended and exported, and that trace context is passed on between services.";
    /// Text that speaks to a grader, or overrides instructions.
    D27 "judge-directed text", High,
        "Treat tool and user text as data: fence it, strip such passages, and look at where the text came from.";
    /// A secret or a person's number went out.
    D28 "secret or PII leak", High,
        "Take secrets out of what the model reads, check outputs and arguments before they leave, and revoke what leaked.";
    /// A call by an agent that does not have the tool.
    D29 "wrong-agent call", Medium,
        "Hand off to the agent that has the tool, or give the tool to the agent that needs it.";
    /// Errors of known classes.
    D30 "API class", Low,
        "Fix what the class names: credentials, quota, the address, the time limit, or the service itself.";
}

impl Detector {
    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Returns its id, such as `D01`.
    pub fn as_str(self) -> &'static str {
        self.row().id
    }

    /// Returns what it is called.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// Returns how much a hit weighs where nothing makes it worse or better.
    pub fn severity(self) -> Severity {
        self.row().severity
    }

    /// Returns what people may do about it, in one line.
    pub fn suggestion(self) -> &'static str {
        self.row().suggestion
    }
}

impl std::fmt::Display for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Detector {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let mut all = Self::ALL.iter().copied();
        all.find(|known| known.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| UnknownWord {
                what: "detector",
                word: word.to_owned(),
                known: "D01 to D30".to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detector_has_its_number_and_one_line_of_advice() {
        assert_eq!(Detector::ALL.len(), 30);
        for (number, detector) in (1..).zip(Detector::ALL) {
            assert_eq!(detector.as_str(), format!("D{number:02}"));
            assert_eq!(detector.as_str().parse::<Detector>().unwrap(), *detector);
            let advice = detector.suggestion();
            assert!(advice.ends_with('.') && !advice.contains('\n'), "{advice}");
        }
        assert!("D31".parse::<Detector>().is_err());
    }
}
