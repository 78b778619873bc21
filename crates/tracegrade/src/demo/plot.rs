//! What happens in a run: a scene goes in, the beats that an agent run consists of come out.
//!
//! Beats are plain data. They know what the model decides and what tools reply; they know nothing of
//! spans, time or tokens, which [`super::run`] adds. The runs that fail are in [`super::trouble`].

use super::cases::{FailureKind, Intent, Outcome};
use super::cast::{Agent, Tool, Version};
use super::prng::Prng;
use super::props;
use super::words::{self, Facts, say};

/// What is decided about a run before it is played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    pub(super) intent: Intent,
    pub(super) version: Version,
    pub(super) outcome: Outcome,
    /// Whether the payment service stalls on the first call.
    pub(super) payment_stalls: bool,
    /// Whether a tool fails once and the run gets over it.
    pub(super) hiccup: bool,
    pub(super) twist: Twist,
}

/// What sets a customer's message apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twist {
    /// Nothing.
    Plain,
    /// Another language or script: an index into [`words::FOREIGN`].
    Foreign(usize),
    /// Something is tried: an index into [`words::HOSTILE`].
    Hostile(usize),
    /// The lamp that cracked twice, the story's own case: its first, second or third message.
    Lamp(usize),
}

/// A run as it will be played.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) opening: String,
    /// The input guardrail that trips.
    pub(super) input_block: Option<&'static str>,
    /// The output guardrail that trips.
    pub(super) output_block: Option<&'static str>,
    pub(super) beats: Vec<Beat>,
}

impl Script {
    /// Returns the answer that the customer got, if any.
    pub(super) fn last_words(&self) -> Option<&str> {
        match self.beats.last() {
            Some(Beat::Answer(text) | Beat::Truncated(text)) => Some(text.as_str()),
            _ => None,
        }
    }
}

