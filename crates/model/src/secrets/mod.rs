//! What in a text is a secret or names a person: keys, cards, addresses, telephones, accounts.
//!
//! Recognisers know what such things look like and check what can be checked: brands and check digits
//! of cards, countries and check digits of accounts, forms in which people write telephones. They look
//! at each text once.

mod figures;
mod keys;
mod phones;
mod scan;

/// No recogniser finds anything in a shorter text: `a@b.co`.
const BYTES_MIN: usize = 6;

/// What is recognised without a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recogniser {
    /// Keys and tokens of services, private keys, passwords in URLs.
    Key,
    /// Numbers of payment cards.
    Card,
    /// Addresses of e-mail.
    Email,
    /// Telephones.
    Phone,
    /// Addresses of machines, version 4 and 6.
    Ip,
    /// Numbers of bank accounts.
    Iban,
    /// US social security numbers.
    Ssn,
}

impl Recogniser {
    /// Every recogniser.
    pub const ALL: [Self; 7] = [
        Self::Key,
        Self::Card,
        Self::Email,
        Self::Phone,
        Self::Ip,
        Self::Iban,
        Self::Ssn,
    ];

    /// Returns the word for it in settings, marks and counts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Card => "card",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ip => "ip",
            Self::Iban => "iban",
            Self::Ssn => "ssn",
        }
    }
}

/// A set of recognisers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recognisers(u8);

impl Recognisers {
    /// Returns the set of these.
    pub fn of(kinds: &[Recogniser]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | 1 << *kind as u8))
    }

    /// Returns whether nothing is looked for.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, kind: Recogniser) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Returns what is found in a text. Two kinds may find the same stretch, or parts of it.
    pub fn find(self, text: &str) -> Vec<Secret> {
        let mut found = Vec::new();
        if text.len() >= BYTES_MIN {
            if self.0 & !Self::of(&[Recogniser::Key]).0 != 0 {
                scan::scan(text, self, &mut found);
            }
            if self.has(Recogniser::Key) {
                keys::scan(text, &mut found);
            }
        }
        found
    }
}

/// A stretch of a text, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// Where it begins, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
    /// What it is.
    pub kind: Recogniser,
}

impl Secret {
    fn new(start: usize, end: usize, kind: Recogniser) -> Self {
        Self { start, end, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_found() {
        let text = "card 4111 1111 1111 1111, ssn 536-22-1234, a@example.com";
        let kinds = |set: &[Recogniser]| {
            let found = Recognisers::of(set).find(text);
            found.iter().map(|found| found.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&[Recogniser::Card]), [Recogniser::Card]);
        assert_eq!(
            kinds(&Recogniser::ALL),
            [Recogniser::Card, Recogniser::Ssn, Recogniser::Email]
        );
        assert_eq!(kinds(&[]), []);
    }
}
