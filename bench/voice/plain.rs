//! What to compare with: silence in place of what is lost, and the last packet once more. Both behind the product's
//! own jitter buffer, so that the very same packets are missing.

use std::time::{Duration, Instant};

use streamkit::audio::codec::{self, G711};
use streamkit::rtp::jitter::{Arrival, Item, JitterBuffer, Kind};
use streamkit::units::Ssrc;

use crate::network::{Flight, PTIME};

/// How a gap is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filling {
    /// Zeros.
    Zeros,
    /// The last packet that came, as often as needed.
    Repetition,
}

/// The line for these packets, until `until` µs.
pub(crate) fn line(law: G711, start: Instant, flights: &[Flight], until: u64, filling: Filling) -> Vec<i16> {
    let mut buffer = JitterBuffer::new(start, Duration::from_millis(200));
    let (mut line, mut last) = (Vec::new(), vec![0; PTIME]);
    let mut drain = |buffer: &mut JitterBuffer, us: u64| {
        while let Some(item) = buffer.pop(start + Duration::from_micros(us)) {
            match item {
                Item::Audio(octets) => {
                    last.resize(octets.len(), 0);
                    codec::decode(law, octets, &mut last);
                    line.extend_from_slice(&last);
                }
                Item::Lost { samples } if filling == Filling::Repetition => {
                    line.extend(last.iter().cycle().take(samples));
                }
                Item::Lost { samples } | Item::Silence { samples } => line.extend(vec![0; samples]),
            }
        }
    };
    for flight in flights {
        while let Some(due) = due(&buffer, start).filter(|due| *due < flight.at) {
            drain(&mut buffer, due);
        }
        let arrival = Arrival {
            ssrc: Ssrc(7),
            seq: flight.index as u16,
            timestamp: (flight.index * PTIME) as u32,
            kind: Kind::Audio,
            payload: &flight.octets,
            faint: false,
        };
        let _ = buffer.push(start + Duration::from_micros(flight.at), arrival);
        drain(&mut buffer, flight.at);
    }
    while let Some(due) = due(&buffer, start).filter(|due| *due < until) {
        drain(&mut buffer, due);
    }
    line
}

/// When the buffer wants to be asked again, on a grid of 1 ms as the engine has it.
fn due(buffer: &JitterBuffer, start: Instant) -> Option<u64> {
    let due = buffer.poll_timeout()?.saturating_duration_since(start).as_micros() as u64;
    Some(due.div_ceil(1000) * 1000)
}