/// One turn: what the model decides, and what follows from it.
#[derive(Debug)]
pub(super) enum Beat {
    /// It calls tools, in parallel if several, perhaps after a thought it shows.
    Calls(Option<String>, Vec<Call>),
    /// It hands over.
    Handoff(Agent),
    /// It answers, and the run ends.
    Answer(String),
    /// It answers, is cut at the token limit, and the run ends.
    Truncated(String),
    /// It is not reached: the provider's error ends the run.
    ModelFails(&'static str),
    /// It calls a tool that does not exist, which ends the run.
    NoSuchTool(&'static str),
    /// The limit of turns is reached, which ends the run.
    MaxTurns,
    /// The worker dies, or the story ends, in the middle of this call.
    Cut(Call),
}

/// One tool call with its reply.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) tool: &'static Tool,
    /// JSON text.
    pub(super) arguments: String,
    pub(super) reply: Reply,
}

/// What comes back from a tool.
#[derive(Debug)]
pub(super) enum Reply {
    /// JSON text.
    Json(String),
    /// Plain text.
    Text(String),
    /// An error that the model is told of.
    Failed(&'static str),
    /// No reply within ten seconds; the model is told.
    TimedOut(&'static str),
    /// No reply within ten seconds; the run ends with it.
    Fatal(&'static str),
    /// An agent used as a tool, and what it does.
    Expert(Agent, Vec<Beat>),
}

/// Returns how `scene` is played for the customer of `facts`. `opening` draws the customer's words
/// alone, so that both versions of the agents hear the same.
pub(super) fn script(scene: &Scene, facts: &Facts, opening: &mut Prng, prng: &mut Prng) -> Script {
    let mut script = Script {
        opening: open(scene, facts, opening),
        ..Script::default()
    };
    if let Twist::Hostile(i) = scene.twist {
        script.input_block = words::HOSTILE[i].1;
    }
    if script.input_block.is_some() {
        return script;
    }
    let mut author = Author {
        scene,
        facts,
        prng,
        hiccup: scene.hiccup,
        beats: Vec::new(),
    };
    match scene.outcome.failure {
        None | Some(FailureKind::DoubleRefund) => author.resolve(),
        Some(failure) => author.fail(failure),
    }
    if scene.outcome.failure == Some(FailureKind::OutputBlocked) {
        script.output_block = Some("policy_claims");
    }
    script.beats = author.beats;
    script
}

fn open(scene: &Scene, facts: &Facts, prng: &mut Prng) -> String {
    match scene.twist {
        Twist::Plain => words::opening(prng, facts, scene.intent),
        Twist::Foreign(i) => say(prng, facts, words::FOREIGN[i].0),
        Twist::Hostile(i) => words::HOSTILE[i].0.to_owned(),
        Twist::Lamp(part) => LAMP_OPENINGS[part].to_owned(),
    }
}

/// The lamp's messages; the third is the case.
const LAMP_OPENINGS: [&str; 3] = [
    "Hi, the Halo S lamp from order 8841 arrived cracked along the base. Photo attached. Could you send another one?",
    "Has the new lamp for order 8841 left yet? I'd like to be at home when it comes.",
    "The replacement lamp you sent for order 8841 arrived cracked too. I don't want another one. Can I just get my money back? It's been three weeks.",
];

/// The part of the lamp's story that both versions are tested with.
pub(super) const LAMP_CASE: Twist = Twist::Lamp(2);

/// Writes the beats of one script, front to back.
#[derive(Debug)]
pub(super) struct Author<'a> {
    pub(super) scene: &'a Scene,
    pub(super) facts: &'a Facts,
    pub(super) prng: &'a mut Prng,
    /// Whether the passing fault is still to come.
    hiccup: bool,
    pub(super) beats: Vec<Beat>,
}

impl Author<'_> {
    /// Hands over to `agent`.
    pub(super) fn to(&mut self, agent: Agent) {
        self.beats.push(Beat::Handoff(agent));
    }

    /// Calls tools; the first of them fails once before, if that was decided.
    pub(super) fn call(&mut self, calls: Vec<Call>) {
        if std::mem::take(&mut self.hiccup)
            && let Some(first) = calls.first()
        {
            let error = self.prng.pick(&[
                "503 Service Unavailable: upstream connect error or disconnect before headers",
                "429 Too Many Requests: retry after 1 s",
                "validation error: expected an integer, got \"#4431\"",
            ]);
            let faulty = Call {
                tool: first.tool,
                arguments: first.arguments.clone(),
                reply: Reply::Failed(error),
            };
            self.beats.push(Beat::Calls(None, vec![faulty]));
        }
        self.beats.push(Beat::Calls(None, calls));
    }

    /// Calls one tool after saying why.
    fn think(&mut self, thought: &str, call: Call) {
        self.beats
            .push(Beat::Calls(Some(thought.to_owned()), vec![call]));
    }

    /// Answers with one of `templates` and ends.
    pub(super) fn answer(&mut self, templates: &[&'static str]) {
        let template = self.prng.pick(templates);
        let text = say(self.prng, self.facts, template);
        self.beats.push(Beat::Answer(text));
    }

    pub(super) fn lookup(&mut self, state: &str) -> Call {
        props::lookup_order(self.prng, self.facts, state)
    }

    fn resolve(&mut self) {
        match (self.scene.twist, self.scene.intent) {
            (Twist::Lamp(0), _) => self.first_lamp(),
            (Twist::Lamp(1), _) => self.delivery(),
            (Twist::Lamp(_), _) => self.lamp(),
            (Twist::Foreign(i), _) => self.foreign(words::FOREIGN[i].1),
            (_, Intent::Refund) => self.refund(),
            (_, Intent::Damaged) => self.damaged(),
            (_, Intent::Delivery) => self.delivery(),
            (_, Intent::Cancel) => self.cancel(),
            (_, Intent::Account) => self.account(),
            (_, Intent::Product) => self.product(),
            (_, Intent::Other) => self.other(),
        }
    }

    fn first_lamp(&mut self) {
        self.to(Agent::Orders);
        let lookup = self.lookup("delivered");
        let policy = props::search_kb(self.prng, 0);
        let photo = props::inspect_photo(self.prng);
        self.call(vec![lookup, policy, photo]);
        self.call(vec![props::send_replacement(self.facts)]);
        self.answer(&["I'm sorry that the {item} arrived cracked. A new one leaves our warehouse tomorrow, free of charge. You can keep or recycle the first one."]);
    }

    /// The path of the double refund: three calls at once, a photo, a time-out, and what each version makes
    /// of it.
    fn lamp(&mut self) {
        self.to(Agent::Orders);
        let lookup = self.lookup("delivered");
        let track = props::track_parcel(
            self.facts,
            &[
                ("19 Nov", "replacement delivered"),
                ("2 Nov", "original delivered"),
            ],
        );
        let policy = props::search_kb(self.prng, 0);
        self.call(vec![lookup, track, policy]);
        if self.scene.version == Version::V1_9 {
            let photo = props::inspect_photo(self.prng);
            self.think("The replacement also arrived damaged, so KB-212 §3 applies: full refund, no return needed. I'll check the photo first.", photo);
        }
        self.to(Agent::Refunds);
        self.call(vec![props::calc_refund(self.facts)]);
        self.pay("replacement damaged");
        self.answer(match self.scene.outcome.failure {
            Some(FailureKind::DoubleRefund) => &["I'm sorry both lamps arrived damaged. I've refunded ${price} to your Visa ending {card}. You'll see it in 3–5 business days, and there's no need to send anything back."],
            _ => &["I'm sorry both lamps arrived damaged. A refund of ${price} is already on its way to your Visa ending {card}. Expect it in 7–10 business days, once your bank confirms."],
        });
    }

    /// Pays the money back, through a stalled payment service if that was decided.
    pub(super) fn pay(&mut self, reason: &str) {
        let lost = self.prng.id("re_", 4);
        let refund = self.prng.id("re_", 4);
        let pay = |refund: &str| props::issue_refund(self.facts, reason, refund);
        let (first, second) = (pay(&lost), pay(&refund));
        if !self.scene.payment_stalls {
            return self.call(vec![first]);
        }
        self.call(vec![first.but(Reply::TimedOut(props::PAYMENTS_STALL))]);
        match self.scene.outcome.failure {
            Some(FailureKind::DoubleRefund) => {
                self.think("The refund call timed out. I'll try again.", second)
            }
            _ => {
                let status = props::get_refund_status(self.facts, &lost);
                self.think("The payment service did not answer. It may have paid all the same; I look before I try again.", status);
            }
        }
    }

    fn refund(&mut self) {
        let charged_twice = self.prng.chance(0.2);
        if charged_twice {
            self.to(Agent::Billing);
            self.call(vec![props::get_invoice(self.facts)]);
        }
        self.to(Agent::Refunds);
        let mut calls = vec![self.lookup("returned")];
        // The share of runs that read the policy first is what v1.9.0's prompt was changed for.
        if self.prng.chance(if self.scene.version == Version::V1_9 {
            0.885
        } else {
            0.71
        }) {
            calls.push(props::ask_policy(
                self.prng,
                if charged_twice { 2 } else { 1 },
            ));
        }
        self.call(calls);
        self.call(vec![props::calc_refund(self.facts)]);
        self.pay("customer return");
        self.answer(&[
            "[I've refunded|I have sent] ${price} [to your Visa ending {card}|back to the Visa ending {card}]. It takes [7 to 10|7–10] business days to show. [You need not do anything else.|Thanks for sending the {item} back.]",
            "[Done|That's done]: ${price} for the {item} goes back to the card ending {card}. [Banks take 7 to 10 business days.|Please allow 7 to 10 business days.]",
            "Your refund for order {order} is on its way: ${price} to the card ending {card}, in 7 to 10 business days. [Sorry that it took a second message.|I'm sorry the {item} wasn't right.]",
        ]);
    }

    fn damaged(&mut self) {
        self.to(Agent::Orders);
        let lookup = self.lookup("delivered");
        let policy = props::search_kb(self.prng, 0);
        self.call(vec![lookup, policy]);
        if self.prng.chance(if self.scene.version == Version::V1_9 {
            0.6
        } else {
            0.4
        }) {
            let photo = props::inspect_photo(self.prng);
            self.call(vec![photo]);
        }
        if !self.scene.payment_stalls && self.prng.chance(0.45) {
            self.call(vec![props::send_replacement(self.facts)]);
            return self.answer(&[
                "I'm sorry that the {item} arrived [damaged|broken]. A new one leaves our warehouse tomorrow, free of charge. [You can keep or recycle the first one.|No need to send the first one back.]",
                "That should not happen. [I've ordered a replacement|A replacement is on its way]: another {item}, leaving tomorrow, at no cost to you.",
            ]);
        }
        self.to(Agent::Refunds);
        self.call(vec![props::calc_refund(self.facts)]);
        self.pay("damaged in transit");
        self.answer(&[
            "I'm sorry about the {item}. I've refunded ${price} to the card ending {card}; it takes 7 to 10 business days. [You need not send it back.|Please recycle it if you can.]",
            "A parcel should arrive whole. ${price} goes back to your card ending {card} within 7 to 10 business days.",
        ]);
    }

    fn delivery(&mut self) {
        self.to(Agent::Shipping);
        let lookup = self.lookup("in transit");
        let (scans, lost): (&[(&str, &str)], _) = match self.prng.below(3) {
            0 => (
                &[
                    ("today 06:12", "out for delivery"),
                    ("yesterday", "arrived at depot"),
                    ("3 days ago", "left warehouse"),
                ],
                false,
            ),
            1 => (
                &[
                    ("6 days ago", "left depot"),
                    ("8 days ago", "left warehouse"),
                ],
                true,
            ),
            _ => (
                &[
                    ("yesterday", "held at depot: address unclear"),
                    ("2 days ago", "arrived at depot"),
                ],
                false,
            ),
        };
        let track = props::track_parcel(self.facts, scans);
        self.call(vec![lookup, track]);
        if lost {
            self.call(vec![props::send_replacement(self.facts)]);
            return self.answer(&["The parcel had its last scan six days ago, which we count as lost. [I've sent|I am sending] another {item}; it leaves tomorrow. [If the first one turns up, keep it.|Would you rather have the money back? Just say so.]"]);
        }
        self.answer(&[
            "[Good news:|I found it:] {tracking} had a scan at {carrier} [this morning|in the last day] and is [due today or tomorrow|close to {city}]. [If it isn't there in two days, write to me.|I'll keep an eye on it.]",
            "Your {item} is with {carrier} in {city}. The newest scan is from the last 24 hours. [They have not promised a day, so I won't either.|It should be with you in one or two days.]",
        ]);
    }

    fn foreign(&mut self, answer: &'static str) {
        self.to(Agent::Shipping);
        let lookup = self.lookup("in transit");
        let track = props::track_parcel(
            self.facts,
            &[
                ("heute 06:12", "unterwegs"),
                ("hier", "arrivé au dépôt · وصل إلى المستودع"),
            ],
        );
        self.call(vec![lookup, track]);
        self.answer(&[answer]);
    }

    fn cancel(&mut self) {
        self.to(Agent::Orders);
        let lookup = self.lookup("preparing");
        self.call(vec![lookup]);
        self.call(vec![props::cancel_order(self.facts)]);
        self.answer(&[
            "Order {order} is cancelled. The ${price} on your card ending {card} was only reserved and is free again today.",
            "[Done|All done]: {order} won't ship. You pay nothing; the reservation on the card ending {card} is released.",
        ]);
    }

    fn account(&mut self) {
        self.to(Agent::Accounts);
        self.call(vec![props::verify_identity(self.facts)]);
        self.call(vec![props::reset_password(&self.facts.email)]);
        self.answer(&[
            "I've sent a reset link to {email}. It is valid for 30 minutes. [Check the spam folder if it isn't there in a minute.|If it does not arrive, tell me.]",
            "You are verified, {name}, and a new link is on its way to {email}. [It works for half an hour.|Please use it within 30 minutes.]",
        ]);
    }

    fn product(&mut self) {
        self.to(Agent::Orders);
        let search = props::search_kb(self.prng, 5);
        self.call(vec![search]);
        if self.prng.chance(0.35) {
            let parts = props::search_kb(self.prng, 6);
            self.call(vec![parts]);
        }
        self.answer(&[
            "For the {item} our handbook says: [air wool, wash linen at 40 °C, oil wood once a year|a damp cloth and, once a year, some oil] (KB-410). [Does that help?|Anything else I can look up?]",
            "Spare parts for the {item} are free for five years (KB-422). [Tell me which one and I'll send it.|Which part do you need?]",
        ]);
    }

    fn other(&mut self) {
        self.to(Agent::Billing);
        self.call(vec![props::get_invoice(self.facts)]);
        if self.prng.chance(0.3) {
            let ticket = props::escalate(self.facts, "finance");
            self.call(vec![ticket]);
            return self.answer(&["I passed this to our finance team with all the details of order {order}. They answer within a day, to {email}."]);
        }
        self.answer(&[
            "You see two lines for order {order} because the shop first reserved ${price} and then took it. The reservation has lapsed; you paid once.",
            "The invoice INV-{order} over ${price} is in your account under 'Orders'. [I've also sent it to {email}.|Tell me if you need a VAT number on it.]",
        ]);
    }
}
