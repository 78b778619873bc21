//! SQL of strangers: what it may see, how it is limited, how its errors read, and what is read for it.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::fixture::*;
use arrow::array::RecordBatch;
use futures::TryStreamExt;
use futures::executor::block_on;
use model::{Outcome, Verdict};
use query::{Engine, EngineConfig, Format, Limit, Limits, SqlError, View};
use store::lake::Table;

static ENGINE: LazyLock<Engine> = LazyLock::new(engine);

fn run(
    view: &Arc<dyn View>,
    sql: &str,
    limits: Limits,
) -> Result<(Vec<RecordBatch>, Option<Limit>), SqlError> {
    block_on(async {
        let mut stream = ENGINE.sql(Arc::clone(view), sql, limits).await?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await? {
            batches.push(batch);
        }
        Ok((batches, stream.cut()))
    })
}

/// Returns the rows as text, values separated by `|`.
fn rows(view: &Arc<dyn View>, sql: &str) -> Vec<String> {
    let (batches, cut) =
        run(view, sql, Limits::default()).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    assert_eq!(cut, None);
    batches
        .iter()
        .flat_map(values)
        .map(|row| row.join("|"))
        .collect()
}

fn failure_of(view: &Arc<dyn View>, sql: &str) -> SqlError {
    match run(view, sql, Limits::default()) {
        Ok(_) => panic!("{sql} gave a result"),
        Err(error) => error,
    }
}

#[test]
fn t1_another_projects_rows_do_not_exist() {
    let (_lake, view) = demo();
    for (sql, expected) in [
        ("SELECT count(*) FROM traces", "21"),
        (
            "SELECT count(*), count(DISTINCT project_id), max(project_id) FROM spans",
            "20|1|mine",
        ),
        (
            "SELECT min(trace_id), max(trace_id), max(span_count) FROM traces",
            "live|t19|2",
        ),
        (
            "SELECT count(*) FROM messages WHERE content LIKE '%secret%'",
            "0",
        ),
        (
            "SELECT count(*) FROM traces WHERE project_id = 'other' OR 1 = 1",
            "21",
        ),
        (
            "SELECT count(*) FROM spans a JOIN spans b ON a.span_id = b.span_id",
            "400",
        ),
        (
            "SELECT count(*), max(score), min(trace_id), count(label), count(reasoning) FROM grades",
            "20|4.0|t00|0|0",
        ),
        (
            "SELECT count(*) FROM grades WHERE run_id = 'run_1' AND outcome = 'fail'",
            "5",
        ),
        (
            "SELECT count(*) FROM grades WHERE trace_id = 'secret3' OR label LIKE 'secret%' OR score > 100",
            "0",
        ),
        (
            "SELECT count(*) FROM grades g LEFT JOIN traces t ON g.trace_id = t.trace_id WHERE t.trace_id IS NULL",
            "0",
        ),
        (
            "WITH x AS (SELECT * FROM traces) SELECT count(*) FROM x WHERE trace_id LIKE 'secret%'",
            "0",
        ),
    ] {
        assert_eq!(rows(&view, sql), [expected], "{sql}");
    }
}

