//! The orchestration: legs, ports and a place in a flow, joined. The front door.
//!
//! ```text
//!  sip::Event    ─┐                         ┌─► sip::Command
//!  media::Event  ─┤                         ├─► media::Command
//!  stream::Event ─┼─► Call ── Fact ─► flow  ├─► a stream to open or to stop
//!  Request       ─┤    ▲                │   ├─► a port to reserve
//!  Timeout       ─┘    └──── Verb ──────┘   └─► the CDR
//! ```
//!
//! A call is a pure state machine: one `Input` in, then every `Output` it causes out. It decides who hears whom in
//! one function (`wiring`), asks the flow what comes next, and is over when its CDR is written. `intake` judges an
//! INVITE before a call exists (sip-trunk.md section 4, steps 10 to 14).
//!
//! What it deliberately does not know: sockets, tasks, clocks; what a SIP message looks like on the wire.

pub mod admission;
mod config;

pub use config::{Config, Identity, Privacy, Ring, Trunk, UuiDecode};
