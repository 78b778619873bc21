//! What tests and benches that drive the real program share. Dev only.
//!
//! The program is started as people start it and spoken to over a socket; nothing here knows how it
//! works inside. Threads and blocking sockets: what drives a load should cost little and be easy to
//! account for.

pub mod bench;
pub mod drive;
pub mod figures;
pub mod http;
pub mod judge;
pub mod load;
pub mod prng;
pub mod process;
pub mod server;
mod words;
