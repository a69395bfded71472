//! Which account a call belongs to and where it goes: pure look-ups in the configuration, the front door.
//!
//! `access` names the account (sip-trunk.md section 9.1), `table` the target (operator.md section 3).
//! What it deliberately does not know: SIP messages, calls, bots.

mod access;
mod pattern;
mod table;

pub use access::{Access, MissingAccount, NoAccount};
pub use pattern::Pattern;
pub use table::{Asked, MAX_BOTS, Route, Table, Target};