#[test]
fn t1_no_plan_and_no_message_tells_of_paths_or_other_projects() {
    let (lake, view) = demo();
    let path = lake.dir.path().to_string_lossy().into_owned();
    let mut texts = Vec::new();
    for sql in [
        "EXPLAIN SELECT * FROM spans WHERE trace_id = 't01'",
        "EXPLAIN VERBOSE SELECT * FROM traces ORDER BY started_at DESC LIMIT 5",
        "EXPLAIN ANALYZE SELECT * FROM spans",
        "EXPLAIN ANALYZE SELECT count(*) FROM traces WHERE workflow_name = 'x'",
        "EXPLAIN FORMAT TREE SELECT * FROM messages",
        "EXPLAIN ANALYZE SELECT grader_id, count(*) FROM grades WHERE run_id = 'run_1' GROUP BY 1",
        "DESCRIBE grades",
        "SHOW TABLES",
        "DESCRIBE traces",
        "SHOW COLUMNS FROM spans",
    ] {
        texts.extend(rows(&view, sql));
    }
    for sql in [
        "SELECT CAST(workflow_name AS BIGINT) FROM traces",
        "SELECT CAST(name AS BIGINT) FROM spans",
        "SELECT arrow_cast(content, 'Int64') FROM messages",
        "SELECT 1 / (span_count - span_count) FROM traces",
        "SELECT * FROM other.traces",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM 'spans-00001.parquet'",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SELECT CAST(grader_name AS BIGINT) FROM grades",
        "SELECT arrow_cast(outcome, 'Int64') FROM grades",
    ] {
        let error = failure_of(&view, sql);
        assert!(!matches!(error, SqlError::Internal(_)), "{sql}: {error:?}");
        texts.push(format!("{error} {error:?}"));
    }
    for text in texts {
        assert!(!text.contains("secret") && !text.contains(&path), "{text}");
        assert!(
            !text.contains(".parquet") || text.contains("spans-00001.parquet"),
            "{text}"
        );
        assert!(!text.contains("1000000"), "{text}");
    }
}

#[test]
fn only_reading_is_allowed() {
    let (_lake, view) = demo();
    for sql in [
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY traces TO '/tmp/x.csv'",
        "COPY (SELECT 1) TO '/tmp/x.parquet'",
        "INSERT INTO traces VALUES (1)",
        "DELETE FROM traces",
        "UPDATE traces SET name = 1",
        "DROP TABLE traces",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "SHOW ALL",
        "BEGIN",
        "PREPARE x AS SELECT 1",
        "EXPLAIN INSERT INTO traces VALUES (1)",
        "EXPLAIN ANALYZE COPY traces TO '/tmp/x.csv'",
        "SELECT 1; SELECT 2",
        "",
        "SELECT * FROM generate_series(1, 10)",
        "SELECT * FROM range(1, 10)",
        "SELECT generate_series(1, 1000000000)",
        "SELECT repeat('x', 1000000000)",
        "SELECT array_repeat('x', 1000000000)",
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x",
    ] {
        let error = failure_of(&view, sql);
        let is_refused = matches!(error, SqlError::Refused { .. } | SqlError::Invalid { .. });
        assert!(is_refused, "{sql}: {error:?}");
    }
}

#[test]
fn an_error_points_at_its_place() {
    let (_lake, view) = demo();
    let cases = [
        (
            "SELECT started_at,\n  workflow_nam FROM traces",
            Some((2, 3, "workflow_nam")),
            Some("workflow_name"),
        ),
        ("SELECT FROM WHERE", Some((1, 13, "WHERE")), None),
        (
            "SELECT trace_id FROM traces WHER x = 1",
            Some((1, 34, "x")),
            None,
        ),
        ("SELECT * FROM trace", None, Some("messages, spans, traces")),
        ("SELECT traces.x FROM traces", Some((1, 8, "traces")), None),
        (
            "SELECT trace_id\nFROM traces WHERE",
            Some((2, 18, "")),
            None,
        ),
        ("SELECT\n  CAST('abc' AS BIGINT)", Some((2, 8, "'")), None),
    ];
    for (sql, place, hint) in cases {
        let SqlError::Invalid {
            place: got,
            hint: got_hint,
            message,
        } = failure_of(&view, sql)
        else {
            panic!("{sql}");
        };
        if let Some((line, column, near)) = place {
            let got = got.unwrap_or_else(|| panic!("{sql}: no place: {message}"));
            assert_eq!(
                (got.line, got.column, got.near.as_str()),
                (line, column, near),
                "{sql}"
            );
            let (_, mark) = got.excerpt.split_once('\n').unwrap();
            assert_eq!(mark.len() as u64, column, "{}", got.excerpt);
        }
        if let Some(hint) = hint {
            assert!(
                got_hint.as_deref().unwrap_or_default().contains(hint),
                "{sql}: {got_hint:?}"
            );
        }
        assert!(!message.contains("tracegrade.public"), "{message}");
        assert!(!message.contains("EOF"), "{message}");
    }
}

