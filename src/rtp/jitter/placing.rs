//! Where a packet stands in the line: what is believed of its numbers and its stamp.

use std::time::Duration;

use super::buffer::{FIRST, JitterBuffer, MS, SAMPLE};
use super::source::{Number, Source};
use super::store::Slot;
use super::{Arrival, Discard, Kind};
use crate::rtp::packet::MAX_PAYLOAD;

/// The line is never further ahead of the clock.
const MOST_AHEAD: i64 = 160 * MS;
/// A stamp may claim a pause longer by so much than the clock says.
const SLACK: i64 = 60 * 8;
/// How far the packets may run off the clock before they are brought back in a silence, and in any case; and how soon
/// again.
const OFF: i64 = 20 * MS;
const OFF_ALOUD: i64 = 40 * MS;
const FAR_OFF: i64 = 60 * MS;
const RARELY: i64 = 10_000 * MS;
const SOON: i64 = 1000 * MS;
const CORRECTION: usize = 160;
/// Late for so long without catching up: the path has changed for good.
const LATE_RUN: i64 = 100 * MS;
/// A source that was replaced may come back when its successor was silent for so long.
const REPLACED: i64 = 500 * MS;

impl JitterBuffer {
    /// Takes a packet in, at `now` µs.
    pub(super) fn place(&mut self, now: i64, packet: Arrival<'_>) -> Result<(), Discard> {
        if packet.payload.len() > MAX_PAYLOAD {
            return Err(Discard::TooLong);
        }
        let Some(source) = self.source.take_if(|source| source.ssrc != packet.ssrc) else {
            return match &self.source {
                Some(source) => self.place_known(now, source.number(packet.seq), packet),
                None => {
                    let now = now + self.set_clock(now, samples_of(&packet));
                    self.begin(now, 0, packet)
                }
            };
        };
        // What is left of a source that was replaced must not replace its successor.
        if self.former == Some(packet.ssrc) && now - self.heard < REPLACED {
            self.source = Some(source);
            return Err(Discard::Stray);
        }
        self.former = Some(source.ssrc);
        self.counts.resyncs += 1;
        self.begin(now, source.newest() + 1, packet)
    }

    /// The very first packet may be longer than what was left of the silence before it: then the line is
    /// ahead by that, once, and the clock is put right instead of the line. How much later it is now.
    fn set_clock(&mut self, now: i64, samples: i64) -> i64 {
        let ahead = ((self.line as i64 - self.ideal(now, samples)) * SAMPLE).max(0);
        let Some(epoch) = self.epoch.checked_sub(Duration::from_micros(ahead as u64)) else { return 0 };
        self.epoch = epoch;
        ahead
    }

    /// The first packet of a source stands where the clock stands, after all that waits.
    fn begin(&mut self, now: i64, number: u64, packet: Arrival<'_>) -> Result<(), Discard> {
        let number = number.max(self.store.next());
        let waiting = self.source_end();
        let samples = samples_of(&packet);
        let place = self.ideal(now, samples).max(waiting).max(self.line as i64);
        self.since = now;
        self.restart = None;
        self.late = None;
        self.timed = false;
        self.press.over();
        self.source = Some(Source::begin(packet.ssrc, packet.seq, packet.timestamp, number, place));
        self.place_newest(now, number, 0, packet)
    }

    fn place_known(&mut self, now: i64, number: Number, packet: Arrival<'_>) -> Result<(), Discard> {
        match number {
            Number::Newest { number, missing } => self.place_newest(now, number, missing, packet),
            Number::Older(number) => self.place_older(now, number, packet),
            Number::Again => Err(Discard::Duplicate),
            Number::Ancient if self.restart == Some(packet.seq) => {
                let number = self.source.as_ref().map_or(0, |source| source.newest() + 1);
                self.counts.resyncs += 1;
                self.begin(now, number, packet)
            }
            Number::Ancient => {
                self.restart = Some(packet.seq.wrapping_add(1));
                Err(Discard::Stray)
            }
        }
    }

    fn place_older(&mut self, now: i64, number: u64, packet: Arrival<'_>) -> Result<(), Discard> {
        let samples = samples_of(&packet);
        let Some(source) = &mut self.source else { return Err(Discard::Stray) };
        source.came(number);
        if samples == 0 {
            self.store.note(number, slot_of(packet.kind));
            return Ok(());
        }
        let place = source.place(number, packet.timestamp);
        let end = place + samples;
        // Between those that came there is no room for what claims to come after them.
        if end > source.end {
            self.store.note(number, Slot::Void);
            return Err(Discard::Stray);
        }
        self.spread.observe(now, now - end * SAMPLE);
        if end <= self.line as i64 || place < 0 {
            self.store.note(number, Slot::Void);
            return Err(Discard::Late);
        }
        self.store.keep(number, place as u64, false, packet.payload)
    }

