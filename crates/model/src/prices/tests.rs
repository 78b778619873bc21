//! Known calls, broken tables, and sums that add up.

use super::*;
use proptest::prelude::*;

fn at(day: &str) -> Time {
    Time::parse_rfc3339(day).unwrap()
}

fn usage(input: i64, cached: i64, output: i64) -> Usage {
    Usage {
        input_tokens: Some(input),
        cached_tokens: Some(cached),
        output_tokens: Some(output),
        reasoning_tokens: None,
    }
}

/// Checks what a million tokens each, a tenth of the read ones cached, cost on a day.
fn check(model: &str, day: &str, want_usd: Option<f64>) {
    let got = PriceTable::builtin().cost(model, None, &usage(100_000, 10_000, 100_000), at(day));
    assert_eq!(got, want_usd.map(NanoUsd::from_usd), "{model} on {day}");
}

#[test]
fn a_call_is_priced_by_its_model_and_its_day() {
    check("gpt-4o", "2024-06-01", Some(0.5 + 1.5));
    check("gpt-4o", "2024-10-02", Some(0.225 + 0.0125 + 1.0));
    check("gpt-4o", "2024-05-12T23:59:59Z", None);
    check("gpt-4o-2024-05-13", "2026-01-01", Some(0.5 + 1.5));
    check(
        "gpt-5-mini-2025-08-07",
        "2026-01-01",
        Some(0.0225 + 0.00025 + 0.2),
    );
    check("o3", "2025-06-09", Some(0.9 + 0.025 + 4.0));
    check("o3", "2025-06-10", Some(0.18 + 0.005 + 0.8));
    check(
        "gemini-1.5-flash-8b",
        "2025-01-01",
        Some(0.003375 + 0.0001 + 0.015),
    );
}

#[test]
fn names_are_found_behind_what_routers_put_before_them() {
    for name in [
        "gpt-4.1-mini",
        "openai/gpt-4.1-mini",
        "GPT-4.1-mini",
        "gpt-4.1-mini-2025-04-14",
    ] {
        check(name, "2026-01-01", Some(0.036 + 0.001 + 0.16));
    }
    for name in [
        "claude-3-5-sonnet-20241022",
        "anthropic/claude-3.5-sonnet",
        "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "claude-3-5-sonnet@20240620",
    ] {
        check(name, "2026-01-01", Some(0.27 + 0.003 + 1.5));
    }
    check(
        "models/gemini-2.5-flash",
        "2026-01-01",
        Some(0.027 + 0.00075 + 0.25),
    );
}

#[test]
fn what_is_not_listed_is_unknown_not_free() {
    for name in [
        "",
        "gpt-4o-audio-preview",
        "gpt-4o-mini-tts",
        "gpt-99",
        "ft:gpt-4o-mini-2024-07-18:me",
        "mistral",
        "*",
    ] {
        check(name, "2026-01-01", None);
    }
    let table = PriceTable::builtin();
    let cost = |model, usage: Usage| table.cost(model, None, &usage, at("2026-01-01"));
    assert_eq!(cost("gpt-4o", Usage::default()), None);
    assert_eq!(
        cost(
            "gpt-4o",
            Usage {
                input_tokens: Some(1),
                ..Usage::default()
            }
        ),
        None
    );
    assert_eq!(cost("gpt-4o", usage(0, 0, 0)), Some(NanoUsd(0)));
    let embedded = Usage {
        input_tokens: Some(1_000_000),
        ..Usage::default()
    };
    assert_eq!(
        cost("text-embedding-3-small", embedded),
        Some(NanoUsd(20_000_000))
    );
}

#[test]
fn long_inputs_have_their_own_price() {
    let cost = |input| {
        PriceTable::builtin().cost(
            "gemini-2.5-pro",
            None,
            &usage(input, 0, 1_000),
            at("2026-01-01"),
        )
    };
    assert_eq!(cost(200_000), Some(NanoUsd(250_000_000 + 10_000_000)));
    assert_eq!(cost(200_001), Some(NanoUsd(500_002_500 + 15_000_000)));
}

#[test]
fn a_project_sets_and_removes_its_own_prices() {
    let mut table = PriceTable::builtin();
    let rate = |text: &str| text.parse::<Rate>().unwrap();
    let mut own = Price {
        provider: Some("Azure".into()),
        model: "GPT-4o".into(),
        from: at("2025-01-01"),
        input_above: 0,
        input: rate("1"),
        cached_input: None,
        output: rate("1"),
        reasoning: Some(rate("3")),
    };
    let cost = |table: &PriceTable, provider| {
        let usage = Usage {
            reasoning_tokens: Some(1_000),
            ..usage(1_000, 0, 2_000)
        };
        table.cost("gpt-4o", provider, &usage, at("2026-01-01"))
    };
    let listed = cost(&table, None);
    table.set(own.clone()).unwrap();
    assert_eq!(cost(&table, Some("azure")), Some(NanoUsd(5_000_000)));
    assert_eq!(cost(&table, Some("openai")), listed);
    own.input = rate("2");
    table.set(own.clone()).unwrap();
    for bad in ["", "a\tb", "# a", " a"] {
        own.model = bad.to_owned();
        assert!(table.set(own.clone()).is_err(), "{bad:?}");
    }
    assert_eq!(cost(&table, Some("azure")), Some(NanoUsd(6_000_000)));
    assert_eq!(PriceTable::parse(&table.to_tsv()).unwrap(), table);
    assert_eq!(table.remove(Some("azure"), "gpt-4o"), 1);
    assert_eq!(table, PriceTable::builtin());
}

