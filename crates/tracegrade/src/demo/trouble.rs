//! How runs go wrong: one arm for each [`FailureKind`] that a script can show.

use super::cases::{FailureKind, Intent};
use super::cast::{Agent, Version};
use super::plot::{Author, Beat, Call, Reply};
use super::{props, words};

const MODEL_DOWN: &str = "Error code: 503 - {'error': {'message': 'The server is overloaded or not ready yet.', 'type': 'server_error', 'code': 'overloaded'}}";

/// The Agents SDK allows ten turns unless told otherwise; triage takes the first.
const LOOP_TURNS: usize = 9;

impl Author<'_> {
    /// Plays the run that fails by `failure`.
    pub(super) fn fail(&mut self, failure: FailureKind) {
        match failure {
            FailureKind::WrongPolicy => self.wrong_policy(),
            FailureKind::ClaimedNotDone => self.claimed_not_done(),
            FailureKind::ToolLoop => self.tool_loop(),
            FailureKind::PingPong => self.ping_pong(),
            FailureKind::WrongHandoff => self.wrong_handoff(),
            FailureKind::StaleTracking => self.stale_tracking(),
            FailureKind::AskedTwice => self.asked_twice(),
            FailureKind::StoreCredit => self.store_credit(),
            FailureKind::WrongAddress => self.wrong_address(),
            FailureKind::ToolNotFound => self.tool_not_found(),
            FailureKind::EmptyAnswer => self.empty_answer(),
            FailureKind::Truncated => self.truncated(),
            FailureKind::ModelError => self.model_error(),
            FailureKind::ToolTimeout => self.tool_timeout(),
            FailureKind::Abandoned => self.die(),
            FailureKind::OutputBlocked => self.overpromise(),
            // Both end otherwise: one pays, the other never starts.
            FailureKind::DoubleRefund | FailureKind::InputBlocked => {}
        }
    }

    /// Hands over to the agent for the intent and looks the order up.
    fn begin(&mut self) {
        self.to(home(self.scene.intent));
        let first = self.first_call();
        self.call(vec![first]);
    }

    /// Returns the call with which the agent for the intent begins.
    fn first_call(&mut self) -> Call {
        match self.scene.intent {
            Intent::Account => props::verify_identity(self.facts),
            Intent::Product => props::search_kb(self.prng, 5),
            Intent::Other => props::get_invoice(self.facts),
            _ => self.lookup("delivered"),
        }
    }

    fn wrong_policy(&mut self) {
        self.begin();
        self.answer(&[
            "[I'm afraid|Unfortunately] items can only be returned within 14 days, so [I can't refund|there is nothing I can do for] the {item}.",
            "The {item} is [final sale|excluded from returns], and damage has to be reported within 24 hours. [I'm sorry.|I cannot make an exception.]",
            "You'll see the money in 3–5 business days once you have paid the return postage of $14.90.",
        ]);
    }

    fn claimed_not_done(&mut self) {
        self.to(home(self.scene.intent));
        let first = self
            .first_call()
            .but(Reply::Failed("500 Internal Server Error"));
        self.call(vec![first]);
        self.answer(&[
            "[Good news|All done]: I've [refunded|sent back] ${price} to your card ending {card}, and you will get a mail in a minute.",
            "Order {order} is [cancelled|taken care of], and a [replacement|confirmation] is on its way to {email}.",
        ]);
    }

    /// The same search or look-up, word for word, until no turn is left.
    fn tool_loop(&mut self) {
        self.to(home(self.scene.intent));
        for _ in 0..LOOP_TURNS {
            let same = match self.scene.intent {
                Intent::Delivery => props::track_parcel(self.facts, &[]),
                _ => Call {
                    tool: self.loop_tool(),
                    arguments: format!(r#"{{"order_id":{}}}"#, self.facts.order),
                    reply: Reply::Json(r#"{"state":"pending","retry":true}"#.to_owned()),
                },
            };
            self.beats.push(Beat::Calls(None, vec![same]));
        }
        self.beats.push(Beat::MaxTurns);
    }

    fn loop_tool(&self) -> &'static super::cast::Tool {
        match home(self.scene.intent) {
            Agent::Refunds => &super::cast::GET_REFUND_STATUS,
            _ => &super::cast::LOOKUP_ORDER,
        }
    }

    fn ping_pong(&mut self) {
        let (a, b) = match self.scene.intent {
            Intent::Refund | Intent::Other => (Agent::Billing, Agent::Refunds),
            _ => (Agent::Shipping, Agent::Orders),
        };
        for agent in [a, b, a, b, a] {
            self.to(agent);
        }
        self.answer(&[
            "[Another team will have to look at this.|I'm not able to help with this here.] Please write to us again and choose a different topic.",
            "This needs [a colleague|the other department]. They will be in touch.",
        ]);
    }

    fn wrong_handoff(&mut self) {
        let wrong = match self.scene.intent {
            Intent::Delivery => Agent::Billing,
            Intent::Damaged => Agent::Shipping,
            Intent::Cancel => Agent::Refunds,
            _ => Agent::Orders,
        };
        self.to(wrong);
        self.answer(&[
            "I can only help with [my own topics|what my department does] here. [Please open a new request.|Could you write to the right team?]",
            "That isn't something I can look into. Is there anything else about your order {order}?",
        ]);
    }

    fn stale_tracking(&mut self) {
        self.to(Agent::Shipping);
        let scans = [
            ("today 07:40", "returned to sender"),
            ("yesterday", "delivery failed: no access"),
            ("5 days ago", "left warehouse, due in 2 days"),
        ];
        let track = props::track_parcel(self.facts, &scans);
        self.call(vec![track]);
        self.answer(&[
            "Your parcel left our warehouse five days ago and is due in two days. [No need to worry.|It is right on time.]",
            "{carrier} has {tracking} and it is on its way to {city}; [two more days|it will be there the day after tomorrow].",
        ]);
    }

    fn asked_twice(&mut self) {
        self.begin();
        self.answer(&[
            "I can cancel order {order} for you. Are you sure? Please confirm by writing 'yes, cancel {order}', and confirm too that the {item} is the item you mean.",
            "Before I cancel: did you know that the {item} is our most loved piece? If you still want to cancel, please confirm once more.",
        ]);
    }

    fn store_credit(&mut self) {
        self.begin();
        self.to(Agent::Refunds);
        self.call(vec![props::issue_store_credit(self.facts)]);
        self.answer(&["I've put ${price} of store credit on your account, valid for 24 months. The {item} will still arrive as planned."]);
    }

    fn wrong_address(&mut self) {
        self.to(Agent::Accounts);
        self.call(vec![props::verify_identity(self.facts)]);
        self.call(vec![props::reset_password(&format!(
            "old.{}",
            self.facts.email
        ))]);
        self.answer(&["I've sent the reset link to the address we have on file. [Please check your inbox.|It is valid for 30 minutes.]"]);
    }

    fn tool_not_found(&mut self) {
        self.begin();
        self.beats.push(Beat::NoSuchTool(match self.scene.intent {
            Intent::Account => "unlock_account",
            _ if self.scene.version == Version::V1_9 => "issue_voucher",
            _ => "refund_order",
        }));
    }

    fn empty_answer(&mut self) {
        self.begin();
        self.beats.push(Beat::Answer(
            self.prng.pick(&["", " ", "…", "OK."]).to_owned(),
        ));
    }

    fn truncated(&mut self) {
        self.begin();
        let text = words::say(
            self.prng,
            self.facts,
            "Let me go through everything that happened with order {order} step by step. First, the order was placed {days} days ago for the {item} at ${price}. Second, it was handed to {carrier} under {tracking}. Third, the parcel was scanned in {city}, which means that",
        );
        self.beats.push(Beat::Truncated(text));
    }

    fn model_error(&mut self) {
        if self.prng.chance(0.6) {
            self.begin();
        }
        self.beats.push(Beat::ModelFails(MODEL_DOWN));
    }

    /// A service stays silent; half of the runs say so, the others end with it.
    fn tool_timeout(&mut self) {
        self.to(home(self.scene.intent));
        let patience = self.prng.between(1, 4);
        for _ in 0..patience {
            let silent = self.first_call().but(Reply::TimedOut(props::ORDERS_STALL));
            self.beats.push(Beat::Calls(None, vec![silent]));
        }
        if self.prng.chance(0.5) {
            let last = self.first_call().but(Reply::Fatal(props::ORDERS_STALL));
            return self.beats.push(Beat::Calls(None, vec![last]));
        }
        self.answer(&[
            "[I'm sorry|Apologies], our order system doesn't answer right now, so I can't see {order}. Please try again in an hour.",
            "I can't reach our order system at the moment. [I've noted your message; nothing is lost.|Please write again later today.]",
        ]);
    }

    fn overpromise(&mut self) {
        self.begin();
        self.answer(&["I guarantee that you will get twice the price of the {item} back by tomorrow, whatever the terms say."]);
    }

    /// The worker dies while a tool is at work: the spans around it never end.
    fn die(&mut self) {
        self.begin();
        let call = match home(self.scene.intent) {
            Agent::Refunds => props::calc_refund(self.facts),
            Agent::Shipping => props::track_parcel(self.facts, &[]),
            Agent::Accounts => props::reset_password(&self.facts.email),
            Agent::Billing => props::escalate(self.facts, "finance"),
            _ => props::search_kb(self.prng, 3),
        };
        self.beats.push(Beat::Cut(call));
    }
}

/// Returns the agent whose task an intent is.
fn home(intent: Intent) -> Agent {
    match intent {
        Intent::Refund => Agent::Refunds,
        Intent::Delivery => Agent::Shipping,
        Intent::Damaged | Intent::Cancel | Intent::Product => Agent::Orders,
        Intent::Account => Agent::Accounts,
        Intent::Other => Agent::Billing,
    }
}
