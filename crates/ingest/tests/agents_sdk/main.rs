//! The decoder against everything the SDKs were seen to send, and against everything else.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod captures;
mod corpus;
mod documents;
mod facts;
mod hosted;
mod hostile;
mod items;
mod order;
mod restore;
mod support;
