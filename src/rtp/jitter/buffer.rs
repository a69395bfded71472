//! The line itself: what is delivered when. Where packets are placed in it is `placing`.

use std::time::{Duration, Instant};

use super::press::Press;
use super::source::Source;
use super::spread::Spread;
use super::store::{Audio, Slot, Store};
use super::{Arrival, Counts, Discard, Item};
use crate::rtp::packet::MAX_PAYLOAD;
use crate::units::Ssrc;

// Times are microseconds since the line began, places are samples: 125 µs each.
pub(super) const SAMPLE: i64 = 125;
pub(super) const MS: i64 = 1000;

const LEAST_BOUND: i64 = 20 * MS;
/// Before the spread is known (reliability R-46: at most 60 ms at jitter up to 20 ms).
const FIRST_BOUND: i64 = 60 * MS;
pub(super) const FIRST: i64 = 2000 * MS;
/// Added to the spread that was seen: the next packet may be a little worse.
const MARGIN: i64 = 10 * MS;
/// What follows a lost packet of 20 ms is here so soon after its time: a gap whose both sides are known is filled better
/// than one with one side, and waiting for it delays nothing that came.
const SOON: i64 = 2 * MS;
/// Samples of a loss that are worth concealing (reliability R-45).
const CONCEALED: u64 = 60 * 8;
/// Samples of silence told at once.
const SILENCE: u64 = 160;

/// One line of audio made of packets. See the module for what holds.
#[derive(Debug)]
pub struct JitterBuffer {
    pub(super) epoch: Instant,
    pub(super) max_bound: i64,
    /// Samples delivered.
    pub(super) line: u64,
    pub(super) store: Store,
    pub(super) spread: Spread,
    pub(super) source: Option<Source>,
    /// The source before this one.
    pub(super) former: Option<Ssrc>,
    /// When the present source was heard first and last.
    pub(super) since: i64,
    pub(super) heard: i64,
    /// The number that would follow an ancient one: two in a row are a restart (RFC 3550 §A.1).
    pub(super) restart: Option<u16>,
    /// When the first of a run of late packets came, and the place of its end.
    pub(super) late: Option<(i64, i64)>,
    /// Samples of the last packet.
    pub(super) duration: u64,
    /// Samples given up in a row.
    pub(super) given_up: u64,
    /// Silence was announced: nothing is missing.
    pub(super) quiet: bool,
    pub(super) press: Press,
    /// The present source has brought audio: its way is known.
    pub(super) timed: bool,
    pub(super) correct_at: i64,
    /// Audio was left out: the next is to be joined.
    pub(super) joint: bool,
    /// How long a place is waited for, and how far arrival times spread, as of the last `pop`.
    pub(super) bound: i64,
    pub(super) width: i64,
    pub(super) counts: Counts,
}

impl JitterBuffer {
    /// A line that begins now, silent until the first packet. `max` is the longest wait for a packet
    /// (`media.jitter.max`), 20 ms to 1 s.
    pub fn new(now: Instant, max: Duration) -> Self {
        let max = max.clamp(Duration::from_millis(20), Duration::from_secs(1));
        Self {
            epoch: now,
            max_bound: max.as_micros() as i64,
            line: 0,
            store: Store::new(max),
            spread: Spread::new(),
            source: None,
            former: None,
            since: 0,
            heard: 0,
            restart: None,
            late: None,
            duration: SILENCE,
            given_up: 0,
            quiet: true,
            press: Press::default(),
            timed: false,
            correct_at: 0,
            joint: false,
            bound: LEAST_BOUND,
            width: 0,
            counts: Counts::default(),
        }
    }

    /// Takes a packet in. Then `pop` until it says nothing.
    ///
    /// # Errors
    /// When the packet has no place in the line; it is counted.
    pub fn push(&mut self, now: Instant, packet: Arrival<'_>) -> Result<(), Discard> {
        let now = self.since_epoch(now);
        let taken = self.place(now, packet);
        match taken {
            Ok(()) => {}
            Err(Discard::Late) => self.counts.late += 1,
            Err(Discard::Duplicate) => self.counts.duplicated += 1,
            Err(Discard::Early | Discard::TooLong | Discard::Stray) => self.counts.misplaced += 1,
        }
        taken
    }

