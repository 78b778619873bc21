//! Evals of OpenAI's Evals API with their runs and output items, from what its client returned.
//!
//! The objects of a file are found wherever they stand: one a line, in lists, in pages of lists, in an
//! object of lists, in lists of the object that they belong to, in any order; packed or not. They are sent as they are, evals before runs before items, in requests
//! of a bearable size; what each of them means, the server finds out. A line that cannot be used is told
//! by its number, and the rest is kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::reading::inflated;
use crate::client::{Client, ClientError, Connection};
use crate::output;
use crate::text::{count, safe_text, short_text};

/// Lists and objects in files are looked into so deep.
const DEPTH_MAX: usize = 8;

/// Requests are not larger, ...
const BODY_BYTES: usize = 4 << 20;

/// ... and hold no more objects.
const BODY_OBJECTS: usize = 1_000;

/// Of what was refused so much is told one by one.
const TOLD_MAX: usize = 100;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Eval,
    Run,
    Item,
}

impl Kind {
    /// In the order in which they are sent: what others belong to goes first.
    const ALL: [Kind; 3] = [Kind::Eval, Kind::Run, Kind::Item];

    /// Returns the list that it stands in, in a request and in files of several lists.
    const fn list(self) -> &'static str {
        match self {
            Kind::Eval => "evals",
            Kind::Run => "runs",
            Kind::Item => "output_items",
        }
    }

    const fn object(self) -> &'static str {
        match self {
            Kind::Eval => "eval",
            Kind::Run => "eval.run",
            Kind::Item => "eval.run.output_item",
        }
    }
}

/// A place in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    file: usize,
    line: usize,
}

/// An object of a file, as it stands there.
#[derive(Debug)]
struct Object<'a> {
    kind: Kind,
    text: &'a str,
    place: Place,
}

/// What was found in files, and what cannot be used of it.
#[derive(Debug, Default)]
struct Found<'a> {
    objects: Vec<Object<'a>>,
    faults: Vec<(Place, String)>,
}

/// What became of the objects.
#[derive(Debug, Default)]
struct Sent {
    /// How many were added, were there, and were renewed, in the order of [`Kind::ALL`].
    counts: [[u64; 3]; 3],
    /// Evals and runs, as they are told.
    told: Vec<Value>,
    faults: Vec<(Place, String)>,
    /// What is to be known of those that are kept.
    notes: Vec<(Place, String)>,
}

/// Brings along what the files hold, each object once.
pub(super) async fn run(
    connection: &Connection,
    as_json: bool,
    files: &[PathBuf],
) -> anyhow::Result<()> {
    let texts: Vec<String> = files
        .iter()
        .map(|path| read(path))
        .collect::<Result<_, _>>()?;
    let mut found = Found::default();
    for (file, text) in texts.iter().enumerate() {
        found.take_text(file, text);
    }
    if found.objects.is_empty() && found.faults.is_empty() {
        bail!(
            "nothing is in there: what is wanted are objects with \"object\": \"eval\", \"eval.run\" or \
             \"eval.run.output_item\", as OpenAI's client returns them"
        );
    }
    let client = Client::new(connection)?;
    let mut sent = Sent {
        faults: std::mem::take(&mut found.faults),
        ..Sent::default()
    };
    for kind in Kind::ALL {
        let objects: Vec<&Object<'_>> =
            (found.objects.iter().filter(|one| one.kind == kind)).collect();
        for body in bodies(&objects) {
            sent.send(&client, kind, body).await?;
        }
    }
    sent.tell(as_json, files)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let failed = || format!("failed to read {}", path.display());
    let raw: Box<dyn Read + Send> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).with_context(failed)?),
    };
    let mut text = String::new();
    inflated(raw)
        .and_then(|mut file| file.read_to_string(&mut text))
        .with_context(failed)?;
    Ok(text)
}

