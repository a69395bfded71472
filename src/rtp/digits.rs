//! Telephone keys as RTP events (RFC 4733), in and out (sip-trunk section 11.5, reliability R-47).

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::units::{Digit, RtpTime, SeqNum, Ssrc};

/// An event whose packets stop for so long is over.
const STOPPED: Duration = Duration::from_millis(120);
/// Keys held for less are none.
const LEAST: u64 = 30 * 8;
/// So long after an event its sequence numbers say nothing about the next: they may have turned.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How far a time stamp may stray in gateways whose stamps grow with each packet.
const STRAY: u64 = 60 * 8;
/// Events of over 8 s come in segments (RFC 4733 §2.5.1.3): the stamp then moves by about so much.
const SEGMENT: std::ops::RangeInclusive<u64> = 0xF000..=0x1_0000;

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
    event: Option<Event>,
    done: ArrayVec<Pressed, 4>,
}

/// The event that was heard last.
#[derive(Clone, Copy, Debug)]
struct Event {
    ssrc: Ssrc,
    digit: Digit,
    /// Its highest sequence number, and the stamp that came with it.
    seq: SeqNum,
    time: RtpTime,
    /// Samples, over all segments; those of the present one.
    total: u64,
    duration: u16,
    first: Instant,
    last: Instant,
    /// A packet with the end bit came.
    ended: bool,
    /// It has been told, or was too short.
    told: bool,
    /// Its packets stopped.
    stopped: bool,
}

/// What an event packet says.
#[derive(Clone, Copy, Debug)]
struct Heard {
    digit: Digit,
    end: bool,
    duration: u16,
}

impl Heard {
    /// The first block; copies after it, and the volume, are not looked at. Flash and other events are no
    /// keys.
    fn read(payload: &[u8]) -> Option<Self> {
        let &[event, flags, high, low, ..] = payload else { return None };
        Some(Self {
            digit: Digit::from_event(event)?,
            end: flags & 0x80 != 0,
            duration: u16::from_be_bytes([high, low]),
        })
    }
}

/// What a packet is to the event before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// More of it.
    Same,
    /// More of it, in a further segment.
    Segment,
    /// Another event.
    New,
    /// Nothing to be learned.
    Stale,
}

impl DigitReceiver {
    /// No key pressed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event packet in. Then `poll` until it says nothing. The marker is no proof of anything:
    /// gateways leave it out or set it on each packet.
    pub fn push(&mut self, now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, marker: bool, payload: &[u8]) {
        let _ = marker;
        let Some(heard) = Heard::read(payload) else { return };
        let part =
            self.event.as_ref().map_or(Part::New, |event| event.part(now, ssrc, seq, timestamp, heard));
        match part {
            Part::Stale => return,
            Part::New => {
                self.tell(false);
                self.event = Some(Event::begin(now, ssrc, seq, timestamp, heard));
            }
            Part::Segment => {
                if let Some(event) = &mut self.event {
                    event.total += u64::from(event.duration);
                    event.duration = 0;
                    event.more(now, seq, timestamp, heard);
                }
            }
            Part::Same => {
                if let Some(event) = &mut self.event {
                    event.more(now, seq, timestamp, heard);
                }
            }
        }
        if heard.end {
            self.tell(true);
        }
    }

    /// The next key that was released by now.
    pub fn poll(&mut self, now: Instant) -> Option<Pressed> {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.tell(false);
            if let Some(event) = &mut self.event {
                event.stopped = true;
            }
        }
        self.done.pop_at(0)
    }

    /// When a key whose end has not come counts as released.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.event.as_ref().filter(|event| event.is_down()).map(|event| event.last + STOPPED)
    }

    /// A key is down: audio is to be muted towards whoever hears this line.
    pub fn muted(&self) -> bool {
        self.event.as_ref().is_some_and(Event::is_down)
    }

    /// Tells of the event, once. Only an end that was heard proves that a key was too short.
    fn tell(&mut self, ended: bool) {
        let Some(event) = &mut self.event else { return };
        if std::mem::replace(&mut event.told, true) {
            return;
        }
        let samples = event.samples();
        if !ended || samples >= LEAST {
            let held = Duration::from_millis(samples / 8);
            // Four are more than can end at once; one that nobody asked for is lost.
            let _ = self.done.try_push(Pressed { digit: event.digit, held });
        }
    }
}

