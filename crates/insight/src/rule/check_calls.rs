//! Are functions called as their table says, and are selectors sound?

use regex::Regex;

use super::check::{Checker, Typed};
use super::fields::{SPAN_FIELDS, TRACE_FIELDS, find, names, span_field};
use super::functions::{Built, FUNCTIONS, Function, Gives, Shape};
use super::kinds::Type;
use super::node::{Kind, Node, Over, Quantifier};
use super::problem::{At, Problem, nearest};
use super::sequence::Sequence;
use super::syntax::{Compare, Expr, Kind as Said, Name, Term};
use crate::Detector;

/// A compiled regular expression may take this many bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

impl Checker<'_, '_> {
    pub(super) fn call(&mut self, of: Option<&Expr>, name: &Name, args: &[Expr], at: At) -> Typed {
        let text = name.text.as_str();
        let ways: Vec<&'static Function> = FUNCTIONS.iter().filter(|f| f.name == text).collect();
        if ways.is_empty() {
            return self.no_function(of, name, args, at);
        }
        let count = args.len() + usize::from(of.is_some());
        let takes = |way: &&&'static Function| {
            let wanted = way.takes.len() + usize::from(way.on.is_some());
            // A variable is no argument, and a macro has a receiver before its dot.
            match way.is_macro {
                true => of.is_some() && args.len() == 2,
                false => count == wanted && (of.is_none() || way.on.is_some()),
            }
        };
        let fitting: Vec<&'static Function> = ways.iter().filter(takes).copied().collect();
        match fitting.as_slice() {
            [] => {
                let forms: Vec<&str> = ways.iter().map(|way| way.form).collect();
                let problem = Problem::new(at, format!("`{text}` is called otherwise"));
                let problem = problem.suggest(format!("write {}", forms.join(" or ")));
                for arg in of.into_iter().chain(args).filter(|_| !ways[0].is_macro) {
                    self.check(arg);
                }
                self.broken(at, problem)
            }
            [way] if way.is_macro => match of {
                Some(of) => self.over(way, of, args, at),
                None => Typed::unclear(at),
            },
            ways => {
                let all: Vec<Typed> = of
                    .into_iter()
                    .chain(args)
                    .map(|arg| self.check(arg))
                    .collect();
                // Several ways with as many arguments differ in what they are methods of.
                let is_it = |way: &&&'static Function| {
                    let on = way.on.or(way.takes.first().copied());
                    on.zip(all.first())
                        .is_none_or(|(on, first)| on.fits(first.given))
                };
                let way = ways.iter().find(is_it).unwrap_or(&ways[0]);
                self.plain(way, all, at)
            }
        }
    }

    fn no_function(&mut self, of: Option<&Expr>, name: &Name, args: &[Expr], at: At) -> Typed {
        let text = name.text.as_str();
        let problem = Problem::new(name.at, format!("there is no function `{text}`"));
        let known = FUNCTIONS.iter().filter(|f| f.on.is_some() || of.is_none());
        let mut all: Vec<&str> = known.clone().map(|f| f.name).collect();
        all.dedup();
        let is_field = |fields| find(fields, text).is_some();
        let renamed = match text {
            "len" | "length" | "count" => Some("size"),
            "lower" | "lowerAscii" | "toLowerCase" | "includes" => Some("icontains"),
            "some" => Some("exists"),
            "every" => Some("all"),
            "select" => Some("filter"),
            "mean" | "average" => Some("avg"),
            "percentile" | "quantile" => Some("pct"),
            _ => None,
        };
        let problem = match renamed.or_else(|| nearest(text, known.map(|f| f.name))) {
            Some(near) => problem.suggest(format!("did you mean `{near}`?")),
            None if of.is_none() && is_field(TRACE_FIELDS) => {
                problem.suggest(format!("it is a field: write `{text}`"))
            }
            None if of.is_some() && find(SPAN_FIELDS, text).is_some() => {
                problem.suggest(format!("it is a field: write `.{text}`"))
            }
            None => problem.suggest(format!("known: {}", all.join(", "))),
        };
        self.problem(problem);
        let is_macro = args.len() == 2 && matches!(args[0].kind, Said::Name(_));
        for arg in of.into_iter().chain(args).filter(|_| !is_macro) {
            self.check(arg);
        }
        Typed::unclear(at)
    }

    /// Checks `list.all(x, p)` and its like.
    fn over(&mut self, way: &'static Function, of: &Expr, args: &[Expr], at: At) -> Typed {
        let list = self.check(of);
        let item = match list.given.item() {
            Some(item) => item,
            None => {
                self.misfit(way, Shape::List, &list);
                Type::Unclear
            }
        };
        let variable = match &args[0].kind {
            Said::Name(text) => Name {
                text: text.clone(),
                at: args[0].at,
            },
            Said::Broken => return Typed::unclear(at),
            _ => {
                let problem = Problem::new(args[0].at, "the name of a variable stands here");
                return self.broken(at, problem.suggest(format!("write {}", way.form)));
            }
        };
        let is_condition = matches!(
            way.built,
            Built::All | Built::Exists | Built::ExistsOne | Built::Filter
        );
        let (body, slot) = self.with_variable(&variable, item, |checker, slot| {
            (checker.check(&args[1]), slot)
        });
        if is_condition {
            self.must_be_bool(&body);
        }
        let (given, body_given, body_at) = (list.given, body.given, body.at());
        let over = Box::new(Over {
            list: list.node,
            slot,
            body: body.node,
        });
        let (kind, given) = match way.built {
            Built::All => (Kind::Quantify(Quantifier::All, over), Type::Bool),
            Built::Exists => (Kind::Quantify(Quantifier::Exists, over), Type::Bool),
            Built::ExistsOne => (Kind::Quantify(Quantifier::ExistsOne, over), Type::Bool),
            Built::Filter => (Kind::Filter(over), given),
            Built::Map => (Kind::Map(over), body_given.list()),
            _ => {
                let mapped = Typed::new(Kind::Map(over), body_at, body_given.list());
                let plain = FUNCTIONS
                    .iter()
                    .find(|f| f.built == way.built && !f.is_macro);
                return self.plain(plain.unwrap_or(way), vec![mapped], at);
            }
        };
        Typed::new(kind, at, given)
    }

    /// Tells that an argument is not what the function takes.
    fn misfit(&mut self, way: &'static Function, wanted: Shape, given: &Typed) {
        let (name, what) = (way.name, wanted.wanted());
        let message = format!("`{name}` wants {what}, this is {}", given.given);
        let text = given.at().of(self.source);
        let suggestion = match (wanted, given.given) {
            (Shape::Numbers | Shape::Ordered, list) if list.is_spans() => {
                format!("say of what: `{text}.map(s, s.duration_ms).{name}()`")
            }
            (Shape::Spans, Type::Text | Type::Word(_)) => {
                format!("write `calls({text})` for the calls of a tool")
            }
            _ => format!("it is written {}", way.form),
        };
        self.problem(Problem::new(given.at(), message).suggest(suggestion));
    }

    fn plain(&mut self, way: &'static Function, all: Vec<Typed>, at: At) -> Typed {
        let shapes = way.on.iter().chain(way.takes);
        let before = self.problems.len();
        for (shape, given) in shapes.zip(&all) {
            if !shape.fits(given.given) {
                self.misfit(way, *shape, given);
            } else if *shape == Shape::Written
                && !matches!(given.node.kind, Kind::Text(_))
                && given.given != Type::Unclear
            {
                let message = format!("`{}` wants a text that is written out", way.name);
                let problem = Problem::new(given.at(), message);
                self.problem(problem.suggest(format!("it is written {}", way.form)));
            }
        }
        if self.problems.len() > before {
            return Typed::unclear(at);
        }
        let first = all.first().map(|first| first.given);
        let given = match way.gives {
            Gives::Known(given) => given,
            Gives::Item => first.and_then(Type::item).unwrap_or(Type::Unclear),
            Gives::Same | Gives::Mapped => first.unwrap_or(Type::Unclear),
            Gives::Sum => match first.and_then(Type::item) {
                Some(Type::Int) => Type::Int,
                Some(Type::Double) => Type::Double,
                _ => Type::Json,
            },
        };
        let kind = self.kind_of(way, all, at);
        Typed::new(kind, at, given)
    }

    /// Returns the node of a call whose arguments fit.
    fn kind_of(&mut self, way: &'static Function, mut all: Vec<Typed>, at: At) -> Kind {
        match way.built {
            Built::Matches => {
                let regex = written(&all, 1).map(|(text, at)| (regex_of(&text), at));
                let of = Box::new(all.swap_remove(0).node);
                match regex {
                    Some((Ok(regex), _)) => Kind::Matches(of, regex),
                    Some((Err(message), at)) => {
                        self.problem(Problem::new(at, message));
                        Kind::Null
                    }
                    None => Kind::Null,
                }
            }
            Built::Seq => {
                let pattern = written(&all, all.len() - 1);
                let of = match all.len() {
                    1 => trace_list("calls", at),
                    _ => all.swap_remove(0).node,
                };
                match pattern.map(|(text, at)| (Sequence::parse(&text), at)) {
                    Some((Ok(sequence), _)) => Kind::Seq(Box::new(of), Box::new(sequence)),
                    Some((Err(message), at)) => {
                        let problem = Problem::new(at, message);
                        self.problem(problem.suggest("as in seq(\"search+ .* book\")"));
                        Kind::Null
                    }
                    None => Kind::Null,
                }
            }
            Built::Timestamp => match written(&all, 0) {
                Some((text, at)) => match model::Time::parse_rfc3339(&text) {
                    Ok(time) => Kind::Time(time),
                    Err(bad) => {
                        self.problem(Problem::new(at, bad.to_string()));
                        Kind::Null
                    }
                },
                None => Kind::Null,
            },
            Built::Pct => {
                let percent = match all[1].node.kind {
                    Kind::Int(int) => int as f64,
                    Kind::Double(double) => double,
                    _ => 0.0,
                };
                if !(0.0..=100.0).contains(&percent) {
                    let problem = Problem::new(all[1].at(), "a percentage is from 0 to 100");
                    self.problem(problem.suggest("as in list.pct(95)"));
                }
                Kind::Call(Built::Pct, all.into_iter().map(|one| one.node).collect())
            }
            Built::Calls => self.calls(all.swap_remove(0).node, at),
            Built::Within if all.len() == 1 => {
                let sel = all.swap_remove(0).node;
                Kind::Call(Built::Within, Box::new([trace_list("spans", at), sel]))
            }
            Built::Has => {
                let of = &all[0].node;
                let is_place = matches!(
                    of.kind,
                    Kind::Trace(_)
                        | Kind::Span(..)
                        | Kind::Member(..)
                        | Kind::Index(_)
                        | Kind::Var(_)
                        | Kind::Call(..)
                );
                if !is_place {
                    let problem = Problem::new(of.at, "`has` asks for a field");
                    self.problem(problem.suggest("as in has(error) or has(s.model)"));
                }
                Kind::Call(Built::Has, all.into_iter().map(|one| one.node).collect())
            }
            built => {
                self.must_be_known(built, &all);
                Kind::Call(built, all.into_iter().map(|one| one.node).collect())
            }
        }
    }

    /// Checks names of what lies outside, and notes them.
    fn must_be_known(&mut self, built: Built, all: &[Typed]) {
        let index = usize::from(built == Built::Valid);
        let Some((text, at)) = written(all, index) else {
            return;
        };
        let needed = match built {
            Built::Detector => {
                if !Detector::ALL.iter().any(|known| known.as_str() == &*text) {
                    let problem = Problem::new(at, format!("no detector is called {text:?}"));
                    self.problem(problem.suggest(detector_like(&text)));
                }
                &mut self.needs.detectors
            }
            Built::Score => &mut self.needs.scores,
            Built::Valid => &mut self.needs.schemas,
            Built::Baseline => {
                if let Err(problem) = baseline_of(&text, at) {
                    self.problem(problem);
                }
                &mut self.needs.baselines
            }
            _ => return,
        };
        let text = text.into_string();
        if !needed.contains(&text) {
            needed.push(text);
        }
    }

    /// Returns the tool calls of this name.
    fn calls(&mut self, wanted: Node, at: At) -> Kind {
        let variable = Name {
            text: String::new(),
            at,
        };
        self.with_variable(&variable, Type::Span, |_, slot| {
            let name = Kind::Span(span_field("name"), Box::new(Kind::Var(slot).at(at)));
            let two = Box::new([name.at(at), wanted]);
            Kind::Filter(Box::new(Over {
                list: trace_list("calls", at),
                slot,
                body: Kind::Compare(Compare::Equal, two).at(at),
            }))
        })
    }

    /// Checks `spans[type=function, …]`: a filter whose variable has no name.
    pub(super) fn select(&mut self, of: &Expr, terms: &[Term], at: At) -> Typed {
        let list = self.check(of);
        if !list.given.is_spans() {
            let message = format!("a selector chooses spans, this is {}", list.given);
            let problem = Problem::new(list.at(), message);
            let problem = match list.given.item() {
                Some(_) => problem.suggest("choose elements with `.filter(x, …)`"),
                None => problem.suggest("write spans[…]"),
            };
            return self.broken(at, problem);
        }
        let variable = Name {
            text: String::new(),
            at,
        };
        let (mut conditions, slot) = self.with_variable(&variable, Type::Span, |checker, slot| {
            let conditions = terms.iter().map(|term| checker.term(term, slot));
            (conditions.collect::<Vec<Node>>(), slot)
        });
        let mut list = list.node;
        // The trace view keeps the spans of the common types apart.
        if matches!(&list.kind, Kind::Trace(field) if field.name == "spans")
            && let Some((at, name)) = conditions
                .iter()
                .enumerate()
                .find_map(|(at, one)| Some((at, kept_apart(one)?)))
        {
            conditions.remove(at);
            list = trace_list(name, list.at);
        }
        let body = match conditions.len() {
            0 => return Typed::new(list.kind, at, Type::Span.list()),
            1 => conditions.swap_remove(0),
            _ => Kind::And(conditions.into()).at(at),
        };
        let over = Over { list, slot, body };
        Typed::new(Kind::Filter(Box::new(over)), at, Type::Span.list())
    }

    fn term(&mut self, term: &Term, slot: u8) -> Node {
        match term {
            Term::Within(sel) => {
                let sel = self.check(sel);
                if !sel.given.is_spans() {
                    let message = format!("`within` wants a list of spans, this is {}", sel.given);
                    let problem = Problem::new(sel.at(), message);
                    self.problem(
                        problem.suggest("as in within(spans[type=agent,name=\"Billing\"])"),
                    );
                }
                let at = sel.at();
                let two = Box::new([Kind::Var(slot).at(at), sel.node]);
                Kind::Call(Built::IsWithin, two).at(at)
            }
            Term::Compare(path, compare, value) => {
                let field = self.path(path, slot);
                let written = self.check(value);
                let at = field.at().to(written.at());
                let is_type = path.len() == 1 && path[0].text == "type";
                if let (true, Kind::Text(word)) =
                    (is_type && compare.is_equality(), &written.node.kind)
                    && let Some(condition) = other_type(word, slot, at)
                {
                    return match compare {
                        Compare::Equal => condition,
                        _ => Kind::Not(Box::new(condition)).at(at),
                    };
                }
                self.compare(*compare, field, written, at).node
            }
            Term::Glob(path, value, is_negated) => {
                let field = self.path(path, slot);
                let written = self.check(value);
                let at = field.at().to(written.at());
                if !field.given.is_text() {
                    let message = format!("`~` asks a text, this is {}", field.given);
                    self.problem(Problem::new(field.at(), message));
                }
                let Kind::Text(glob) = &written.node.kind else {
                    let problem = Problem::new(written.at(), "`~` wants a text");
                    self.problem(problem.suggest("as in name~\"search*\""));
                    return Kind::Null.at(at);
                };
                let condition = match regex_of(&glob_regex(glob)) {
                    Ok(regex) => Kind::Matches(Box::new(field.node), regex).at(at),
                    Err(message) => {
                        self.problem(Problem::new(written.at(), message));
                        Kind::Null.at(at)
                    }
                };
                match is_negated {
                    true => Kind::Not(Box::new(condition)).at(at),
                    false => condition,
                }
            }
        }
    }

    /// Returns the field of a span that a selector names, such as `error.type`.
    fn path(&mut self, path: &[Name], slot: u8) -> Typed {
        let start = path[0].at;
        let mut typed = Typed::new(Kind::Var(slot), start, Type::Span);
        for name in path {
            typed = self.field_of(typed, name, start.to(name.at));
        }
        typed
    }
}