#[test]
fn a_bad_line_is_named_with_its_reason() {
    let head = "model\tfrom\tinput\toutput\n";
    let cases = [
        (
            "",
            "line 1 of the price table: the first line must name the columns, \"model\" is missing",
        ),
        (
            "model\tprize\n",
            "line 1 of the price table: unknown column \"prize\"; known: provider, model, from, input_above, input, cached_input, output, reasoning",
        ),
        (
            &format!("{head}\n# note\nm\t2026-01-01\t1\n"),
            "line 4 of the price table: 3 fields where the first line has 4",
        ),
        (
            &format!("{head}m\tsoon\t1\t2\n"),
            "line 2 of the price table: from: \"soon\" is not a date such as 2026-01-31",
        ),
        (
            &format!("{head}m\t2026-01-01\t-1\t2\n"),
            "line 2 of the price table: input: \"-1\" is not a price such as 2.50",
        ),
        (
            &format!("{head}\t2026-01-01\t1\t2\n"),
            "line 2 of the price table: model: \"\" is not a name without spaces around it",
        ),
        (
            &format!("{head}m\t2026-01-01\t1\t2\nM\t2026-01-01\t1\t2\n"),
            "line 3 of the price table: says again what line 2 says",
        ),
    ];
    for (tsv, want) in cases {
        assert_eq!(PriceTable::parse(tsv).unwrap_err().to_string(), want);
    }
}

#[test]
fn rates_are_exact() {
    for (text, want) in [
        ("0", 0),
        ("2.50", 2_500_000),
        ("0.0375", 37_500),
        ("0.000001", 1),
    ] {
        let rate: Rate = text.parse().unwrap();
        assert_eq!(rate, Rate(want));
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }
    for bad in [
        "",
        ".",
        "1.",
        ".5",
        "1.0000001",
        "1e3",
        "+1",
        "99999999999999999999",
    ] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
}

fn any_price() -> impl Strategy<Value = Price> {
    let rate = || (0u64..200_000_000).prop_map(Rate);
    (
        rate(),
        proptest::option::of(rate()),
        rate(),
        proptest::option::of(rate()),
    )
        .prop_map(|(input, cached_input, output, reasoning)| Price {
            provider: None,
            model: "m".into(),
            from: Time::from_micros(0),
            input_above: 0,
            input,
            cached_input,
            output,
            reasoning,
        })
}

fn any_usage() -> impl Strategy<Value = Usage> {
    (0i64..10_000_000, 0.0..1.0, 0i64..10_000_000, 0.0..1.0).prop_map(
        |(input, cached, output, reasoning)| Usage {
            input_tokens: Some(input),
            cached_tokens: Some((input as f64 * cached) as i64),
            output_tokens: Some(output),
            reasoning_tokens: Some((output as f64 * reasoning) as i64),
        },
    )
}

fn sum(a: Usage, b: Usage) -> Usage {
    let add = |a: Option<i64>, b: Option<i64>| a.zip(b).map(|(a, b)| a + b);
    Usage {
        input_tokens: add(a.input_tokens, b.input_tokens),
        cached_tokens: add(a.cached_tokens, b.cached_tokens),
        output_tokens: add(a.output_tokens, b.output_tokens),
        reasoning_tokens: add(a.reasoning_tokens, b.reasoning_tokens),
    }
}

proptest! {
    #[test]
    fn costs_add_up_and_more_tokens_never_cost_less(price in any_price(), a in any_usage(), b in any_usage()) {
        let (of_a, of_b) = (price.cost(&a).unwrap().0, price.cost(&b).unwrap().0);
        let of_both = price.cost(&sum(a, b)).unwrap().0;
        prop_assert!((of_both - of_a - of_b).abs() <= 1, "each is rounded once, to the nano-dollar");
        prop_assert!(of_both >= of_a.max(of_b));
    }

    #[test]
    fn any_table_is_read_or_refused(text in "(model|from|input|output|m|2026-01-01|1\\.5|[\t\n#*]|.){0,30}") {
        if let Ok(table) = PriceTable::parse(&text) {
            prop_assert_eq!(PriceTable::parse(&table.to_tsv()).unwrap(), table);
        }
    }

    #[test]
    fn no_count_can_break_it(input in any::<i64>(), cached in any::<i64>(), output in any::<i64>()) {
        let cost = PriceTable::builtin().cost("gpt-5", None, &usage(input, cached, output), at("2026-01-01"));
        prop_assert!(cost.unwrap() >= NanoUsd(0));
    }
}
