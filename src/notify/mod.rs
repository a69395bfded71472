//! What is told to others when something is over. For now that is call records, as JSON lines in files.
//!
//! What it deliberately does not know: what a call is; it is given lines.

pub mod cdr;
