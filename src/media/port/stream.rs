//! A bot's stream as a port: one gapless line of what it hears, and the playout of what it says.
//!
//! What it hears comes from one RTP port on arrival (it *drives* the line), or else from the call's clock: silence,
//! a mix, a prompt. Whatever the links are, the line follows real time from the opening on (agentstream.md 7.1, R-45).

use std::time::{Duration, Instant};

use super::super::ready::Knock;
use super::super::ring::{CoreEnd, StreamEnd, Wake, rings};
use super::super::tick::Clock;
use super::super::{StreamCounts, StreamSpec};
use super::playout::Playout;
use super::turns::Turns;
use crate::audio::{Resampler, ToneMute};
use crate::units::{Digit, SampleRate};

/// Samples at 8000 Hz by which a driver's line may run before or behind real time: more than any jitter buffer holds
/// and any packet lasts. Beyond, the line is cut or filled, so that no peer's clock or fault bends it.
const SLACK: u64 = 8 * 400;

/// The two ends of a stream: the port for the engine, the other for the session.
pub fn pair(spec: StreamSpec) -> (StreamPort, StreamEnd) {
    let (core, end) = rings(spec);
    let port = Stream {
        end: core,
        playout: Playout::new(spec),
        turns: Turns::default(),
        up: (spec.rate != SampleRate::Hz8000)
            .then(|| Box::new(Resampler::new(SampleRate::Hz8000, spec.rate))),
        mute: None,
        base: 0,
        line: 0,
        dirty: false,
        orphan: false,
        drained: false,
    };
    (StreamPort(Box::new(port)), end)
}

/// The core's side of a stream, on its way to the engine.
#[derive(Debug)]
pub struct StreamPort(pub(in crate::media) Box<Stream>);

impl StreamPort {
    /// The same, and what it hears is without the tones of keys, and late by as much as that takes (`ToneMute`).
    #[must_use]
    pub fn without_key_tones(mut self) -> Self {
        self.0.mute = Some(Box::default());
        self
    }
}

/// The same, at work.
#[derive(Debug)]
pub(in crate::media) struct Stream {
    end: CoreEnd,
    playout: Playout,
    turns: Turns,
    /// To the bot's rate, where that is another.
    up: Option<Box<Resampler>>,
    /// Takes the tones of keys out of what is heard.
    mute: Option<Box<ToneMute>>,
    /// The call's clock at the opening.
    base: u64,
    /// Samples at 8000 Hz heard since.
    line: u64,
    /// The session has something new to look at.
    dirty: bool,
    orphan: bool,
    drained: bool,
}

impl Stream {
    /// The line begins.
    pub(in crate::media) fn open(&mut self, clock: &Clock, now: Instant) {
        self.base = clock.elapsed(now);
    }

    /// Where its session is to mark that it has audio while none plays.
    pub(in crate::media) fn hailed_by(&mut self, hail: Knock) {
        self.end.hailed_by(hail);
    }

    /// Takes the orders that came; true: a clear was among them.
    pub(in crate::media) fn intake(&mut self, now: Instant) -> bool {
        let abandoned = self.end.abandoned();
        let intake = self.playout.intake(now, self.turns.spoke(), &mut self.end);
        if abandoned && !self.orphan {
            self.orphan = true;
            self.playout.orphaned();
        }
        self.dirty |= intake.any | self.end.catch_up();
        if intake.cleared {
            self.turns.cleared(intake.silenced);
        }
        intake.cleared
    }

    /// When the bot's audio that waits is to begin to play.
    pub(in crate::media) fn begins(&self) -> Option<Instant> {
        self.playout.begins()
    }

    /// Whether the bot has something to say, now or soon.
    pub(in crate::media) fn plays(&self) -> bool {
        self.playout.plays()
    }

    /// By how much the block due at `at` had better leave sooner.
    pub(in crate::media) fn late(&self, at: Instant) -> Option<Duration> {
        self.playout.late(at)
    }

