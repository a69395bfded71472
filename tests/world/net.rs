//! The network between PBX and streamkit: seeded, each path with its own faults.

use std::net::SocketAddr;
use std::time::Duration;

use streamkit::ids::Entropy;

use super::clock::{Lane, Parcel, Post, ms};

/// What happens to datagrams on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// How long each takes.
    pub(crate) delay: Duration,
    /// Up to so much more.
    pub(crate) jitter: Duration,
    /// Whether jitter may change their order.
    pub(crate) in_order: bool,
    /// Percent that never arrive.
    pub(crate) loss: f64,
    /// Percent that arrive twice.
    pub(crate) twice: f64,
    /// Percent that are overtaken by those of the next 30 ms.
    pub(crate) overtaken: f64,
}

impl Default for Path {
    fn default() -> Self {
        Self { delay: ms(2), jitter: Duration::ZERO, in_order: false, loss: 0.0, twice: 0.0, overtaken: 0.0 }
    }
}

/// Four paths: signalling and audio, up to streamkit and down from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paths {
    pub(crate) sip_up: Path,
    pub(crate) sip_down: Path,
    pub(crate) rtp_up: Path,
    pub(crate) rtp_down: Path,
}

/// The network.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) paths: Paths,
    /// Signalling of streamkit that was sent since somebody looked.
    pub(crate) seen: Vec<String>,
    chance: Entropy,
}

impl Net {
    pub(crate) fn new(paths: Paths, chance: Entropy) -> Self {
        Self { paths, seen: Vec::new(), chance }
    }

    /// Sends a datagram; `up` to streamkit.
    pub(crate) fn send(&mut self, post: &mut Post, up: bool, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let sip = from.port() == super::SIP_PORT;
        let Paths { sip_up, sip_down, rtp_up, rtp_down } = self.paths;
        let path = match (sip, up) {
            (true, true) => sip_up,
            (true, false) => sip_down,
            (false, true) => rtp_up,
            (false, false) => rtp_down,
        };
        if sip && !up {
            self.seen.push(String::from_utf8_lossy(bytes).into_owned());
        }
        let copies = if self.happens(path.loss) { 0 } else { 1 + u32::from(self.happens(path.twice)) };
        for _ in 0..copies {
            let jitter = Duration::from_micros(self.chance.below(path.jitter.as_micros() as u32 + 1).into());
            let late = if self.happens(path.overtaken) { ms(30) } else { Duration::ZERO };
            let at = post.now + path.delay + jitter + late;
            let parcel = Parcel::Datagram { from, to, bytes: bytes.to_vec() };
            match path.in_order {
                true => post.behind(Lane::Path(from, to), at, parcel),
                false => post.at(at, parcel),
            }
        }
    }

    fn happens(&mut self, percent: f64) -> bool {
        percent > 0.0 && f64::from(self.chance.below(1_000_000)) < percent * 10_000.0
    }
}
