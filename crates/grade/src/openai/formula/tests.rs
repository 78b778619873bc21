//! Formulas against values worked out by hand and against trees evaluated by the book.

use proptest::prelude::*;

use super::*;

const KEYS: [&str; 3] = ["a", "b_2", "max"];
const SCORES: [f64; 3] = [0.5, 2.0, 3.0];

#[track_caller]
fn check(text: &str, expected: f64) {
    let formula = Formula::parse(text, &KEYS).unwrap();
    assert_eq!(formula.value(&SCORES), Ok(expected), "{text}");
}

#[track_caller]
fn refused(text: &str, message: &str) {
    assert_eq!(
        Formula::parse(text, &KEYS).unwrap_err().to_string(),
        message
    );
}

#[test]
fn precedence_is_that_of_school() {
    check("1 + 2 * 3", 7.0);
    check("(1 + 2) * 3", 9.0);
    check("10 - 2 - 3", 5.0);
    check("12 / 2 / 3", 2.0);
    check("2 ^ 3 ^ 2", 512.0);
    check("-2 ^ 2", -4.0);
    check("2 ^ -1", 0.5);
    check("2 * -3", -6.0);
    check("--2 - -+3", 5.0);
    check("2 * 3 ^ 2", 18.0);
}

#[test]
fn numbers_names_and_functions() {
    check("0.5 * a + .5*b_2", 1.25);
    check("1e2 + 1.5E-1 + 2.", 102.15);
    check("min(a, b_2, 1) + max(a, 7)", 7.5);
    // a key may be called as a function is: only `(` makes a call of it
    check("max + max(1, 2)", 5.0);
    check("abs(-a) + floor(1.7) + ceil(1.2)", 3.5);
    check("exp(0) + sqrt(9) + log(exp(2))", 6.0);
    check("min(4)", 4.0);
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    refused(
        "",
        "a number, a name or `(` is missing at character 1, where the end stands",
    );
    refused(
        "a +",
        "a number, a name or `(` is missing at character 4, where the end stands",
    );
    refused(
        "a b_2",
        "an operator or the end is missing at character 3, where `b` stands",
    );
    refused("(a", "`)` is missing at character 3, where the end stands");
    refused("é", "`é` is no key of `graders`: a, b_2, max");
    refused(
        "a ** 2",
        "a number, a name or `(` is missing at character 4, where `*` stands",
    );
    refused(".", "a number is missing at character 1, where `.` stands");
    refused(
        "1e",
        "an operator or the end is missing at character 2, where `e` stands",
    );
    refused("abs(1, 2)", "`abs` takes one argument and was given 2");
    refused(
        "min()",
        "a number, a name or `(` is missing at character 5, where `)` stands",
    );
    refused(
        "mean(a)",
        "`mean` is no function: there are `min`, `max`, `abs`, `floor`, `ceil`, `exp`, `sqrt`, `log`",
    );
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    check(&nested(100), 1.0);
    for text in [
        nested(101),
        "-".repeat(200) + "1",
        "2^".repeat(200) + "2",
        "1+".repeat(6000),
    ] {
        assert_eq!(Formula::parse(&text, &KEYS), Err(FormulaError::TooLarge));
    }
    // what stands side by side is not nested
    check(&("(1)+".repeat(1000) + "1"), 1001.0);
}

#[test]
fn no_finite_value_is_an_error_even_when_it_would_vanish() {
    for text in [
        "1 / 0",
        "0 / 0",
        "log(0)",
        "log(-1)",
        "sqrt(-1)",
        "exp(1000)",
        "1 / (1 / 0)",
        "min(1/0, 1)",
    ] {
        let formula = Formula::parse(text, &KEYS).unwrap();
        assert_eq!(formula.value(&SCORES), Err(FormulaError::NoValue), "{text}");
    }
}

/// A formula as a tree, to be written down and to be evaluated by the book.
#[derive(Debug, Clone)]
enum Tree {
    Number(u16),
    Key(usize),
    Negative(Box<Tree>),
    Binary(char, Box<Tree>, Box<Tree>),
    Call(&'static str, Vec<Tree>),
}

impl Tree {
    fn value(&self) -> f64 {
        match self {
            Self::Number(number) => f64::from(*number),
            Self::Key(index) => SCORES[*index],
            Self::Negative(of) => -of.value(),
            Self::Binary(operator, a, b) => {
                let (a, b) = (a.value(), b.value());
                match operator {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    '/' => a / b,
                    _ => a.powf(b),
                }
            }
            Self::Call(name, of) => {
                let of: Vec<f64> = of.iter().map(Self::value).collect();
                match *name {
                    "min" => of.into_iter().reduce(f64::min).unwrap(),
                    "max" => of.into_iter().reduce(f64::max).unwrap(),
                    "abs" => of[0].abs(),
                    _ => of[0].floor(),
                }
            }
        }
    }

    /// Writes it with no more parentheses than the rules of precedence need.
    fn write(&self, above: u8) -> String {
        let (rank, text) = match self {
            Self::Number(number) => (9, number.to_string()),
            Self::Key(index) => (9, KEYS[*index].to_owned()),
            Self::Negative(of) => (2, format!("-{}", of.write(2))),
            Self::Binary('^', a, b) => (3, format!("{} ^ {}", a.write(4), b.write(2))),
            Self::Binary(operator @ ('*' | '/'), a, b) => {
                (1, format!("{}{operator}{}", a.write(1), b.write(2)))
            }
            Self::Binary(operator, a, b) => {
                (0, format!("{} {operator} {}", a.write(0), b.write(1)))
            }
            Self::Call(name, of) => {
                let of: Vec<String> = of.iter().map(|tree| tree.write(0)).collect();
                (9, format!("{name}({})", of.join(", ")))
            }
        };
        if rank < above {
            format!("({text})")
        } else {
            text
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (0_u16..10).prop_map(Tree::Number),
        (0_usize..3).prop_map(Tree::Key),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operators = proptest::sample::select(vec!['+', '-', '*', '/', '^']);
        prop_oneof![
            inner.clone().prop_map(|of| Tree::Negative(Box::new(of))),
            (operators, inner.clone(), inner.clone()).prop_map(|(op, a, b)| Tree::Binary(
                op,
                Box::new(a),
                Box::new(b)
            )),
            (
                proptest::sample::select(vec!["min", "max"]),
                proptest::collection::vec(inner.clone(), 1..4)
            )
                .prop_map(|(name, of)| Tree::Call(name, of)),
            (proptest::sample::select(vec!["abs", "floor"]), inner)
                .prop_map(|(name, of)| Tree::Call(name, vec![of])),
        ]
    })
}

proptest! {
    #[test]
    fn a_formula_means_what_its_tree_means(tree in tree()) {
        let text = tree.write(0);
        let formula = Formula::parse(&text, &KEYS).unwrap();
        if let Ok(value) = formula.value(&SCORES) {
            prop_assert_eq!(value, tree.value(), "{}", text);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+*/^(),. 0-9e_abmaxin\u{e9}]{0,60}") {
        if let Ok(formula) = Formula::parse(&text, &KEYS) {
            drop(formula.value(&SCORES));
        }
    }
}