#[test]
fn a_name_is_guessed_only_if_it_is_written_much_alike() {
    let (_lake, view) = demo();
    let check = |sql: &str, has_guess: bool| {
        let error = failure_of(&view, sql).to_string();
        assert_eq!(error.contains("Did you mean"), has_guess, "{sql}: {error}");
    };
    check("SELECT uper('a')", true);
    check("SELECT reverberate('a')", false);
}

/// The time of a query is not what these tests are about, and the machine may be busy.
fn patient() -> Limits {
    Limits {
        time: Duration::from_secs(600),
        ..Limits::default()
    }
}

#[test]
fn limits_cut_or_end_a_query_and_say_so() {
    let (_lake, view) = demo();
    let ten = Limits {
        rows_max: 10,
        ..patient()
    };
    let (batches, cut) = run(&view, "SELECT trace_id FROM spans", ten).unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    assert_eq!(cut, Some(Limit::Rows(10)));
    let twenty = Limits {
        rows_max: 20,
        ..patient()
    };
    assert_eq!(
        run(&view, "SELECT trace_id FROM spans", twenty).unwrap().1,
        None
    );
    let small = Limits {
        result_bytes_max: 100,
        ..patient()
    };
    assert_eq!(
        run(&view, "SELECT * FROM spans", small).unwrap().1,
        Some(Limit::Bytes(100))
    );

    let cross =
        "SELECT count(*) FROM spans a, spans b, spans c, spans d, spans e, spans f, spans g";
    let quick = Limits {
        time: Duration::from_millis(200),
        ..patient()
    };
    // It would not end in years.
    assert!(matches!(
        run(&view, cross, quick),
        Err(SqlError::TimedOut { .. })
    ));

    let poor = Limits {
        memory_bytes_max: 10_000,
        ..patient()
    };
    let sort = "SELECT a.*, b.name AS n2 FROM spans a, spans b ORDER BY b.name, a.span_id, a.data";
    assert!(matches!(
        run(&view, sort, poor),
        Err(SqlError::OutOfMemory { bytes_max: 10_000 })
    ));

    let long = format!("SELECT 1 -- {}", "x".repeat(200_000));
    assert!(matches!(
        run(&view, &long, patient()),
        Err(SqlError::TooLarge { what: "bytes", .. })
    ));
    let wide = format!("SELECT 1{}", "+1".repeat(15_000));
    assert!(matches!(
        run(&view, &wide, patient()),
        Err(SqlError::TooLarge { .. })
    ));
    let deep = format!("SELECT {}1{}", "(".repeat(2_000), ")".repeat(2_000));
    assert!(matches!(
        run(&view, &deep, patient()),
        Err(SqlError::TooLarge { .. })
    ));
    let unions = vec!["SELECT 1"; 1_200].join(" UNION ALL ");
    assert!(matches!(
        run(&view, &unions, patient()),
        Err(SqlError::TooLarge { .. })
    ));
}

