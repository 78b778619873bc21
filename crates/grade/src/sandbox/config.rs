//! What the sandbox is built of, and how much a grade may use.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How Python graders are run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The interpreter, of a virtual environment if need be: a name to look up in `PATH`, or a path.
    pub python: PathBuf,
    /// The program that builds the sandbox: one whose `main` begins with [`super::enter_if_asked`]. On
    /// Linux `/proc/self/exe` is this program, even when its file was replaced by a newer one.
    pub launcher: PathBuf,
    /// What the launcher is started with; nothing if it obeys before it looks at its arguments.
    pub launcher_arguments: Vec<OsString>,
    /// So many grades run at one time, each in a worker of its own.
    pub workers_max: usize,
    /// So many grades a worker serves before it is replaced.
    pub grades_per_worker_max: u32,
    /// Runs graders without Landlock and seccomp: they can then do what this process can.
    pub unsafe_code_graders: bool,
    /// What graders may read besides the interpreter: data of packages, say.
    pub readable: Vec<PathBuf>,
    /// Modules that a worker imports once, so that graders need not.
    pub preload: Vec<String>,
    /// Where workers' temporary folders are made.
    pub tmp_parent: PathBuf,
    /// How much a grade may use.
    pub limits: Limits,
}

impl Config {
    /// Returns the defaults for a launcher: `python3`, two workers, the limits of OpenAI's graders.
    pub fn new(launcher: PathBuf) -> Self {
        Self {
            python: PathBuf::from("python3"),
            launcher,
            launcher_arguments: Vec::new(),
            workers_max: 2,
            grades_per_worker_max: 1_000,
            unsafe_code_graders: false,
            readable: Vec::new(),
            preload: Vec::new(),
            tmp_parent: std::env::temp_dir(),
            limits: Limits::default(),
        }
    }
}

/// How much one grade may use. The defaults are OpenAI's where they publish one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the request to the answer.
    pub wall: Duration,
    /// Processor time of all threads, in seconds.
    pub cpu_seconds_max: u64,
    /// Address space.
    pub memory_bytes_max: u64,
    /// The temporary folder, and any one file in it.
    pub tmp_bytes_max: u64,
    /// Files and folders in the temporary folder.
    pub tmp_files_max: u64,
    /// Files open at one time.
    pub open_files_max: u64,
    /// Threads of the one process that a grade has.
    pub threads_max: u64,
    /// What it prints and returns, together.
    pub output_bytes_max: usize,
    /// The source of a grader.
    pub source_bytes_max: usize,
    /// Source and arguments as JSON.
    pub request_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_mins(2),
            cpu_seconds_max: 120,
            memory_bytes_max: 2 << 30,
            tmp_bytes_max: 1 << 30,
            tmp_files_max: 10_000,
            open_files_max: 256,
            threads_max: 64,
            output_bytes_max: 1 << 20,
            source_bytes_max: 256_000,
            request_bytes_max: 64 << 20,
        }
    }
}
