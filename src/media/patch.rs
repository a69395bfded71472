//! The links of one call, and how audio passes each of them.
//!
//! ```text
//!  rtp ──Drives──► stream      on arrival, the only link into that stream
//!  rtp ──Gathers─► any other   kept until the call's next block
//!  stream, player ──Blocks──►  what they said in this block
//! ```

use super::Link;
use super::port::Port;
use super::tick::Clock;
use crate::ids::PortId;
use crate::units::Gain;

/// Links of one call; beyond, further ones are not made.
const MOST: usize = 1024;
/// Samples kept of an RTP line for one who hears it by the block: 256 ms.
const KEPT: usize = 2048;
/// What is left of it when it has grown too long: 40 ms, so that a burst does not delay for ever.
const SETTLED: usize = 320;
/// Too long: 120 ms.
const TOO_LONG: usize = 960;

/// How audio passes a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Drives,
    Gathers,
    Blocks,
}

/// A link and what waits on it.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) link: Link,
    pub(super) path: Path,
    waiting: Option<Box<Waiting>>,
}

/// The links of one call.
#[derive(Debug)]
pub(super) struct Patch {
    links: Vec<Linked>,
}

impl Patch {
    pub(super) fn new() -> Self {
        Self { links: Vec::with_capacity(2) }
    }

    /// Makes a link. No port of today has a second inlet: a link to one leads nowhere.
    pub(super) fn link(&mut self, link: Link) {
        let there = self.links.iter().any(|linked| linked.link == link);
        if !there && link.inlet == 0 && link.from != link.to && self.links.len() < MOST {
            self.links.push(Linked { link, path: Path::Blocks, waiting: None });
        }
    }

    pub(super) fn unlink(&mut self, link: Link) {
        self.links.retain(|linked| linked.link != link);
    }

    /// A port is gone, and its links with it.
    pub(super) fn forget(&mut self, port: PortId) {
        self.links.retain(|linked| linked.link.from != port && linked.link.to != port);
    }

    /// Finds each link's path anew; what waits on a link that keeps its path stays.
    pub(super) fn lay(&mut self, ports: &[Box<Port>]) {
        let kind = |id: PortId| ports.iter().find(|port| port.id == id);
        for at in 0..self.links.len() {
            let Link { from, to, .. } = self.links[at].link;
            let rtp = kind(from).is_some_and(|port| port.rtp().is_some());
            let stream = kind(to).is_some_and(|port| port.stream().is_some());
            let path = match self.heard_by(to).count() {
                1 if rtp && stream => Path::Drives,
                _ if rtp => Path::Gathers,
                _ => Path::Blocks,
            };
            let linked = &mut self.links[at];
            if path != Path::Gathers {
                linked.waiting = None;
            } else if linked.waiting.is_none() {
                linked.waiting = Some(Box::new(Waiting::new()));
            }
            linked.path = path;
        }
    }

    /// Links that end in `to`.
    pub(super) fn heard_by(&self, to: PortId) -> impl Iterator<Item = &Linked> {
        self.links.iter().filter(move |linked| linked.link.to == to)
    }

    /// Links that begin in `from`.
    pub(super) fn said_by(&self, from: PortId) -> impl Iterator<Item = &Linked> {
        self.links.iter().filter(move |linked| linked.link.from == from)
    }

    /// Whether an RTP port drives this stream.
    pub(super) fn driven(&self, to: PortId) -> bool {
        self.heard_by(to).any(|linked| linked.path == Path::Drives)
    }

    /// Whether this port drives a stream.
    pub(super) fn drives(&self, from: PortId) -> bool {
        self.said_by(from).any(|linked| linked.path == Path::Drives)
    }