#[test]
fn a_dropped_stream_gives_its_slot_back() {
    let (_lake, view) = demo();
    let one = Engine::new(EngineConfig {
        queries_max: 1,
        threads: 2,
        ..EngineConfig::default()
    })
    .unwrap();
    let stream =
        block_on(one.sql(Arc::clone(&view), "SELECT * FROM spans", Limits::default())).unwrap();
    let again = block_on(one.sql(Arc::clone(&view), "SELECT 1", Limits::default()));
    assert!(matches!(again, Err(SqlError::Busy)));
    drop(stream);
    let began = Instant::now();
    while block_on(one.sql(Arc::clone(&view), "SELECT 1", Limits::default())).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the slot is never given back"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_query_that_is_given_up_ends() {
    let (_lake, view) = demo();
    let one = Engine::new(EngineConfig {
        queries_max: 1,
        threads: 2,
        ..EngineConfig::default()
    });
    let one = one.unwrap();
    let cross =
        "SELECT count(*) FROM spans a, spans b, spans c, spans d, spans e, spans f, spans g";
    let quick = Limits {
        time: Duration::from_millis(100),
        ..Limits::default()
    };
    assert!(matches!(
        block_on(one.sql(Arc::clone(&view), cross, quick)),
        Err(SqlError::TimedOut { .. })
    ));
    let began = Instant::now();
    while block_on(one.sql(Arc::clone(&view), "SELECT 1", Limits::default())).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the query still runs"
        );
        std::thread::yield_now();
    }
}

#[test]
fn t1_a_catalog_that_is_wrong_costs_an_error_and_not_a_leak() {
    let (lake, _) = demo();
    let mut view = lake.view(&project("mine"), at(100));
    // The groups of a file are sorted by project: 0 is ours, 1 is not, 2 is none.
    for group in [1, 2] {
        for (_, file) in &mut view.files {
            file.row_groups = vec![group];
        }
        let view = view.clone().into_view();
        for sql in [
            "SELECT * FROM spans",
            "SELECT count(*) FROM messages",
            "SELECT max(trace_id) FROM traces",
        ] {
            let error = failure_of(&view, sql);
            assert!(matches!(error, SqlError::Internal(_)), "{sql}: {error:?}");
            assert!(!error.to_string().contains(".parquet"), "{error}");
        }
    }
}

#[test]
fn t1_projects_with_long_and_like_names_are_told_apart() {
    let long = "x".repeat(200);
    let names = [
        long.clone(),
        format!("{long}1"),
        "mine".to_owned(),
        "mine2".to_owned(),
    ];
    let mut lake = Lake::new();
    lake.write(
        names
            .iter()
            .map(|name| trace(&project(name), name, Some(at(1)), 1))
            .collect(),
    );
    for name in &names {
        let view = lake.view(&project(name), at(100)).into_view();
        assert_eq!(rows(&view, "SELECT trace_id FROM traces"), [name.as_str()]);
    }
}

#[test]
fn files_that_are_gone_are_not_an_empty_result() {
    let (lake, view) = demo();
    std::fs::remove_dir_all(lake.dir.path()).unwrap();
    let fresh = engine();
    let result = block_on(fresh.sql(view, "SELECT count(*) FROM spans", Limits::default()));
    assert!(matches!(result, Err(SqlError::Expired)), "{result:?}");
}

#[test]
fn the_status_in_sql_follows_the_clock() {
    let mine = project("mine");
    let mut lake = Lake::new();
    lake.write(vec![with(trace(&mine, "open", Some(at(0)), 1), |row| {
        (row.open_spans, row.rooted) = (1, false);
    })]);
    for (seconds, status) in [(0, "running"), (600, "running"), (601, "abandoned")] {
        let view = lake.view(&mine, at(seconds)).into_view();
        let sql = format!("SELECT trace_id, status FROM traces WHERE status = '{status}'");
        assert_eq!(
            rows(&view, &sql),
            [format!("open|{status}")],
            "after {seconds} s"
        );
        assert_eq!(
            rows(
                &view,
                "SELECT count(*) FROM traces WHERE status = 'success'"
            ),
            ["0"]
        );
    }
}

