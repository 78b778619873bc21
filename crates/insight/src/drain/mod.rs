//! Which errors are the same error?
//!
//! Ten thousand messages differ in names and numbers and are a dozen errors. What varies is masked
//! (`mask.rs`), and forms that are still alike fall into one template, by Drain (He et al. 2017): a tree
//! over the number of words and the first word leads to few templates, of which the most similar is
//! taken. A template is made of all messages at once, the most frequent first, so that the order in
//! which traces came does not matter; its id is a hash of its words.

mod mask;

use hashbrown::HashMap;

use self::mask::{ANYTHING, has_mark};
pub use self::mask::{FORM_CHARS_MAX, TEXT_BYTES_MAX, masked};

/// A form joins a template if so much of its words is the same.
const SIMILARITY_MIN: f64 = 0.4;

/// So many first words are told apart for each number of words; the others are one.
const FIRST_WORDS_MAX: usize = 100;

/// So many templates hang below one first word; a form too many joins the most similar.
const SIBLINGS_MAX: usize = 100;

/// So many templates are told apart; what comes after joins the most similar, or the one for the rest.
pub const TEMPLATES_MAX: usize = 10_000;

/// What a family of messages has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// A hash of its words: the same wherever the same messages are looked at.
    pub id: String,
    /// Its words; `<s>` stands for what was quoted, `<n>` for a number, `<*>` for anything, and so on.
    pub form: String,
    /// How many messages are of it.
    pub count: u64,
    /// Whether some of them are tracebacks.
    has_tracebacks: bool,
    /// Whether some of them go on where the form was cut.
    is_cut: bool,
}

impl Template {
    fn of(tokens: &[Box<str>]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for token in tokens {
            // no token has white space
            hasher.update(token.as_bytes()).update(b" ");
        }
        Self {
            id: hasher.finalize().to_hex()[..16].to_owned(),
            form: tokens.join(" "),
            count: 0,
            has_tracebacks: false,
            is_cut: false,
        }
    }

    /// Returns the template for people: what varies is left out.
    pub fn words(&self) -> String {
        match self.form.is_empty() {
            true => "(no message)".to_owned(),
            false => mask::without_marks(&self.form),
        }
    }

    /// Returns a regular expression that finds its messages. What comes after the cut of a long form
    /// is not looked at.
    pub fn pattern(&self) -> String {
        mask::pattern(&self.form, self.has_tracebacks, self.is_cut)
    }

    /// Returns whether the form tells all; else its pattern may find messages of other templates.
    pub fn is_whole(&self) -> bool {
        !self.is_cut && !self.form.contains(ANYTHING)
    }
}

/// The templates of a set of messages.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    /// The most frequent first.
    templates: Vec<Template>,
    /// The template of each form that was seen.
    by_form: HashMap<String, usize>,
    tree: Tree,
    /// The template of each cluster of the tree.
    by_cluster: Vec<usize>,
}

impl Templates {
    /// Returns the templates of these messages.
    pub fn of<'a>(messages: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_counted(messages.into_iter().map(|message| (message, 1)))
    }

    /// Returns the templates of messages that came so many times.
    pub fn of_counted<'a>(messages: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut counts: HashMap<String, Seen> = HashMap::new();
        for (message, count) in messages {
            let form = masked(message);
            let seen = Seen {
                count,
                has_tracebacks: mask::is_traceback(message),
                is_cut: mask::is_cut(&form),
            };
            counts.entry(form).or_default().add(seen);
        }
        let mut forms: Vec<(String, Seen)> = counts.into_iter().collect();
        forms.sort_by(|(a, few), (b, many)| many.count.cmp(&few.count).then_with(|| a.cmp(b)));
        let mut tree = Tree::default();
        let clusters = forms.iter().map(|(form, seen)| tree.insert(form, *seen));
        let clusters: Vec<usize> = clusters.collect();
        let (templates, by_cluster) = tree.templates();
        let by_form = forms.into_iter().zip(clusters);
        let by_form = by_form.map(|((form, _), cluster)| (form, by_cluster[cluster]));
        Self {
            by_form: by_form.collect(),
            templates,
            tree,
            by_cluster,
        }
    }

    /// Returns the templates, the most frequent first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Template> {
        self.templates.iter()
    }

    /// Returns how many different masked messages there were.
    pub fn forms(&self) -> usize {
        self.by_form.len()
    }

    /// Returns the template of this id.
    pub fn get(&self, id: &str) -> Option<&Template> {
        self.templates.iter().find(|template| template.id == id)
    }

    /// Returns the template that a message is of; `None` of a message that is like none that was seen.
    pub fn find(&self, message: &str) -> Option<&Template> {
        let form = masked(message);
        let known = self.by_form.get(&form).copied();
        let found = known.or_else(|| Some(self.by_cluster[self.tree.find(&form)?]));
        found.map(|at| &self.templates[at])
    }
}

/// What is known of the messages of a form.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    count: u64,
    has_tracebacks: bool,
    is_cut: bool,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.has_tracebacks |= other.has_tracebacks;
        self.is_cut |= other.is_cut;
    }
}