    /// The next piece of the line that is there or overdue.
    pub fn pop(&mut self, now: Instant) -> Option<Item<'_>> {
        let now = self.since_epoch(now);
        self.width = self.spread.width(now);
        self.bound = self.patience(now);
        loop {
            match self.store.head() {
                Slot::Audio(audio) if audio.end() <= self.line => {
                    self.counts.late += 1;
                    self.store.pass_to(self.store.next() + 1);
                }
                Slot::Audio(audio) => return Some(self.deliver(audio)),
                Slot::Void => drop(self.store.pass_to(self.store.next() + 1)),
                Slot::Quiet => {
                    self.quiet = true;
                    self.store.pass_to(self.store.next() + 1);
                }
                Slot::Empty => {
                    let wanted = self.wanted();
                    if wanted.samples == 0 {
                        // Numbers are missing, but no time: what was lost brought no audio.
                        self.store.pass_to(wanted.number);
                    } else if now < self.overdue(wanted) {
                        return None;
                    } else if let Some(quiet) = wanted.quiet {
                        // What was missing before an announced silence is part of it.
                        self.store.pass_to(quiet);
                    } else {
                        return Some(self.give_up(wanted.samples));
                    }
                }
            }
        }
    }

    /// What stands at the line already, without a gap, behind a piece that was lost: what the next `pop`s deliver.
    /// As much as fits `out`; how much that is.
    pub fn following(&self, out: &mut [u8]) -> usize {
        let (mut line, mut written) = (self.line, 0);
        while let Some(audio) = self.store.at_place(line).filter(|audio| !audio.joint) {
            let octets = self.store.octets(audio);
            let n = octets.len().min(out.len() - written);
            if n == 0 {
                break;
            }
            out[written..written + n].copy_from_slice(&octets[..n]);
            (line, written) = (audio.end(), written + n);
        }
        written
    }

    /// When the next place of the line becomes overdue, should nothing arrive before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let at = self.overdue(self.wanted());
        self.epoch.checked_add(Duration::from_micros(at.max(0) as u64))
    }

    /// Samples delivered since the line began.
    pub fn delivered(&self) -> u64 {
        self.line
    }

    /// How long a missing packet is waited for at present.
    pub fn bound(&self) -> Duration {
        Duration::from_micros(self.bound.max(0) as u64)
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn since_epoch(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.epoch).as_micros())
            .unwrap_or(i64::MAX)
            .min(i64::MAX / 4)
    }
}

/// What is missing at the line.
#[derive(Clone, Copy)]
struct Wanted {
    /// The first number that waits beyond it.
    number: u64,
    /// The first announced silence before that.
    quiet: Option<u64>,
    /// Samples to give up at once.
    samples: u64,
    /// Samples from the line to the end of the packet that would have brought them.
    due: u64,
}

/// The line.
impl JitterBuffer {
    fn deliver(&mut self, audio: Audio) -> Item<'_> {
        let gap = audio.place.saturating_sub(self.line).min(MAX_PAYLOAD as u64);
        if gap > 0 && audio.joint {
            self.store.joined();
            return self.lose(gap);
        }
        if gap > 0 {
            self.line += gap;
            return Item::Silence { samples: gap as usize };
        }
        if audio.joint {
            self.store.joined();
            return Item::Lost { samples: 0 };
        }
        let cut = self.line - audio.place;
        self.line = audio.end();
        self.given_up = 0;
        self.quiet = false;
        Item::Audio(self.store.take(audio, cut as usize))
    }

    /// What is missing at the line. What stands before a packet that waits is given up by whole packets;
    /// when none waits by 20 ms, so that a long packet that is a little late loses little.
    fn wanted(&self) -> Wanted {
        let ahead = self.store.ahead();
        let Some((number, audio)) = ahead.audio else {
            let silent = self.quiet || self.given_up >= CONCEALED;
            let samples = if silent { SILENCE } else { self.duration.min(SILENCE) };
            let due = self.duration.max(samples);
            return Wanted { number: self.store.next(), quiet: ahead.quiet, samples, due };
        };
        let samples = audio.place.saturating_sub(self.line).min(self.duration);
        Wanted { number, quiet: ahead.quiet, samples, due: samples }
    }

    fn overdue(&self, wanted: Wanted) -> i64 {
        let at = |samples: u64| (self.line + samples) as i64 * SAMPLE + self.spread.least() + self.width;
        let pressed = self.quiet && self.timed && self.store.is_empty();
        if pressed && self.press.covers(at(wanted.samples), self.width) {
            return at(wanted.samples);
        }
        at(wanted.due) - self.width + self.bound
    }

    fn patience(&self, now: i64) -> i64 {
        let new = self.timed && now < self.since + FIRST;
        let least = if new { FIRST_BOUND } else { LEAST_BOUND };
        let next = if self.timed { self.duration.min(SILENCE) as i64 * SAMPLE + SOON } else { 0 };
        (self.width + next.max(MARGIN)).max(least).min(self.max_bound)
    }

    fn give_up(&mut self, samples: u64) -> Item<'static> {
        if !self.quiet {
            return self.lose(samples);
        }
        self.line += samples;
        self.press.gave(self.line);
        Item::Silence { samples: samples as usize }
    }

    fn lose(&mut self, samples: u64) -> Item<'static> {
        let concealed = self.given_up < CONCEALED;
        self.line += samples;
        self.given_up += samples;
        self.counts.missing += samples;
        let samples = samples as usize;
        if concealed { Item::Lost { samples } } else { Item::Silence { samples } }
    }
}
