//! Each field, each message, and the way there and back.

use super::read::FIELDS;
use super::*;
use crate::{
    Comparison, JsonText, Operand, Received, Source, Span, SpanError, SpanId, SpanStatus, SpanType,
    TraceItem, derive,
};
use proptest::prelude::*;

const NOW: Time = Time::from_micros(1_780_000_000_000_000);
const IDLE_MICROS: i64 = 600_000_000;

/// A trace that took two seconds, called `gpt-5` and `search`, and failed.
fn row() -> TraceRow {
    let trace_id = TraceId::new("t,1").unwrap();
    let mut item = TraceItem::new(trace_id.clone(), Source::Openai);
    item.workflow_name = Some("Support".into());
    item.group_id = GroupId::new("thread").ok();
    item.tags = Some(vec!["beta".into(), "eu".into()]);
    item.metadata =
        JsonText::parse(r#"{"plan":"pro","n":3,"on":true,"q\u0022":"\u00e9","in":{"k":1}}"#).ok();
    let span = |id: &str, span_type, name: &str| {
        let mut span = Span::new(
            trace_id.clone(),
            SpanId::new(id).unwrap(),
            span_type,
            Source::Openai,
        );
        span.name = name.to_owned();
        span.started_at = Some(NOW.plus_micros(-3_000_000));
        span.ended_at = Some(NOW.plus_micros(-1_000_000));
        span.status = SpanStatus::Success;
        span
    };
    let mut agent = span("a", SpanType::Agent, "Triage");
    agent.status = SpanStatus::Error;
    agent.error = Some(SpanError {
        kind: "max_turns".into(),
        message: "Max turns exceeded".into(),
        data: None,
    });
    let mut call = span("g", SpanType::Generation, "gpt-5");
    call.model = Some("gpt-5".into());
    call.cost = Some(NanoUsd(250_000_000));
    call.usage.input_tokens = Some(100);
    call.usage.output_tokens = Some(20);
    let received = Received {
        first_received_at: NOW,
        last_received_at: NOW,
        first_seq: 1,
        seq: 3,
    };
    derive(
        &item,
        &[agent, call, span("f", SpanType::Function, "search")],
        received,
    )
}

fn read(query: &str) -> Result<TraceFilter, FilterError> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    TraceFilter::from_pairs(pairs, NOW).map(|(filter, unread)| {
        assert!(unread.is_empty(), "{unread:?}");
        filter
    })
}

fn check(query: &str, want: bool) {
    assert_eq!(
        read(query).unwrap().matches(&row(), NOW, IDLE_MICROS),
        want,
        "{query}"
    );
}

#[test]
fn each_field_narrows() {
    let (fits, fails) = (true, false);
    check("", fits);
    for (query, misses) in [
        ("id=t,1", "ids=t,1"),
        ("ids=t,1&id=t,1", "ids=x,y"),
        ("workflow_name=Support", "workflow_name=support"),
        ("group_id=thread", "group_id=other"),
        ("tag=beta", "tag=be"),
        ("agent=Triage", "agent=Billing"),
        ("model=gpt-5", "model=gpt"),
        ("tool=search", "tool=book"),
        ("status=error", "status=success"),
        ("error_type=max_turns", "error_type=timeout"),
        ("has_errors=true", "has_errors=false"),
        (
            "min_duration_ms=2000&max_duration_ms=2000",
            "min_duration_ms=2000.001",
        ),
        (
            "min_cost_usd=0.25&max_cost_usd=0.25",
            "max_cost_usd=0.249999999",
        ),
        ("min_tokens=120&max_tokens=120", "max_tokens=119"),
        ("metadata.plan=pro", "metadata.plan=free"),
        (
            "metadata.n=3&metadata.on=true",
            "metadata.n=3&metadata.on=false",
        ),
        ("metadata.q\"=é", "metadata.k=1"),
        ("start_date=-1m", "start_date=-0m"),
    ] {
        check(query, fits);
        check(misses, fails);
    }
    for unknown in [
        "user_id=u",
        "agent_id=a",
        "version=1",
        "environment=prod",
        "end_date=-1h",
    ] {
        check(unknown, fails);
    }
}

#[test]
fn several_values_of_a_field_mean_any_and_several_fields_all() {
    check("tool=book&tool=search", true);
    check("metadata.plan=free&metadata.plan=pro", true);
    check("tool=search&model=gpt-4o", false);
    check("status=success&status=error", true);
}

#[test]
fn a_bound_on_what_is_not_known_is_not_met() {
    let mut row = row();
    row.cost = None;
    row.started_at = None;
    for query in [
        "max_cost_usd=1",
        "start_date=2000-01-01",
        "end_date=2100-01-01",
    ] {
        assert!(
            !read(query).unwrap().matches(&row, NOW, IDLE_MICROS),
            "{query}"
        );
    }
}

