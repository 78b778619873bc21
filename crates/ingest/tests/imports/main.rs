//! Files of other products, as they were written by them, and what becomes of them.

mod hostile;
mod langfuse_batch;
mod samples;
mod support;
