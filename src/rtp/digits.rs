//! Telephone keys as RTP events (RFC 4733), in and out (sip-trunk section 11.5).

use std::time::{Duration, Instant};

use crate::units::{Digit, Ssrc};

/// A key that was pressed and released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// Which.
    pub digit: Digit,
    /// How long it was held.
    pub held: Duration,
}

/// Makes keys of event packets: each once, whatever is missing, doubled or wrong.
#[derive(Clone, Debug, Default)]
pub struct DigitReceiver {
    done: Option<Pressed>,
}

impl DigitReceiver {
    /// No key pressed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event packet in. Then `poll` until it says nothing.
    pub fn push(&mut self, now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, marker: bool, payload: &[u8]) {
        let _ = (now, ssrc, seq, timestamp, marker, payload);
    }

    /// The next key that was released by now.
    pub fn poll(&mut self, now: Instant) -> Option<Pressed> {
        let _ = now;
        self.done.take()
    }

    /// When a key whose end has not come counts as released.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// A key is down: audio is to be muted towards whoever hears this line.
    pub fn muted(&self) -> bool {
        false
    }
}

/// One event packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// First packet of the event.
    pub marker: bool,
    /// What it carries.
    pub payload: [u8; 4],
}

/// What the sender of a key does in one packet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this packet, in place of audio, with the timestamp of the key's start.
    Event(EventPacket),
    /// Send nothing, or silence: the gap after the key.
    Gap,
    /// The key is over: audio goes on.
    Done,
}

/// Sends one key: a packet each packet time, the last three with the end bit, then a gap.
#[derive(Clone, Debug)]
pub struct DigitSender {
    digit: Digit,
}

impl DigitSender {
    /// A key held for `tone` (100 ms is usual), sent in packets of `ptime`.
    pub fn new(digit: Digit, tone: Duration, ptime: Duration) -> Self {
        let _ = (tone, ptime);
        Self { digit }
    }

    /// What to do in the next packet time.
    pub fn step(&mut self) -> Step {
        let _ = self.digit;
        Step::Done
    }
}