#[test]
fn spans_of_files_that_overlap_come_in_the_order_of_the_table() {
    let mine = project("mine");
    let mut lake = Lake::new();
    let mut all: Vec<(i64, String, i64)> = Vec::new();
    for file in 0..12_i64 {
        let row = |n: i64| {
            let (trace, id) = (
                format!("t{:03}", (file * 7 + n * 5) % 60),
                format!("s{file}-{n}"),
            );
            let start = at((file * 7 + n * 5) % 60);
            span(&mine, &trace, &id, start, file * 100 + n)
        };
        let rows: Vec<_> = (0..15).map(row).collect();
        all.extend(rows.iter().map(|row| {
            let start = row.trace_started_at.as_micros();
            (-start, row.span.trace_id.to_string(), row.seq)
        }));
        lake.write(rows);
    }
    all.sort();
    let expected: Vec<String> = all
        .iter()
        .map(|(_, id, seq)| format!("{id}|{seq}"))
        .collect();
    let view = lake.view(&mine, at(100)).into_view();
    let sql =
        "SELECT trace_id, seq FROM spans ORDER BY trace_started_at DESC, trace_id, started_at, seq";
    assert_eq!(rows(&view, sql), expected);
    let top = rows(&view, &format!("{sql} LIMIT 7"));
    assert_eq!(top, expected[..7]);
}

#[test]
fn content_is_the_text_behind_references_and_a_missing_one_is_an_error() {
    let (mut lake, _) = demo();
    let mine = project("mine");
    let view = lake.view(&mine, at(100)).into_view();
    let message = r#"{"role":"user","content":"question 3"}"#;
    for sql in [
        "SELECT content(input_refs) FROM spans WHERE trace_id = 't03'",
        "SELECT content(trace_id, input_refs) FROM spans WHERE trace_id = 't03'",
        "SELECT content(refs) FROM (SELECT input_refs AS refs FROM spans WHERE trace_id = 't03')",
        "SELECT content(input_refs) FROM spans WHERE content(input_refs) LIKE '%question 3\"%'",
    ] {
        assert_eq!(rows(&view, sql), [format!("{message}\n{message}")], "{sql}");
    }
    let gone = model::MessageHash::of(b"gone");
    lake.write(vec![with_span(
        span(&mine, "t99", "s1", at(99), 99),
        |span| {
            span.payload.output_refs = vec![gone];
        },
    )]);
    let view = lake.view(&mine, at(100)).into_view();
    let error = failure_of(&view, "SELECT content(output_refs) FROM spans");
    assert!(
        matches!(&error, SqlError::Missing(missing) if missing.hash == gone),
        "{error:?}"
    );
}

#[test]
fn json_operators_read_payloads() {
    let (_lake, view) = demo();
    for (sql, expected) in [
        ("SELECT data->>'city' FROM spans LIMIT 1", "Zürich"),
        (
            "SELECT json_get_str(data, 'city') FROM spans LIMIT 1",
            "Zürich",
        ),
        (
            "SELECT count(*) FROM spans WHERE data->>'city' = 'Zürich'",
            "20",
        ),
        ("SELECT data->'n' FROM spans LIMIT 1", "1.0"),
    ] {
        assert_eq!(rows(&view, sql), [expected], "{sql}");
    }
}