impl Event {
    fn begin(now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, heard: Heard) -> Self {
        Self {
            ssrc,
            digit: heard.digit,
            seq: SeqNum::first(seq),
            time: RtpTime::first(timestamp),
            total: 0,
            duration: heard.duration,
            first: now,
            last: now,
            ended: heard.end,
            told: false,
            stopped: false,
        }
    }

    fn is_down(&self) -> bool {
        !self.ended && !self.stopped
    }

    /// How long it was held, in samples: as it says, or by our clock when it says nothing.
    fn samples(&self) -> u64 {
        match self.total + u64::from(self.duration) {
            0 => self.last.saturating_duration_since(self.first).as_millis() as u64 * 8,
            said => said,
        }
    }

    fn more(&mut self, now: Instant, seq: u16, timestamp: u32, heard: Heard) {
        let seq = self.seq.nearest(seq);
        if seq > self.seq {
            self.seq = seq;
            self.time = self.time.nearest(timestamp);
        }
        self.duration = self.duration.max(heard.duration);
        self.last = now;
        self.ended |= heard.end;
        self.stopped = false;
    }

    fn part(&self, now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, heard: Heard) -> Part {
        if ssrc != self.ssrc || now.saturating_duration_since(self.last) > FORGOTTEN {
            return Part::New;
        }
        let (seq, time) = (self.seq.nearest(seq), self.time.nearest(timestamp));
        let same_key = heard.digit == self.digit;
        if seq <= self.seq {
            // A copy, or one that was overtaken: what it belongs to is known.
            let ours = same_key && time == self.time && seq < self.seq && !self.ended;
            return if ours { Part::Same } else { Part::Stale };
        }
        if !same_key {
            return Part::New;
        }
        let moved = time.0.abs_diff(self.time.0);
        if moved == 0 {
            let anew = heard.duration < self.duration || self.ended && !heard.end;
            return if anew { Part::New } else { Part::Same };
        }
        if !self.ended && SEGMENT.contains(&moved) && SEGMENT.contains(&self.duration.into()) {
            return Part::Segment;
        }
        self.part_of_growing(moved, heard)
    }

    /// The stamp has moved, but not the key: another press, or a gateway whose stamps grow with each packet.
    /// There the stamp moves as the duration does, and no further; another press is beyond the end of this.
    fn part_of_growing(&self, moved: u64, heard: Heard) -> Part {
        let Some(grown) = heard.duration.checked_sub(self.duration) else { return Part::New };
        let grown = u64::from(grown);
        let same = match (self.ended, heard.end) {
            (false, false) => grown > 0 && moved <= grown + STRAY,
            (false, true) => moved <= grown + STRAY,
            (true, true) => grown == 0 && moved <= STRAY,
            (true, false) => false,
        };
        if same { Part::Same } else { Part::New }
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
    /// Samples a packet, samples of the whole key, samples until audio may go on.
    step: u32,
    tone: u32,
    over: u32,
    /// Samples that have passed, packets with the end bit that were sent.
    passed: u32,
    ends: u32,
}

impl DigitSender {
    const ENDS: u32 = 3;
    const GAP_MS: u32 = 70;
    const VOLUME: u8 = 10;

    /// A key held for `tone` (100 ms is usual, 8 s the most), sent in packets of `ptime`.
    pub fn new(digit: Digit, tone: Duration, ptime: Duration) -> Self {
        let samples = |time: Duration, most: u128| (time.as_millis().clamp(1, most) * 8) as u32;
        let (step, tone) = (samples(ptime, 200), samples(tone, 8000));
        let tone = tone.max(step);
        Self { digit, step, tone, over: tone + Self::GAP_MS * 8, passed: 0, ends: 0 }
    }

    /// What to do in the next packet time.
    pub fn step(&mut self) -> Step {
        let marker = self.passed == 0;
        self.passed += self.step;
        let end = self.passed >= self.tone;
        if end && self.ends == Self::ENDS {
            return if self.passed < self.over + self.step { Step::Gap } else { Step::Done };
        }
        self.ends += u32::from(end);
        let [high, low] = (self.passed.min(self.tone) as u16).to_be_bytes();
        let flags = if end { 0x80 | Self::VOLUME } else { Self::VOLUME };
        Step::Event(EventPacket { marker, payload: [self.digit.event(), flags, high, low] })
    }
}
