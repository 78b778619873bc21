//! Text that no two messages share, so that what a store saves by compression is saved honestly.
//!
//! Words are drawn evenly and every tenth is a number, which makes it harder to compress than prose.

use crate::prng::Prng;

/// Appends `count` words, as sentences; nothing in them needs an escape in JSON but the line breaks,
/// which are written as such.
pub(crate) fn write(out: &mut Vec<u8>, prng: &mut Prng, count: usize) {
    for number in 0..count {
        match prng.below(40) {
            0 if number > 0 => out.extend_from_slice(br".\n"),
            1 | 2 if number > 0 => out.extend_from_slice(b". "),
            3 | 4 if number > 0 => out.extend_from_slice(b", "),
            _ if number > 0 => out.push(b' '),
            _ => {}
        }
        if prng.below(10) == 0 {
            out.extend_from_slice(prng.below(100_000).to_string().as_bytes());
        } else {
            out.extend_from_slice(WORDS[prng.below(WORDS.len())].as_bytes());
        }
    }
}

#[rustfmt::skip]
const WORDS: [&str; 658] = [
    "account", "address", "advice", "after", "agent", "agreed", "allowance", "amount", "answer",
    "apologise", "appears", "application", "approve", "arrange", "arrived", "assembly", "attach",
    "attempt", "august", "automatic", "available", "average", "balance", "banner", "barcode",
    "basket", "battery", "before", "belongs", "below", "beside", "better", "billing", "blocked",
    "border", "bottle", "bracket", "branch", "bright", "broken", "browser", "budget", "builder",
    "bundle", "button", "cabinet", "cable", "calendar", "called", "cancel", "capacity", "card",
    "carrier", "carton", "case", "catalogue", "ceramic", "chain", "change", "charge", "charger",
    "check", "checkout", "choose", "city", "claim", "clear", "client", "closed", "coat", "code",
    "collect", "colour", "combine", "comment", "compare", "complain", "complete", "concern",
    "condition", "confirm", "connect", "consider", "contact", "contents", "contract", "copper",
    "corner", "correct", "cotton", "country", "coupon", "courier", "cover", "crate", "credit",
    "cushion", "customer", "cycle", "daily", "damaged", "database", "date", "dealer", "december",
    "decide", "decline", "default", "defect", "delay", "deliver", "department", "deposit",
    "describe", "detail", "device", "different", "digital", "direct", "discount", "dispatch",
    "display", "distance", "document", "double", "doubt", "drawer", "driver", "during", "early",
    "easily", "eight", "either", "electric", "email", "empty", "enclosed", "engine", "enough",
    "entry", "envelope", "equal", "error", "escalate", "evening", "event", "exact", "example",
    "except", "exchange", "expect", "expire", "explain", "export", "express", "extra", "fabric",
    "factory", "failed", "family", "faster", "fault", "feature", "february", "fee", "feedback",
    "field", "figure", "file", "final", "finance", "first", "fixed", "floor", "follow", "foreign",
    "forward", "fourth", "fragile", "freight", "friday", "friend", "frozen", "fuel", "full",
    "further", "garden", "gather", "general", "gift", "glass", "global", "goods", "granted",
    "green", "gross", "ground", "group", "guarantee", "guess", "guide", "half", "handle", "harbour",
    "hardware", "heavy", "height", "helpful", "history", "holder", "holiday", "home", "hotel",
    "hour", "house", "however", "hundred", "image", "import", "include", "increase", "index",
    "indoor", "inform", "initial", "inner", "input", "inquiry", "inside", "inspect", "install",
    "instead", "insurance", "interest", "internal", "invoice", "island", "issue", "item", "january",
    "jacket", "join", "journey", "july", "june", "keep", "keyboard", "kitchen", "label", "lamp",
    "language", "large", "later", "latest", "launch", "layer", "leather", "leave", "left", "legal",
    "length", "letter", "level", "library", "licence", "light", "limit", "linen", "listed",
    "loaded", "local", "located", "locker", "logged", "longer", "lost", "lower", "luggage",
    "machine", "mail", "maintain", "manager", "manual", "margin", "market", "match", "material",
    "matter", "maximum", "measure", "medium", "member", "memory", "merchant", "message", "metal",
    "method", "middle", "minimum", "minute", "mirror", "missing", "mobile", "model", "modern",
    "monday", "monitor", "month", "morning", "motor", "mount", "moved", "multiple", "museum",
    "narrow", "nearest", "needed", "network", "neutral", "never", "next", "night", "nine", "normal",
    "north", "notice", "november", "number", "object", "obtain", "october", "offer", "office",
    "often", "online", "open", "operator", "option", "orange", "order", "origin", "other", "outlet",
    "outside", "overdue", "owner", "package", "paid", "paint", "pair", "pallet", "panel", "paper",
    "parcel", "partial", "partner", "passed", "password", "pattern", "payment", "pending",
    "percent", "perhaps", "period", "person", "phone", "photo", "picked", "picture", "pieces",
    "plan", "plastic", "platform", "please", "plenty", "plug", "pocket", "point", "policy",
    "polite", "portable", "position", "postal", "postcode", "pound", "powder", "power", "prefer",
    "prepare", "present", "press", "previous", "price", "printer", "priority", "private", "problem",
    "process", "product", "profile", "promise", "proof", "proper", "protect", "provide", "public",
    "purchase", "purpose", "quality", "quantity", "quarter", "question", "queue", "quick", "quiet",
    "quote", "radio", "rain", "raise", "range", "rapid", "rather", "reach", "ready", "reason",
    "receipt", "recent", "record", "reduce", "refer", "refund", "refuse", "region", "register",
    "regular", "related", "release", "remain", "remove", "renewal", "repair", "repeat", "replace",
    "reply", "report", "request", "require", "reserve", "reset", "resolve", "respond", "rest",
    "result", "retail", "return", "review", "reward", "right", "ring", "river", "road", "roll",
    "roof", "room", "rough", "round", "route", "rubber", "sale", "sample", "saturday", "saved",
    "scale", "scanner", "schedule", "screen", "search", "season", "seat", "second", "section",
    "secure", "select", "seller", "send", "sensor", "separate", "september", "serial", "series",
    "service", "seven", "several", "shared", "sheet", "shelf", "shipment", "shop", "short",
    "should", "shown", "signal", "signature", "silver", "similar", "simple", "single", "site",
    "size", "skipped", "slow", "small", "smooth", "socket", "software", "sold", "solid", "solve",
    "source", "south", "spare", "special", "speed", "spring", "square", "stable", "staff", "stage",
    "stamp", "standard", "station", "status", "steel", "step", "stock", "stolen", "stop", "storage",
    "store", "straight", "street", "strong", "style", "subject", "submit", "success", "suggest",
    "summary", "summer", "sunday", "supplier", "support", "surface", "switch", "system", "table",
    "tablet", "target", "tariff", "team", "technical", "temporary", "terms", "test", "textile",
    "thank", "third", "thread", "thursday", "ticket", "tight", "timber", "title", "today",
    "together", "tomorrow", "torch", "total", "touch", "tower", "track", "trade", "traffic",
    "train", "transfer", "transit", "travel", "trial", "truck", "trust", "tuesday", "twelve",
    "twice", "type", "unable", "under", "unit", "unknown", "until", "unusual", "update", "upgrade",
    "upper", "urgent", "useful", "usual", "vacuum", "valid", "valley", "value", "vehicle", "vendor",
    "verify", "version", "vessel", "visit", "voice", "voltage", "volume", "voucher", "waiting",
    "wallet", "warehouse", "warning", "warranty", "washed", "watch", "water", "weather", "website",
    "wednesday", "week", "weight", "welcome", "west", "wheel", "white", "whole", "wide", "window",
    "winter", "wire", "wireless", "within", "without", "wooden", "wool", "worker", "world",
    "wrapped", "written", "wrong", "yard", "year", "yellow", "yesterday", "zero", "zone",
];