#[test]
fn hidden_rows_come_off_before_filter_limit_and_aggregate() {
    let (lake, _) = demo();
    let mut view = lake.view(&project("mine"), at(100));
    for n in 10..20 {
        view.hide(Table::Traces, &format!("t{n}"), None, n);
        view.hide(Table::Spans, &format!("t{n}"), Some("s1"), n);
    }
    view.hide(Table::Spans, "t05", Some("s1"), 4);
    // A grade in memory in place of one in the file, a file's grades of a trace that is gone, and a hide
    // that reaches not far enough.
    let again = grade(
        &project("mine"),
        "run_1",
        "t01",
        Verdict::new(Outcome::NotApplicable),
        60,
    );
    view.hide(Table::Grades, "t01", Some(again.id.as_str()), 1);
    view.grades.push(again);
    view.hide(Table::Grades, "t02", None, 2);
    view.hide(Table::Grades, "t03", None, 2);
    let view = view.into_view();
    for (sql, expected) in [
        ("SELECT count(*) FROM traces", "10"),
        (
            "SELECT count(*) FROM (SELECT * FROM traces ORDER BY started_at DESC LIMIT 15)",
            "10",
        ),
        (
            "SELECT trace_id FROM traces ORDER BY started_at DESC LIMIT 1",
            "t09",
        ),
        ("SELECT max(trace_id), count(*) FROM spans", "t09|10"),
        (
            "SELECT count(*) FROM (SELECT span_id FROM spans LIMIT 15)",
            "10",
        ),
        ("SELECT count(*) FROM spans WHERE trace_id = 't12'", "0"),
        ("SELECT count(*) FROM grades", "19"),
        (
            "SELECT outcome, seq FROM grades WHERE trace_id = 't01'",
            "not_applicable|60",
        ),
        (
            "SELECT string_agg(trace_id, ' ' ORDER BY trace_id) FROM grades WHERE trace_id IN ('t02', 't03')",
            "t03",
        ),
        (
            "SELECT count(*) FROM (SELECT id FROM grades LIMIT 30)",
            "19",
        ),
    ] {
        assert_eq!(rows(&view, sql), [expected], "{sql}");
    }
}

#[test]
fn every_format_says_when_a_result_was_cut() {
    let (_lake, view) = demo();
    let encode = |sql: &str, format: Format, limits: Limits| {
        block_on(async {
            let stream = ENGINE.sql(Arc::clone(&view), sql, limits).await?;
            let chunks: Vec<bytes::Bytes> = stream.encode(format)?.try_collect().await?;
            Ok::<Vec<u8>, SqlError>(chunks.concat())
        })
    };
    let sql = "SELECT trace_id, span_count, tags, models FROM traces ORDER BY trace_id LIMIT 2";
    let json = encode(sql, Format::Json, Limits::default()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["row_count"], 2);
    assert_eq!(json["truncated"], false);
    assert_eq!(
        json["columns"][1],
        serde_json::json!({"name": "span_count", "type": "integer"})
    );
    assert_eq!(
        json["data"][1],
        serde_json::json!({"trace_id": "t00", "span_count": 2, "tags": null, "models": ["gpt-5"]})
    );
    let csv = encode(sql, Format::Csv, Limits::default()).unwrap();
    assert_eq!(
        String::from_utf8(csv).unwrap(),
        "trace_id,span_count,tags,models\nlive,2,,[gpt-5]\nt00,2,,[gpt-5]\n"
    );
    let arrow = encode(sql, Format::Arrow, Limits::default()).unwrap();
    let reader = arrow_ipc::reader::StreamReader::try_new(arrow.as_slice(), None).unwrap();
    assert_eq!(
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        2
    );
    let parquet: bytes::Bytes = encode(sql, Format::Parquet, Limits::default())
        .unwrap()
        .into();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(parquet, 10).unwrap();
    assert_eq!(
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        2
    );
    let one = Limits {
        rows_max: 1,
        ..Limits::default()
    };
    let json = encode(sql, Format::Json, one).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(
        (
            &json["row_count"],
            &json["truncated"],
            &json["truncated_by"]
        ),
        (&1.into(), &true.into(), &"rows".into())
    );
    for format in [Format::Csv, Format::Arrow, Format::Parquet] {
        assert!(
            matches!(encode(sql, format, one), Err(SqlError::Cut(Limit::Rows(1)))),
            "{format:?}"
        );
    }
    let twice =
        "SELECT a.trace_id, b.trace_id FROM traces a JOIN traces b ON a.trace_id = b.trace_id";
    assert!(matches!(
        encode(twice, Format::Json, one),
        Err(SqlError::Invalid { .. })
    ));
    let empty = encode("SELECT trace_id FROM traces WHERE 1 = 0", Format::Json, one).unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&empty).unwrap()["data"],
        serde_json::json!([])
    );
}

// What a query reads is measured, so these run on engines of their own.

