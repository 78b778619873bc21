//! Porter's stemmer with the extensions of nltk 3.9.1, which is the one that METEOR uses there.
//!
//! M. F. Porter, "An algorithm for suffix stripping" (1980). Where nltk departs from the paper, the code
//! says so.

/// Words that nltk stems by a table.
const IRREGULAR: &[(&str, &str)] = &[
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Returns the stem of a word in small letters.
pub(super) fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).to_owned();
    }
    let letters: Vec<char> = word.chars().collect();
    if letters.len() <= 2 {
        return word.to_owned();
    }
    let steps = [
        plurals,
        past_and_progressive,
        final_y,
        double_suffixes,
        full_and_ness,
        last_suffixes,
        final_e,
        double_l,
    ];
    let stem = steps.iter().fold(letters, |word, step| step(word));
    stem.into_iter().collect()
}

/// A word under the knife: its letters.
type Word = Vec<char>;

/// What must hold of what is left of a word.
type Condition = fn(&[char]) -> bool;

/// A suffix, what replaces it, and the condition.
type Rule = (&'static str, &'static str, Condition);

/// Tells of each letter, one after the other, whether it is a consonant. A y is one at the beginning and
/// behind a vowel, so in a run of them they take turns.
fn consonants(word: &[char]) -> impl Iterator<Item = bool> {
    word.iter().scan(false, |before, letter| {
        *before = match letter {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => !*before,
            _ => true,
        };
        Some(*before)
    })
}

/// Returns how often a consonant follows a vowel: Porter's m.
fn measure(word: &[char]) -> usize {
    let (before, behind) = (consonants(word), consonants(word).skip(1));
    before
        .zip(behind)
        .filter(|pair| *pair == (false, true))
        .count()
}

fn has_measure(word: &[char]) -> bool {
    measure(word) > 0
}

fn has_more_measure(word: &[char]) -> bool {
    measure(word) > 1
}

fn has_vowel(word: &[char]) -> bool {
    consonants(word).any(|consonant| !consonant)
}

fn ends_with_consonant(word: &[char]) -> bool {
    consonants(word).last() == Some(true)
}

fn ends_with_double_consonant(word: &[char]) -> bool {
    matches!(word, [.., a, b] if a == b) && ends_with_consonant(word)
}

/// Porter's *o: consonant, vowel, consonant other than w, x, y. For nltk a word of a vowel and a consonant
/// counts too.
fn ends_short(word: &[char]) -> bool {
    let kinds: Vec<bool> = consonants(word).collect();
    match (kinds.as_slice(), word.last()) {
        ([.., true, false, true], Some(last)) => !matches!(last, 'w' | 'x' | 'y'),
        ([false, true], _) => true,
        _ => false,
    }
}

/// Returns what stands before a suffix.
fn before<'a>(word: &'a [char], suffix: &str) -> Option<&'a [char]> {
    let at = word.len().checked_sub(suffix.len())?;
    let ends = word[at..].iter().copied().eq(suffix.chars());
    ends.then(|| &word[..at])
}

fn joined(stem: &[char], suffix: &str) -> Word {
    stem.iter().copied().chain(suffix.chars()).collect()
}

/// Applies the first rule whose suffix is there; if its condition does not hold, none.
fn apply(word: Word, rules: &[Rule]) -> Word {
    for (suffix, replacement, condition) in rules {
        if let Some(stem) = before(&word, suffix) {
            return if condition(stem) {
                joined(stem, replacement)
            } else {
                word
            };
        }
    }
    word
}

fn always(_: &[char]) -> bool {
    true
}

/// Step 1a; of nltk is that `ties` becomes `tie`.
fn plurals(word: Word) -> Word {
    if word.len() == 4
        && let Some(stem) = before(&word, "ies")
    {
        return joined(stem, "ie");
    }
    apply(
        word,
        &[
            ("sses", "ss", always),
            ("ies", "i", always),
            ("ss", "ss", always),
            ("s", "", always),
        ],
    )
}

