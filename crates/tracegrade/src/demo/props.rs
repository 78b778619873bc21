//! What the tools reply: one function a tool, from the facts of the customer to a finished call.

use serde_json::json;

use super::cast::{self, Agent, Tool};
use super::plot::{Beat, Call, Reply};
use super::prng::Prng;
use super::words::Facts;

/// A call of `tool` with JSON for arguments and reply.
fn call(tool: &'static Tool, arguments: &serde_json::Value, reply: &serde_json::Value) -> Call {
    Call {
        tool,
        arguments: arguments.to_string(),
        reply: Reply::Json(reply.to_string()),
    }
}

pub(super) const PAYMENTS_STALL: &str = "deadline exceeded: payments did not reply in 10 s";
pub(super) const ORDERS_STALL: &str = "deadline exceeded: orders-db did not reply in 10 s";

impl Call {
    /// Returns the same call with another reply.
    pub(super) fn but(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }
}

pub(super) fn lookup_order(prng: &mut Prng, facts: &Facts, state: &str) -> Call {
    call(
        &cast::LOOKUP_ORDER,
        &json!({"order_id": facts.order}),
        &json!({
            "order_id": facts.order,
            "state": state,
            "placed_days_ago": facts.days,
            "customer": {"name": facts.name, "email": facts.email, "city": facts.city},
            "lines": [{"sku": facts.sku, "name": facts.item, "qty": 1, "unit_price": facts.price()}],
            "total": facts.price(),
            "currency": "USD",
            "payment": {"method": "card", "brand": "Visa", "last4": facts.card, "captured": true},
            "shipment": {"carrier": facts.carrier, "tracking": facts.tracking, "depot": prng.between(11, 84)},
        }),
    )
}

pub(super) fn track_parcel(facts: &Facts, scans: &[(&str, &str)]) -> Call {
    let events: Vec<_> = scans
        .iter()
        .map(|(day, what)| json!({"at": day, "scan": what}))
        .collect();
    call(
        &cast::TRACK_PARCEL,
        &json!({"order_id": facts.order, "tracking": facts.tracking}),
        &json!({"carrier": facts.carrier, "tracking": facts.tracking, "events": events}),
    )
}

/// Passages of the handbook: what is asked, clause, text.
const HANDBOOK: &[(&str, &str, &str)] = &[
    (
        "refund damaged replacement",
        "KB-212 §3",
        "If a replacement arrives damaged as well, the customer gets the full price back at once and need not return the item. Card refunds take 7 to 10 business days.",
    ),
    (
        "refund unwanted item",
        "KB-201 §1",
        "Unused items may be returned within 30 days of delivery. The refund is issued when the parcel is scanned at our dock; card refunds take 7 to 10 business days.",
    ),
    (
        "refund duplicate charge",
        "KB-207 §2",
        "A second capture for one order is refunded in full without approval. An authorisation that was not captured lapses by itself within 5 business days.",
    ),
    (
        "cancel order before shipping",
        "KB-118 §1",
        "An order can be cancelled free of charge until the carrier scans it. The authorisation is released the same day.",
    ),
    (
        "parcel without scans",
        "KB-305 §4",
        "A parcel without a scan for five days counts as lost. Offer a replacement or the money back; the customer chooses.",
    ),
    (
        "care and materials",
        "KB-410",
        "Wool: air, do not wash. Linen: 40 °C, line dry. Oiled wood: a damp cloth, and oil once a year.",
    ),
    (
        "spare parts",
        "KB-422 §1",
        "Screws, shades and feet are sent free of charge for five years after the purchase.",
    ),
    (
        "address change before delivery",
        "KB-311 §2",
        "The carrier may change an address once, before the parcel is out for delivery, for a parcel below $500.",
    ),
];

/// Returns a search of the handbook whose best passage is the one at `best`.
pub(super) fn search_kb(prng: &mut Prng, best: usize) -> Call {
    let best = best % HANDBOOK.len();
    let passage = |i: usize, score: f64| {
        let (_, clause, text) = HANDBOOK[i % HANDBOOK.len()];
        json!({"clause": clause, "score": score, "text": text})
    };
    let score = |prng: &mut Prng, from: i64| prng.between(from, from + 8) as f64 / 100.0;
    let (first, second) = (score(prng, 80), score(prng, 54));
    call(
        &cast::SEARCH_KB,
        &json!({"query": HANDBOOK[best].0, "top_k": 2}),
        &json!({"passages": [passage(best, first), passage(best + 3, second)]}),
    )
}

