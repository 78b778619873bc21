//! Lists of traces against a plain oracle: memory and files together, hidden rows, pages, filters.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::fixture::*;
use futures::executor::block_on;
use model::{
    COLUMNS, ColumnKind, Comparison, Condition, FilterRule, JsonText, Limits, NanoUsd, Operand,
    Operation, TraceFilter, TraceRow, TraceStatus,
};
use proptest::prelude::*;
use query::{Engine, GatherBy, Order, TraceList, View};
use store::lake::{Columns, LakeRow, Table, TraceEntry};

static ENGINE: LazyLock<Engine> = LazyLock::new(engine);

fn all(filter: TraceFilter, order: Order, limit: usize) -> TraceList {
    TraceList {
        filter,
        order,
        limit,
        after: None,
        columns: Columns::all(Table::Traces),
    }
}

/// Reads a list to its end, page by page.
fn pages(view: &Arc<dyn View>, mut list: TraceList) -> Vec<TraceEntry> {
    let mut entries = Vec::new();
    loop {
        let page = block_on(ENGINE.list_traces(Arc::clone(view), list.clone())).unwrap();
        assert!(page.items.len() <= list.limit);
        entries.extend(page.items);
        match page.next {
            // What a client holds is the text.
            Some(next) => list.after = Some(next.to_string().parse().unwrap()),
            None => return entries,
        }
    }
}

fn ids(entries: &[TraceEntry]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry.row.item.trace_id.as_str())
        .collect()
}

