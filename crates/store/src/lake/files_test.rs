//! Whole files: what is written is read back, and no more is read than must be.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use bytes::Bytes;
use model::{Grade, JsonText, ProjectId, Time, TraceId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use proptest::prelude::*;

use super::samples::{
    Counted, any_message_row, any_span_row, any_trace_entry, footer, message_row, noise, open,
    project, rows_of, span_row, trace, write_file,
};
use super::*;

fn all_rows<R: LakeRow>(file: &LakeFile) -> Vec<R> {
    rows_of(
        file.scan(&Columns::all(R::TABLE), None)
            .unwrap()
            .map(Result::unwrap),
    )
}

fn small_groups() -> WriterLimits {
    WriterLimits {
        row_group_bytes_max: 20_000,
        row_group_rows_max: 50,
        sync_bytes: 10_000,
        ..WriterLimits::default()
    }
}

/// Any rows come back in file order, and the file says the same of itself as its writer did.
fn check<R: LakeRow + PartialEq>(rows: &[R]) {
    let (bytes, summary) = write_file(rows, small_groups());
    let file = open(bytes);
    let mut want = rows.to_vec();
    want.sort_by(R::file_order);
    assert_eq!(all_rows::<R>(&file), want);
    assert_eq!(file.summary().unwrap(), summary);
    assert_eq!(summary.rows, rows.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn spans_come_back_from_a_file(rows in proptest::collection::vec(any_span_row(), 0..12)) {
        check(&rows);
    }

    #[test]
    fn messages_come_back_from_a_file(rows in proptest::collection::vec(any_message_row(), 0..12)) {
        check(&rows);
    }

    #[test]
    fn traces_come_back_from_a_file(rows in proptest::collection::vec(any_trace_entry(), 0..12)) {
        check(&rows);
    }
}

#[test]
fn t1_a_row_group_never_mixes_projects_and_keeps_its_size() {
    let rows: Vec<_> = (0..600)
        .map(|n| span_row(["a", "b", "c"][n % 3], n / 6, n, 400))
        .collect();
    let (bytes, summary) = write_file(&rows, small_groups());
    let file = open(bytes);
    let groups = file.meta().parquet().metadata().num_row_groups();
    assert!(groups >= 12, "{groups} row groups");
    let columns = Columns::named(Table::Spans, &["project_id"]).unwrap();
    let mut owner = BTreeMap::new();
    for summary in &summary.projects {
        assert_eq!(summary.rows, 200);
        summary
            .row_groups
            .iter()
            .for_each(|&group| assert!(owner.insert(group, summary).is_none()));
    }
    for group in 0..groups as u32 {
        let batches = file.scan(&columns, Some(&[group])).unwrap();
        for row in rows_of_ids(batches) {
            assert_eq!(row, owner[&group].project.as_str());
        }
        assert!(
            file.meta()
                .parquet()
                .metadata()
                .row_group(group as usize)
                .num_rows()
                <= 50
        );
    }
    let b: Vec<SpanRow> = rows_of(
        file.scan_project(&project("b"), &Columns::all(Table::Spans))
            .unwrap()
            .map(Result::unwrap),
    );
    assert!(b.len() == 200 && b.iter().all(|row| row.project == project("b")));
    let none = file
        .scan_project(&project("stranger"), &Columns::all(Table::Spans))
        .unwrap();
    assert_eq!(none.count(), 0);
}

fn rows_of_ids(batches: Batches) -> Vec<String> {
    let text = |batch: RecordBatch| -> Vec<String> {
        let ids = batch
            .column(0)
            .as_any()
            .downcast_ref::<arrow::array::StringArray>()
            .unwrap()
            .clone();
        ids.iter().map(|id| id.unwrap().to_owned()).collect()
    };
    batches.flat_map(|batch| text(batch.unwrap())).collect()
}

#[test]
fn the_summary_tells_times_traces_and_progress() {
    let rows: Vec<_> = (0..40).map(|n| span_row("p", n, 0, 4_000)).collect();
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let mut sorted = rows.clone();
    sorted.sort_by(SpanRow::file_order);
    let mut writer = LakeWriter::new(
        Vec::new(),
        footer(Table::Spans, Level::Day),
        small_groups(),
        move |sink: &mut Vec<u8>, bytes| {
            assert_eq!(sink.len() as u64, bytes);
            heard.lock().push(bytes);
            Ok(())
        },
    )
    .unwrap();
    writer.write_rows::<SpanRow, _>(&sorted).unwrap();
    let Finished { sink, summary } = writer.finish(3).unwrap();
    assert!(told.lock().len() >= 5, "{told:?}");
    assert_eq!(
        (summary.bytes, summary.footer.parts),
        (sink.len() as u64, 3)
    );
    assert_eq!(summary.checksum, *blake3::hash(&sink).as_bytes());
    assert_eq!((summary.min_seq, summary.max_seq), (0, 3_900));
    assert_eq!(summary.min_time, Some(rows[0].trace_started_at));
    assert_eq!(summary.max_time, Some(rows[39].trace_started_at));
    let set = open(sink.into()).trace_set().unwrap();
    assert_eq!(set.traces(), 40);
    assert!(
        rows.iter()
            .all(|row| set.maybe_contains(TraceHash::of(&row.project, &row.span.trace_id)))
    );
}

#[test]
fn rows_out_of_order_or_of_other_columns_are_refused() {
    let new = || {
        LakeWriter::new(
            Vec::new(),
            footer(Table::Spans, Level::L0),
            WriterLimits::default(),
            |_, _| Ok(()),
        )
        .unwrap()
    };
    let (early, late) = (span_row("p", 1, 0, 0), span_row("p", 2, 0, 0));
    let error = new()
        .write_rows::<SpanRow, _>(&[&early, &late])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 1 of the file of spans is out of order"
    );
    let mut writer = new();
    writer.write_rows::<SpanRow, _>(&[&late, &early]).unwrap();
    let error = writer.write_rows::<SpanRow, _>(&[&late]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 2 of the file of spans is out of order"
    );
    let narrow = encode::<SpanRow, _>(&[&early], &Columns::narrow(Table::Spans)).unwrap();
    assert!(matches!(
        new().write(&narrow),
        Err(WriteError::OtherColumns { .. })
    ));
}

#[test]
fn a_full_disk_is_told_as_such() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(buf.len())
                .ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let rows: Vec<_> = (0..40).rev().map(|n| span_row("p", n, 0, 4_000)).collect();
    let mut writer = LakeWriter::new(
        Full(30_000),
        footer(Table::Spans, Level::L0),
        small_groups(),
        |_, _| Ok(()),
    )
    .unwrap();
    let error = writer
        .write_rows::<SpanRow, _>(&rows)
        .and_then(|()| writer.finish(1).map(drop))
        .unwrap_err();
    assert_eq!(
        error.io().map(std::io::Error::kind),
        Some(std::io::ErrorKind::StorageFull)
    );
}

