//! What was taken, what was not, and why?
//!
//! Senders of traces do not read answers, so what is refused is lost without anybody noticing. This
//! ledger notices: for each project and way in, it counts what was taken, the items refused by their
//! reason, and the requests turned away whole. It counts from the start of the process.

use std::collections::BTreeMap;

use model::{ProjectId, Source, Time};
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

/// The books. Their size is bounded by the projects there are, the ways in and the reasons, which
/// are all fixed or made by an admin.
#[derive(Debug)]
pub(crate) struct LossLedger {
    since: Time,
    accounts: Mutex<BTreeMap<(Option<ProjectId>, Source), Account>>,
}

/// One project's account of one way in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Account {
    /// Requests of which something was taken, or which had nothing.
    requests: u64,
    /// Items taken.
    accepted: u64,
    /// Items refused, by reason.
    rejected: BTreeMap<&'static str, u64>,
    /// Items accepted and not kept, for nobody could use them, by reason.
    ignored: BTreeMap<&'static str, u64>,
    /// How often something was taken out of what is kept, by what it was.
    redacted: BTreeMap<String, u64>,
    /// Requests turned away whole, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// When something was taken last.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_accepted_at: Option<Time>,
    /// When an item or a request was refused last.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_refused_at: Option<Time>,
}

/// One account with its owner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// The project; null where the sender was not admitted to any.
    #[schema(value_type = Option<String>)]
    project_id: Option<ProjectId>,
    /// The way in.
    #[schema(value_type = String)]
    source: Source,
    #[serde(flatten)]
    account: Account,
}

/// What became of the items of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome<'a> {
    pub(crate) accepted: usize,
    /// The reason of each item that was refused.
    pub(crate) rejected: &'a BTreeMap<&'static str, usize>,
    /// How many were accepted and are not kept, by reason.
    pub(crate) ignored: &'a [(&'static str, usize)],
    /// How often something was taken out, by what it was: words of settings, never what was found.
    pub(crate) redacted: &'a BTreeMap<String, u64>,
}

impl LossLedger {
    /// Returns empty books, opened at `since`.
    pub(crate) fn new(since: Time) -> Self {
        Self {
            since,
            accounts: Mutex::default(),
        }
    }

    /// Returns when the books were opened.
    pub(crate) fn since(&self) -> Time {
        self.since
    }

    /// Enters a request that was taken, with the items of it that were not.
    pub(crate) fn taken(
        &self,
        project: &ProjectId,
        source: Source,
        at: Time,
        outcome: Outcome<'_>,
    ) {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry((Some(project.clone()), source)).or_default();
        account.requests += 1;
        account.accepted += outcome.accepted as u64;
        if outcome.accepted > 0 {
            account.last_accepted_at = Some(at);
        }
        for (code, count) in outcome.rejected {
            *account.rejected.entry(code).or_default() += *count as u64;
            account.last_refused_at = Some(at);
        }
        for (code, count) in outcome.ignored.iter().filter(|(_, count)| *count > 0) {
            *account.ignored.entry(code).or_default() += *count as u64;
        }
        for (name, count) in outcome.redacted {
            *account.redacted.entry(name.clone()).or_default() += count;
        }
    }

    /// Enters items that were taken before and are not kept after all.
    pub(crate) fn ignored(
        &self,
        project: &ProjectId,
        source: Source,
        code: &'static str,
        count: u64,
    ) {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry((Some(project.clone()), source)).or_default();
        *account.ignored.entry(code).or_default() += count;
    }

    /// Enters a request that was turned away whole.
    pub(crate) fn refused(
        &self,
        project: Option<ProjectId>,
        source: Source,
        at: Time,
        code: &'static str,
    ) {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry((project, source)).or_default();
        *account.refused.entry(code).or_default() += 1;
        account.last_refused_at = Some(at);
    }

    /// Returns the accounts of one project, or all of them.
    pub(crate) fn entries(&self, of: Option<&ProjectId>) -> Vec<Entry> {
        let accounts = self.accounts.lock();
        let shown = accounts
            .iter()
            .filter(|((project, _), _)| of.is_none() || project.as_ref() == of);
        let entry =
            |((project, source), account): (&(Option<ProjectId>, Source), &Account)| Entry {
                project_id: project.clone(),
                source: *source,
                account: account.clone(),
            };
        shown.map(entry).collect()
    }
}

impl Entry {
    /// Returns each figure with its outcome (`accepted`, `rejected`, `ignored`, `refused`, `redacted`) and
    /// its reason.
    pub(crate) fn figures(&self) -> impl Iterator<Item = (&'static str, &str, u64)> {
        let redacted = self.account.redacted.iter();
        let redacted = redacted.map(|(name, n)| ("redacted", name.as_str(), *n));
        let with = |outcome: &'static str, counts: &BTreeMap<&'static str, u64>| {
            counts
                .iter()
                .map(move |(code, n)| (outcome, *code, *n))
                .collect::<Vec<_>>()
        };
        let accepted = std::iter::once(("accepted", "", self.account.accepted));
        accepted
            .chain(with("rejected", &self.account.rejected))
            .chain(with("ignored", &self.account.ignored))
            .chain(with("refused", &self.account.refused))
            .chain(redacted)
    }

    /// Returns the way in.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Returns the project, or an empty text.
    pub(crate) fn project(&self) -> &str {
        self.project_id.as_ref().map_or("", ProjectId::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_project_has_its_own_books_and_strangers_have_one_too() {
        let at = Time::from_micros;
        let ledger = LossLedger::new(at(1));
        let project = |id: &str| ProjectId::new(id).unwrap();
        let outcome = Outcome {
            accepted: 3,
            rejected: &BTreeMap::from([("bad_time", 2)]),
            ignored: &[("log_without_span", 2), ("log_without_genai", 0)],
            redacted: &BTreeMap::from([("email".to_owned(), 4)]),
        };
        ledger.taken(&project("a"), Source::Openai, at(2), outcome);
        ledger.taken(
            &project("a"),
            Source::Openai,
            at(3),
            Outcome {
                accepted: 0,
                rejected: &BTreeMap::new(),
                ignored: &[],
                redacted: &BTreeMap::new(),
            },
        );
        ledger.refused(Some(project("b")), Source::Openai, at(4), "memory_full");
        ledger.refused(None, Source::Openai, at(5), "invalid_api_key");
        let want = Account {
            requests: 2,
            accepted: 3,
            rejected: BTreeMap::from([("bad_time", 2)]),
            ignored: BTreeMap::from([("log_without_span", 2)]),
            redacted: BTreeMap::from([("email".to_owned(), 4)]),
            refused: BTreeMap::new(),
            last_accepted_at: Some(at(2)),
            last_refused_at: Some(at(2)),
        };
        let of_a = ledger.entries(Some(&project("a")));
        assert_eq!(of_a.len(), 1);
        assert_eq!(of_a[0].account, want);
        let figures: Vec<_> = of_a[0].figures().collect();
        assert_eq!(
            figures,
            [
                ("accepted", "", 3),
                ("rejected", "bad_time", 2),
                ("ignored", "log_without_span", 2),
                ("redacted", "email", 4)
            ]
        );
        let all = ledger.entries(None);
        assert_eq!(
            all.iter().map(Entry::project).collect::<Vec<_>>(),
            ["", "a", "b"]
        );
    }
}