#[test]
fn days_are_those_of_the_zone_and_an_end_date_is_included() {
    let filter = read("end_date=2026-01-31&tz=Europe/Berlin&start_date=2026-01-31").unwrap();
    assert_eq!(
        filter.started_from.unwrap().to_string(),
        "2026-01-30T23:00:00.000000Z"
    );
    assert_eq!(
        filter.started_until.unwrap().to_string(),
        "2026-01-31T23:00:00.000000Z"
    );
    let day = read("start_date=yesterday&end_date=today").unwrap();
    let micros = |at: Option<Time>| at.unwrap().as_micros();
    assert_eq!(
        micros(day.started_until) - micros(day.started_from),
        86_400_000_000
    );
}

#[test]
fn pairs_of_others_are_handed_back() {
    let pairs = [
        ("limit", "20"),
        ("tool", "a,b"),
        ("q", ""),
        ("metadata", "x"),
    ];
    let (filter, unread) = TraceFilter::from_pairs(pairs, NOW).unwrap();
    assert_eq!(filter.tool, ["a,b"]);
    assert_eq!(unread, [("limit", "20"), ("q", ""), ("metadata", "x")]);
}

#[test]
fn what_cannot_be_read_is_named_with_what_could() {
    for (query, want) in [
        (
            "status=ok",
            "status: unknown trace status \"ok\"; known: running, success, error, timeout, abandoned",
        ),
        (
            "min_tokens=1.5",
            "min_tokens: \"1.5\" is not a whole number of 0 or more",
        ),
        (
            "max_cost_usd=$1",
            "max_cost_usd: \"$1\" is not an amount in US dollars of 0 or more, such as 0.25",
        ),
        (
            "min_duration_ms=NaN",
            "min_duration_ms: \"NaN\" is not a number of 0 or more, such as 1500",
        ),
        ("has_errors=yes", "has_errors: \"yes\" is not true or false"),
        (
            "tool=",
            "tool: has no value: give one or leave the field out",
        ),
        ("ids=,", "ids: an id must not be empty"),
        (
            "metadata.=1",
            "metadata.: names no key: write metadata.KEY=VALUE",
        ),
        (
            "tz=Mars",
            "tz: \"Mars\" is not a time zone: write an IANA name such as Europe/Berlin, or UTC",
        ),
        (
            "tz=UTC&tz=UTC",
            "tz: is given twice, and can hold one value only",
        ),
        (
            "start_date=-1d&start_date=-2d",
            "start_date: is given twice, and can hold one value only",
        ),
        (
            "start_date=today&end_date=yesterday",
            "end_date: the range ends before it begins",
        ),
        (
            "min_tokens=2&max_tokens=1",
            "max_tokens: the range ends before it begins",
        ),
    ] {
        assert_eq!(read(query).unwrap_err().to_string(), want);
    }
    let error = read("start_date=soon").unwrap_err();
    assert_eq!(error.field, "start_date");
    assert!(
        error
            .message
            .starts_with("\"soon\" is not a date: write 2026-01-31,"),
        "{error}"
    );
}

fn check_json(json: &str, want: Result<&str, &str>) {
    let got = TraceFilter::from_json(&serde_json::from_str(json).unwrap(), NOW);
    match (got, want) {
        (Ok(got), Ok(query)) => assert_eq!(got, read(query).unwrap(), "{json}"),
        (got, want) => {
            let message = got.unwrap_err().to_string();
            assert!(
                want.is_err_and(|want| message.starts_with(want)),
                "{json}: {message}"
            );
        }
    }
}

#[test]
fn json_says_the_same() {
    check_json("{}", Ok(""));
    check_json(
        r#"{"start_date":"2025-10-01","end_date":"2025-10-11","status":"success"}"#,
        Ok("start_date=2025-10-01&end_date=2025-10-11&status=success"),
    );
    check_json(
        r#"{"tool":["a","b,c"],"has_errors":true,"min_cost_usd":0.5,"ids":["x,y"],"tag":null}"#,
        Ok("tool=a&tool=b,c&has_errors=true&min_cost_usd=0.5&id=x,y"),
    );
    check_json(
        r#"{"metadata":{"plan":["pro","free"],"n":3},"metadata.on":true}"#,
        Ok("metadata.plan=pro&metadata.plan=free&metadata.n=3&metadata.on=true"),
    );
    check_json("[]", Err("filter: must be an object"));
    check_json(
        r#"{"tols":"a"}"#,
        Err("tols: is not a field of a filter; the fields are id, ids, "),
    );
    check_json(
        r#"{"tool":{"a":1}}"#,
        Err("tool: must be a text, a number,"),
    );
    check_json(
        r#"{"tool":[]}"#,
        Err("tool: is an empty list, which no trace is in"),
    );
    check_json(
        r#"{"metadata":"x"}"#,
        Err("metadata: is not a field of a filter"),
    );
    check_json(
        r#"{"metadata":{"k":null},"ids":[""]}"#,
        Err("id: has no value"),
    );
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[a-c,&= é\"]{1,4}", 0..3)
}