/// 10,000 traces of three spans with a kilobyte each.
fn large_file() -> Bytes {
    let limits = WriterLimits {
        row_group_bytes_max: 8 << 20,
        ..WriterLimits::default()
    };
    let rows: Vec<_> = (0..30_000)
        .map(|n| span_row(["a", "b"][n % 2], n / 6 * 2 + n % 2, n / 2 % 3, 1_000))
        .collect();
    write_file(&rows, limits).0
}

#[test]
fn one_trace_of_ten_thousand_costs_a_small_part_of_the_file() {
    let source = Counted::new(large_file());
    let file = LakeFile::open("spans", Arc::clone(&source) as Arc<dyn ReadAt>).unwrap();
    let opening = source.take();
    for n in [0, 1, 4_999, 9_998, 9_999] {
        let owner = project(["a", "b"][n % 2]);
        let want: Vec<_> = (0..3)
            .map(|i| span_row(owner.as_str(), n, i, 1_000))
            .collect();
        let read = |home| {
            let all = Columns::all(Table::Spans);
            let rows = file.read_trace::<SpanRow>(&owner, &trace(n), home, &all);
            assert_eq!(rows.unwrap(), want);
            source.take()
        };
        let (blindly, by_home) = (read(None), read(Some(want[0].trace_started_at)));
        let whole = source.bytes.len() as u64;
        assert!(
            by_home <= blindly && blindly < whole / 8,
            "trace {n}: {by_home}, {blindly} of {whole} bytes (opening: {opening})"
        );
    }
    let stranger: Vec<SpanRow> = file
        .read_trace(&project("b"), &trace(0), None, &Columns::all(Table::Spans))
        .unwrap();
    assert!(stranger.is_empty());
    let read = source.take();
    assert!(
        read < source.bytes.len() as u64 / 50,
        "{read} bytes to find nothing"
    );
}

