//! D18: a result that nobody used.
//!
//! The words of all texts are hashed once; for each it is known where it was told first and where the
//! model said it last. Linear in the texts.

use hashbrown::HashMap;
use model::Content;

use super::facts::{Call, Facts, Utterance, Voice};
use super::words::Words;
use super::{Found, Severity};

/// Shorter results say little that could be used again.
const RESULT_CHARS_MIN: usize = 20;

/// So many words in a row are a quotation.
const QUOTED_WORDS: usize = 6;

/// A result of which no new word, and no six words in a row, come back in anything that the model says
/// later, to people or to tools. Writes are left out: it is enough that they succeeded. Where the model
/// says nothing to people behind a result, as agents that only write queries, what it made of it cannot
/// be told.
pub(super) fn unused_result(facts: &Facts<'_>) -> Found {
    if facts.view.row.content == Content::None {
        return Err("no content");
    }
    let utterances = facts.utterances().ok_or("too much text")?;
    let reads = reads(facts, utterances);
    if reads.is_empty() {
        return Err("no results with words of the model behind them");
    }
    let words = Words::default();
    let index = Index::of(utterances, &words);
    let mut hits = Vec::new();
    for (call, number) in reads {
        let news = index.news(&utterances[number].text, number, &words);
        if news.count > 0 && !news.is_used {
            let evidence = format!(
                "{} gave back {} new words, and none of them comes up in what was said later",
                call.name, news.count
            );
            hits.push(facts.hit(Severity::Low, &[call.at], evidence));
        }
    }
    Ok(hits)
}

/// Returns the reads whose results can be looked for, each with the number of its first utterance.
fn reads<'f, 'v>(facts: &'f Facts<'v>, utterances: &[Utterance<'_>]) -> Vec<(&'f Call<'v>, usize)> {
    let is_answer = |said: &Utterance<'_>| said.voice == Voice::Model;
    let Some(answered_last) = utterances.iter().rposition(is_answer) else {
        return Vec::new();
    };
    let mut results: HashMap<u32, usize> = HashMap::new();
    for (number, said) in utterances[..answered_last].iter().enumerate() {
        if said.voice == Voice::Tool {
            results.entry(said.at).or_insert(number);
        }
    }
    let reads = facts.calls().iter();
    let reads = reads.filter(|call| !call.is_write && !call.has_failed);
    let found = reads.filter_map(|call| Some((call, *results.get(&call.at)?)));
    let is_long = |text: &str| text.chars().nth(RESULT_CHARS_MIN - 1).is_some();
    found
        .filter(|(_, number)| is_long(&utterances[*number].text))
        .collect()
}

/// Where each word was told first and said last, as numbers of utterances.
struct Index {
    first: HashMap<u64, usize>,
    last_said: HashMap<u64, usize>,
    last_quoted: HashMap<u64, usize>,
}

/// What a result has that was not told before.
struct News {
    count: usize,
    is_used: bool,
}

impl Index {
    fn of(utterances: &[Utterance<'_>], words: &Words) -> Self {
        let mut index = Self {
            first: HashMap::new(),
            last_said: HashMap::new(),
            last_quoted: HashMap::new(),
        };
        for (number, said) in utterances.iter().enumerate() {
            let is_said = matches!(said.voice, Voice::Model | Voice::Arguments);
            let mut run = Run::default();
            for (_, hash) in words.of(&said.text) {
                index.first.entry(hash).or_insert(number);
                if is_said {
                    index.last_said.insert(hash, number);
                    if let Some(run) = run.push(hash) {
                        index.last_quoted.insert(words.together(run), number);
                    }
                }
            }
        }
        index
    }

    fn news(&self, text: &str, number: usize, words: &Words) -> News {
        let is_later = |known: &HashMap<u64, usize>, hash: u64| {
            known.get(&hash).is_some_and(|last| *last > number)
        };
        let mut news = News {
            count: 0,
            is_used: false,
        };
        let mut run = Run::default();
        for (word, hash) in words.of(text) {
            let is_telling = word.len() > 3 || word.bytes().any(|byte| byte.is_ascii_digit());
            if is_telling && self.first.get(&hash) == Some(&number) {
                news.count += 1;
                news.is_used |= is_later(&self.last_said, hash);
            }
            if let Some(run) = run.push(hash) {
                news.is_used |= is_later(&self.last_quoted, words.together(run));
            }
        }
        news
    }
}

/// The last words of a text.
#[derive(Debug, Default)]
struct Run {
    words: [u64; QUOTED_WORDS],
    len: usize,
}

impl Run {
    fn push(&mut self, word: u64) -> Option<[u64; QUOTED_WORDS]> {
        self.words.rotate_left(1);
        self.words[QUOTED_WORDS - 1] = word;
        self.len += 1;
        (self.len >= QUOTED_WORDS).then_some(self.words)
    }
}
