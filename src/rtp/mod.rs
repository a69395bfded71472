//! RTP (RFC 3550, 3551) and its events (RFC 4733) as pure state machines. Time is an argument, buffers are
//! the caller's, nothing allocates after construction but `rtcp` and `srtp`, whose libraries do.
//!
//! ```text
//!  datagram ─► Packet::read ─► latch ─► receiver (counts) ─► jitter ─► one gapless line
//!                                └────────► digits ─► keys; jitter is told of them too: they share numbers
//!  audio ─► sender (pace, numbers) ─► datagram
//!  srtp stands before the first and after the last; rtcp reads what receiver and sender counted
//! ```
//!
//! What it deliberately does not know: sockets, codecs' meaning, who hears what.

pub mod digits;
pub mod jitter;
pub mod latch;
pub mod packet;
pub mod receiver;
pub mod rtcp;
pub mod sender;
pub mod srtp;

pub use jitter::JitterBuffer;
pub use packet::Packet;
