//! Graders on traces, with a scripted judge in the process and one behind a socket.
//!
//! This binary is its own launcher of Python: it is started again with the name of the test `launcher`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod code;
mod court;
mod definitions;
mod focus;
mod http;
mod injection;
mod judging;
mod library;
mod multi;
mod pairs;
mod panels;
mod plain;
mod reading;
mod rows;
mod story;

/// No test, but what this program does when it is started to become an interpreter.
#[cfg(target_os = "linux")]
#[test]
fn launcher() {
    grade::sandbox::enter_if_asked();
}
