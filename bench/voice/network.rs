//! What the network does to packets, seeded: the same on every machine.

use streamkit::audio::codec::{self, G711};

/// Samples of a packet, and its time in µs.
pub(crate) const PTIME: usize = 160;
pub(crate) const PACKET: u64 = 20_000;

/// A network.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Network {
    /// Each packet is lost by itself, in percent.
    Random(f64),
    /// Losses come in runs of 2.5 packets in the mean (Gilbert-Elliott), so many percent of all.
    Bursts(f64),
    /// None is lost; each takes up to so many ms longer, and they keep their order.
    Jitter(u64),
    /// The same, and they overtake one another.
    Unordered(u64),
}

/// All that are measured.
pub(crate) const NETWORKS: [Network; 18] = [
    Network::Random(0.0),
    Network::Random(1.0),
    Network::Random(3.0),
    Network::Random(5.0),
    Network::Random(10.0),
    Network::Random(20.0),
    Network::Bursts(1.0),
    Network::Bursts(3.0),
    Network::Bursts(5.0),
    Network::Bursts(10.0),
    Network::Bursts(20.0),
    Network::Jitter(20),
    Network::Jitter(40),
    Network::Jitter(60),
    Network::Jitter(100),
    Network::Unordered(20),
    Network::Unordered(60),
    Network::Unordered(100),
];

impl Network {
    /// For the table.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Random(percent) => format!("random {percent} %"),
            Self::Bursts(percent) => format!("bursts {percent} %"),
            Self::Jitter(ms) => format!("jitter {ms} ms"),
            Self::Unordered(ms) => format!("jitter {ms} ms unordered"),
        }
    }

    /// The packets of this speech as they arrive, first sent first arrived or not.
    pub(crate) fn carry(self, law: G711, speech: &[i16], seed: u64) -> Vec<Flight> {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678);
        let (mut lossy, mut last) = (false, 0);
        let mut flights = Vec::new();
        for (i, samples) in speech.chunks_exact(PTIME).enumerate() {
            let lost = match self {
                Self::Random(percent) => dice.next() < percent / 100.0,
                Self::Bursts(percent) => {
                    let (p, end) = (percent / 100.0, 1.0 / 2.5);
                    let begin = end * p / (1.0 - p);
                    lossy = dice.next() < if lossy { 1.0 - end } else { begin };
                    lossy
                }
                Self::Jitter(_) | Self::Unordered(_) => false,
            };
            let sent = (i as u64 + 1) * PACKET + 5000;
            let at = match self {
                // The clocks of two machines are never quite together.
                Self::Random(_) | Self::Bursts(_) => sent + (dice.next() * 500.0) as u64,
                Self::Jitter(ms) => last.max(sent + (dice.next() * ms as f64 * 1000.0) as u64),
                Self::Unordered(ms) => sent + (dice.next() * ms as f64 * 1000.0) as u64,
            };
            last = at;
            // The first packet begins the line for all.
            if lost && i > 0 {
                continue;
            }
            let mut octets = [0; PTIME];
            codec::encode(law, samples, &mut octets);
            flights.push(Flight { index: i, at, octets });
        }
        flights.sort_by_key(|flight| flight.at);
        flights
    }
}

/// A packet that arrives.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// Which it is: number and stamp follow from it.
    pub(crate) index: usize,
    /// When, in µs.
    pub(crate) at: u64,
    /// What it carries.
    pub(crate) octets: [u8; PTIME],
}

/// A seeded generator (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// From 0 to below 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
