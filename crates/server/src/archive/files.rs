//! Which files does an archive have, and of which hours?
//!
//! A file's name says its hour and when the process that wrote it made it, so that names sort as the
//! bodies came: `2026-11-28T15-00064a1c2f3b4d5e.tgar.zst`.

use std::io;
use std::path::{Path, PathBuf};

use model::Time;

/// An hour.
pub(super) const HOUR_MICROS: i64 = 3_600 * 1_000_000;

const ENDING: &str = ".tgar.zst";

/// How many letters of a time say its hour.
const HOUR_LETTERS: usize = "2026-11-28T15".len();

/// Something was given as an archive that is none.
#[derive(Debug, thiserror::Error)]
pub enum NotAnArchive {
    /// It cannot be looked at.
    #[error("failed to look at {}", path.display())]
    Look {
        /// What was given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder without any.
    #[error("{} holds no archive: no file in it ends in {ENDING}", .0.display())]
    Empty(PathBuf),
    /// A file of another name.
    #[error("{} is no file of an archive: their names are like 2026-11-28T15-….tgar.zst", .0.display())]
    Name(PathBuf),
}

/// Returns the hour that `at` is in, by its beginning.
pub(super) fn hour(at: Time) -> Time {
    let micros = at.as_micros();
    Time::from_micros(micros - micros.rem_euclid(HOUR_MICROS))
}

/// Returns the name of a file for the hour of `at` that is made at `now`.
pub(super) fn name(at: Time, now: Time) -> String {
    let text = hour(at).to_string();
    format!("{}-{:016x}{ENDING}", &text[..HOUR_LETTERS], now.as_micros())
}

/// Returns the beginning of the hour that a file is for, if it is one of an archive.
pub(super) fn hour_of(path: &Path) -> Option<Time> {
    let name = path.file_name()?.to_str()?;
    let hour = name.strip_suffix(ENDING)?.get(..HOUR_LETTERS)?;
    Time::parse_rfc3339(&format!("{hour}:00:00Z")).ok()
}

/// Returns the files that `paths` name, a folder standing for those in it, in the order in which they
/// were written; of those only the ones that may hold what was received from `since` until `until`.
pub fn find(
    paths: &[PathBuf],
    since: Option<Time>,
    until: Option<Time>,
) -> Result<Vec<PathBuf>, NotAnArchive> {
    let mut found = Vec::new();
    for path in paths {
        let looked = |source| NotAnArchive::Look {
            path: path.clone(),
            source,
        };
        if path.metadata().map_err(looked)?.is_dir() {
            let entries: io::Result<Vec<_>> = path.read_dir().map_err(looked)?.collect();
            let files = entries
                .map_err(looked)?
                .into_iter()
                .map(|entry| entry.path());
            let before = found.len();
            found.extend(files.filter(|file| hour_of(file).is_some()));
            if found.len() == before {
                return Err(NotAnArchive::Empty(path.clone()));
            }
        } else if hour_of(path).is_some() {
            found.push(path.clone());
        } else {
            return Err(NotAnArchive::Name(path.clone()));
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    found.dedup();
    found.retain(|path| {
        let begins = hour_of(path).unwrap_or_default();
        // A body that came just before the hour may be written just after.
        let ends = begins.plus_micros(2 * HOUR_MICROS);
        since.is_none_or(|since| ends >= since)
            && until.is_none_or(|until| begins.plus_micros(-HOUR_MICROS) < until)
    });
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_hour() {
        let at = Time::parse_rfc3339("2026-11-28T15:59:59.999999Z").unwrap();
        let name = name(at, at);
        assert!(name.starts_with("2026-11-28T15-000"), "{name}");
        let hour = hour_of(Path::new(&name)).unwrap();
        assert_eq!(hour.to_string(), "2026-11-28T15:00:00.000000Z");
        for other in ["", "a.zst", "2026-11-28T15", "2026-13-28T15-0.tgar.zst"] {
            assert_eq!(hour_of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn files_are_found_in_their_order_and_by_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let at = |hour: u8| Time::parse_rfc3339(&format!("2026-11-28T{hour:02}:30:00Z")).unwrap();
        assert!(matches!(
            find(&[dir.path().to_owned()], None, None),
            Err(NotAnArchive::Empty(_))
        ));
        for hour in [15, 9, 12] {
            std::fs::write(dir.path().join(name(at(hour), at(hour))), "").unwrap();
        }
        std::fs::write(dir.path().join("notes"), "").unwrap();
        let check = |since: Option<u8>, until: Option<u8>, want: &[u8]| {
            let found = find(&[dir.path().to_owned()], since.map(at), until.map(at)).unwrap();
            let hours: Vec<_> = found.iter().map(|path| hour_of(path).unwrap()).collect();
            let want: Vec<_> = want.iter().map(|n| hour(at(*n))).collect();
            assert_eq!(hours, want, "{since:?} {until:?}");
        };
        check(None, None, &[9, 12, 15]);
        check(Some(12), None, &[12, 15]);
        check(None, Some(9), &[9]);
        check(Some(23), None, &[]);
        assert!(matches!(
            find(&[dir.path().join("notes")], None, None),
            Err(NotAnArchive::Name(_))
        ));
        assert!(matches!(
            find(&[dir.path().join("none")], None, None),
            Err(NotAnArchive::Look { .. })
        ));
    }
}