    fn place_newest(
        &mut self,
        now: i64,
        number: u64,
        missing: u64,
        packet: Arrival<'_>,
    ) -> Result<(), Discard> {
        self.restart = None;
        self.heard = now;
        self.counts.late += self.store.make_room(number);
        let samples = samples_of(&packet);
        if samples == 0 {
            if let Some(source) = &mut self.source {
                source.came(number);
                let follows = std::mem::replace(&mut source.quiet, true) && missing == 0;
                match packet.kind {
                    Kind::Event { end } => self.press.event(now, end, follows),
                    Kind::Quiet | Kind::Audio => self.press.over(),
                }
            }
            self.store.note(number, slot_of(packet.kind));
            return Ok(());
        }
        let place = self.believed(now, number, missing, packet.timestamp, samples);
        self.excuse(missing, place);
        let Some(source) = &mut self.source else { return Err(Discard::Stray) };
        let was = source.place(number, packet.timestamp);
        source.came(number);
        source.quiet = false;
        source.anchor(number, packet.timestamp, place);
        self.counts.resyncs += u64::from(was != place);
        self.duration = samples as u64;
        let end = place + samples;
        if end * SAMPLE - now > MOST_AHEAD {
            source.slide(-samples);
            self.joint = true;
            self.store.note(number, Slot::Void);
            return Err(Discard::Early);
        }
        source.end = end;
        self.timed = true;
        self.press.audio(now);
        self.spread.observe(now, now - end * SAMPLE);
        if end <= self.line as i64 && self.press.muted(end) {
            self.store.note(number, Slot::Void);
            return Ok(());
        }
        if end <= self.line as i64 {
            self.late.get_or_insert((now, end));
            self.store.note(number, Slot::Void);
            return Err(Discard::Late);
        }
        self.late = None;
        self.keep_corrected(now, number, place, packet)
    }

    /// Where the newest audio stands: where its stamp says, as far as that can be.
    fn believed(&self, now: i64, number: u64, missing: u64, timestamp: u32, samples: i64) -> i64 {
        let Some(source) = &self.source else { return self.line as i64 };
        let stamped = source.place(number, timestamp);
        let ideal = self.ideal(now, samples);
        // What numbers are missing may take as long as such packets do.
        let expected = source.end + missing.min(self.store.window()) as i64 * self.duration as i64;
        if stamped < source.end {
            return ideal.clamp(source.end, expected).max(self.line as i64);
        }
        let slack = if stamped <= expected { MOST_AHEAD / SAMPLE } else { SLACK };
        if stamped > source.end && stamped > ideal + slack {
            return ideal.max(source.end);
        }
        let end = stamped + samples;
        let late = end <= self.line as i64 && !self.press.muted(end);
        // After a pause nothing joins: the one place where a wrong stamp can be put right unheard.
        if late && (source.quiet || self.late_for_good(now, end)) {
            return ideal.max(self.line as i64);
        }
        stamped
    }

    /// No number is missing before a later place: what was given up was a pause, not a loss.
    fn excuse(&mut self, missing: u64, place: i64) {
        let paused = self.source.as_ref().map_or(0, |source| place - source.end);
        if missing == 0 && paused > 0 && !self.quiet {
            self.counts.missing -= self.given_up.min(paused as u64).min(self.counts.missing);
        }
    }

    fn late_for_good(&self, now: i64, end: i64) -> bool {
        let Some((since, first)) = self.late else { return false };
        let (passed, brought) = (now - since, (end - first) * SAMPLE);
        // After a stall what is late comes faster than real time, and is in time soon.
        passed >= LATE_RUN && brought <= passed + passed / 2
    }

    /// Keeps audio; when the packets run off the clock, some of it is left out or room is made before it.
    fn keep_corrected(
        &mut self,
        now: i64,
        number: u64,
        place: i64,
        packet: Arrival<'_>,
    ) -> Result<(), Discard> {
        let (off, payload) = (self.spread.least(), packet.payload);
        let most = if packet.faint { OFF } else { OFF_ALOUD };
        if off.abs() <= most || now < self.correct_at.max(self.since + FIRST) {
            let joint = std::mem::take(&mut self.joint);
            return self.store.keep(number, place.max(0) as u64, joint, payload);
        }
        self.correct_at = now + if off.abs() > FAR_OFF { SOON } else { RARELY };
        self.counts.corrections += 1;
        let (cut, gap) = if off < 0 { (payload.len().min(CORRECTION), 0) } else { (0, CORRECTION as i64) };
        let by = gap - cut as i64;
        self.spread.shift(-by * SAMPLE);
        if let Some(source) = &mut self.source {
            source.slide(by);
            source.end += by;
        }
        let left = payload.get(cut..).unwrap_or(&[]);
        if left.is_empty() {
            self.store.note(number, Slot::Void);
            self.joint = true;
            return Ok(());
        }
        self.store.keep(number, (place + gap).max(0) as u64, true, left)
    }

    /// Whether the packets run off the clock: a faint one is where that is to be put right.
    pub fn runs_off(&self) -> bool {
        self.spread.least().abs() > OFF
    }

    /// Place of a packet that came by the fastest path, and arrived now.
    fn ideal(&self, now: i64, samples: i64) -> i64 {
        (now - self.spread.least()).div_euclid(SAMPLE) - samples
    }

    fn source_end(&self) -> i64 {
        self.store.last_end().max(self.line) as i64
    }
}

fn samples_of(packet: &Arrival<'_>) -> i64 {
    match packet.kind {
        Kind::Audio => packet.payload.len() as i64,
        Kind::Quiet | Kind::Event { .. } => 0,
    }
}

fn slot_of(kind: Kind) -> Slot {
    match kind {
        Kind::Audio => Slot::Void,
        Kind::Quiet | Kind::Event { .. } => Slot::Quiet,
    }
}