/// One trace of the generated lake.
#[derive(Debug, Clone)]
struct Made {
    start: Option<i64>,
    /// The file it lies in, or memory.
    file: Option<usize>,
    /// Whether an earlier version lies in another file and is hidden.
    replaced: Option<usize>,
    is_mine: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let start = prop_oneof![9 => (0_i64..40).prop_map(Some), 1 => Just(None)];
    let file = prop_oneof![3 => (0_usize..5).prop_map(Some), 1 => Just(None)];
    let replaced = prop_oneof![4 => Just(None), 1 => (0_usize..5).prop_map(Some)];
    (start, file, replaced, prop::bool::weighted(0.8)).prop_map(
        |(start, file, replaced, is_mine)| Made {
            start,
            file,
            replaced,
            is_mine,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_files_together_are_what_a_plain_list_says(
        made in prop::collection::vec(made(), 0..60),
        limit in 1_usize..9,
        ascending in any::<bool>(),
    ) {
        let (mine, other) = (project("mine"), project("other"));
        let mut lake = Lake::new();
        let mut files: BTreeMap<usize, Vec<TraceEntry>> = BTreeMap::new();
        let (mut memory, mut expected, mut replaced) = (Vec::new(), Vec::new(), Vec::new());
        for (n, made) in made.iter().enumerate() {
            let owner = if made.is_mine { &mine } else { &other };
            let id = format!("t{n:03}");
            let entry = trace(owner, &id, made.start.map(at), 100 + n as i64);
            if let Some(file) = made.replaced {
                let old = trace(owner, &id, Some(at(made.start.unwrap_or(0) + 1)), 1);
                files.entry(file).or_default().push(old);
                replaced.push(id);
            }
            match made.file {
                Some(file) => files.entry(file).or_default().push(entry.clone()),
                None if made.is_mine => memory.push(entry.clone()),
                None => {}
            }
            if made.is_mine {
                expected.push(entry);
            }
        }
        for rows in files.into_values() {
            lake.write(rows);
        }
        let mut view = lake.view(&mine, at(100));
        view.traces = memory;
        for id in &replaced {
            view.hide(Table::Traces, id, None, 50);
        }
        let view = view.into_view();
        expected.sort_by(|a, b| match ascending {
            false => a.file_order(b),
            true => {
                let key = |e: &TraceEntry| (e.row.started_at.is_none(), e.row.started_at, e.row.item.trace_id.clone());
                key(a).cmp(&key(b))
            }
        });
        let order = if ascending { Order::Ascending } else { Order::Descending };
        let got = pages(&view, all(TraceFilter::default(), order, limit));
        prop_assert_eq!(ids(&got), ids(&expected));
        prop_assert_eq!(&got, &expected);
        let count = block_on(ENGINE.count_traces(Arc::clone(&view), TraceFilter::default())).unwrap();
        prop_assert_eq!(count, expected.len() as u64);
    }
}

#[test]
fn the_status_of_a_list_follows_the_clock() {
    let mine = project("mine");
    let mut lake = Lake::new();
    let open = with(trace(&mine, "open", Some(at(0)), 1), |row| {
        (row.open_spans, row.rooted) = (1, false)
    });
    let rootless = with(trace(&mine, "rootless", Some(at(1)), 2), |row| {
        row.rooted = false
    });
    let item_only = with(trace(&mine, "item", None, 3), |row| {
        (row.span_count, row.rooted) = (0, false)
    });
    let failed = with(trace(&mine, "failed", Some(at(2)), 4), |row| {
        row.settled_status = TraceStatus::Error
    });
    let entries = vec![open, rootless, item_only, failed];
    lake.write(entries.clone());
    for seconds in [0, 10, 600, 601, 602, 700] {
        let view = lake.view(&mine, at(seconds)).into_view();
        for status in TraceStatus::ALL {
            let filter = TraceFilter {
                status: vec![*status],
                ..TraceFilter::default()
            };
            let got = pages(&view, all(filter.clone(), Order::Descending, 10));
            let mut expected: Vec<TraceEntry> = entries.clone();
            expected.retain(|entry| filter.matches(&entry.row, view.now(), view.idle_micros()));
            expected.sort_by(LakeRow::file_order);
            assert_eq!(ids(&got), ids(&expected), "{status} after {seconds} s");
        }
    }
}

/// A few values of each field, so that filters meet what they ask for.
fn row() -> impl Strategy<Value = TraceRow> {
    let word = || prop::option::of(prop::sample::select(vec!["a", "b", "A", ""]));
    let words = || prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3);
    let metadata = prop::option::of(prop::sample::select(vec![
        r#"{"k":"a"}"#,
        r#"{"k":"\u0061","n":1.0}"#,
        r#"{"k":null,"n":1}"#,
        r#"{"x":{"k":"a"}}"#,
        "[1]",
        "{}",
    ]));
    let numbers = (
        prop::option::of(0_i64..4),
        prop::option::of(0_i64..4),
        prop::option::of(0_i64..4),
        prop::option::of(0_i64..4),
        0_i64..2,
        0_i64..2,
        0_i64..2,
    );
    let settled = prop::sample::select(vec![
        TraceStatus::Success,
        TraceStatus::Error,
        TraceStatus::Timeout,
    ]);
    (
        (word(), word(), word(), word()),
        (words(), words(), words(), prop::option::of(words())),
        metadata,
        numbers,
        settled,
        (any::<bool>(), prop::option::of(0_i64..4), 0_i64..1_200),
    )
        .prop_map(
            |(texts, lists, metadata, numbers, settled, (rooted, start, received))| {
                let mine = project("mine");
                let entry = trace(&mine, "t", start.map(at), 1);
                let mut row = (*entry.row).clone();
                let owned =
                    |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
                row.item.workflow_name = texts.0.map(str::to_owned);
                row.item.user_id = texts.1.map(str::to_owned);
                row.item.version = texts.2.map(str::to_owned);
                row.error_type = texts.3.map(str::to_owned);
                (row.agents, row.models, row.tool_sequence) =
                    (owned(lists.0), owned(lists.1), owned(lists.2));
                row.item.tags = lists.3.map(owned);
                row.item.metadata = metadata.map(|text| JsonText::parse(text).unwrap());
                row.duration_ms = numbers.0.map(|n| n as f64);
                row.cost = numbers.1.map(NanoUsd);
                (row.usage.input_tokens, row.usage.output_tokens) = (numbers.2, numbers.3);
                (row.tool_errors, row.open_spans, row.span_count) =
                    (numbers.4, numbers.5, numbers.6);
                (row.settled_status, row.rooted) = (settled, rooted);
                row.last_received_at = at(received);
                row
            },
        )
}

fn limits<T: std::fmt::Debug + Copy + 'static>(
    make: fn(i64) -> T,
) -> impl Strategy<Value = Limits<T>> {
    let bound = || prop_oneof![3 => Just(None), 1 => (0_i64..4).prop_map(Some)];
    (bound(), bound()).prop_map(move |(min, max)| Limits {
        min: min.map(make),
        max: max.map(make),
    })
}