#[derive(Debug, Clone)]
struct Cluster {
    tokens: Vec<Box<str>>,
    seen: Seen,
}

/// Depth four: the root, the number of words, the first word, the clusters.
#[derive(Debug, Clone, Default)]
struct Tree {
    clusters: Vec<Cluster>,
    leaves: HashMap<(usize, Box<str>), Vec<usize>>,
    /// How many first words are told apart, by the number of words.
    first_words: HashMap<usize, usize>,
    /// The cluster of what found no place.
    rest: Option<usize>,
}

impl Tree {
    /// Puts a form where it belongs; returns its cluster.
    fn insert(&mut self, form: &str, seen: Seen) -> usize {
        let tokens: Vec<Box<str>> = form.split_whitespace().map(Box::from).collect();
        let leaf = self.leaf_for(&tokens);
        let siblings = self.leaves.get(&leaf).map_or(&[][..], Vec::as_slice);
        let nearest = self.nearest(siblings, &tokens);
        let is_full = siblings.len() >= SIBLINGS_MAX || self.clusters.len() >= TEMPLATES_MAX;
        match nearest {
            Some((at, similarity)) if similarity >= SIMILARITY_MIN || is_full => {
                self.join(at, &tokens, seen);
                at
            }
            None if is_full => self.put_with_the_rest(seen),
            _ => {
                let at = self.clusters.len();
                self.clusters.push(Cluster { tokens, seen });
                let siblings = self.leaves.entry(leaf).or_default();
                if siblings.is_empty() {
                    // `leaf_for` saw that there is room
                    *self
                        .first_words
                        .entry(self.clusters[at].tokens.len())
                        .or_default() += 1;
                }
                siblings.push(at);
                at
            }
        }
    }

    fn put_with_the_rest(&mut self, seen: Seen) -> usize {
        let at = *self.rest.get_or_insert_with(|| {
            let tokens = vec![Box::from(ANYTHING)];
            let seen = Seen::default();
            self.clusters.push(Cluster { tokens, seen });
            self.clusters.len() - 1
        });
        self.clusters[at].seen.add(seen);
        at
    }

    fn leaf_for(&self, tokens: &[Box<str>]) -> (usize, Box<str>) {
        let length = tokens.len();
        let first = tokens.first().map_or("", |token| token);
        let told_apart = self.first_words.get(&length).copied().unwrap_or(0);
        let own = (length, Box::from(first));
        let has_own =
            !has_mark(first) && (told_apart < FIRST_WORDS_MAX || self.leaves.contains_key(&own));
        if has_own {
            own
        } else {
            (length, ANYTHING.into())
        }
    }

    /// Returns the most similar cluster; of equals the one with more that varies, then the older.
    fn nearest(&self, siblings: &[usize], tokens: &[Box<str>]) -> Option<(usize, f64)> {
        let mut best: Option<(usize, usize, usize)> = None;
        for at in siblings {
            let other = &self.clusters[*at].tokens;
            let same = other.iter().zip(tokens);
            let same = same
                .filter(|(a, b)| a == b && a.as_ref() != ANYTHING)
                .count();
            let varies = other
                .iter()
                .filter(|token| token.as_ref() == ANYTHING)
                .count();
            if best.is_none_or(|(_, most, loosest)| (same, varies) > (most, loosest)) {
                best = Some((*at, same, varies));
            }
        }
        // a message without words is like itself
        let share = |same: usize| {
            if tokens.is_empty() {
                1.0
            } else {
                same as f64 / tokens.len() as f64
            }
        };
        best.map(|(at, same, _)| (at, share(same)))
    }

    fn join(&mut self, at: usize, tokens: &[Box<str>], seen: Seen) {
        let cluster = &mut self.clusters[at];
        cluster.seen.add(seen);
        for (mine, other) in cluster.tokens.iter_mut().zip(tokens) {
            if mine != other {
                *mine = ANYTHING.into();
            }
        }
    }

    fn find(&self, form: &str) -> Option<usize> {
        let tokens: Vec<Box<str>> = form.split_whitespace().map(Box::from).collect();
        let siblings = self.leaves.get(&self.leaf_for(&tokens))?;
        let (at, similarity) = self.nearest(siblings, &tokens)?;
        (similarity >= SIMILARITY_MIN).then_some(at)
    }

