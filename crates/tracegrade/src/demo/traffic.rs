//! Who comes when: two weeks of customers, two regression runs, an outage and a release.
//!
//! Everything is planned before anything is played. A plan is small and holds the truth of its
//! trace, so truths and highlights need no trace to be written. Times count from `until`:
//!
//! | when | what |
//! |---|---|
//! | day −12, 02:00 | regression run of v1.8.2 |
//! | day −5 | canary of v1.9.0, 15 % of the traffic |
//! | day −3, 09:40–13:05 | outage: the order database and the payment service stall, the model's provider is overloaded |
//! | day −3, 15:00 | half of the traffic on v1.9.0 |
//! | day −1, 02:00 | regression run of v1.9.0 |
//! | day −1, 03:30 and 11:00 | the nightly reconciliation; a long coding run |
//! | day −1, 14:00 | all traffic on v1.9.0 |

use std::sync::Arc;

use model::Time;
use serde_json::{Value, json};

use super::cases::{self, FailureKind, Intent, Outcome, Truth};
use super::cast::Version;
use super::plot::{self, LAMP_CASE, Scene, Script, Twist};
use super::prng::Prng;
use super::trace::Shape;
use super::words::{self, FOREIGN, Facts, HOSTILE};

pub(super) const SUPPORT: &str = "support-triage";
pub(super) const RECONCILE: &str = "nightly-reconcile";
pub(super) const CODEFIX: &str = "storefront-codefix";

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// No run of a customer takes longer, so that none that starts earlier ends after `until`.
const RUN_MAX: i64 = 10 * MINUTE;

/// One trace to be played.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) at: Time,
    /// Names the chance of this trace; no two plans share it.
    pub(super) label: u64,
    pub(super) role: Role,
}

/// What kind of trace it is.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// A message of a conversation: which, and its place.
    Talk(Arc<Conversation>, usize),
    /// The batch with 20,000 spans.
    Reconcile,
    /// The coding run of 60 turns.
    Codefix,
}

/// A customer and all that passes between them and the agents.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) facts: Facts,
    /// Names the chance of the customer's words, which do not depend on the version.
    pub(super) words: u64,
    pub(super) scenes: Vec<(Scene, u64)>,
    pub(super) group: Option<String>,
    pub(super) shape: Shape,
    pub(super) environment: &'static str,
    pub(super) tags: Vec<&'static str>,
    pub(super) case: Option<String>,
    /// Still running at `until`.
    pub(super) live: bool,
}

impl Plan {
    /// Returns the id of the trace, known before it is played.
    pub(super) fn trace_id(&self, seed: u64) -> String {
        Prng::new(seed, self.label).id("trace_", 32)
    }

    /// Returns what is true of the trace; nothing is yet of one that is still running.
    pub(super) fn truth(&self, seed: u64) -> Option<Truth> {
        let trace_id = self.trace_id(seed);
        let of_batch = |workflow| Truth {
            trace_id: self.trace_id(seed),
            workflow,
            case: None,
            version: Version::V1_9,
            intent: None,
            resolved: true,
            failure: None,
        };
        match &self.role {
            Role::Reconcile => Some(of_batch(RECONCILE)),
            Role::Codefix => Some(of_batch(CODEFIX)),
            Role::Talk(talk, _) if talk.live => None,
            Role::Talk(talk, place) => {
                let scene = talk.scenes[*place].0;
                Some(Truth {
                    trace_id,
                    workflow: SUPPORT,
                    case: talk.case.clone(),
                    version: scene.version,
                    intent: Some(scene.intent),
                    resolved: scene.outcome.resolved,
                    failure: scene.outcome.failure,
                })
            }
        }
    }
}

impl Role {
    pub(super) fn version(&self) -> Version {
        match self {
            Self::Talk(talk, place) => talk.scenes[*place].0.version,
            Self::Reconcile | Self::Codefix => Version::V1_9,
        }
    }

