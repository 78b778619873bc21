//! Asking a judge: any endpoint that speaks OpenAI's Chat Completions or Responses.
//!
//! What is said on the wire, which failures pass, how long to wait and how many to ask at one time are
//! pure decisions, each in a file of its own; [`Client`] is the loop around them. It answers
//! [`crate::openai::Model`].
//!
//! Around a call stand the decisions of a run of thousands: what was asked before is not asked again
//! ([`Cache`], by [`CacheKey`]), money is set aside before it is spent ([`Budget`]), several judges are
//! brought to one word ([`panel`]) and one judge is held against itself ([`consistency`]). [`Desk`] puts
//! the first two around one question. What a judge is asked and what its words mean is not decided here.

mod backoff;
mod budget;
mod cache;
mod client;
pub mod consistency;
mod desk;
mod endpoint;
mod failure;
mod gate;
mod objects;
mod pace;
pub mod panel;
mod reply;
mod request;
mod tariff;

pub use backoff::Retry;
pub use budget::{Budget, Exhausted, Reservation};
pub use cache::{Cache, CacheKey, MemoryCache};
pub use client::Client;
pub use desk::{Answered, Desk, DeskError};
pub use endpoint::{Dialect, Endpoint, Key};
pub use failure::JudgeError;
pub use pace::Pacing;
pub use tariff::Tariff;