/// Returns the policy expert called as a tool: it searches, reads and answers in its own type.
pub(super) fn ask_policy(prng: &mut Prng, best: usize) -> Call {
    let (question, clause, text) = HANDBOOK[best % HANDBOOK.len()];
    let answer = json!({"clause": clause, "answer": text, "days_min": 7, "days_max": 10});
    let beats = vec![
        Beat::Calls(None, vec![search_kb(prng, best)]),
        Beat::Answer(answer.to_string()),
    ];
    Call {
        tool: &cast::ASK_POLICY,
        arguments: json!({"input": format!("What does the handbook say about: {question}?")})
            .to_string(),
        reply: Reply::Expert(Agent::PolicyExpert, beats),
    }
}

pub(super) fn inspect_photo(prng: &mut Prng) -> Call {
    let finding = prng.pick(&[
        "Crack along the base, consistent with impact",
        "Deep scratch across the front, fresh edges",
        "Corner crushed, packaging torn at the same place",
        "One leg snapped at the joint",
    ]);
    let confidence = prng.between(86, 97) as f64 / 100.0;
    call(
        &cast::INSPECT_PHOTO,
        &json!({"attachment": "att_1.jpg"}),
        &json!({"finding": finding, "confidence": confidence, "bytes": prng.between(900_000, 2_400_000)}),
    )
}

pub(super) fn calc_refund(facts: &Facts) -> Call {
    call(
        &cast::CALC_REFUND,
        &json!({"order_id": facts.order}),
        &json!({"order_id": facts.order, "refundable": facts.price(), "currency": "USD", "already_refunded": "0.00"}),
    )
}

/// Returns the payment. Neither version sends the idempotency key that the tool offers.
pub(super) fn issue_refund(facts: &Facts, reason: &str, refund: &str) -> Call {
    call(
        &cast::ISSUE_REFUND,
        &json!({"order_id": facts.order, "amount": f64::from(facts.cents) / 100.0, "currency": "USD", "reason": reason}),
        &json!({"refund_id": refund, "status": "succeeded", "amount": facts.price(), "card": facts.card}),
    )
}

pub(super) fn get_refund_status(facts: &Facts, refund: &str) -> Call {
    call(
        &cast::GET_REFUND_STATUS,
        &json!({"order_id": facts.order}),
        &json!({"refunds": [{"refund_id": refund, "amount": facts.price(), "status": "succeeded", "age_s": 14}]}),
    )
}

pub(super) fn issue_store_credit(facts: &Facts) -> Call {
    call(
        &cast::ISSUE_STORE_CREDIT,
        &json!({"order_id": facts.order, "amount": f64::from(facts.cents) / 100.0}),
        &json!({"credit_id": format!("cr_{}", facts.order), "amount": facts.price(), "valid_months": 24}),
    )
}

pub(super) fn cancel_order(facts: &Facts) -> Call {
    call(
        &cast::CANCEL_ORDER,
        &json!({"order_id": facts.order, "reason": "customer request"}),
        &json!({"order_id": facts.order, "state": "cancelled", "authorisation": "released"}),
    )
}

pub(super) fn send_replacement(facts: &Facts) -> Call {
    call(
        &cast::SEND_REPLACEMENT,
        &json!({"order_id": facts.order, "sku": facts.sku}),
        &json!({"order_id": facts.order, "replacement": facts.order + 20_000, "leaves": "tomorrow"}),
    )
}

pub(super) fn get_invoice(facts: &Facts) -> Call {
    call(
        &cast::GET_INVOICE,
        &json!({"order_id": facts.order}),
        &json!({
            "invoice": format!("INV-{}", facts.order),
            "total": facts.price(),
            "payments": [
                {"kind": "authorisation", "amount": facts.price(), "state": "lapsed"},
                {"kind": "capture", "amount": facts.price(), "state": "settled", "last4": facts.card},
            ],
        }),
    )
}

pub(super) fn verify_identity(facts: &Facts) -> Call {
    call(
        &cast::VERIFY_IDENTITY,
        &json!({"email": facts.email, "order_id": facts.order}),
        &json!({"verified": true, "account": facts.user, "current_email": facts.email, "changed_days_ago": 2}),
    )
}

pub(super) fn reset_password(address: &str) -> Call {
    call(
        &cast::RESET_PASSWORD,
        &json!({"email": address}),
        &json!({"sent_to": address, "valid_minutes": 30}),
    )
}

pub(super) fn escalate(facts: &Facts, team: &str) -> Call {
    call(
        &cast::ESCALATE,
        &json!({"summary": format!("Order {}: {} ({})", facts.order, facts.item, facts.name), "team": team}),
        &json!({"ticket": format!("T-{}", 30_000 + facts.order), "team": team, "answer_within_hours": 24}),
    )
}
