//! `cargo xtask test` and `lint`: one ordered list of steps, cheapest first, the first failure ends it.
//!
//! All steps share the dev profile and one feature set (`--workspace`), so that after clippy and the
//! tests nothing heavy was compiled twice.

use std::{
    ops::Range,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{licences, tidy, workspace::Workspace};

/// Something that passes or fails, with a name to ask for it by.
pub(crate) struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

const TIDY: Step = Step {
    name: "tidy",
    about: "the rules of the house",
    run: tidy::run,
};
const LICENCES: Step = Step {
    name: "licences",
    about: "every dependency's licence is allowed",
    run: licences::run,
};
const FMT: Step = Step {
    name: "fmt",
    about: "rustfmt would change nothing",
    run: |_| cargo(&["fmt", "--all", "--check"]),
};
const CLIPPY: Step = Step {
    name: "clippy",
    about: "no warning anywhere",
    run: |_| {
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    },
};
const UNIT: Step = Step {
    name: "test",
    about: "unit and integration tests",
    run: |_| tests(),
};
const DOC: Step = Step {
    name: "doc",
    about: "examples in the documentation",
    run: |_| cargo(&["test", "--doc", "--workspace"]),
};
const SNIPPETS: Step = Step {
    name: "snippets",
    about: "the programs in docs/connect and docs/grading, with the real packages",
    run: snippets,
};

/// The steps of `cargo xtask test`.
pub(crate) const TEST: [Step; 7] = [TIDY, LICENCES, FMT, CLIPPY, UNIT, DOC, SNIPPETS];
/// The steps of `cargo xtask lint`.
pub(crate) const LINT: [Step; 4] = [TIDY, LICENCES, FMT, CLIPPY];

/// Runs the steps that `args` select, telling which and how long.
pub(crate) fn run(workspace: &Workspace, steps: &[Step], args: &[String]) -> Result<()> {
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    let selected = select(&names, args)?;
    let start = Instant::now();
    for number in selected.clone() {
        let Step { name, about, run } = &steps[number];
        eprintln!("\n[{}/{}] {name}: {about}", number + 1, steps.len());
        let step_start = Instant::now();
        run(workspace).with_context(|| {
            format!("step `{name}` failed; once mended, go on with `--from {name}`")
        })?;
        eprintln!(
            "      {name} passed in {:.1} s",
            step_start.elapsed().as_secs_f64()
        );
    }
    eprintln!(
        "\n{} steps passed in {:.1} s",
        selected.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Returns the indices of the steps that `--from STEP` or `--only STEP` ask for; all without either.
fn select(names: &[&str], args: &[String]) -> Result<Range<usize>> {
    let position = |wanted: &str| {
        names
            .iter()
            .position(|name| *name == wanted)
            .with_context(|| format!("no step `{wanted}`; the steps are {}", names.join(", ")))
    };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => Ok(0..names.len()),
        ["--from", name] => Ok(position(name)?..names.len()),
        ["--only", name] => position(name).map(|at| at..at + 1),
        _ => bail!(
            "expected nothing, `--from STEP` or `--only STEP`, not `{}`",
            args.join(" ")
        ),
    }
}

/// Nextest runs tests of all crates side by side and names the slow ones; cargo alone will do.
fn tests() -> Result<()> {
    if has_nextest() {
        cargo(&["nextest", "run", "--workspace"])
    } else {
        eprintln!("      cargo-nextest is not installed: `cargo test` instead");
        cargo(&["test", "--workspace", "--lib", "--bins", "--tests"])
    }
}

/// The binary that the tests have built serves; the script installs what the programs import.
fn snippets(workspace: &Workspace) -> Result<()> {
    // With the tests: without them some features are fewer, and the server would be compiled once more.
    cargo(&["build", "--workspace", "--bins", "--tests"])?;
    let status = Command::new("python3")
        .arg(workspace.root.join("scripts/snippets.py"))
        .arg(workspace.target_dir.join("debug/tracegrade"))
        .stdin(Stdio::null())
        .status()
        .context("failed to start python3")?;
    if !status.success() {
        bail!("scripts/snippets.py ended with {status}");
    }
    Ok(())
}

fn has_nextest() -> bool {
    Command::new("cargo")
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs cargo with its output passed through.
pub(crate) fn cargo(args: &[&str]) -> Result<()> {
    let line = args.join(" ");
    let status = Command::new("cargo")
        .args(args)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("failed to start `cargo {line}`"))?;
    if !status.success() {
        bail!("`cargo {line}` ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::select;

    fn check(args: &[&str], expected: Option<std::ops::Range<usize>>) {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        assert_eq!(
            select(&["tidy", "fmt", "test"], &args).ok(),
            expected,
            "{args:?}"
        );
    }

    #[test]
    fn selects_steps() {
        check(&[], Some(0..3));
        check(&["--from", "tidy"], Some(0..3));
        check(&["--from", "fmt"], Some(1..3));
        check(&["--only", "fmt"], Some(1..2));
        check(&["--only", "test"], Some(2..3));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        check(&["--only", "format"], None);
        check(&["--only"], None);
        check(&["fmt"], None);
        check(&["--from", "tidy", "--only", "fmt"], None);
    }
}
