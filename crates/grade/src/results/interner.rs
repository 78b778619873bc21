//! Many ids as small numbers: each text is kept once, all in one piece of memory.
//!
//! A run may have ten million grades. Their ids in strings of their own would take ten times what the
//! grades do.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Texts by number, and numbers by text.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    text: String,
    /// Where each text ends.
    ends: Vec<usize>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Interner {
    /// Makes room for so many texts of so many bytes each.
    pub(crate) fn with_capacity(texts: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(texts * bytes),
            ends: Vec::with_capacity(texts),
            places: HashTable::with_capacity(texts),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Returns about how many bytes so many texts of so many bytes each take.
    pub(crate) fn bytes_expected(texts: usize, bytes: usize) -> usize {
        // of eight places of the table seven are used, and their number is a power of two
        let places = (texts * 8).div_ceil(7).next_power_of_two();
        texts * (bytes + size_of::<usize>()) + places * (size_of::<u32>() + 1)
    }

    /// Returns the number of a text, which is new if the text is.
    pub(crate) fn number(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        if let Some(known) = self.find(text, hash) {
            return known;
        }
        let number = u32::try_from(self.ends.len()).expect("a run has fewer than 2³² items");
        self.text.push_str(text);
        self.ends.push(self.text.len());
        let (all, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        let rehash = |it: &u32| hasher.hash_one(slice(all, ends, *it));
        self.places.insert_unique(hash, number, rehash);
        number
    }

    /// Returns the number of a text that is known.
    pub(crate) fn get(&self, text: &str) -> Option<u32> {
        self.find(text, self.hasher.hash_one(text))
    }

    /// Returns the text of a number.
    pub(crate) fn text(&self, number: u32) -> &str {
        slice(&self.text, &self.ends, number)
    }

    /// Returns how many texts there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns about how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.places.allocation_size()
    }

    fn find(&self, text: &str, hash: u64) -> Option<u32> {
        let same = |it: &u32| slice(&self.text, &self.ends, *it) == text;
        self.places.find(hash, same).copied()
    }
}

fn slice<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let at = number as usize;
    let start = at.checked_sub(1).map_or(0, |before| ends[before]);
    &text[start..ends[at]]
}

#[cfg(test)]
mod tests {
    use super::Interner;

    #[test]
    fn a_text_has_one_number_and_a_number_one_text() {
        let mut ids = Interner::default();
        let texts: Vec<String> = (0..5_000).map(|i| format!("id {}", i % 2_500)).collect();
        let numbers: Vec<u32> = texts.iter().map(|text| ids.number(text)).collect();
        assert_eq!(ids.len(), 2_500);
        for (text, number) in texts.iter().zip(numbers) {
            assert_eq!(
                (ids.text(number), ids.get(text)),
                (text.as_str(), Some(number))
            );
        }
        assert_eq!((ids.number(""), ids.get("none")), (2_500, None));
    }
}