/// Returns the list of the trace that has this name.
fn trace_list(name: &str, at: At) -> Node {
    let field = find(TRACE_FIELDS, name).expect("the table has it");
    Kind::Trace(field).at(at)
}

/// Returns the name of the list of spans that holds exactly those for which this condition holds.
fn kept_apart(condition: &Node) -> Option<&'static str> {
    let Kind::Compare(Compare::Equal, two) = &condition.kind else {
        return None;
    };
    let (Kind::Span(field, _), Kind::Text(word)) = (&two[0].kind, &two[1].kind) else {
        return None;
    };
    match (field.name, &**word) {
        ("type", "function") => Some("calls"),
        ("type", "generation") => Some("gens"),
        ("type", "handoff") => Some("handoffs"),
        ("type", "guardrail") => Some("guards"),
        _ => None,
    }
}

/// Returns what the other words for types that selectors take mean.
fn other_type(word: &str, slot: u8, at: At) -> Option<Node> {
    let is = |field: &str, word: &str| {
        let field = Kind::Span(span_field(field), Box::new(Kind::Var(slot).at(at))).at(at);
        let two = Box::new([field, Kind::Text(word.into()).at(at)]);
        Kind::Compare(Compare::Equal, two).at(at)
    };
    match word {
        "tool" => Some(is("type", "function")),
        "response" => {
            let both = [is("type", "generation"), is("source_type", "response")];
            Some(Kind::And(Box::new(both)).at(at))
        }
        _ => None,
    }
}

