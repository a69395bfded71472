//! What the product says of itself: metrics, logs, and the ladder of one call.
//!
//! Every metric name stands in one table (`metrics`), every series is there from the start, at 0.

pub mod metrics;