/// A column, or a literal that may stand in one.
fn operand(kind: ColumnKind) -> BoxedStrategy<Operand> {
    let of_kind: Vec<&model::Column> = COLUMNS.iter().filter(|c| c.kind == kind).collect();
    let column = prop::sample::select(of_kind).prop_map(Operand::Column);
    let literal = match kind {
        ColumnKind::Int => (0_i64..4).prop_map(Operand::Int).boxed(),
        ColumnKind::Double => prop::sample::select(vec![0.0, -0.0, 1.0, 1.5, 2.0, 1e-9])
            .prop_map(Operand::Double)
            .boxed(),
        ColumnKind::Text => {
            let words = vec![
                "a",
                "b",
                "A",
                "",
                "'; --",
                "\\",
                "%",
                "_",
                "\"",
                "\0",
                "ä",
                "t03",
                "success",
                "running",
                "error",
                "abandoned",
                "none",
                "openai",
            ];
            let word = prop::sample::select(words);
            word.prop_map(|word| Operand::Text(word.to_owned())).boxed()
        }
        ColumnKind::Bool => any::<bool>().prop_map(Operand::Bool).boxed(),
        ColumnKind::Time => (0_i64..4).prop_map(|s| Operand::Time(at(s))).boxed(),
    };
    prop_oneof![2 => column, 1 => literal].boxed()
}

/// A number that is made of numbers.
fn number() -> impl Strategy<Value = Operand> {
    use Operation::{Add, Divide, Multiply, Subtract};
    let leaf = prop_oneof![operand(ColumnKind::Int), operand(ColumnKind::Double)];
    leaf.prop_recursive(2, 6, 2, |inner| {
        let operation = prop::sample::select(vec![Add, Subtract, Multiply]);
        let divisor = prop::sample::select(vec![Operand::Int(2), Operand::Double(-0.5)]);
        let joined = |(left, operation, right)| {
            Operand::Arithmetic(Box::new(left), operation, Box::new(right))
        };
        prop_oneof![
            (inner.clone(), operation, inner.clone()).prop_map(joined),
            (inner, Just(Divide), divisor).prop_map(joined),
        ]
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    use Comparison::{AtLeast, AtMost, Equal, Greater, Less, Unequal};
    let comparison = || prop::sample::select(vec![Equal, Unequal, Less, AtMost, Greater, AtLeast]);
    let two_of = |kind| (operand(kind), comparison(), operand(kind));
    let leaf = prop_oneof![
        3 => (number(), comparison(), number()).boxed(),
        2 => two_of(ColumnKind::Text).boxed(),
        1 => two_of(ColumnKind::Time).boxed(),
        1 => two_of(ColumnKind::Bool).boxed(),
    ];
    let leaf = prop_oneof![
        5 => leaf.prop_map(|(left, by, right)| Condition::Compare(left, by, right)),
        1 => operand(ColumnKind::Bool).prop_map(Condition::Is),
        1 => operand(ColumnKind::Text).prop_map(Condition::Known),
        1 => number().prop_map(Condition::Known),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let some = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            some().prop_map(Condition::And),
            some().prop_map(Condition::Or),
            inner.clone().prop_map(|of| Condition::Not(Box::new(of))),
        ]
    })
}