    /// Whether a line is heard by the block.
    pub(super) fn relays(&self) -> bool {
        self.links.iter().any(|linked| linked.path == Path::Gathers)
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn at_mut(&mut self, at: usize) -> &mut Linked {
        &mut self.links[at]
    }

    /// What `to` hears in this block: the sum of its links, saturated. True: some of it is more than our own silence.
    pub(super) fn mix(&mut self, ports: &[Box<Port>], to: PortId, out: &mut [i16]) -> bool {
        let mut sum = [0_i32; Clock::BLOCK];
        let (mut heard, mut voiced) = (0, false);
        for linked in self.links.iter_mut().filter(|linked| linked.link.to == to) {
            let mut gathered = [0; Clock::BLOCK];
            let block = match linked.path {
                Path::Drives => continue,
                Path::Gathers => {
                    let gathered = &mut gathered[..out.len()];
                    voiced |= linked.waiting.as_mut().is_some_and(|waiting| waiting.take(gathered));
                    &gathered[..]
                }
                Path::Blocks => {
                    let Some(port) = ports.iter().find(|port| port.id == linked.link.from) else { continue };
                    let Some(block) = port.block.get(..out.len()) else { continue };
                    voiced |= port.voiced;
                    block
                }
            };
            if heard == 0 && linked.link.gain == Gain::UNITY {
                out.copy_from_slice(block); // nearly always the only one
            } else {
                if heard == 1 {
                    add(&mut sum, out, Gain::UNITY);
                }
                add(&mut sum, block, linked.link.gain);
                heard = heard.max(1);
            }
            heard += 1;
        }
        match heard {
            0 => out.fill(0),
            1 => {}
            _ => {
                for (out, sum) in out.iter_mut().zip(sum) {
                    *out = saturate(sum);
                }
            }
        }
        voiced
    }
}

impl Linked {
    /// Keeps samples of an RTP line until the next block.
    pub(super) fn keep(&mut self, samples: &[i16]) {
        if let Some(waiting) = &mut self.waiting {
            waiting.put(samples);
        }
    }
}

/// Samples as loud as a link is.
pub(super) fn scale(samples: &[i16], gain: Gain, out: &mut [i16]) {
    for (out, &sample) in out.iter_mut().zip(samples) {
        *out = saturate(i32::from(sample) * i32::from(gain.0) / 256);
    }
}

fn add(sum: &mut [i32], samples: &[i16], gain: Gain) {
    for (sum, &sample) in sum.iter_mut().zip(samples) {
        *sum += i32::from(sample) * i32::from(gain.0) / 256;
    }
}

fn saturate(sum: i32) -> i16 {
    sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// A line that is heard by the block.
#[derive(Debug)]
struct Waiting {
    samples: [i16; KEPT],
    first: usize,
    length: usize,
}

impl Waiting {
    fn new() -> Self {
        Self { samples: [0; KEPT], first: 0, length: 0 }
    }

    fn put(&mut self, samples: &[i16]) {
        for &sample in samples {
            self.samples[(self.first + self.length) % KEPT] = sample;
            self.length += 1;
            if self.length > KEPT {
                self.drop_oldest(self.length - KEPT);
            }
        }
        if self.length > TOO_LONG {
            self.drop_oldest(self.length - SETTLED);
        }
    }

    /// A whole block or, while less than one is there, silence.
    fn take(&mut self, out: &mut [i16]) -> bool {
        if self.length < out.len() {
            return false; // `out` is silent already
        }
        for (at, out) in out.iter_mut().enumerate() {
            *out = self.samples[(self.first + at) % KEPT];
        }
        self.drop_oldest(out.len());
        true
    }

    fn drop_oldest(&mut self, samples: usize) {
        self.first = (self.first + samples) % KEPT;
        self.length -= samples;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_on_a_relayed_line_delays_for_a_moment_only() {
        let mut waiting = Waiting::new();
        waiting.put(&(0..1600).collect::<Vec<i16>>());
        assert_eq!(waiting.length, SETTLED);
        let mut out = [0; 160];
        assert!(waiting.take(&mut out));
        assert_eq!(out[0], 1280, "the newest stay");
    }

    #[test]
    fn less_than_a_block_waits_for_the_rest() {
        let mut waiting = Waiting::new();
        let mut out = [0; 160];
        waiting.put(&[1; 100]);
        assert!(!waiting.take(&mut out));
        waiting.put(&[1; 100]);
        assert!(waiting.take(&mut out));
        assert_eq!((out, waiting.length), ([1; 160], 40));
    }
}
