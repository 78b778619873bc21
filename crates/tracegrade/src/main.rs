//! tracegrade: records what AI agents do and grades it. Parse, dispatch, print.
//!
//! A command returns an error and never ends the process; the exit code is made here, from what the
//! error is, so that scripts can rely on it.

mod cli;
mod client;
mod commands;
mod demo;
mod output;
mod text;
mod tree;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    server::enter_sandbox_if_asked();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::refuse(&error, std::env::args()),
    };
    let json = cli.json;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = anyhow::Error::new(error).context("failed to start");
            return output::fail(&error, json);
        }
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(code) => code,
        Err(error) => output::fail(&error, json),
    }
}
