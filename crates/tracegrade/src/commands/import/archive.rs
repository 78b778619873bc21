//! A log of Inspect AI as its archive: a zip file with a header and a file for each sample.
//!
//! It is read as the lines that its samples would be in a log of their own: a document each, with what the
//! header says of the evaluation. The order is that of the names, so that an import that was ended finds
//! its place again.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::vec::IntoIter;

use anyhow::{Context, bail, ensure};
use rawzip::{
    CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder,
};
use serde_json::value::RawValue;

use super::reading::DOCUMENT_BYTES_MAX;

/// What an archive begins with.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// Where the evaluation is told: when it is over, and while it runs.
const HEADERS: [&str; 2] = ["header.json", "_journal/start.json"];

/// What the header tells.
#[derive(Debug, serde::Deserialize)]
struct Header {
    version: Box<RawValue>,
    eval: Box<RawValue>,
}

/// A file in the archive.
#[derive(Debug)]
struct Entry {
    name: String,
    method: CompressionMethod,
    place: ZipArchiveEntryWayfinder,
}

/// The documents of an archive, one after the other.
pub(super) struct Documents {
    archive: ZipArchive<FileReader>,
    header: Header,
    samples: IntoIter<Entry>,
    document: Cursor<Vec<u8>>,
}

impl Documents {
    /// Opens an archive.
    pub(super) fn open(file: File) -> anyhow::Result<Self> {
        let (archive, mut entries) = entries(file).context("the zip archive cannot be read")?;
        let found = HEADERS
            .iter()
            .find_map(|name| entries.iter().find(|entry| entry.name == *name));
        let Some(header) = found else {
            bail!(
                "this is a zip archive and no log of Inspect AI: it has neither {}; unpack it and import the files",
                HEADERS.join(" nor ")
            );
        };
        let told = inflate(&archive, header)?;
        let header = serde_json::from_slice(&told).with_context(|| {
            let name = &header.name;
            format!("{name} in the archive is not what Inspect AI writes")
        })?;
        entries.retain(|entry| entry.name.starts_with("samples/") && entry.name.ends_with(".json"));
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            archive,
            header,
            samples: entries.into_iter(),
            document: Cursor::default(),
        })
    }

    /// Returns the next sample as a log with this sample alone.
    fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(entry) = self.samples.next() else {
            return Ok(None);
        };
        let sample = inflate(&self.archive, &entry)?;
        let Header { version, eval } = &self.header;
        let mut document =
            format!(r#"{{"version":{version},"eval":{eval},"samples":["#).into_bytes();
        document.extend_from_slice(&sample);
        document.extend_from_slice(b"]}\n");
        Ok(Some(document))
    }
}

impl Read for Documents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.document.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.next().map_err(io::Error::other)? {
                Some(document) => self.document = Cursor::new(document),
                None => return Ok(0),
            }
        }
    }
}

/// Opens an archive and lists what is in it.
fn entries(file: File) -> Result<(ZipArchive<FileReader>, Vec<Entry>), rawzip::Error> {
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer)?;
    let mut listed = Vec::new();
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry()? {
        listed.push(Entry {
            name: String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned(),
            method: entry.compression_method(),
            place: entry.wayfinder(),
        });
    }
    Ok((archive, listed))
}

/// Returns a file of the archive, which may inflate to anything.
fn inflate(archive: &ZipArchive<FileReader>, entry: &Entry) -> anyhow::Result<Vec<u8>> {
    let read = || format!("{} in the archive cannot be read", entry.name);
    let found = archive.get_entry(entry.place).with_context(read)?;
    let raw = found.reader();
    let inflated: Box<dyn Read + '_> = match entry.method {
        CompressionMethod::STORE => Box::new(raw),
        CompressionMethod::DEFLATE => Box::new(flate2::read::DeflateDecoder::new(raw)),
        CompressionMethod::ZSTD | CompressionMethod::ZSTD_DEPRECATED => {
            Box::new(zstd::Decoder::new(raw).with_context(read)?)
        }
        other => bail!(
            "{}: it is compressed in a way ({other:?}) that is not known",
            read()
        ),
    };
    let (most, mut bytes) = (DOCUMENT_BYTES_MAX as u64, Vec::new());
    let checked = found.verifying_reader(inflated);
    checked
        .take(most + 1)
        .read_to_end(&mut bytes)
        .with_context(read)?;
    ensure!(
        bytes.len() as u64 <= most,
        "{} in the archive inflates to more than {most} bytes",
        entry.name
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use rawzip::ZipArchiveWriter;

    fn archive(files: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut packed = Vec::new();
        let mut writer = ZipArchiveWriter::new(&mut packed);
        for (name, text) in files {
            let (mut entry, config) = writer
                .new_file(name)
                .compression_method(CompressionMethod::DEFLATE)
                .start()
                .unwrap();
            let deflate =
                flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
            let mut data = config.wrap(deflate);
            data.write_all(text.as_bytes()).unwrap();
            let (deflate, descriptor) = data.finish().unwrap();
            deflate.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        writer.finish().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&packed).unwrap();
        let mut text = String::new();
        Documents::open(file)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn each_sample_is_a_log_of_its_own() {
        let header = (
            "header.json",
            r#"{"version":2,"eval":{"task":"t"},"stats":{}}"#,
        );
        let told = archive(&[
            ("samples/b_epoch_1.json", r#"{"id":"b"}"#),
            header,
            ("summaries.json", "[]"),
            ("samples/a_epoch_1.json", r#"{"id":"a"}"#),
        ]);
        assert_eq!(
            told.unwrap(),
            "{\"version\":2,\"eval\":{\"task\":\"t\"},\"samples\":[{\"id\":\"a\"}]}\n\
             {\"version\":2,\"eval\":{\"task\":\"t\"},\"samples\":[{\"id\":\"b\"}]}\n"
        );
        let running = archive(&[("_journal/start.json", header.1)]);
        assert_eq!(running.unwrap(), "");
    }

    #[test]
    fn what_is_no_log_is_refused_with_a_way_out() {
        let check = |files: &[(&str, &str)], want: &str| {
            let error = format!("{:#}", archive(files).unwrap_err());
            assert!(error.contains(want), "{error}");
        };
        check(&[("a.txt", "x")], "no log of Inspect AI");
        check(&[("header.json", "[]")], "not what Inspect AI writes");
    }
}
