//! Header fields that are read, one file each.

pub mod diversion;
pub mod identity;
pub mod name_addr;
pub mod reason;
pub mod session_expires;
pub mod user_to_user;
pub mod vendor;
pub mod via;

pub use name_addr::NameAddr;
pub use via::Via;

/// A header field that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ill-formed header field")]
pub struct IllFormed;