    pub(super) fn workflow(&self) -> &'static str {
        match self {
            Self::Talk(..) => SUPPORT,
            Self::Reconcile => RECONCILE,
            Self::Codefix => CODEFIX,
        }
    }

    pub(super) fn group(&self) -> Option<&str> {
        match self {
            Self::Talk(talk, _) => talk.group.as_deref(),
            Self::Reconcile | Self::Codefix => None,
        }
    }

    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Talk(talk, _) => talk.shape,
            Self::Reconcile | Self::Codefix => Shape {
                chat: false,
                full: false,
                content: true,
            },
        }
    }

    /// Returns the metadata that the application gives its trace.
    pub(super) fn metadata(&self) -> Value {
        let Self::Talk(talk, place) = self else {
            let version = Version::V1_9.as_str();
            return json!({"version": version, "agent_id": self.workflow(), "environment": "production", "tags": ["internal"]});
        };
        let scene = talk.scenes[*place].0;
        let mut metadata = json!({
            "version": scene.version.as_str(),
            "agent_id": SUPPORT,
            "user_id": talk.facts.user,
            "environment": talk.environment,
            "tags": talk.tags,
            "intent": scene.intent.as_str(),
        });
        if let Some(case) = &talk.case {
            metadata["case"] = case.as_str().into();
            metadata["case_set"] = "regression v7".into();
        }
        metadata
    }
}

impl Conversation {
    /// Returns how the message at `place` is played. The customer's words depend on the conversation
    /// alone, what the agents do on the run.
    pub(super) fn script(&self, place: usize, seed: u64) -> Script {
        let (scene, label) = &self.scenes[place];
        let mut words = Prng::new(seed, self.words ^ ((place as u64 + 1) << 44));
        let mut acts = Prng::new(seed, label ^ (1 << 42));
        let mut script = plot::script(scene, &self.facts, &mut words, &mut acts);
        if place > 0 && scene.twist == Twist::Plain {
            script.opening = words::again(&mut words, &self.facts) + &script.opening;
        }
        script
    }
}

/// Returns every plan, in the order of time.
pub(super) fn plans(until: Time, seed: u64) -> Vec<Plan> {
    let mut planner = Planner {
        until,
        midnight: until.day() as i64 * DAY,
        prng: Prng::new(seed, 1),
        next: 1_000,
        plans: Vec::new(),
        foreign: 0,
        hostile: 0,
    };
    planner.regression(seed, Version::V1_8, planner.on(-12, 2 * HOUR));
    planner.regression(seed, Version::V1_9, planner.on(-1, 2 * HOUR));
    planner.production();
    planner.lamp();
    planner.live();
    let (batch, coding) = (
        planner.on(-1, 3 * HOUR + 30 * MINUTE),
        planner.on(-1, 11 * HOUR),
    );
    planner.push(batch, Role::Reconcile);
    planner.push(coding, Role::Codefix);
    planner.plans.sort_by_key(|plan| (plan.at, plan.label));
    planner.plans
}

/// Returns whether the outage of day −3 is on at `at`.
pub(super) fn is_outage(until: Time, at: Time) -> bool {
    let begin = (i64::from(until.day()) - 3) * DAY + 9 * HOUR + 40 * MINUTE;
    (begin..begin + 205 * MINUTE).contains(&at.as_micros())
}

struct Planner {
    until: Time,
    /// The start of `until`'s day.
    midnight: i64,
    prng: Prng,
    next: u64,
    plans: Vec<Plan>,
    /// How many customers wrote so far in another language, and how many tried something: these
    /// texts take turns, so that all of them are there.
    foreign: usize,
    hostile: usize,
}

/// Customers an hour of a weekday, from midnight UTC.
const DAY_CURVE: [f64; 24] = [
    0.8, 0.6, 0.5, 0.5, 0.6, 1.0, 2.0, 3.6, 5.6, 6.7, 7.2, 6.7, 6.2, 6.7, 7.2, 6.7, 6.2, 5.6, 5.2,
    5.2, 4.6, 3.1, 2.0, 1.2,
];

impl Planner {
    /// Returns the moment `micros` into the day that lies `day` days from `until`'s.
    fn on(&self, day: i64, micros: i64) -> Time {
        Time::from_micros(self.midnight + day * DAY + micros)
    }

