//! Where connections of ours may lead: the front door (reliability R-70, R-71, R-74; agentstream.md section 2.3).
//!
//! ```text
//!  URL ─► Place: host, port, user info apart ─► Names: its addresses, by TTL ─► Egress: which of them may be connected to
//! ```
//!
//! Streams and fetches share it, for they may not know one another. Whoever connects does so to the addresses that were
//! judged, and asks no name server a second time.
//!
//! What it deliberately does not know: schemes, sockets of its users, what is said on a connection.

pub mod io;
mod judge;
mod place;
mod remembered;

pub use judge::{Allowed, Egress, PlainTo, is_public};
pub use place::Place;
pub use remembered::Unknown;
