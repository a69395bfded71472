//! Our side of one signalling relation: how far it is, and what was agreed on it.

use std::net::SocketAddr;

use crate::ids::{LegId, PortId};
use crate::media::{Reservation, RtpSpec};
use crate::sdp;
use crate::sip::Incoming;

/// How far a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// The INVITE waits for its answer.
    Waiting,
    /// The 200 is out.
    Answered,
    /// The ACK is in.
    Up,
    /// Nothing more will be heard of it.
    Over,
}

/// How far offer and answer are before the 200.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Early {
    /// They are not exchanged without it, but for the answer in a 183 that it repeats.
    #[default]
    None,
    /// Our offer went out in a reliable 183; its answer comes in the PRACK.
    Offered,
    /// The same, and the flow wants the 200 as soon as it is in.
    AnswerAwaited,
    /// Done.
    Done,
}

/// One leg.
#[derive(Debug)]
pub(super) struct Leg {
    /// Its name in signalling.
    pub(super) id: LegId,
    /// How far it is.
    pub(super) state: State,
    /// Source of the peer's signalling.
    pub(super) peer: SocketAddr,
    /// Its port in the engine.
    pub(super) port: PortId,
    /// The port is open in the engine.
    pub(super) open: bool,
    /// Our socket, until the port is opened with it.
    pub(super) reservation: Option<Reservation>,
    /// The dialog's side of offer and answer.
    pub(super) session: sdp::Session,
    /// What we can do, with our address and port in it; known once a socket is reserved.
    pub(super) wish: Option<sdp::Wish>,
    /// What was agreed last.
    pub(super) spec: Option<RtpSpec>,
    /// An offer of ours waits for its answer in an ACK, or in the PRACK of a 183.
    pub(super) offered: bool,
    /// Offer and answer were exchanged in reliable answers before the 200, which then has none.
    pub(super) early: Early,
    /// The peer holds us.
    pub(super) held: bool,
}

impl Leg {
    /// The leg of an INVITE that came in; chance names its session description.
    pub(super) fn inbound(incoming: &Incoming, port: PortId, chance: u32) -> Self {
        Self {
            id: incoming.leg,
            state: State::Waiting,
            peer: incoming.remote,
            port,
            open: false,
            reservation: None,
            session: sdp::Session::new(chance),
            wish: None,
            spec: None,
            offered: false,
            early: Early::default(),
            held: false,
        }
    }

    /// Keeps what was agreed; true if it differs from before.
    pub(super) fn agree(&mut self, spec: RtpSpec, held: bool) -> bool {
        self.held = held;
        let changed = self.spec.as_ref() != Some(&spec);
        self.spec = Some(spec);
        changed
    }

    /// Our SDP as last sent.
    pub(super) fn sdp(&self) -> String {
        self.session.last().unwrap_or_default().to_owned()
    }

    /// The 200 went out, and it is not over.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered | State::Up)
    }
}