    /// Returns the templates, the most frequent first, and that of each cluster. Clusters that have
    /// grown into the same words are one.
    fn templates(&self) -> (Vec<Template>, Vec<usize>) {
        let mut templates: HashMap<String, Template> = HashMap::new();
        let mut ids = Vec::new();
        for cluster in &self.clusters {
            let new = Template::of(&cluster.tokens);
            ids.push(new.id.clone());
            let known = templates.entry(new.id.clone()).or_insert(new);
            known.count += cluster.seen.count;
            known.has_tracebacks |= cluster.seen.has_tracebacks;
            known.is_cut |= cluster.seen.is_cut;
        }
        let mut sorted: Vec<Template> = templates.into_values().collect();
        sorted.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.form.cmp(&b.form)));
        let place: HashMap<&str, usize> = (sorted.iter().enumerate())
            .map(|(at, template)| (template.id.as_str(), at))
            .collect();
        let by_cluster = ids.iter().map(|id| place[id.as_str()]).collect();
        drop(place);
        (sorted, by_cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ERRORS: &[u8] = include_bytes!("../../../../testdata/drain/errors.jsonl.zst");

    fn errors() -> Vec<(u64, String)> {
        let text = String::from_utf8(zstd::decode_all(ERRORS).unwrap()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn templates_of(errors: &[(u64, String)]) -> Templates {
        Templates::of_counted(errors.iter().map(|(count, text)| (text.as_str(), *count)))
    }

    /// Returns how many of these, the largest first, are 99 % of all.
    fn covering(counts: impl IntoIterator<Item = u64>) -> usize {
        let mut counts: Vec<u64> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let all: u64 = counts.iter().sum();
        let mut sum = 0;
        1 + counts
            .iter()
            .position(|count| {
                sum += count;
                sum * 100 >= all * 99
            })
            .unwrap()
    }

    #[test]
    fn six_thousand_real_errors_have_39_forms_of_which_15_are_nearly_all() {
        let errors = errors();
        assert_eq!(errors.len(), 1_607);
        assert_eq!(errors.iter().map(|(count, _)| count).sum::<u64>(), 6_425);
        let mut forms: HashMap<String, u64> = HashMap::new();
        for (count, text) in &errors {
            *forms.entry(masked(text)).or_default() += count;
        }
        assert_eq!(forms.len(), 39);
        assert_eq!(covering(forms.into_values()), 15);
    }

    #[test]
    fn their_templates() {
        let templates = templates_of(&errors());
        assert_eq!(
            templates.iter().map(|template| template.count).sum::<u64>(),
            6_425
        );
        let lines = templates
            .iter()
            .map(|it| format!("{} {:>5} {}\n", it.id, it.count, it.form));
        insta::assert_snapshot!(lines.collect::<String>());
    }

    #[test]
    fn a_pattern_finds_the_messages_of_its_template_and_of_no_other() {
        let errors = errors();
        let templates = templates_of(&errors);
        let compiled = |template: &Template| regex::Regex::new(&template.pattern()).unwrap();
        let patterns: Vec<_> = templates.iter().map(|it| (it, compiled(it))).collect();
        for (_, text) in &errors {
            let own = templates.find(text).unwrap();
            for (template, pattern) in &patterns {
                let is_own = template.id == own.id;
                if is_own || template.is_whole() {
                    assert_eq!(pattern.is_match(text), is_own, "{pattern} {text:?}");
                }
            }
        }
    }

    #[test]
    fn the_order_of_messages_does_not_matter() {
        let mut errors = errors();
        let templates = templates_of(&errors);
        errors.reverse();
        let again = templates_of(&errors);
        assert!(templates.iter().eq(again.iter()));
    }

    #[test]
    fn a_new_message_finds_the_template_it_is_like() {
        let templates = Templates::of([
            "connection to db-1 refused after 3 tries",
            "connection to db-2 refused after 5 tries",
            "no such table",
        ]);
        assert_eq!(templates.iter().len(), 2);
        let found = templates
            .find("connection to cache refused after 9 tries")
            .unwrap();
        assert_eq!(found.form, "connection to db-<n> refused after <n> tries");
        assert_eq!(templates.find("something else altogether"), None);
        assert_eq!(templates.find(""), None);
        let empty = Templates::of(["", " \n"]);
        assert_eq!((empty.iter().len(), empty.find("").unwrap().count), (1, 2));
    }

    #[test]
    fn ever_new_words_do_not_make_ever_more_templates() {
        let word = |at: u32| -> String {
            let letter =
                |place: u32| char::from(b'a' + u8::try_from((at >> (4 * place)) % 16).unwrap());
            (0..5).map(letter).collect()
        };
        // all differ in each of three words
        let texts: Vec<String> = (0..30_000)
            .map(|at| format!("{} {} {}", word(at), word(at * 7 + 1), word(at * 13 + 5)))
            .collect();
        let templates = Templates::of(texts.iter().map(String::as_str));
        // each first word that is told apart has its own, the others share a leaf
        assert!(templates.iter().len() <= FIRST_WORDS_MAX + SIBLINGS_MAX);
        assert_eq!(
            templates.iter().map(|template| template.count).sum::<u64>(),
            30_000
        );
    }

    proptest! {
        #[test]
        fn whatever_the_message_is_its_template_finds_it(
            messages in prop::collection::vec("(Traceback \\(most recent call last\\)\n)?[a-c '\"0-9/@:<s>n*.\\n]{0,40}|\\PC{0,30}", 1..12),
        ) {
            let templates = Templates::of(messages.iter().map(String::as_str));
            for message in &messages {
                let template = templates.find(message);
                prop_assert!(template.is_some());
                let pattern = template.unwrap().pattern();
                let found = regex::Regex::new(&pattern).unwrap().is_match(message);
                prop_assert!(found, "{:?} {:?}", pattern, message);
            }
        }
    }
}
