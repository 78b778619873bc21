//! Intervals, tests, e-processes and weighted samples: numbers in, numbers out.
//!
//! Nothing here knows what a trace is. Each estimator names its formula, what it assumes, and the
//! reference that it is checked against.
