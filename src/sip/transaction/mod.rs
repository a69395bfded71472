//! Transactions (RFC 3261 §17, RFC 6026): what makes one request of many copies, and one answer of many losses.
//!
//! ```text
//!  request ──► server_invite   Proceeding ─2xx─► Accepted ─L─► ends
//!              │                    └──3xx-6xx─► Completed ─ACK─► Confirmed ─I─► ends
//!              server_other    Trying ─1xx─► Proceeding ─2xx-6xx─► Completed ─J─► ends
//!  response ─► client_invite   Calling ─1xx─► Proceeding ─2xx─► Accepted ─M─► ends
//!              │                    └──3xx-6xx─► Completed ─D─► ends
//!              client_other    Trying ─1xx─► Proceeding ─2xx-6xx─► Completed ─K─► ends
//! ```
//!
//! A machine knows octets and time only: who a message is for, what stands in it and which socket it takes is
//! the endpoint's. What was sent is kept and sent again unchanged, so a repetition is identical (R-29).

pub(crate) mod client_invite;
pub(crate) mod client_other;
pub(crate) mod key;
pub(crate) mod server_invite;
pub(crate) mod server_other;
pub(crate) mod table;
pub(crate) mod timer;

use std::sync::Arc;

pub(crate) use key::{ClientKey, MergeKey, ServerKey};
pub(crate) use timer::{Deadlines, Timers};

/// A message as it stands on the wire, shared by all who may send it again.
pub type Octets = Arc<[u8]>;

/// What a status code means to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx to 6xx.
    Failure,
}

impl Class {
    /// The class of a status code.
    pub(crate) const fn of(status: u16) -> Self {
        match status {
            ..=199 => Self::Provisional,
            200..=299 => Self::Success,
            300.. => Self::Failure,
        }
    }
}

/// What a machine asks to be put on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Send {
    /// For the first time.
    First(Octets),
    /// Once more, the same octets.
    Again(Octets),
}
