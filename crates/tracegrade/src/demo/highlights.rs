//! What to look at first: traces worth opening, and commands worth typing.

use model::Time;

use super::cases::FailureKind;
use super::cast::Version;
use super::grading::LABELLED_GRADER;
use super::plot::{LAMP_CASE, Scene, Twist};
use super::traffic::{self, Plan, Role};
use super::words::HOSTILE;

/// A trace worth opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Highlight {
    /// What it is, in a few words.
    pub(crate) title: &'static str,
    /// The trace.
    pub(crate) trace_id: String,
    /// What there is to see.
    pub(crate) why: &'static str,
}

/// A command worth typing, without the program's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suggestion {
    /// The arguments, quoted for a shell.
    pub(crate) command: String,
    /// What it shows.
    pub(crate) why: &'static str,
}

/// A highlight before its trace is found.
struct Sought {
    title: &'static str,
    why: &'static str,
    /// Whether a plan of the story that ends at the given moment is the trace.
    is_it: fn(&Plan, Time) -> bool,
}

const fn sought(title: &'static str, why: &'static str, is_it: fn(&Plan, Time) -> bool) -> Sought {
    Sought { title, why, is_it }
}

const CASE_OLD: &str = "the same case in v1.8.2";
const CASE_NEW: &str = "the same case in v1.9.0";
const PAID_TWICE: &str = "a refund paid twice";
const BATCH: &str = "20,000 spans";

/// What is sought, the best first.
const SOUGHT: [Sought; 17] = [
    sought(
        PAID_TWICE,
        "issue_refund timed out, had gone through, and was called again with the same arguments: $258 for a lamp of $129",
        |p, _| twist(p, |t| t == Twist::Lamp(2)) && !is_case(p),
    ),
    sought(
        CASE_OLD,
        "it asked for the refund's status after the time-out and paid once",
        |p, _| is_lamp_case(p, Version::V1_8),
    ),
    sought(
        CASE_NEW,
        "its new prompt says not to give up after a failed call",
        |p, _| is_lamp_case(p, Version::V1_9),
    ),
    sought(
        BATCH,
        "the nightly reconciliation: deep, wide, and with agents at its leaves",
        |p, _| matches!(p.role, Role::Reconcile),
    ),
    sought(
        "60 turns of coding",
        "test output and files, all of which each turn resends",
        |p, _| matches!(p.role, Role::Codefix),
    ),
    sought(
        "a loop",
        "one call with the same arguments nine times, until no turn was left",
        |p, _| failed(p, FailureKind::ToolLoop),
    ),
    sought(
        "ping-pong",
        "two agents hand a customer back and forth, and neither helps",
        |p, _| failed(p, FailureKind::PingPong),
    ),
    sought(
        "in the outage",
        "the order database does not answer",
        |p, until| traffic::is_outage(until, p.at) && failed(p, FailureKind::ToolTimeout),
    ),
    sought(
        "a tool that does not exist",
        "the model called it all the same",
        |p, _| failed(p, FailureKind::ToolNotFound),
    ),
    sought(
        "stopped at the door",
        "an input guardrail trips on a message that tries something",
        |p, _| failed(p, FailureKind::InputBlocked),
    ),
    sought(
        "stopped on the way out",
        "an output guardrail trips on a promise",
        |p, _| failed(p, FailureKind::OutputBlocked),
    ),
    sought(
        "words meant for a judge",
        "a customer's message tells whoever grades what to say; D27 finds it, and no judge obeys",
        |p, _| twist(p, |t| matches!(t, Twist::Hostile(i) if speaks_to_judge(i))),
    ),
    sought(
        "text that tries something",
        "markup, terminal escapes or code, shown as text",
        |p, _| {
            twist(
                p,
                |t| matches!(t, Twist::Hostile(i) if HOSTILE[i].1.is_none() && !speaks_to_judge(i)),
            )
        },
    ),
    sought(
        "right to left",
        "a customer who writes Arabic or Hebrew",
        |p, _| twist(p, |t| matches!(t, Twist::Foreign(3 | 4))),
    ),
    sought(
        "without content",
        "sensitive data is off: names, times and tokens, no text",
        |p, _| !p.role.shape().content,
    ),
    sought(
        "abandoned",
        "its worker died; spans that never ended",
        |p, _| failed(p, FailureKind::Abandoned) && p.role.shape().full,
    ),
    sought(
        "still running",
        "a customer who waits at this moment",
        |p, _| matches!(&p.role, Role::Talk(talk, _) if talk.live),
    ),
];