/// Returns an argument that is written out, and where.
fn written(all: &[Typed], index: usize) -> Option<(Box<str>, At)> {
    let one = all.get(index)?;
    match &one.node.kind {
        Kind::Text(text) => Some((text.clone(), one.at())),
        _ => None,
    }
}

fn regex_of(pattern: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build();
    built.map_err(|bad| match bad {
        regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
        bad => {
            let text = bad.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            format!(
                "not a regular expression: {}",
                last.trim_start_matches("error: ")
            )
        }
    })
}

/// Returns the regular expression of a text in which `*` is any text and `?` any character.
fn glob_regex(glob: &str) -> String {
    let mut regex = String::from("(?s)^");
    for c in glob.chars() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    regex
}

/// Returns which detector may be meant by a word: by its id in other letters, or by what it is called.
fn detector_like(word: &str) -> String {
    let titles = Detector::ALL.iter().map(|detector| detector.title());
    let named = nearest(word, titles).and_then(|title| {
        let mut all = Detector::ALL.iter();
        all.find(|detector| detector.title() == title)
    });
    match word.parse().ok().or(named.copied()) {
        Some(meant) => format!("did you mean \"{meant}\" ({})?", Detector::title(meant)),
        None => "there are \"D01\" to \"D30\"".to_owned(),
    }
}