/// Returns objects in as many parts as there are to be requests.
fn bodies<'a, 'b>(objects: &'b [&'a Object<'a>]) -> impl Iterator<Item = &'b [&'a Object<'a>]> {
    let mut rest = objects;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |one: &&&Object<'_>| {
            bytes += one.text.len() + 1;
            bytes <= BODY_BYTES
        };
        // One that is larger by itself goes by itself.
        let fitting = rest.iter().take(BODY_OBJECTS).take_while(fits).count();
        let (body, behind) = rest.split_at_checked(fitting.max(1))?;
        rest = behind;
        Some(body)
    })
}

impl<'a> Found<'a> {
    /// Takes the values that stand in a text one behind the other. Behind one that is none, the next line
    /// is tried.
    fn take_text(&mut self, file: usize, text: &'a str) {
        let lines = Lines::of(text);
        let mut at = 0;
        while let Some(space) = text[at..].find(|c: char| !c.is_whitespace() && c != '\u{feff}') {
            let begin = at + space;
            let line = lines.line_at(begin);
            let place = Place { file, line };
            let mut values = serde_json::Deserializer::from_str(&text[begin..]).into_iter();
            match values.next() {
                Some(Ok(value)) => {
                    at = begin + values.byte_offset();
                    let place_of = |part: &str| Place {
                        file,
                        line: lines.line_at(part.as_ptr() as usize - text.as_ptr() as usize),
                    };
                    if self.take(value, None, 0, &place_of) == 0 {
                        let message = "there is no eval, run or output item in it";
                        self.faults.push((place, message.to_owned()));
                    }
                }
                Some(Err(error)) => {
                    let error = error.to_string();
                    let error = error.split(" at line").next().unwrap_or_default();
                    self.faults
                        .push((place, format!("it is not JSON: {error}")));
                    at = lines.end_of(line).min(text.len());
                }
                None => return,
            }
        }
    }

    /// Takes what a value holds: an object of the API, a list of them, or an object of lists. Returns how
    /// much that was.
    fn take(
        &mut self,
        value: &'a RawValue,
        listed_as: Option<Kind>,
        depth: usize,
        place_of: &impl Fn(&str) -> Place,
    ) -> usize {
        let text = value.get();
        if depth > DEPTH_MAX {
            return 0;
        }
        if text.starts_with('[') {
            let list: Vec<&'a RawValue> = serde_json::from_str(text).unwrap_or_default();
            let list = list.into_iter();
            return list
                .map(|one| self.take(one, listed_as, depth + 1, place_of))
                .sum();
        }
        let fields: BTreeMap<String, &'a RawValue> = serde_json::from_str(text).unwrap_or_default();
        let told = fields
            .get("object")
            .map(|object| object.get().trim_matches('"'));
        let known = |told: &str| Kind::ALL.into_iter().find(|kind| kind.object() == told);
        let kind = told.map_or(listed_as.filter(|_| fields.contains_key("id")), known);
        if let Some(kind) = kind {
            self.objects.push(Object {
                kind,
                text,
                place: place_of(text),
            });
        }
        let inner = fields.into_iter().map(|(name, value)| {
            let listed = Kind::ALL.into_iter().find(|kind| kind.list() == name);
            match (kind, listed) {
                // Of an object of the API nothing else holds others.
                (Some(_), None) => 0,
                _ => self.take(value, listed.or(listed_as), depth + 1, place_of),
            }
        });
        usize::from(kind.is_some()) + inner.sum::<usize>()
    }
}

/// Where the lines of a text end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// Returns the number of the line, from 1, that a byte is on.
    fn line_at(&self, byte: usize) -> usize {
        self.0.partition_point(|end| *end <= byte) + 1
    }

    /// Returns where the next line begins.
    fn end_of(&self, line: usize) -> usize {
        self.0.get(line - 1).copied().unwrap_or(usize::MAX)
    }
}

/// What the server says of an object.
#[derive(Debug, Deserialize)]
struct Became {
    openai_id: String,
    id: Option<String>,
    outcome: String,
    message: Option<String>,
}