fn filter() -> impl Strategy<Value = TraceFilter> {
    let words = || {
        prop_oneof![
            4 => Just(Vec::new()),
            1 => prop::collection::vec(prop::sample::select(vec!["a", "b", "", "'; --"]).prop_map(str::to_owned), 1..3),
        ]
    };
    let statuses = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(prop::sample::select(TraceStatus::ALL.to_vec()), 1..3),
    ];
    let metadata = prop_oneof![
        3 => Just(BTreeMap::new()),
        1 => (prop::sample::select(vec!["k", "n", "x"]), prop::sample::select(vec!["a", "1.0", "1", "null"]))
            .prop_map(|(key, value)| BTreeMap::from([(key.to_owned(), vec![value.to_owned()])])),
    ];
    let start = || prop_oneof![4 => Just(None), 1 => (0_i64..4).prop_map(|s| Some(at(s)))];
    (
        (words(), words(), words(), words()),
        (words(), words(), words(), words()),
        statuses,
        prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)],
        (limits(|n| n as f64), limits(NanoUsd), limits(|n| n)),
        metadata,
        (start(), start()),
    )
        .prop_map(
            |(texts, lists, status, has_errors, limits, metadata, starts)| TraceFilter {
                workflow_name: texts.0,
                user_id: texts.1,
                version: texts.2,
                error_type: texts.3,
                agent: lists.0,
                model: lists.1,
                tool: lists.2,
                tag: lists.3,
                status,
                has_errors,
                duration_ms: limits.0,
                cost_usd: limits.1,
                tokens: limits.2,
                metadata,
                started_from: starts.0,
                started_until: starts.1,
                ..TraceFilter::default()
            },
        )
}

