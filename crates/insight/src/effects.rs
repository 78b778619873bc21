//! Which tools change the world?
//!
//! Nobody tells. A project may list its tools that write; for the others the first verb in the name
//! speaks. A name without a verb that we know counts as reading.

use hashbrown::HashSet;

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
    writes: Option<HashSet<String>>,
}

impl Effects {
    /// Returns the effects of a project that lists the tools that write: no others do.
    pub fn declared(writes: impl IntoIterator<Item = String>) -> Self {
        Self {
            writes: Some(writes.into_iter().collect()),
        }
    }

    /// Returns whether a call of this tool changes something.
    pub fn is_write(&self, tool: &str) -> bool {
        match &self.writes {
            Some(writes) => writes.contains(tool),
            None => first_word(tool).is_some_and(|word| {
                WRITING_VERBS
                    .iter()
                    .any(|verb| word.eq_ignore_ascii_case(verb))
            }),
        }
    }
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
}