impl Sent {
    async fn send(
        &mut self,
        client: &Client,
        kind: Kind,
        objects: &[&Object<'_>],
    ) -> anyhow::Result<()> {
        let texts: Vec<&str> = objects.iter().map(|object| object.text).collect();
        let body = format!("{{\"{}\":[{}]}}", kind.list(), texts.join(","));
        let answer = client.import(&["v1", "evals", "import"], body.into()).await;
        let answer = match (answer, objects) {
            (Ok(answer), _) => answer,
            (
                Err(ClientError::Refused {
                    status, message, ..
                }),
                [only],
            ) if status == StatusCode::PAYLOAD_TOO_LARGE => {
                self.faults.push((only.place, message));
                return Ok(());
            }
            (Err(error), _) => return Err(error.into()),
        };
        let mut answer: BTreeMap<String, Value> = client.json(answer).await?;
        let became = answer.remove(kind.list()).unwrap_or_default();
        let became: Vec<Became> =
            serde_json::from_value(became).context("the server's answer cannot be read")?;
        for (object, became) in objects.iter().zip(became) {
            self.note(kind, object, became);
        }
        Ok(())
    }

    fn note(&mut self, kind: Kind, object: &Object<'_>, became: Became) {
        let at = match became.outcome.as_str() {
            "added" => 0,
            "there" => 1,
            "renewed" => 2,
            _ => {
                let why = became.message.unwrap_or_default();
                let id = safe_text(&became.openai_id);
                self.faults.push((object.place, format!("{id}: {why}")));
                return;
            }
        };
        let of_kind = Kind::ALL
            .iter()
            .position(|one| *one == kind)
            .unwrap_or_default();
        self.counts[of_kind][at] += 1;
        if let Some(note) = became.message {
            let id = safe_text(&became.openai_id);
            self.notes.push((object.place, format!("{id}: {note}")));
        }
        if kind != Kind::Item {
            let named: Value = serde_json::from_str(object.text).unwrap_or_default();
            self.told.push(
                json!({"object": kind.object(), "openai_id": became.openai_id,
                "id": became.id, "outcome": became.outcome, "name": named["name"]}),
            );
        }
    }

    fn tell(&self, as_json: bool, files: &[PathBuf]) -> anyhow::Result<()> {
        let place = |place: &Place| {
            let file = files.get(place.file).map(|path| path.display().to_string());
            format!("{}:{}", safe_text(&file.unwrap_or_default()), place.line)
        };
        if as_json {
            let listed = |list: &[(Place, String)]| -> Vec<Value> {
                let one = |(at, message): &(Place, String)| json!({"place": place(at), "message": message});
                list.iter().map(one).collect()
            };
            let counts = |kind: usize| {
                let [added, there, renewed] = self.counts[kind];
                json!({"added": added, "there": there, "renewed": renewed})
            };
            let told = json!({"object": "openai_evals.import", "evals": counts(0), "runs": counts(1),
                "output_items": counts(2), "data": self.told, "notes": listed(&self.notes),
                "refused": listed(&self.faults)});
            output::line(told.to_string())?;
        } else {
            self.tell_people()?;
        }
        for (at, note) in self.notes.iter().take(TOLD_MAX) {
            output::note(format!("{}: {}", place(at), short_text(note, 400)));
        }
        for (at, fault) in self.faults.iter().take(TOLD_MAX) {
            output::note(format!("{}: {}", place(at), short_text(fault, 400)));
        }
        match self.faults.len() {
            0 => Ok(()),
            refused => bail!(
                "{} refused, of which the places are told; the rest is kept",
                match refused {
                    1 => "1 line was".to_owned(),
                    more => format!("{} lines were", count(more as u64)),
                }
            ),
        }
    }

    fn tell_people(&self) -> anyhow::Result<()> {
        for one in &self.told {
            let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("outcome") != "there" {
                let name = short_text(text("name"), 80);
                output::line(format!("{}  {}", safe_text(text("id")), name))?;
            }
        }
        for (kind, [added, there, renewed]) in Kind::ALL.into_iter().zip(self.counts) {
            if added + there + renewed > 0 {
                let mut line = format!("{}: {} added", kind.list().replace('_', " "), count(added));
                if renewed > 0 {
                    line += &format!(", {} told anew", count(renewed));
                }
                if there > 0 {
                    line += &format!(", {} there already", count(there));
                }
                output::line(line)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn found(text: &str) -> (Vec<(Kind, usize)>, Vec<usize>) {
        let mut found = Found::default();
        found.take_text(0, text);
        let objects = found.objects.iter();
        (
            objects.map(|one| (one.kind, one.place.line)).collect(),
            found.faults.iter().map(|(place, _)| place.line).collect(),
        )
    }

    const EVAL: &str = r#"{"object":"eval","id":"e"}"#;
    const RUN: &str = r#"{"object":"eval.run","id":"r"}"#;
    const ITEM: &str = r#"{"object":"eval.run.output_item","id":"i"}"#;

    #[test]
    fn objects_are_found_wherever_they_stand() {
        let lines = format!("{ITEM}\n{RUN}\r\n\n{EVAL}");
        let want = vec![(Kind::Item, 1), (Kind::Run, 2), (Kind::Eval, 4)];
        assert_eq!(found(&lines), (want, vec![]));
        let list = format!("[\n{EVAL},\n{RUN}, {ITEM}]");
        let want = vec![(Kind::Eval, 2), (Kind::Run, 3), (Kind::Item, 3)];
        assert_eq!(found(&list), (want, vec![]));
        let page = format!("\u{feff}{{\"object\":\"list\",\"data\":[{EVAL},{EVAL}]}}");
        assert_eq!(found(&page).0, [(Kind::Eval, 1), (Kind::Eval, 1)]);
        let lists = r#"{"runs": {"e": [{"id": "r"}]}, "evals": [{"id": "e"}], "output_items": [{"id": "i"}], "n": 3}"#;
        assert_eq!(
            found(lists).0,
            [(Kind::Eval, 1), (Kind::Item, 1), (Kind::Run, 1)]
        );
        let nested = r#"{"object":"eval","id":"e","runs":{"data":[
            {"object":"eval.run","id":"r","output_items":[{"id":"i"}],"data_source":{"source":{"content":[{"id":"x"}]}}}]}}"#;
        assert_eq!(
            found(nested).0,
            [(Kind::Eval, 1), (Kind::Run, 2), (Kind::Item, 2)]
        );
        let pretty =
            "{\n  \"object\": \"eval\",\n  \"id\": \"e\"\n}\n{\n \"object\": \"eval.run\"}";
        assert_eq!(found(pretty).0, [(Kind::Eval, 1), (Kind::Run, 5)]);
        assert_eq!(found(""), (vec![], vec![]));
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_and_the_rest_is_found() {
        let text =
            format!("{EVAL}\n{{\"object\": \"eval.run\",\n{RUN}\nno json\n{{\"a\":1}}\n{ITEM}\n{{");
        let want = vec![(Kind::Eval, 1), (Kind::Run, 3), (Kind::Item, 6)];
        assert_eq!(found(&text), (want, vec![2, 4, 5, 7]));
    }

    #[test]
    fn a_packed_file_is_read_like_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evals.jsonl.gz");
        let level = flate2::Compression::fast();
        let mut packed = flate2::write::GzEncoder::new(File::create(&path).unwrap(), level);
        packed.write_all(EVAL.as_bytes()).unwrap();
        packed.finish().unwrap();
        assert_eq!(read(&path).unwrap(), EVAL);
    }

    #[test]
    fn requests_are_bounded_and_lose_nothing() {
        let check = |bytes: &[usize], want: &[usize]| {
            let texts: Vec<String> = bytes.iter().map(|bytes| "x".repeat(*bytes)).collect();
            let object = |text| Object {
                kind: Kind::Item,
                text,
                place: Place { file: 0, line: 1 },
            };
            let objects: Vec<Object<'_>> = texts.iter().map(|text| object(text)).collect();
            let objects: Vec<&Object<'_>> = objects.iter().collect();
            let counts: Vec<usize> = bodies(&objects).map(<[_]>::len).collect();
            assert_eq!(counts, want, "{bytes:?}");
        };
        check(&[], &[]);
        check(&[1, BODY_BYTES + 5, 1, 1], &[1, 1, 2]);
        check(&[BODY_BYTES / 2, BODY_BYTES / 2, 7], &[1, 2]);
        check(&[0; 2_500], &[1_000, 1_000, 500]);
    }
}
