//! Session descriptions (RFC 8866, 3264, 3605, 5761, 6337): the front door.
//!
//! ```text
//!  INVITE or re-INVITE with SDP                      INVITE without SDP, calls of ours
//!    Offer::read(), and of what was read:
//!    media_addresses() ─► which of ours faces them      offer(&mut Session, &Wish) ─► text to send
//!    answer()          ─► Answered                      accept(body, &Session)     ─► Agreed
//!      .media ─► what the audio port is to do
//!      .sdp   ─► Session::render() ─► text to send
//! ```
//!
//! Everything here is a function of its arguments. A dialog keeps one [`Session`] for its whole life: it holds
//! the o= line and the order of the m= lines, and the version rule lives in it. Reading is lenient (`read`),
//! writing is our own text, always of one shape (`describe`).
//!
//! What it deliberately does not know: why a description is read, what a call is, what an audio port is.

pub mod address;
mod answer;
pub mod body;
pub mod codec;
pub mod crypto;
pub mod describe;
pub mod hold;
mod offer;
pub mod ptime;
pub mod read;
pub mod refused;
pub mod session;
mod terms;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

use std::net::SocketAddr;

pub use answer::{Answered, Offer, answer, media_addresses};
pub use body::extract;
pub use codec::Law;
pub use crypto::{Crypto, Master, Suite};
pub use describe::Description;
pub use hold::Direction;
pub use offer::{accept, offer};
pub use refused::Refused;
pub use session::Session;

/// Whose order of codecs counts when we answer (`codec_order` of a trunk).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The offer's.
    #[default]
    Offer,
    /// Ours.
    Local,
}

/// Whether media is encrypted (`srtp` of a trunk).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    /// RTP/AVP only; `a=crypto` lines are passed over.
    #[default]
    Off,
    /// Answered as it is offered; our own offers are plain until the dialog is encrypted.
    Optional,
    /// RTP/SAVP only.
    Required,
    /// It is required, and no key may be told over the transport of this call (reliability R-42): nothing is taken.
    Unsafe,
}

/// What we can and want to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Codecs of ours, the favourite first.
    pub codecs: Vec<Law>,
    /// Whose order counts in an answer.
    pub order: Order,
    /// Encryption.
    pub srtp: Srtp,
    /// The next key of ours, drawn anew for each offer and answer; taken when one is needed.
    pub secret: Master,
    /// Keys by RFC 4733. False on trunks that want them by INFO or in band: telephone-event is then left out.
    pub telephone_event: bool,
    /// What we ourselves want of the audio; anything but `SendRecv` is a hold by us.
    pub direction: Direction,
    /// Address of our c= line and port of our m= line, where our RTP socket can be reached.
    pub local: SocketAddr,
}

impl Wish {
    /// Both laws, PCMU first, the offer's order, plain RTP, keys by RFC 4733, both ways.
    pub fn new(local: SocketAddr) -> Self {
        Self {
            codecs: vec![Law::Mu, Law::A],
            order: Order::default(),
            srtp: Srtp::default(),
            secret: Master([0; 30]),
            telephone_event: true,
            direction: Direction::SendRecv,
            local,
        }
    }
}

/// What both sides agreed on: all that an RTP port needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Where the peer wants its audio. The address is `0.0.0.0` or `::` when the peer is on hold in the old way
    /// (RFC 3264 §8.4): see [`Agreed::target`].
    pub remote: SocketAddr,
    /// Where the peer wants RTCP, when `a=rtcp` or `a=rtcp-mux` says so; else it is the port after `remote`'s.
    pub rtcp: Option<SocketAddr>,
    /// RTCP shares the RTP port, both ways (RFC 5761).
    pub rtcp_mux: bool,
    /// What we send, and expect.
    pub law: Law,
    /// Its payload type.
    pub payload_type: u8,
    /// The other law and its payload type, when both stood in our own offer: the peer may send it too.
    pub also: Option<(Law, u8)>,
    /// Payload type of telephone-event at 8000 Hz towards the peer.
    pub telephone_event: Option<u8>,
    /// The number our own offer gave it, when the peer's answer gave it another: keys may come under both.
    pub telephone_event_also: Option<u8>,
    /// Milliseconds a packet we send: 10, 20, 30, 40 or 60.
    pub ptime_ms: u8,
    /// We send audio.
    pub send: bool,
    /// We expect audio.
    pub receive: bool,
    /// Keys, when it is RTP/SAVP.
    pub crypto: Option<Crypto>,
    /// The peer holds us: it wants no audio of ours. True as well when it only says so because our own offer
    /// asked for none.
    pub held: bool,
}

impl Agreed {
    /// Where audio may be sent. None when the description names no address: what was known before still holds
    /// (sip-trunk.md section 11.3), and nothing is ever sent to the unspecified address.
    pub fn target(&self) -> Option<SocketAddr> {
        (!self.remote.ip().is_unspecified()).then_some(self.remote)
    }
}
