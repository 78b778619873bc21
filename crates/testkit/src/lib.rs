//! What several crates' tests and benches share. Dev only.
//!
//! The program is started as people start it and spoken to over a socket; nothing here knows how it
//! works inside. Threads and blocking sockets: what drives a load should cost little and be easy to
//! account for. What graders are tested with (`story`, `attacks`) is told in the words of `model`, and
//! no other crate of ours is linked: pure crates test with this too.

pub mod attacks;
pub mod bench;
pub mod drive;
pub mod figures;
pub mod http;
pub mod judge;
pub mod load;
pub mod prng;
pub mod process;
pub mod server;
pub mod sink;
pub mod story;
mod words;
