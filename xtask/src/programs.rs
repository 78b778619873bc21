//! Programs that answer with numbers: benches, comparisons, soaks, fuzzers and the release build.
//!
//! A bench is an ordinary bench target (`[[bench]]` with `harness = false`) of any crate and is found by
//! asking cargo, so nothing has to be listed here. Two names are kept apart because they take hours or
//! need other systems installed: `peers` and `soak`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    steps::cargo,
    workspace::{Package, Workspace},
};

/// The bench target that drives other systems with our load.
pub(crate) const PEERS: &str = "peers";
/// The bench target that runs for hours.
pub(crate) const SOAK: &str = "soak";

/// The bench target that repeats every simulated figure of the grading method; `make test` runs a fast
/// part of it.
const SIMULATIONS: &str = "simulations";

/// The store's random schedules in a soak; `make test` runs a few.
const SCHEDULES: &str = "10000";
const FUZZ_SECONDS_PER_TARGET: u32 = 60;
/// The binary's budget; BENCHMARKS.md carries the same number.
const RELEASE_BYTES_MAX: u64 = 80_000_000;

/// Runs every bench target but the two that are asked for by name.
pub(crate) fn bench_all(workspace: &Workspace, args: &[String]) -> Result<()> {
    let mut benches = benches(&workspace.packages);
    benches.retain(|bench| *bench != PEERS && *bench != SOAK);
    if benches.is_empty() {
        bail!("no crate has a bench target");
    }
    benches
        .into_iter()
        .try_for_each(|bench| run_bench(bench, args))
}

/// Runs the bench target called `name`.
pub(crate) fn bench_one(workspace: &Workspace, name: &str, args: &[String]) -> Result<()> {
    let bench = benches(&workspace.packages)
        .into_iter()
        .find(|bench| *bench == name)
        .with_context(|| format!("no crate has a bench target `{name}`"))?;
    run_bench(bench, args)
}

/// Runs the bench target `soak`, then the simulations and gates of the grading method and the store's
/// schedules in their long form. With arguments only the bench: who gives them wants something shorter.
pub(crate) fn soak(workspace: &Workspace, args: &[String]) -> Result<()> {
    bench_one(workspace, SOAK, args)?;
    if !args.is_empty() {
        return Ok(());
    }
    bench_one(workspace, SIMULATIONS, &[])?;
    eprintln!("\n10,000 gates of the grading method");
    long_test(
        &["test(false_alarms_of_many_gates)", "--run-ignored", "only"],
        &[],
    )?;
    eprintln!("\n{SCHEDULES} random schedules of the store");
    long_test(&["test(schedules)"], &[("TRACEGRADE_SCHEDULES", SCHEDULES)])
}

/// Runs tests that take too long for `make test`, or in their long form.
fn long_test(which: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status = Command::new("cargo")
        .args(["nextest", "run", "--workspace", "-E"])
        .args(which)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .status()
        .context("failed to start `cargo nextest`")?;
    if !status.success() {
        bail!("{} ended with {status}", which[0]);
    }
    Ok(())
}

/// Returns the names of all bench targets; no two crates share one.
fn benches(packages: &[Package]) -> Vec<&str> {
    packages
        .iter()
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.iter().any(|kind| kind == "bench"))
        .map(|target| target.name.as_str())
        .collect()
}

fn run_bench(bench: &str, args: &[String]) -> Result<()> {
    // with `--workspace`, so that the features are those of every other build and nothing heavy
    // compiles twice; the name alone selects the bench
    let mut line = vec!["bench", "--workspace", "--bench", bench, "--"];
    line.extend(args.iter().map(String::as_str));
    cargo(&line)
}

/// Runs each target of `fuzz/` for a minute, starting from the inputs that are checked in.
pub(crate) fn fuzz(workspace: &Workspace) -> Result<()> {
    let dir = workspace.root.join("fuzz/fuzz_targets");
    let failed = || format!("failed to list {}", dir.display());
    for entry in fs::read_dir(&dir).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if let Some(target) = path.file_stem().and_then(|stem| stem.to_str()) {
            run_fuzz(&workspace.root, target)?;
        }
    }
    Ok(())
}

fn run_fuzz(root: &Path, target: &str) -> Result<()> {
    eprintln!("\nfuzzing {target} for {FUZZ_SECONDS_PER_TARGET} s");
    // what libFuzzer finds goes to the first corpus: not the one that is checked in
    let found = format!("fuzz/target/corpus/{target}");
    fs::create_dir_all(root.join(&found)).with_context(|| format!("failed to create {found}"))?;
    // by way of rustup: under `cargo xtask`, plain `cargo` is that of the stable toolchain
    let (toolchain, options) = match has_nightly() {
        true => ("nightly", &[][..]),
        // our own code is safe Rust, in which a sanitizer of addresses finds little
        false => ("stable", &["--sanitizer", "none"][..]),
    };
    let status = Command::new("rustup")
        .args(["run", toolchain, "cargo", "fuzz", "run"])
        .args(options)
        .args([target, &found])
        .arg(format!("fuzz/corpus/{target}"))
        .args(["--", &format!("-max_total_time={FUZZ_SECONDS_PER_TARGET}")])
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("failed to start `rustup run {toolchain} cargo fuzz`"))?;
    if !status.success() {
        bail!("fuzzing {target} ended with {status}");
    }
    Ok(())
}

/// Returns whether there is a nightly toolchain, which sanitizers need.
fn has_nightly() -> bool {
    let asked = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// Builds the binary that users get, and refuses one over the size budget.
pub(crate) fn release(workspace: &Workspace) -> Result<()> {
    cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "tracegrade",
        "--bin",
        "tracegrade",
    ])?;
    let binary = workspace.target_dir.join("release/tracegrade");
    let bytes = fs::metadata(&binary)
        .with_context(|| format!("failed to stat {}", binary.display()))?
        .len();
    eprintln!("{}: {:.1} MB", binary.display(), bytes as f64 / 1e6);
    if bytes > RELEASE_BYTES_MAX {
        bail!(
            "the binary is over its budget of {} MB",
            RELEASE_BYTES_MAX / 1_000_000
        );
    }
    Ok(())
}