#[test]
fn a_list_reads_no_block_of_the_payload() {
    let source = Counted::new(large_file());
    let file = LakeFile::open("spans", Arc::clone(&source) as Arc<dyn ReadAt>).unwrap();
    let narrow = Columns::narrow(Table::Spans);
    let groups = file.meta().parquet().metadata().row_groups();
    let payload = groups
        .iter()
        .flat_map(|group| group.columns())
        .filter(|column| {
            let name = &column.column_path().parts()[0];
            narrow.schema().index_of(name).is_err()
        });
    // The block that a payload shares with its neighbour is read to check the neighbour.
    let inner = |(at, len): (u64, u64)| at.next_multiple_of(4_096)..(at + len) / 4_096 * 4_096;
    let ranges: Vec<_> = payload
        .map(|c| inner(c.byte_range()))
        .filter(|r| !r.is_empty())
        .collect();
    let forbidden: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    assert!(forbidden > source.bytes.len() as u64 / 2);
    *source.forbidden.lock() = ranges;
    source.take();
    let rows: Vec<SpanRow> = rows_of(file.scan(&narrow, None).unwrap().map(Result::unwrap));
    assert_eq!(rows.len(), 30_000);
    // No payload block was touched, or `Counted` had panicked. The rest costs more than its bytes:
    // the nearly empty columns of this sample have pages of some dozen bytes, each a block's read.
    let (read, whole) = (source.take(), source.bytes.len() as u64);
    assert!(read < whole / 4, "{read} of {whole} bytes");
    let one: Vec<SpanRow> = file
        .read_trace(&project("a"), &trace(4_000), None, &narrow)
        .unwrap();
    assert_eq!(one.len(), 3);
}

#[test]
fn messages_are_found_by_trace_and_only_their_pages_are_read() {
    let rows: Vec<_> = (0..20_000)
        .map(|n| message_row("p", n / 10, n % 10, &noise(n, 500)))
        .collect();
    let source = Counted::new(write_file(&rows, WriterLimits::default()).0);
    let file = LakeFile::open("messages", Arc::clone(&source) as Arc<dyn ReadAt>).unwrap();
    source.take();
    let found: Vec<MessageRow> = file
        .read_trace(
            &project("p"),
            &trace(1_234),
            None,
            &Columns::all(Table::Messages),
        )
        .unwrap();
    assert_eq!(found, rows[12_340..12_350]);
    let (read, whole) = (source.take(), source.bytes.len() as u64);
    assert!(read < whole / 4, "{read} of {whole} bytes");
}

#[test]
fn grades_are_found_by_trace_in_all_runs_and_only_their_pages_are_read() {
    let row = |n: usize| {
        let mut grade = Grade {
            run_id: format!("run_{}", n / 12_000),
            grader_id: format!("grader_{}", n / 6_000 % 2),
            item_id: trace(n % 6_000).to_string(),
            trace_id: Some(trace(n % 6_000)),
            ..grades::blank()
        };
        grade.verdict.reasoning = Some(noise(n, 300));
        GradeRow::new(&project("p"), grade).unwrap()
    };
    let mut rows: Vec<_> = (0..24_000).map(row).collect();
    rows.sort_by(GradeRow::file_order);
    let source = Counted::new(write_file(&rows, WriterLimits::default()).0);
    let file = LakeFile::open("grades", Arc::clone(&source) as Arc<dyn ReadAt>).unwrap();
    let ids = [trace(1_234), trace(5_678)];
    let one = |at: usize| Wanted {
        trace_id: &ids[at],
        home: None,
    };
    let read = |wanted: &[Wanted<'_>], holding: &[(&'static str, &str)]| {
        source.take();
        let mut found: Vec<GradeRow> = Vec::new();
        let columns = Columns::all(Table::Grades);
        let taken = file.read_traces(&project("p"), wanted, holding, &columns, &mut |row| {
            found.push(row);
            ControlFlow::Continue(())
        });
        assert!(taken.unwrap().is_continue());
        (found, source.take())
    };
    let of = |ids: &[TraceId], run: Option<&str>| -> Vec<GradeRow> {
        let is_meant = |row: &&GradeRow| {
            ids.contains(&row.trace_id) && run.is_none_or(|run| row.grade.run_id == run)
        };
        rows.iter().filter(is_meant).cloned().collect()
    };
    let whole = source.bytes.len() as u64;
    let (found, all_runs) = read(&[one(0)], &[]);
    assert_eq!(found, of(&ids[..1], None));
    // A page of each run and grader, of three that they have.
    assert!(all_runs < whole / 2, "{all_runs} of {whole} bytes");
    let (found, bytes) = read(&[one(0)], &[("run_id", "run_1")]);
    assert_eq!(found, of(&ids[..1], Some("run_1")));
    assert!(bytes < all_runs, "{bytes} of {all_runs} bytes");
    let (found, _) = read(&[one(0), one(1)], &[]);
    assert_eq!(found, of(&ids, None));
}

