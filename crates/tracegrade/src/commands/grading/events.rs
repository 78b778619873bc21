//! Events of a server, as its stream tells them: lines, of which an empty one ends an event.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::Response;
use serde::de::DeserializeOwned;

/// A server says every fifteen seconds at least that it is still there.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// An event is not larger than this, in bytes.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// A stream of events.
#[derive(Debug)]
pub(super) struct Events {
    answer: Response,
    reader: Reader,
    /// The data of events that have come and were not asked for yet.
    come: VecDeque<Vec<u8>>,
}

impl Events {
    /// Returns the events of an answer.
    pub(super) fn of(answer: Response) -> Self {
        Self {
            answer,
            reader: Reader::default(),
            come: VecDeque::new(),
        }
    }

    /// Waits for the next event and returns its data; `None`: the server has ended the stream.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        loop {
            if let Some(data) = self.come.pop_front() {
                let read = serde_json::from_slice(&data);
                return Ok(Some(read.context("an event cannot be read")?));
            }
            match tokio::time::timeout(SILENCE_MAX, self.answer.chunk()).await {
                Err(_elapsed) => bail!("nothing came for {} seconds", SILENCE_MAX.as_secs()),
                Ok(chunk) => match chunk? {
                    None => return Ok(None),
                    Some(chunk) => self.reader.take(&chunk, &mut self.come)?,
                },
            }
        }
    }
}

/// Reads a stream that comes in pieces.
#[derive(Debug, Default)]
struct Reader {
    /// What came of the next line.
    line: Vec<u8>,
    /// The data of the next event.
    data: Vec<u8>,
}

impl Reader {
    /// Takes the next piece, and hands over the data of events that are whole by it.
    fn take(&mut self, piece: &[u8], whole: &mut VecDeque<Vec<u8>>) -> anyhow::Result<()> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            ensure!(
                self.line.len() + self.data.len() <= EVENT_BYTES_MAX,
                "an event has more than {EVENT_BYTES_MAX} bytes"
            );
            if !self.line.ends_with(b"\n") {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            match line.trim_ascii_end() {
                b"" if !self.data.is_empty() => whole.push_back(std::mem::take(&mut self.data)),
                // The name of an event says what its data says too; a comment says that somebody is there.
                line => self
                    .data
                    .extend(line.strip_prefix(b"data:").unwrap_or_default()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_their_bytes_come() {
        let stream = "event: queued\ndata: {\"a\":1}\n\n: still here\n\ndata: {\"b\":\r\ndata: 2}\r\n\r\nevent: x\ndata: 3";
        for size in 1..=stream.len() {
            let (mut reader, mut whole) = (Reader::default(), VecDeque::new());
            for piece in stream.as_bytes().chunks(size) {
                reader.take(piece, &mut whole).unwrap();
            }
            let read = |data: &Vec<u8>| serde_json::from_slice(data).unwrap();
            let told: Vec<serde_json::Value> = whole.iter().map(read).collect();
            // The last one has not ended.
            assert_eq!(
                told,
                [serde_json::json!({"a": 1}), serde_json::json!({"b": 2})]
            );
        }
    }
}