/// Holds filters against what they mean, row by row, in files and in memory.
fn check_filters(rows: Vec<TraceRow>, filters: Vec<TraceFilter>) -> Result<(), TestCaseError> {
    let mine = project("mine");
    let number = |(n, row): (usize, TraceRow)| {
        let home_started_at = row.started_at.unwrap_or(row.first_received_at);
        let entry = TraceEntry {
            project: mine.clone(),
            row: Arc::new(row),
            home_started_at,
        };
        with(entry, |row| {
            row.item.trace_id = model::TraceId::new(&format!("t{n:02}")).unwrap();
        })
    };
    let entries: Vec<TraceEntry> = rows.into_iter().enumerate().map(number).collect();
    let mut lake = Lake::new();
    let (filed, live) = entries.split_at(entries.len() / 2);
    if !filed.is_empty() {
        lake.write(filed.to_vec());
    }
    let mut view = lake.view(&mine, at(1_000));
    view.traces = live.to_vec();
    let view = view.into_view();
    for filter in filters {
        let mut expected = entries.clone();
        expected.retain(|entry| filter.matches(&entry.row, view.now(), view.idle_micros()));
        expected.sort_by(LakeRow::file_order);
        let got = pages(&view, all(filter.clone(), Order::Descending, 100));
        prop_assert_eq!(ids(&got), ids(&expected), "{:?}", filter);
        let found = block_on(ENGINE.trace_ids(Arc::clone(&view), filter)).unwrap();
        let found: Vec<&str> = found.iter().map(|id| id.as_str()).collect();
        prop_assert_eq!(found, ids(&expected));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_means_the_same_as_an_expression(
        rows in prop::collection::vec(row(), 1..30),
        filters in prop::collection::vec(filter(), 8),
    ) {
        check_filters(rows, filters)?;
    }

    #[test]
    fn a_rule_means_the_same_as_an_expression(
        rows in prop::collection::vec(row(), 1..30),
        conditions in prop::collection::vec(condition(), 16),
    ) {
        let filter = |condition: Condition| {
            let source = condition.to_string();
            let rule = Some(FilterRule { source, condition });
            TraceFilter { rule, ..TraceFilter::default() }
        };
        check_filters(rows, conditions.into_iter().map(filter).collect())?;
    }
}

#[test]
fn a_list_of_two_thousand_names_is_no_deep_tree() {
    let user = Operand::Column(model::Column::named("user_id").unwrap());
    let is = |n: usize| {
        let name = Operand::Text(format!("u{n}"));
        Condition::Compare(user.clone(), Comparison::Equal, name)
    };
    let source = String::new();
    let condition = Condition::Or((0..2_000).map(is).collect());
    let filter = TraceFilter {
        rule: Some(FilterRule { source, condition }),
        ..TraceFilter::default()
    };
    let mine = project("mine");
    let mut lake = Lake::new();
    lake.write(vec![with(trace(&mine, "t", Some(at(1)), 1), |row| {
        row.item.user_id = Some("u1999".to_owned());
    })]);
    let view = lake.view(&mine, at(9)).into_view();
    assert_eq!(block_on(ENGINE.count_traces(view, filter)).unwrap(), 1);
}

#[test]
fn arrivals_do_not_disturb_who_pages_and_lists_can_go_on_after_an_id() {
    let mine = project("mine");
    let mut lake = Lake::new();
    lake.write(
        (0..9)
            .map(|n| trace(&mine, &format!("t{n}"), Some(at(n)), n))
            .collect(),
    );
    let mut view = lake.view(&mine, at(100));
    let mut list = all(TraceFilter::default(), Order::Descending, 4);
    let first = block_on(ENGINE.list_traces(view.clone().into_view(), list.clone())).unwrap();
    assert_eq!(ids(&first.items), ["t8", "t7", "t6", "t5"]);
    // A late trace that would stand on the second page.
    view.traces
        .push(trace(&mine, "late", Some(at(2)), 2_000_000));
    list.after = first.next;
    let second = block_on(ENGINE.list_traces(view.clone().into_view(), list)).unwrap();
    assert_eq!(ids(&second.items), ["t4", "t3", "t2", "t1"]);
    let id = model::TraceId::new("t3").unwrap();
    let after = block_on(ENGINE.cursor_after(view.clone().into_view(), id)).unwrap();
    assert!(after.is_some());
    let rest = TraceList {
        after,
        ..all(TraceFilter::default(), Order::Descending, 10)
    };
    let rest = block_on(ENGINE.list_traces(view.clone().into_view(), rest)).unwrap();
    assert_eq!(
        (ids(&rest.items), rest.next),
        (vec!["t2", "t1", "t0"], None)
    );
    let none = model::TraceId::new("none").unwrap();
    assert_eq!(
        block_on(ENGINE.cursor_after(view.into_view(), none)).unwrap(),
        None
    );
}

#[test]
fn groups_and_workflows_are_summed_up() {
    let mine = project("mine");
    let mut lake = Lake::new();
    let of = |id: &str, group: Option<&str>, seconds: i64, status, cost: Option<i64>| {
        with(trace(&mine, id, Some(at(seconds)), seconds), |row| {
            row.item.group_id = group.map(|group| model::GroupId::new(group).unwrap());
            row.settled_status = status;
            (row.cost, row.cost_complete) = (cost.map(NanoUsd), cost.is_some());
        })
    };
    lake.write(vec![
        of("a1", Some("a"), 1, TraceStatus::Success, Some(5)),
        of("a2", Some("a"), 2, TraceStatus::Error, None),
        of("b1", Some("b"), 9, TraceStatus::Timeout, Some(1)),
        of("none", None, 10, TraceStatus::Success, None),
    ]);
    let mut view = lake.view(&mine, at(100));
    view.traces.push(with(
        of("c1", Some("c"), 3, TraceStatus::Success, None),
        |row| row.open_spans = 1,
    ));
    let view = view.into_view();
    let page = |limit, after| {
        let filter = TraceFilter::default();
        block_on(ENGINE.list_summaries(Arc::clone(&view), GatherBy::Group, filter, limit, after))
            .unwrap()
    };
    let first = page(2, None);
    let names = |page: &query::Page<query::Summary, query::SummaryCursor>| {
        page.items
            .iter()
            .map(|summary| summary.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["b", "c"]);
    assert_eq!((first.items[1].running, first.items[0].errors), (1, 1));
    let second = page(2, first.next);
    assert_eq!(
        (names(&second), &second.next),
        (vec!["a".to_owned()], &None)
    );
    let a = &second.items[0];
    assert_eq!(
        (a.traces, a.errors, a.running, a.cost, a.cost_complete),
        (2, 1, 0, Some(NanoUsd(5)), false)
    );
    assert_eq!((a.input_tokens, a.output_tokens), (Some(200), Some(20)));
    assert_eq!(
        (a.first_started_at, a.last_started_at, a.last_received_at),
        (Some(at(1)), Some(at(2)), at(3))
    );
    let filter = TraceFilter::default();
    let flows = block_on(ENGINE.list_summaries(view, GatherBy::Workflow, filter, 5, None)).unwrap();
    assert_eq!(
        (names(&flows), flows.items[0].traces),
        (vec!["support".to_owned()], 5)
    );
}