#[test]
fn a_span_of_twenty_megabytes_and_odd_times_come_back() {
    let mut rows = Vec::new();
    for (n, micros) in [0, -1, 4_102_444_800_000_000, 1].into_iter().enumerate() {
        let mut row = span_row("p", n, 0, if n == 2 { 20 << 20 } else { 10 });
        row.trace_started_at = Time::from_micros(micros);
        let span = Arc::make_mut(&mut row.span);
        span.started_at = (n != 3).then(|| Time::from_micros(micros));
        span.ended_at = None;
        rows.push(row);
    }
    let (bytes, summary) = write_file(&rows, WriterLimits::default());
    assert_eq!(summary.min_time, Some(Time::from_micros(-1)));
    assert_eq!(
        summary.max_time,
        Some(Time::from_micros(4_102_444_800_000_000))
    );
    let file = open(bytes);
    rows.sort_by(SpanRow::file_order);
    assert_eq!(all_rows::<SpanRow>(&file), rows);
    let large: Vec<SpanRow> = file
        .read_trace(&project("p"), &trace(2), None, &Columns::all(Table::Spans))
        .unwrap();
    assert_eq!(
        large[0].span.payload.data.as_ref().map(JsonText::as_str),
        Some(noise(2_000, 20 << 20).as_str())
    );
}

/// Returns a file of this row as an older version would have written it: without these columns.
fn file_without(row: &SpanRow, names: &[&str]) -> LakeFile {
    let whole = schema(Table::Spans);
    let names_kept = whole.fields().iter().map(|field| field.name().as_str());
    let kept: Vec<_> = names_kept.filter(|name| !names.contains(name)).collect();
    let columns = Columns::named(Table::Spans, &kept).unwrap();
    let batch = encode::<SpanRow, _>(&[row], &columns).unwrap();
    let (footer, schema) = (
        footer(Table::Spans, Level::L0),
        Arc::clone(columns.schema()),
    );
    let limits = WriterLimits::default();
    let mut writer =
        LakeWriter::with_columns(Vec::new(), footer, limits, schema, Box::new(|_, _| Ok(())))
            .unwrap();
    writer.write(&batch).unwrap();
    open(writer.finish(1).unwrap().sink.into())
}

#[test]
fn a_column_that_an_older_file_lacks_is_null() {
    let mut row = span_row("p", 1, 0, 100);
    Arc::make_mut(&mut row.span).guardrail_type = Some("input".to_owned());
    let file = file_without(&row, &["guardrail_type", "events"]);
    let columns = Columns::named(Table::Spans, &["events", "guardrail_type", "seq"]).unwrap();
    let batch = file.scan(&columns, None).unwrap().next().unwrap().unwrap();
    assert_eq!(
        (batch.column(0).null_count(), batch.column(1).null_count()),
        (1, 1)
    );
    Arc::make_mut(&mut row.span).guardrail_type = None;
    assert_eq!(all_rows::<SpanRow>(&file), std::slice::from_ref(&row));
    let found: Vec<SpanRow> = file
        .read_trace(&row.project, &trace(1), None, &Columns::all(Table::Spans))
        .unwrap();
    assert_eq!(found, std::slice::from_ref(&row));

    let file = file_without(&row, &["source"]);
    let error = file
        .scan(&Columns::all(Table::Spans), None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot form a batch of the file");
}

#[test]
fn other_programs_can_read_the_files() {
    let rows: Vec<_> = (0..60).map(|n| span_row("p", n / 3, n, 60)).collect();
    let (bytes, _) = write_file(&rows, small_groups());
    let reader = ParquetRecordBatchReader::try_new(bytes, 1_000).unwrap();
    assert_eq!(
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        60
    );
}

fn read_everything(bytes: Bytes) -> Result<usize, ReadError> {
    let file = LakeFile::open("spans/l0/x.parquet", Arc::new(bytes))?;
    file.trace_set()?;
    let mut rows = 0;
    for batch in file.scan(&Columns::all(Table::Spans), None)? {
        let batch = batch?;
        let decoded = decode::<SpanRow>(&batch);
        rows += decoded.map_or(0, |rows| rows.len());
    }
    let owner = ProjectId::new("p").unwrap();
    file.read_trace::<SpanRow>(&owner, &trace(3), None, &Columns::all(Table::Spans))?;
    Ok(rows)
}

#[test]
fn a_damaged_file_is_an_error_with_its_name_and_never_a_panic() {
    let rows: Vec<_> = (0..60).map(|n| span_row("p", n / 3, n, 60)).collect();
    let (good, _) = write_file(&rows, small_groups());
    assert_eq!(read_everything(good.clone()).unwrap(), 60);
    for at in (0..good.len()).step_by(997) {
        let error = read_everything(good.slice(..at)).unwrap_err();
        assert!(error.to_string().contains("spans/l0/x.parquet"), "{error}");
    }
    for at in (0..good.len())
        .step_by(61)
        .chain(good.len() - 2_000..good.len())
    {
        let mut bad = good.to_vec();
        bad[at] ^= 1 << (at % 8);
        match read_everything(bad.into()) {
            Err(error) => assert!(error.to_string().contains("spans/l0/x.parquet"), "{error}"),
            Ok(_) => panic!("byte {at} of {} changed, unnoticed", good.len()),
        }
    }
    assert!(LakeFile::open("empty", Arc::new(Bytes::new())).is_err());
}
