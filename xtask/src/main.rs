//! The chores of the repository, so that the Makefile and the CI script have nothing to know.
//!
//! Everything is `cargo xtask COMMAND`. Checks that need only text live here too (`tidy`, `licences`):
//! they are ordinary Rust with ordinary tests, and a machine with a Rust toolchain needs nothing else.

mod licences;
mod programs;
mod steps;
mod tidy;
mod workspace;

use std::{io::Write, process::ExitCode};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

const HELP: &str = "\
cargo xtask COMMAND

  test [--from STEP | --only STEP]   every check and test in order, stopping at the first failure
  lint [--from STEP | --only STEP]   the part of `test` that runs no test
  tidy                               the rules of the house that rustc and clippy do not know
  licences                           the licence of every dependency is on the list
  bench [ARGS]                       the bench programs; ARGS are passed on to each
  bench-peers [ARGS]                 the bench program `peers`: other systems, same load, same machine
  soak [ARGS]                        the bench program `soak`: hours of load, then the books are checked; the
                                     simulated figures and the gates of the grading method; and the store's random
                                     schedules, 10,000 of them
  fuzz                               every fuzz target for a minute (needs cargo-fuzz)
  release                            the optimised binary, and whether it keeps its size budget
  help                               this list
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        // not returned from `main`: what went wrong is in the message, a backtrace would bury it
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let Some((command, rest)) = args.split_first() else {
        return help();
    };
    if matches!(command.as_str(), "help" | "--help" | "-h") {
        return help();
    }
    let workspace = Workspace::load()?;
    match command.as_str() {
        "test" => steps::run(&workspace, &steps::TEST, rest),
        "lint" => steps::run(&workspace, &steps::LINT, rest),
        "tidy" => tidy::run(&workspace),
        "licences" => licences::run(&workspace),
        "bench" => programs::bench_all(&workspace, rest),
        "bench-peers" => programs::bench_one(&workspace, programs::PEERS, rest),
        "soak" => programs::soak(&workspace, rest),
        "fuzz" => programs::fuzz(&workspace),
        "release" => programs::release(&workspace),
        _ => bail!("no command `{command}`; `cargo xtask help` lists them"),
    }
}

fn help() -> Result<()> {
    std::io::stdout()
        .write_all(HELP.as_bytes())
        .context("failed to print the help")
}
