//! New files of the lake: written under another name, synced, and only then given their own.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use model::Time;
use uuid::Uuid;

use crate::catalog::{FileFacts, FileProject, NewFile, Version};
use crate::disk::{Appender, Disk, DiskError};
use crate::engine::{Engine, StoreError};
use crate::lake::{
    ENCODE_BYTES_MAX, FileSummary, Finished, Footer, LakeRow, LakeWriter, Level, Partition,
    SplitLimits, Splitter, Table, WriteError, WriterLimits,
};
use crate::ledger::Share;

/// Where the lake lies below the data folder.
pub(crate) const LAKE_DIR: &str = "lake";
/// Where bytes lie that cannot be read, below the data folder.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";
/// What the names of unfinished files end in. The next start removes them.
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

/// Returns the paths of all files in the lake, below the data folder.
pub(crate) fn lake_paths(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<String>, DiskError> {
    let mut paths = Vec::new();
    for (table, level) in Table::ALL
        .into_iter()
        .flat_map(|table| Level::ALL.map(|level| (table, level)))
    {
        let dir = format!("{LAKE_DIR}/{}/{}", table.as_str(), level.as_str());
        if !disk.exists(&data_dir.join(&dir))? {
            continue;
        }
        let names = disk.list(&data_dir.join(&dir))?;
        let names = names.iter().filter_map(|path| path.file_name()?.to_str());
        paths.extend(names.map(|name| format!("{dir}/{name}")));
    }
    Ok(paths)
}

/// A file on its way, under a name that nobody looks for.
#[derive(Debug)]
pub(crate) struct PartialFile {
    appender: Appender,
    path: PathBuf,
}

impl PartialFile {
    fn create(engine: &Engine, footer: &Footer) -> Result<Self, DiskError> {
        let (table, level) = (footer.table.as_str(), footer.level.as_str());
        let dir = engine
            .config
            .data_dir
            .join(LAKE_DIR)
            .join(table)
            .join(level);
        engine.disk.create_dir_all(&dir)?;
        let path = dir.join(format!("{}{PARTIAL_SUFFIX}", Uuid::now_v7().simple()));
        Ok(Self {
            appender: Appender::new(engine.disk.create(&path)?, 0),
            path,
        })
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.appender.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.appender.flush()
    }
}

fn writer(engine: &Engine, footer: Footer) -> Result<LakeWriter<PartialFile>, StoreError> {
    let sink = PartialFile::create(engine, &footer)?;
    // Large files are synced on the way: one sync at the end would stall the log's.
    let sync =
        |sink: &mut PartialFile, _bytes: u64| sink.appender.sync_data().map_err(io::Error::other);
    let limits = WriterLimits::of(footer.table);
    Ok(LakeWriter::new(sink, footer, limits, sync)?)
}

/// Writes sorted rows to one file.
pub(crate) fn write_rows<R: LakeRow>(
    engine: &Engine,
    footer: Footer,
    rows: &[R],
) -> Result<NewFile, StoreError> {
    let mut writer = writer(engine, footer)?;
    let _room = engine.ledger.hold(Share::Rewrite, writing_bytes(rows));
    writer.write_rows(rows)?;
    let finished = writer.finish(1)?;
    Ok(publish(engine, vec![finished])?.remove(0))
}

/// Returns what writing these rows takes, about: a batch and its copy in Arrow, and the row group that
/// is being filled.
fn writing_bytes<R: LakeRow>(rows: &[R]) -> usize {
    let payloads = rows.iter().map(R::payload_bytes);
    let (largest, all) = payloads.fold((0, 0), |(largest, all), bytes| {
        (bytes.max(largest), all + bytes)
    });
    let group = WriterLimits::default().row_group_bytes_max as usize;
    2 * largest.max(all.min(ENCODE_BYTES_MAX)) + all.min(group)
}

/// Writes a sorted stream to the files of its partitions.
pub(crate) fn write_stream<E: Into<StoreError>>(
    engine: &Engine,
    footer: &Footer,
    limits: SplitLimits,
    partition: impl FnMut(Time) -> Partition,
    batches: impl Iterator<Item = Result<RecordBatch, E>>,
) -> Result<Vec<NewFile>, StoreError> {
    let table: Table = footer.table;
    let open = |partition, part| {
        let footer = Footer {
            partition,
            part,
            ..footer.clone()
        };
        writer(engine, footer).map_err(|error| match error {
            StoreError::LakeWrite(error) => error,
            other => WriteError::Parquet {
                table,
                source: io::Error::other(other).into(),
            },
        })
    };
    let mut splitter = Splitter::new(table, limits, partition, open);
    for batch in batches {
        splitter.write(&batch.map_err(Into::into)?)?;
    }
    publish(engine, splitter.finish()?)
}

/// Syncs finished files and gives them their names; durably, before any commit names them.
fn publish(
    engine: &Engine,
    finished: Vec<Finished<PartialFile>>,
) -> Result<Vec<NewFile>, StoreError> {
    let mut files = Vec::with_capacity(finished.len());
    for Finished { mut sink, summary } in finished {
        sink.appender.sync_data()?;
        let name = summary.footer.file_name(Uuid::now_v7()).to_string();
        let path = format!("{LAKE_DIR}/{name}");
        let whole = engine.config.data_dir.join(&path);
        engine.disk.rename(&sink.path, &whole)?;
        if let Some(dir) = whole.parent() {
            engine.disk.sync_dir(dir)?;
        }
        files.push(new_file(path, summary));
    }
    Ok(files)
}

/// Returns what the catalog keeps of a file that lies at `path`.
pub(crate) fn new_file(path: String, summary: FileSummary) -> NewFile {
    let footer = summary.footer;
    let project = |part: crate::lake::ProjectSummary| FileProject {
        project_id: part.project,
        rows: part.rows as i64,
        min_time: part.min_time,
        max_time: part.max_time,
        row_groups: part.row_groups,
    };
    NewFile {
        facts: FileFacts {
            table: footer.table,
            level: footer.level,
            path,
            node: footer.node,
            lo_seq: summary.min_seq,
            hi_seq: summary.max_seq,
            partition: footer.partition,
            part: footer.part,
            parts: footer.parts,
            min_time: summary.min_time,
            max_time: summary.max_time,
            rows: summary.rows as i64,
            bytes: summary.bytes,
            schema_version: footer.schema_version,
            hides_applied_v: Version(footer.hides_applied_v),
            checksum: summary.checksum,
            projects: summary.projects.into_iter().map(project).collect(),
        },
        trace_filter: Some(summary.trace_filter),
    }
}
