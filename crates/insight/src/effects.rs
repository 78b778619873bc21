//! Which tools change the world?
//!
//! Nobody tells. A project may say of its tools whether they write; for the others the first verb in the
//! name speaks. A name without a verb that we know counts as reading.

use hashbrown::HashMap;

/// The first words of names of tools that change something.
const WRITING_VERBS: &[&str] = &[
    "add",
    "apply",
    "approve",
    "assign",
    "authorize",
    "block",
    "book",
    "buy",
    "cancel",
    "charge",
    "checkout",
    "close",
    "commit",
    "confirm",
    "create",
    "delete",
    "deploy",
    "disable",
    "edit",
    "enable",
    "exchange",
    "execute",
    "grant",
    "insert",
    "issue",
    "merge",
    "modify",
    "move",
    "order",
    "pay",
    "place",
    "post",
    "publish",
    "purchase",
    "push",
    "put",
    "refund",
    "register",
    "reject",
    "remove",
    "rename",
    "replace",
    "reply",
    "reserve",
    "reset",
    "return",
    "revoke",
    "save",
    "schedule",
    "send",
    "set",
    "submit",
    "subscribe",
    "transfer",
    "unsubscribe",
    "update",
    "upload",
    "upgrade",
    "write",
];

/// Tells which tools write.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Whether tools of these names write.
    told: HashMap<String, bool>,
    /// Whether tools write whose names begin so, the longest beginnings first.
    begun: Vec<(String, bool)>,
    /// Whether all others write; `None`: their names speak.
    others: Option<bool>,
}

impl Effects {
    /// Returns the effects of a project that lists the tools that write: no others do.
    pub fn declared(writes: impl IntoIterator<Item = String>) -> Self {
        Self {
            told: writes.into_iter().map(|name| (name, true)).collect(),
            begun: Vec::new(),
            others: Some(false),
        }
    }

    /// Returns the effects of a project that says of some tools whether they write. A name that ends in a
    /// star stands for all that begin so; of two that fit the longer counts, and one without a star first.
    pub fn told(tools: impl IntoIterator<Item = (String, bool)>) -> Self {
        let mut effects = Self::default();
        for (name, writes) in tools {
            match name.strip_suffix('*') {
                Some(begun) => effects.begun.push((begun.to_owned(), writes)),
                None => drop(effects.told.insert(name, writes)),
            }
        }
        effects
            .begun
            .sort_by_key(|(begun, _)| std::cmp::Reverse(begun.len()));
        effects
    }

    /// Returns whether a call of this tool changes something.
    pub fn is_write(&self, tool: &str) -> bool {
        let begun = || {
            let mut begun = self.begun.iter();
            begun
                .find(|(begun, _)| tool.starts_with(begun))
                .map(|(_, writes)| *writes)
        };
        let told = self.told.get(tool).copied().or_else(begun);
        told.or(self.others).unwrap_or_else(|| sounds_like_it(tool))
    }
}

/// Returns whether the name says that it writes.
fn sounds_like_it(tool: &str) -> bool {
    first_word(tool).is_some_and(|word| {
        WRITING_VERBS
            .iter()
            .any(|verb| word.eq_ignore_ascii_case(verb))
    })
}

/// Returns the first word of a name in snake case, kebab case or camel case; what stands before the
/// last dot, slash or double underscore names a server or a module.
pub(crate) fn first_word(name: &str) -> Option<&str> {
    let name = name.rsplit(['.', '/']).next()?;
    let name = name.rsplit("__").next()?.trim_start_matches('_');
    let end = name
        .char_indices()
        .skip(1)
        .find(|(_, c)| !c.is_ascii_lowercase())
        .map_or(name.len(), |(at, _)| at);
    name.get(..end).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_verb_of_a_name_speaks_unless_the_project_does() {
        let guessed = Effects::default();
        for write in [
            "book_flight",
            "sendEmail",
            "crm.update-order",
            "mcp__shop__Cancel",
            "delete",
        ] {
            assert!(guessed.is_write(write), "{write}");
        }
        for read in [
            "search_flights",
            "get_order",
            "bookkeeping",
            "address",
            "résumé",
            "",
            "__",
        ] {
            assert!(!guessed.is_write(read), "{read}");
        }
        let declared = Effects::declared(["get_order".to_owned()]);
        assert!(declared.is_write("get_order") && !declared.is_write("book_flight"));
    }

    #[test]
    fn what_a_project_says_goes_before_what_a_name_says() {
        let told = [
            ("get_or_make", true),
            ("book_*", false),
            ("book_for_good_*", true),
            ("crm.*", true),
            ("crm.look", false),
        ];
        let told = Effects::told(told.map(|(name, writes)| (name.to_owned(), writes)));
        for (tool, want) in [
            ("get_or_make", true),
            ("book_flight", false),
            ("book_for_good_and_all", true),
            ("crm.find", true),
            ("crm.look", false),
            // Of these nothing was said.
            ("cancel_order", true),
            ("find_order", false),
        ] {
            assert_eq!(told.is_write(tool), want, "{tool}");
        }
    }
}
