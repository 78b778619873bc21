//! What end-to-end benches share: their arguments, and how figures are printed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What stands behind `--` on the command line: `--name value` pairs, and words of cargo's own.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Returns the arguments, or nothing if this is `cargo test --benches`, which asks for a quick
    /// look only: these benches have nothing that is quick.
    pub fn read() -> Option<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        (!words.iter().any(|word| word == "--test")).then_some(Self(words))
    }

    /// Returns the number that was given by this name.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).map_or(default, |text| {
            text.replace('_', "")
                .parse()
                .unwrap_or_else(|_| panic!("{name} {text}: not a whole number"))
        })
    }

    /// Returns the seconds that were given by this name.
    pub fn seconds(&self, name: &str, default: u64) -> Duration {
        Duration::from_secs(self.number(name, default))
    }

    /// Returns whether this part is to be run: all are, unless `--only` names one.
    pub fn wants(&self, part: &str) -> bool {
        self.text("--only").is_none_or(|only| only == part)
    }

    /// Returns the word that was given by this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|word| word == name)?;
        self.0.get(at + 1).map(String::as_str)
    }
}

/// Prints one row of the table in BENCHMARKS.md.
#[expect(
    clippy::print_stdout,
    reason = "a benchmark is a program that prints its result"
)]
pub fn print_row(what: &str, measured: &str) {
    println!("| {what} | {measured} |");
}

/// Prints what is going on, beside the table.
pub fn note(text: &str) {
    eprintln!("  {text}");
}

/// Returns the Python of a virtual environment with these packages from PyPI, made on the first use
/// under the target folder.
pub fn venv(name: &str, packages: &[&str]) -> io::Result<PathBuf> {
    let dir = target_dir()?.join("venv").join(name);
    let python = dir.join("bin/python");
    if !dir.join("complete").exists() {
        note(&format!("installing {} from PyPI", packages.join(", ")));
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet"]).args(packages);
        succeed(&mut pip)?;
        std::fs::write(dir.join("complete"), "")?;
    }
    Ok(python)
}

/// Returns the target folder: the bench runs from `TARGET/PROFILE/deps`.
pub fn target_dir() -> io::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let dir = exe.ancestors().nth(3).map(Path::to_path_buf);
    dir.ok_or_else(|| io::Error::other("the bench does not stand in a target folder"))
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?} ended with {status}"))),
    }
}
