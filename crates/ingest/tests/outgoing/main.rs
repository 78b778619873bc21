//! What goes out comes back: every capture through every format.

mod support;

mod formats;
mod hostile;
mod roundtrip;