#[test]
fn a_lookup_among_a_thousand_files_opens_two_at_most() {
    let mine = project("mine");
    let mut lake = Lake::new();
    for n in 0..1_000 {
        lake.write(vec![trace(&mine, &format!("t{n:04}"), Some(at(n)), n)]);
    }
    let view = lake.view(&mine, at(2_000)).into_view();
    let engine = engine();
    let stream = |sql: &str| {
        let mut stream = block_on(engine.sql(Arc::clone(&view), sql, Limits::default())).unwrap();
        let batch = block_on(stream.next()).unwrap().unwrap();
        assert_eq!(batch.num_rows(), 1, "{sql}");
    };
    stream("SELECT * FROM traces WHERE trace_id = 't0500'");
    assert!(
        engine.read_counts().opened() <= 2,
        "{}",
        engine.read_counts().opened()
    );
}

#[test]
fn a_list_reads_no_payload() {
    let mine = project("mine");
    let mut lake = Lake::new();
    // Text that does not compress.
    let noise = |n: i64| -> String {
        (0..2_000)
            .map(|k| {
                format!(
                    "{:x}",
                    model::MessageHash::of(format!("{n}-{k}").as_bytes()).0[0]
                )
            })
            .collect()
    };
    let rows = (0..200).map(|n| {
        with_span(span(&mine, &format!("t{n:03}"), "s1", at(n), n), |span| {
            span.payload.data = Some(model::JsonText::parse(&format!("\"{}\"", noise(n))).unwrap());
        })
    });
    let path = lake.write(rows.collect());
    let view = lake.view(&mine, at(2_000)).into_view();
    let engine = engine();
    let mut stream = block_on(engine.sql(
        Arc::clone(&view),
        "SELECT trace_id, name, status FROM spans WHERE name LIKE 'call%' ORDER BY trace_started_at DESC",
        Limits::default(),
    )).unwrap();
    while block_on(stream.next()).unwrap().is_some() {}
    let (read, size) = (engine.read_counts().bytes(), path.metadata().unwrap().len());
    assert!(size > 400_000, "{size}");
    assert!(read < 40_000, "{read} of {size} bytes were read");
    assert_eq!(engine.read_counts().payload_bytes(), 0);
    let data = "SELECT max(length(data)) FROM spans";
    let mut stream = block_on(engine.sql(Arc::clone(&view), data, Limits::default())).unwrap();
    while block_on(stream.next()).unwrap().is_some() {}
    assert!(engine.read_counts().payload_bytes() > 200_000);
}

#[test]
fn a_newest_first_list_is_merged_and_not_sorted() {
    let mine = project("mine");
    let mut lake = Lake::new();
    for n in 0..20 {
        lake.write(
            (0..50)
                .map(|k| trace(&mine, &format!("t{n:02}-{k:02}"), Some(at(n * 100 + k)), n))
                .collect(),
        );
    }
    let view = lake.view(&mine, at(5_000)).into_view();
    let sql = "SELECT trace_id, status FROM traces ORDER BY started_at DESC LIMIT 5";
    let plan = rows(&view, &format!("EXPLAIN {sql}")).join("\n");
    assert!(
        plan.contains("SortPreservingMergeExec") && !plan.contains("SortExec"),
        "{plan}"
    );
    let engine = engine();
    let mut stream = block_on(engine.sql(Arc::clone(&view), sql, Limits::default())).unwrap();
    assert_eq!(block_on(stream.next()).unwrap().unwrap().num_rows(), 5);
    drop(stream);
    // Laying out the chains looks at the footers once; after that a list opens what it needs.
    let before = engine.read_counts().opened();
    let mut stream = block_on(engine.sql(Arc::clone(&view), sql, Limits::default())).unwrap();
    assert_eq!(block_on(stream.next()).unwrap().unwrap().num_rows(), 5);
    assert!(
        engine.read_counts().opened() - before <= 6,
        "{} files",
        engine.read_counts().opened() - before
    );
}
