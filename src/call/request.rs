//! What the API, the operator and the daemon may ask of a call.

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Hang up.
    Hangup,
    /// The node goes down.
    Shutdown,
    /// The call did not keep up with its mailbox, or something of ours failed under it.
    Fail,
}