    /// Fills the block of what the bot says that is due at `at`; true: some of it is the bot's.
    pub(in crate::media) fn pull(&mut self, now: Instant, at: Instant, out: &mut [i16]) -> bool {
        let (place, _) = self.playout.places();
        let voiced = self.playout.pull((now, at), self.turns.spoke(), out, &mut self.end);
        if voiced {
            self.turns.said(now, out, place);
        }
        voiced
    }

    /// What was pulled has been sent.
    pub(in crate::media) fn sent(&mut self, now: Instant) {
        self.playout.sent();
        self.turns.sent(now, self.playout.counts_mut());
    }

    /// Tells the session what there is to tell.
    pub(in crate::media) fn report(&mut self) {
        self.dirty |= self.playout.report(&mut self.end);
    }

    /// True once, when all the bot left has been played.
    pub(in crate::media) fn drained(&mut self) -> bool {
        self.playout.drained() && !std::mem::replace(&mut self.drained, true)
    }

    /// Samples at 8000 Hz that real time is ahead of the line, when the call's clock stands at `ticked`.
    pub(in crate::media) fn owed(&self, ticked: u64) -> u64 {
        ticked.saturating_sub(self.base).saturating_sub(self.line)
    }

    /// The same for a driven line: nothing, unless its driver has failed it.
    pub(in crate::media) fn owed_by_driver(&self, ticked: u64) -> u64 {
        self.owed(ticked).saturating_sub(SLACK)
    }

    /// Hears samples of a driver, unless the line is far ahead of real time. What was made up for want of packets is
    /// no speech.
    pub(in crate::media) fn follow(&mut self, now: Instant, samples: &[i16], elapsed: u64, genuine: bool) {
        if self.base + self.line > elapsed + SLACK {
            return; // faster than real time for long: its surplus is dropped
        }
        if genuine {
            self.turns.heard(now, samples, self.playout.places().1);
        }
        self.take(samples);
    }

    /// Hears samples at 8000 Hz.
    pub(in crate::media) fn hear(&mut self, now: Instant, samples: &[i16]) {
        self.turns.heard(now, samples, self.playout.places().1);
        self.take(samples);
    }

    fn take(&mut self, samples: &[i16]) {
        self.line += samples.len() as u64;
        self.dirty = true;
        let mut converted = [0; 3 * Clock::BLOCK];
        let mut muted = [0; Clock::BLOCK];
        for piece in samples.chunks(Clock::BLOCK) {
            let piece = match &mut self.mute {
                Some(mute) => {
                    muted[..piece.len()].copy_from_slice(piece);
                    mute.process(&mut muted[..piece.len()]);
                    &muted[..piece.len()]
                }
                None => piece,
            };
            let made = match &mut self.up {
                None => piece,
                Some(up) => {
                    let made = up.process(piece, &mut converted);
                    &converted[..made]
                }
            };
            let lost = self.end.hear(made) as u64;
            let counts = self.playout.counts_mut();
            counts.heard += made.len() as u64 - lost;
            counts.heard_lost += if self.orphan { 0 } else { lost };
        }
    }

    /// Hears a key; false: the session reads nothing, and the key is lost.
    pub(in crate::media) fn digit(&mut self, digit: Digit, held: Duration) -> bool {
        let kept = self.playout.digit(digit, held);
        self.report();
        kept
    }

    /// The session's wake-up, once, if there is something new and it sleeps.
    pub(in crate::media) fn wake(&mut self) -> Option<Wake> {
        std::mem::take(&mut self.dirty).then(|| self.end.wake()).flatten()
    }

    /// The last word of what was counted.
    pub(in crate::media) fn last_counts(&mut self) -> StreamCounts {
        self.playout.close(&mut self.end)
    }

    /// What was counted.
    pub(in crate::media) fn counts(&self) -> &StreamCounts {
        self.playout.counts()
    }
}
