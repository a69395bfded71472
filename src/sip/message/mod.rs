//! A SIP message as it came: the octets, and where each header field stands in them.

/// A SIP message as it came.
#[derive(Clone, Debug)]
pub struct Message {}