    fn label(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn push(&mut self, at: Time, role: Role) {
        let label = self.label();
        self.plans.push(Plan { at, label, role });
    }

    fn regression(&mut self, seed: u64, version: Version, from: Time) {
        for case in cases::cases(seed) {
            let is_lamp = case.number == cases::LAMP_CASE;
            let outcome = case.outcome(version);
            let mut facts = Prng::new(seed, 10_000_000 + u64::from(case.number));
            let scene = Scene {
                intent: case.intent,
                version,
                outcome,
                payment_stalls: case.payment_stalls,
                hiccup: !is_lamp && outcome.failure.is_none() && self.prng.chance(0.08),
                twist: if is_lamp { LAMP_CASE } else { Twist::Plain },
            };
            let dies = outcome.failure == Some(FailureKind::Abandoned);
            let talk = Conversation {
                facts: if is_lamp {
                    Facts::of_the_lamp()
                } else {
                    Facts::new(&mut facts)
                },
                words: 20_000_000 + u64::from(case.number),
                scenes: vec![(scene, self.label())],
                group: None,
                shape: Shape {
                    chat: false,
                    full: dies,
                    content: true,
                },
                environment: "ci",
                tags: vec!["regression"],
                case: Some(case.id()),
                live: false,
            };
            let at = from
                .plus_micros(i64::from(case.number) * 4_900_000 + self.prng.between(0, 900_000));
            self.push(at, Role::Talk(Arc::new(talk), 0));
        }
    }

    fn production(&mut self) {
        for hour in 0..14 * 24 {
            let from = self.until.plus_micros(-14 * DAY + hour * HOUR);
            // 1970-01-01 was a Thursday.
            let weekend = matches!((from.day() + 3).rem_euclid(7), 5 | 6);
            let of_day = from.hour().rem_euclid(24) as usize;
            let expected = DAY_CURVE[of_day] * if weekend { 0.55 } else { 1.0 };
            let count = (expected * (0.8 + 0.4 * self.prng.unit()) + self.prng.unit()) as usize;
            for _ in 0..count {
                let at = from.plus_micros(self.prng.below(HOUR as usize) as i64);
                self.conversation(at);
            }
        }
    }

    /// Plans a customer who first writes at `first`.
    fn conversation(&mut self, first: Time) {
        let messages = match self.prng.below(100) {
            0..55 => 1,
            55..80 => 2,
            80..92 => 3,
            92..97 => 4,
            _ => 5,
        };
        let mut at = first;
        let mut scenes = Vec::new();
        let mut times = Vec::new();
        let mut intent = self.intent();
        let newest = self.until.plus_micros(-RUN_MAX);
        while scenes.len() < messages && at < newest {
            let scene = self.scene(at, intent, scenes.is_empty());
            scenes.push((scene, self.label()));
            times.push(at);
            at = at
                .plus_micros(RUN_MAX / 2 + (self.prng.lognormal(9.0, 1.1) * MINUTE as f64) as i64);
            if self.prng.chance(0.3) {
                intent = self.intent();
            }
            // A conversation ends with a blocked message.
            if scene.outcome.failure == Some(FailureKind::InputBlocked) {
                break;
            }
        }
        let talk = Arc::new(self.talk(scenes));
        for (place, at) in times.into_iter().enumerate() {
            self.push(at, Role::Talk(talk.clone(), place));
        }
    }

    fn talk(&mut self, scenes: Vec<(Scene, u64)>) -> Conversation {
        let dies = scenes
            .iter()
            .any(|(scene, _)| scene.outcome.failure == Some(FailureKind::Abandoned));
        let channel = self.prng.pick(&["web", "app", "mail"]);
        let mut tags = vec![channel];
        if self.prng.chance(0.06) {
            tags.push("vip");
        }
        if scenes.iter().any(|(scene, _)| scene.twist != Twist::Plain) {
            tags.push("reviewed");
        }
        Conversation {
            facts: Facts::new(&mut self.prng),
            words: self.label(),
            scenes,
            group: Some(self.prng.id("s_", 8)),
            shape: Shape {
                chat: self.prng.chance(0.12),
                full: self.prng.chance(0.12) || (dies && self.prng.chance(0.8)),
                content: !self.prng.chance(0.02),
            },
            environment: if self.prng.chance(0.05) {
                "staging"
            } else {
                "production"
            },
            tags,
            case: None,
            live: false,
        }
    }

    fn intent(&mut self) -> Intent {
        match self.prng.below(412) {
            0..96 => Intent::Refund,
            96..184 => Intent::Delivery,
            184..245 => Intent::Damaged,
            245..299 => Intent::Cancel,
            299..346 => Intent::Account,
            346..387 => Intent::Product,
            _ => Intent::Other,
        }
    }

    /// Returns the version that serves a message at `at`.
    fn version(&mut self, at: Time) -> Version {
        let share = match at {
            at if at < self.on(-5, 0) => 0.0,
            at if at < self.on(-3, 15 * HOUR) => 0.15,
            at if at < self.on(-1, 14 * HOUR) => 0.5,
            _ => 1.0,
        };
        if self.prng.chance(share) {
            Version::V1_9
        } else {
            Version::V1_8
        }
    }

    fn scene(&mut self, at: Time, intent: Intent, is_first: bool) -> Scene {
        let version = self.version(at);
        let good = Outcome {
            resolved: true,
            failure: None,
        };
        let scene = Scene {
            intent,
            version,
            outcome: good,
            payment_stalls: false,
            hiccup: false,
            twist: Twist::Plain,
        };
        let twist = self.prng.below(1_000);
        match twist {
            0..14 if is_first => return self.hostile(scene),
            14..74 if is_first => {
                self.foreign += 1;
                let twist = Twist::Foreign(self.foreign % FOREIGN.len());
                return Scene {
                    intent: Intent::Delivery,
                    twist,
                    ..scene
                };
            }
            _ => {}
        }
        let outage = is_outage(self.until, at);
        let pays = matches!(intent, Intent::Refund | Intent::Damaged);
        if pays && self.prng.chance(if outage { 0.5 } else { 0.035 }) {
            return self.stalled(scene);
        }
        let failed = |failure| Outcome {
            resolved: false,
            failure: Some(failure),
        };
        let outcome = match self.prng.below(1_000) {
            0..550 if outage && intent != Intent::Product => failed(FailureKind::ToolTimeout),
            550..700 if outage => failed(FailureKind::ModelError),
            0..4 => failed(FailureKind::Abandoned),
            4..9 => failed(FailureKind::ModelError),
            _ if self
                .prng
                .chance(if version == Version::V1_9 { 0.16 } else { 0.22 }) =>
            {
                cases::bad(self.prng.below(60), intent, version)
            }
            _ => good,
        };
        let hiccup = outcome.resolved && self.prng.chance(if outage { 0.6 } else { 0.09 });
        Scene {
            outcome,
            hiccup,
            ..scene
        }
    }

    /// The payment service stalls, and v1.9.0 is quick to pay again.
    fn stalled(&mut self, scene: Scene) -> Scene {
        let again = self.prng.chance(if scene.version == Version::V1_9 {
            0.9
        } else {
            0.05
        });
        let failure = again.then_some(FailureKind::DoubleRefund);
        Scene {
            payment_stalls: true,
            outcome: Outcome {
                resolved: true,
                failure,
            },
            ..scene
        }
    }

    fn hostile(&mut self, scene: Scene) -> Scene {
        self.hostile += 1;
        let i = self.hostile % HOSTILE.len();
        let outcome = match HOSTILE[i].1 {
            Some(_) => Outcome {
                resolved: false,
                failure: Some(FailureKind::InputBlocked),
            },
            None => scene.outcome,
        };
        Scene {
            intent: Intent::Other,
            twist: Twist::Hostile(i),
            outcome,
            ..scene
        }
    }

    /// The story's own customer: two good days, then a refund that is paid twice.
    fn lamp(&mut self) {
        let twice = Some(FailureKind::DoubleRefund);
        let parts = [
            (Intent::Damaged, None),
            (Intent::Delivery, None),
            (Intent::Refund, twice),
        ];
        let scene = |(place, (intent, failure)): (usize, (Intent, Option<FailureKind>))| Scene {
            intent,
            version: Version::V1_9,
            outcome: Outcome {
                resolved: true,
                failure,
            },
            payment_stalls: failure.is_some(),
            hiccup: false,
            twist: Twist::Lamp(place),
        };
        let scenes: Vec<_> = parts
            .into_iter()
            .enumerate()
            .map(scene)
            .map(|scene| (scene, self.label()))
            .collect();
        let talk = Arc::new(Conversation {
            facts: Facts::of_the_lamp(),
            group: Some("s_71f3".to_owned()),
            shape: Shape {
                chat: false,
                full: false,
                content: true,
            },
            environment: "production",
            tags: vec!["web", "vip"],
            ..self.talk(scenes)
        });
        for (place, hours) in [46, 22, 2].into_iter().enumerate() {
            let at = self.until.plus_micros(-hours * HOUR + 151 * SECOND);
            self.push(at, Role::Talk(talk.clone(), place));
        }
    }

    /// A customer whose run is not over at `until`.
    fn live(&mut self) {
        let scene = Scene {
            intent: Intent::Delivery,
            version: Version::V1_9,
            outcome: Outcome {
                resolved: false,
                failure: Some(FailureKind::Abandoned),
            },
            payment_stalls: false,
            hiccup: false,
            twist: Twist::Plain,
        };
        let scenes = vec![(scene, self.label())];
        let talk = Conversation {
            shape: Shape {
                chat: false,
                full: true,
                content: true,
            },
            environment: "production",
            live: true,
            ..self.talk(scenes)
        };
        // Its calls take less than this even if each takes as long as it can.
        let at = self.until.plus_micros(-50 * SECOND);
        self.push(at, Role::Talk(Arc::new(talk), 0));
    }
}
