//! Python graders, run where they can do no harm.
//!
//! A grader is somebody's code that reads somebody's trace. It gets a process of its own, forked for
//! this one grade from a warm interpreter, and of the machine only what arithmetic needs. Four walls
//! stand. Three are built by the process that becomes the interpreter and kept by the kernel, so that no
//! privilege is needed and containers are no obstacle; the last is the pool itself:
//!
//! - Landlock: it reads the interpreter's own files and writes to its own temporary folder; the rest
//!   of the file system, `/proc` included, is closed.
//! - seccomp: a list of the system calls that are allowed. There is none for sockets, other processes,
//!   modes and owners of files, or anything new. Once a grade begins, forking, signals and running
//!   programs are gone as well. That is why killing the process group kills all of it, and why a fork
//!   bomb fails at its first fork: limits on the number of processes do not hold for root.
//! - resource limits: memory, processor time, size of a file, open files.
//! - the pool, which looks from outside at what has no limit in the kernel: time, threads, the size of
//!   the temporary folder, the length of the output.
//!
//! What is left open: names and sizes of files can be asked for (`stat`), wherever they are, since Landlock
//! does not look after that; processor time and memory are used up to the limits.
//!
//! The walls are built by starting our own program again, with an order in its environment that
//! [`enter_if_asked`] obeys; a test binary does as well. Where Landlock or seccomp is missing the pool
//! refuses to open and says what is missing, unless [`Config::unsafe_code_graders`] is set.

mod config;
#[cfg(target_os = "linux")]
mod confine;
mod enter;
mod interpreter;
mod outcome;
mod pool;
#[cfg(target_os = "linux")]
mod syscalls;
mod watch;
mod worker;

pub use config::{Config, Limits};
pub use enter::enter_if_asked;
pub use outcome::Verdict;
pub use pool::{Pool, PoolError};