/// Returns the traces of the story that are worth opening, the best first.
pub(crate) fn highlights(until: Time, seed: u64) -> Vec<Highlight> {
    let plans = traffic::plans(until, seed);
    let find = |sought: &Sought| {
        // The newest one: it is the one that lists show first.
        let plan = plans
            .iter()
            .rev()
            .find(|plan| (sought.is_it)(plan, until))?;
        Some(Highlight {
            title: sought.title,
            trace_id: plan.trace_id(seed),
            why: sought.why,
        })
    };
    SOUGHT.iter().filter_map(find).collect()
}

/// Returns the scene of a customer's message, unless it is still being played.
fn scene(plan: &Plan) -> Option<&Scene> {
    match &plan.role {
        Role::Talk(talk, place) if !talk.live => Some(&talk.scenes[*place].0),
        _ => None,
    }
}

fn failed(plan: &Plan, failure: FailureKind) -> bool {
    scene(plan).is_some_and(|scene| scene.outcome.failure == Some(failure))
}

fn twist(plan: &Plan, fits: fn(Twist) -> bool) -> bool {
    scene(plan).is_some_and(|scene| fits(scene.twist))
}

fn speaks_to_judge(hostile: usize) -> bool {
    HOSTILE[hostile].0.contains("As the evaluator")
}

fn is_case(plan: &Plan) -> bool {
    matches!(&plan.role, Role::Talk(talk, _) if talk.case.is_some())
}

fn is_lamp_case(plan: &Plan, version: Version) -> bool {
    is_case(plan) && twist(plan, |t| t == LAMP_CASE) && plan.role.version() == version
}

/// Returns commands that show something in the story; `runs` are the graded regression sets, the old
/// version first.
pub(crate) fn suggestions(until: Time, seed: u64, runs: Option<(&str, &str)>) -> Vec<Suggestion> {
    let highlights = highlights(until, seed);
    let id = |title: &str| {
        highlights
            .iter()
            .find(|h| h.title == title)
            .map(|h| h.trace_id.as_str())
    };
    let told = |command: String, why| Some(Suggestion { command, why });
    let plain = |command: &str, why| told(command.to_owned(), why);
    let with_id = |command: &str, title: &str, why| {
        id(title).and_then(|id| told(format!("{command} {id}"), why))
    };
    let (old, new) = (id(CASE_OLD), id(CASE_NEW));
    let compare = old.zip(new).and_then(|(old, new)| {
        told(
            format!("traces compare {old} {new}"),
            "where two versions part ways on one case",
        )
    });
    let of_runs = runs.map_or_else(Vec::new, |(old, new)| {
        vec![
            told(
                format!("runs results {new}"),
                "what came of a run, with how sure each number is",
            ),
            told(
                format!("gate --baseline {old} --candidate {new} --pair-by metadata.case"),
                "may the new version go out? Its exit code says it too",
            ),
            told(
                format!("failures --run {new}"),
                "what failing traces have in common",
            ),
            told(
                format!("calibrate {LABELLED_GRADER}"),
                "a judge held against people",
            ),
        ]
    });
    let mut all = vec![
        with_id(
            "traces show",
            PAID_TWICE,
            "the run that paid twice, as a conversation",
        ),
        with_id("traces tree", BATCH, "20,000 spans as a tree"),
        compare,
        plain(
            "traces list --status error --start-date -4d",
            "what failed around the outage",
        ),
        plain(
            "sql \"select version, count(*) as traces, avg(duration_ms) as ms from traces group by version\"",
            "the versions side by side",
        ),
        plain(
            "sql \"select name, count(*) as calls, sum(case when status = 'error' then 1 else 0 end) as errors from spans where type = 'function' group by name order by calls desc\"",
            "which tools fail",
        ),
        plain(
            "grade --check 'tool_errors == 0' --detector D17 --environment ci",
            "grade traces yourself; no model is asked for this",
        ),
        plain("graders list", "the graders of the demo, one of each kind"),
    ];
    all.extend(of_runs);
    all.into_iter().flatten().collect()
}