/// Step 1b; of nltk is what becomes of `ied`.
fn past_and_progressive(word: Word) -> Word {
    if let Some(stem) = before(&word, "ied") {
        return joined(stem, if word.len() == 4 { "ie" } else { "i" });
    }
    if let Some(stem) = before(&word, "eed") {
        return if has_measure(stem) {
            joined(stem, "ee")
        } else {
            word
        };
    }
    let stem = ["ed", "ing"]
        .iter()
        .find_map(|suffix| before(&word, suffix).filter(|stem| has_vowel(stem)));
    let Some(stem) = stem else { return word };
    if ["at", "bl", "iz"]
        .iter()
        .any(|end| before(stem, end).is_some())
    {
        return joined(stem, "e");
    }
    if ends_with_double_consonant(stem) {
        let keeps = matches!(stem.last(), Some('l' | 's' | 'z'));
        return stem[..stem.len() - usize::from(!keeps)].to_vec();
    }
    let short = measure(stem) == 1 && ends_short(stem);
    joined(stem, if short { "e" } else { "" })
}

/// Step 1c; of nltk is the condition: behind a consonant that is not alone.
fn final_y(word: Word) -> Word {
    let condition = |stem: &[char]| stem.len() > 1 && ends_with_consonant(stem);
    apply(word, &[("y", "i", condition)])
}

/// Step 2; of nltk are that `alli` comes first and again, `bli` for `abli`, `fulli`, and `logi`.
fn double_suffixes(word: Word) -> Word {
    if let Some(stem) = before(&word, "alli").filter(|stem| has_measure(stem)) {
        return double_suffixes(joined(stem, "al"));
    }
    apply(
        word,
        &[
            ("ational", "ate", has_measure),
            ("tional", "tion", has_measure),
            ("enci", "ence", has_measure),
            ("anci", "ance", has_measure),
            ("izer", "ize", has_measure),
            ("bli", "ble", has_measure),
            ("alli", "al", has_measure),
            ("entli", "ent", has_measure),
            ("eli", "e", has_measure),
            ("ousli", "ous", has_measure),
            ("ization", "ize", has_measure),
            ("ation", "ate", has_measure),
            ("ator", "ate", has_measure),
            ("alism", "al", has_measure),
            ("iveness", "ive", has_measure),
            ("fulness", "ful", has_measure),
            ("ousness", "ous", has_measure),
            ("aliti", "al", has_measure),
            ("iviti", "ive", has_measure),
            ("biliti", "ble", has_measure),
            ("fulli", "ful", has_measure),
            // the l counts with the stem, so that `geo` and `theo` are long enough
            ("logi", "log", |stem| has_measure(&joined(stem, "l"))),
        ],
    )
}

/// Step 3.
fn full_and_ness(word: Word) -> Word {
    apply(
        word,
        &[
            ("icate", "ic", has_measure),
            ("ative", "", has_measure),
            ("alize", "al", has_measure),
            ("iciti", "ic", has_measure),
            ("ical", "ic", has_measure),
            ("ful", "", has_measure),
            ("ness", "", has_measure),
        ],
    )
}

/// Step 4.
fn last_suffixes(word: Word) -> Word {
    let behind_s_or_t =
        |stem: &[char]| has_more_measure(stem) && matches!(stem.last(), Some('s' | 't'));
    apply(
        word,
        &[
            ("al", "", has_more_measure),
            ("ance", "", has_more_measure),
            ("ence", "", has_more_measure),
            ("er", "", has_more_measure),
            ("ic", "", has_more_measure),
            ("able", "", has_more_measure),
            ("ible", "", has_more_measure),
            ("ant", "", has_more_measure),
            ("ement", "", has_more_measure),
            ("ment", "", has_more_measure),
            ("ent", "", has_more_measure),
            ("ion", "", behind_s_or_t),
            ("ou", "", has_more_measure),
            ("ism", "", has_more_measure),
            ("ate", "", has_more_measure),
            ("iti", "", has_more_measure),
            ("ous", "", has_more_measure),
            ("ive", "", has_more_measure),
            ("ize", "", has_more_measure),
        ],
    )
}

/// Step 5a.
fn final_e(word: Word) -> Word {
    let condition = |stem: &[char]| match measure(stem) {
        0 => false,
        1 => !ends_short(stem),
        _ => true,
    };
    apply(word, &[("e", "", condition)])
}

/// Step 5b.
fn double_l(word: Word) -> Word {
    apply(
        word,
        &[("ll", "l", |stem| has_more_measure(&joined(stem, "l")))],
    )
}
