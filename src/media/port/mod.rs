//! The ends of audio. A port is passive: its graph calls it, no port knows another.

mod arrivals;
pub(super) mod control;
pub(super) mod guard;
pub(super) mod keys;
pub mod player;
pub(super) mod playout;
pub(super) mod quiet;
pub(super) mod rtp;
pub mod stream;
pub(super) mod turns;

use player::Player;
use rtp::RtpPort;
use stream::Stream;

use super::tick::Clock;
use super::{Counts, PortId};

/// A port as its graph holds it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) id: PortId,
    pub(super) kind: Kind,
    /// What it said in the present block, and whether that is more than our own silence. A peer's RTP has none: it is
    /// heard as it comes.
    pub(super) block: Box<[i16]>,
    pub(super) voiced: bool,
}

/// What kinds there are.
#[derive(Debug)]
pub(super) enum Kind {
    /// A peer's RTP.
    Rtp(Box<RtpPort>),
    /// A bot's stream.
    Stream(Box<Stream>),
    /// A prompt.
    Player(Player),
}

impl Port {
    pub(super) fn new(id: PortId, kind: Kind) -> Self {
        let block = match kind {
            Kind::Rtp(_) => 0,
            Kind::Stream(_) | Kind::Player(_) => Clock::BLOCK,
        };
        Self { id, kind, block: vec![0; block].into(), voiced: false }
    }

    pub(super) fn rtp(&self) -> Option<&RtpPort> {
        match &self.kind {
            Kind::Rtp(port) => Some(port),
            Kind::Stream(_) | Kind::Player(_) => None,
        }
    }

    pub(super) fn rtp_mut(&mut self) -> Option<&mut RtpPort> {
        match &mut self.kind {
            Kind::Rtp(port) => Some(port),
            Kind::Stream(_) | Kind::Player(_) => None,
        }
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.kind {
            Kind::Stream(port) => Some(port),
            Kind::Rtp(_) | Kind::Player(_) => None,
        }
    }

    pub(super) fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.kind {
            Kind::Stream(port) => Some(port),
            Kind::Rtp(_) | Kind::Player(_) => None,
        }
    }

    /// The last word of what the port counted.
    pub(super) fn counts(&mut self) -> Box<Counts> {
        Box::new(match &mut self.kind {
            Kind::Rtp(port) => Counts::Rtp(port.last_counts()),
            Kind::Stream(port) => Counts::Stream(port.last_counts()),
            Kind::Player(_) => Counts::Stream(super::StreamCounts::default()),
        })
    }
}
