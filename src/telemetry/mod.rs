//! What the product says of itself: metrics, logs, and the ladder of one call.
//!
//! Every metric name stands in one table (`table`), every series is there from the start, at 0
//! (`exposition`); one function counts each thing (`metrics`). `process` reads what the system knows of us
//! when it is asked. `log` writes lines that a stranger can neither forge nor flood.

pub mod exposition;
mod kept;
pub mod log;
pub mod metrics;
pub(crate) mod process;
pub mod table;