/// Checks the key of a baseline: a statistic and a number of the trace.
fn baseline_of(key: &str, at: At) -> Result<(), Problem> {
    let form = "write a statistic and a number of the trace: \"p95:duration_ms\"";
    let Some((statistic, field)) = key.split_once(':') else {
        return Err(Problem::new(at, "a baseline is asked for otherwise").suggest(form));
    };
    let percentile = statistic
        .strip_prefix('p')
        .and_then(|p| p.parse::<f64>().ok());
    let is_statistic = matches!(statistic, "min" | "max" | "avg" | "median")
        || percentile.is_some_and(|p| (0.0..=100.0).contains(&p));
    if !is_statistic {
        let message = format!("no statistic is called {statistic:?}");
        let known = "known: p0 to p100, min, max, avg, median";
        return Err(Problem::new(at, message).suggest(known));
    }
    match find(TRACE_FIELDS, field) {
        Some(field) if matches!(field.field_type, Type::Int | Type::Double) => Ok(()),
        Some(_) => Err(Problem::new(at, format!("`{field}` is not a number")).suggest(form)),
        None => {
            let numbers = TRACE_FIELDS.iter();
            let numbers = numbers.filter(|it| matches!(it.field_type, Type::Int | Type::Double));
            let known: Vec<&str> = numbers.map(|it| it.name).collect();
            let problem = Problem::new(at, format!("a trace has no field `{field}`"));
            Err(problem.suggest(match nearest(field, names(TRACE_FIELDS)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            }))
        }
    }
}