fn limits<T: PartialOrd + Copy + std::fmt::Debug + 'static>(
    values: impl Strategy<Value = T> + Clone + 'static,
) -> impl Strategy<Value = Limits<T>> {
    let one = proptest::option::of(values);
    (one.clone(), one).prop_map(|(a, b)| match a.zip(b) {
        Some((a, b)) if a > b => Limits {
            min: Some(b),
            max: Some(a),
        },
        _ => Limits { min: a, max: b },
    })
}

fn any_filter() -> impl Strategy<Value = TraceFilter> {
    let lists = (
        texts(),
        texts(),
        texts(),
        texts(),
        texts(),
        texts(),
        texts(),
        texts(),
    );
    let limits = (
        limits(0.0..1e12f64),
        limits((0..1_000_000_000_000_000i64).prop_map(NanoUsd)),
        limits(0..i64::MAX),
        limits((-4_102_444_800_000_000..4_102_444_800_000_000i64).prop_map(Time::from_micros)),
    );
    let status = proptest::collection::vec(proptest::sample::select(TraceStatus::ALL), 0..3);
    let metadata = proptest::collection::btree_map(
        "[a-c.é]{1,3}",
        proptest::collection::vec("[a-c]{0,2}", 1..3),
        0..3,
    );
    (lists, limits, status, metadata, any::<Option<bool>>()).prop_map(
        |(lists, limits, status, metadata, has_errors)| TraceFilter {
            ids: lists.0.iter().map(|id| TraceId::new(id).unwrap()).collect(),
            workflow_name: lists.0.clone(),
            group_id: lists.1.iter().map(|id| GroupId::new(id).unwrap()).collect(),
            user_id: lists.1,
            agent_id: lists.2.clone(),
            agent: lists.2,
            version: lists.3.clone(),
            environment: lists.3,
            tag: lists.4,
            model: lists.5,
            tool: lists.6,
            error_type: lists.7,
            status,
            has_errors,
            duration_ms: limits.0,
            cost_usd: limits.1,
            tokens: limits.2,
            metadata,
            started_from: limits.3.min,
            started_until: limits.3.max,
            rule: None,
        },
    )
}

#[test]
fn a_rule_narrows_where_it_holds_and_is_written_beside_the_fields() {
    let column = |name| Operand::Column(crate::Column::named(name).unwrap());
    let of = |condition: Condition| TraceFilter {
        rule: Some(FilterRule {
            source: condition.to_string(),
            condition,
        }),
        ..TraceFilter::default()
    };
    let slow = |ms| {
        let limit = Operand::Double(ms);
        of(Condition::Compare(
            column("duration_ms"),
            Comparison::Greater,
            limit,
        ))
    };
    assert!(slow(1_999.0).matches(&row(), NOW, IDLE_MICROS));
    assert!(!slow(2_000.0).matches(&row(), NOW, IDLE_MICROS));
    // What is not known does not hold, and neither does its opposite.
    let user = of(Condition::Compare(
        column("user_id"),
        Comparison::Equal,
        Operand::Text("u".into()),
    ));
    assert!(!user.matches(&row(), NOW, IDLE_MICROS));
    let not = Condition::Not(Box::new(user.rule.unwrap().condition));
    assert!(!of(not).matches(&row(), NOW, IDLE_MICROS));
    assert!(of(Condition::And(vec![])).matches(&row(), NOW, IDLE_MICROS));
    assert!(!of(Condition::Or(vec![])).matches(&row(), NOW, IDLE_MICROS));
    assert!(!slow(1.0).is_empty());
    let pairs = slow(0.5).to_pairs();
    assert_eq!(pairs, [("rule".into(), "duration_ms > 5e-1".into())]);
}

proptest! {
    #[test]
    fn pairs_carry_a_filter_there_and_back(filter in any_filter()) {
        let pairs = filter.to_pairs();
        let (back, unread) = TraceFilter::from_pairs(pairs.iter().map(|(f, v)| (&**f, &**v)), NOW).unwrap();
        prop_assert!(unread.is_empty());
        prop_assert_eq!(filter.is_empty(), pairs.is_empty());
        prop_assert_eq!(back, filter);
    }

    #[test]
    fn any_pair_is_read_or_refused(field in proptest::sample::select(FIELDS.split(", ").collect::<Vec<_>>()), value in ".{0,12}") {
        match TraceFilter::from_pairs([(field, value.as_str())], NOW) {
            Ok((filter, unread)) => prop_assert!(unread.is_empty() && filter.is_empty() == (field == "tz")),
            Err(error) => prop_assert_eq!(error.field, field),
        }
    }
}
