//! What waits for the bot's socket (agentstream.md sections 4, 5.3 and 7.4). The caller's samples wait as
//! samples and become a message when the socket takes it; numbers are given when a message is queued.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Start, Stop, message};
use crate::units::{Digit, SampleRate};

/// Caller audio kept while the stream is not up.
const KEPT_MS: u32 = 3000;
/// Octets of the largest frame: 100 ms at 24 kHz.
const MAX_FRAME: usize = 4800;

/// One message that waits.
#[derive(Debug)]
enum Waiting {
    Connected,
    Start,
    /// The next `frame` samples. `kept`: from before `start`.
    Media {
        sequence: u64,
        chunk: u64,
        /// Milliseconds from the beginning of the stream.
        timestamp: u64,
        kept: bool,
    },
    Dtmf {
        sequence: u64,
        digit: Digit,
        held: Duration,
    },
    /// A key, encrypted.
    Sealed {
        sequence: u64,
        text: Box<str>,
        held: Duration,
    },
    Mark {
        sequence: u64,
        name: Box<str>,
    },
    Stop {
        sequence: u64,
        why: Stop,
    },
}

/// What kind of message was put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Connected,
    Start,
    Media,
    Dtmf,
    Mark,
    Stop,
}

/// The messages to the bot, in order.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: VecDeque<Waiting>,
    /// Samples of all media that waits, and of the frame being filled.
    samples: VecDeque<i16>,
    open: bool,
    /// Samples a frame.
    frame: usize,
    frame_ms: u64,
    /// Samples that may be kept before `start`.
    kept: usize,
    /// Frames that may wait, and that do, those from before `start` aside.
    most: usize,
    live: usize,
    /// All frames that wait.
    frames: usize,
    marks: usize,
    sequence: u64,
    chunk: u64,
    /// Milliseconds from the beginning of the stream to the next frame.
    timestamp: u64,
    /// Frames are left out, and their time with them.
    paused: bool,
    dropped: u64,
}

impl Outbox {
    pub(crate) fn new(rate: SampleRate, frame_ms: u32, send_queue: Duration) -> Self {
        let frame_ms = frame_ms.clamp(20, 100);
        Self {
            waiting: VecDeque::new(),
            samples: VecDeque::new(),
            open: false,
            frame: rate.samples(frame_ms),
            frame_ms: u64::from(frame_ms),
            kept: rate.samples(KEPT_MS),
            most: (send_queue.as_millis() / u128::from(frame_ms)).max(1) as usize,
            live: 0,
            frames: 0,
            marks: 0,
            sequence: 1,
            chunk: 0,
            timestamp: 0,
            paused: false,
            dropped: 0,
        }
    }

    /// The upgrade is done: `connected` and `start`, and behind them what was kept.
    pub(crate) fn open(&mut self) {
        self.waiting.extend([Waiting::Connected, Waiting::Start]);
        self.open = true;
        for _ in 0..self.samples.len() / self.frame {
            self.queue_frame(true);
        }
    }

    /// What was heard, if none of it is to be sent any more because the stream never came up.
    pub(crate) fn kept(&mut self) -> Vec<i16> {
        if self.open { Vec::new() } else { std::mem::take(&mut self.samples).into() }
    }

    /// From now on a frame that becomes whole is left out, or sent again.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// The caller said something.
    pub(crate) fn heard(&mut self, samples: &[i16]) {
        self.samples.extend(samples);
        if !self.open {
            let surplus = self.samples.len().saturating_sub(self.kept);
            self.samples.drain(..surplus);
            return;
        }
        for _ in self.frames..self.samples.len() / self.frame {
            if self.paused {
                self.leave_out();
                continue;
            }
            self.queue_frame(false);
            if self.live > self.most {
                self.drop_oldest();
            }
        }
    }

    /// The caller pressed a key.
    pub(crate) fn digit(&mut self, digit: Digit, held: Duration) {
        let sequence = self.number();
        self.waiting.push_back(Waiting::Dtmf { sequence, digit, held });
    }

    /// The caller pressed a key of which nobody may know.
    pub(crate) fn sealed(&mut self, text: Box<str>, held: Duration) {
        let sequence = self.number();
        self.waiting.push_back(Waiting::Sealed { sequence, text, held });
    }

    /// A mark goes back.
    pub(crate) fn mark(&mut self, name: Box<str>) {
        let sequence = self.number();
        self.marks += 1;
        self.waiting.push_back(Waiting::Mark { sequence, name });
    }

    /// The last message; what is not a whole frame is not sent.
    pub(crate) fn stop(&mut self, why: Stop) {
        let sequence = self.number();
        self.waiting.push_back(Waiting::Stop { sequence, why });
    }

    /// Nothing of this is to be sent any more.
    pub(crate) fn discard(&mut self) {
        self.waiting = VecDeque::new();
        self.samples = VecDeque::new();
        (self.live, self.frames, self.marks) = (0, 0, 0);
    }

    /// Marks that wait here.
    pub(crate) fn marks(&self) -> usize {
        self.marks
    }

    /// Media messages dropped because the bot does not read.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Writes the next message into `out`, which is cleared first.
    pub(crate) fn next(&mut self, out: &mut String, start: &Start, sid: &str, opening: &str) -> Option<Sent> {
        let next = self.waiting.pop_front()?;
        out.clear();
        Some(match next {
            Waiting::Connected => {
                out.push_str(message::CONNECTED);
                Sent::Connected
            }
            Waiting::Start => {
                out.push_str(opening);
                Sent::Start
            }
            Waiting::Media { sequence, chunk, timestamp, kept } => {
                self.live -= usize::from(!kept);
                self.frames -= 1;
                self.media_message(out, sequence, sid, (chunk, timestamp));
                Sent::Media
            }
            Waiting::Dtmf { sequence, digit, held } => {
                message::dtmf(out, sequence, sid, digit, held);
                Sent::Dtmf
            }
            Waiting::Sealed { sequence, text, held } => {
                message::dtmf_sealed(out, sequence, sid, &text, held);
                Sent::Dtmf
            }
            Waiting::Mark { sequence, name } => {
                self.marks -= 1;
                message::mark(out, sequence, sid, &name);
                Sent::Mark
            }
            Waiting::Stop { sequence, why } => {
                message::stop(out, sequence, start, sid, why);
                Sent::Stop
            }
        })
    }

    fn media_message(&mut self, out: &mut String, sequence: u64, sid: &str, (chunk, timestamp): (u64, u64)) {
        let mut pcm = [0; MAX_FRAME];
        let (pairs, _) = pcm.as_chunks_mut::<2>();
        for (pair, sample) in pairs.iter_mut().zip(self.samples.drain(..self.frame)) {
            *pair = sample.to_le_bytes();
        }
        message::media(out, sequence, sid, chunk, timestamp, &pcm[..self.frame * 2]);
        // What a slow beginning or a slow bot took is given back.
        if self.waiting.is_empty() && self.samples.capacity() > 8 * self.frame {
            self.samples.shrink_to(2 * self.frame);
            self.waiting.shrink_to(8);
        }
    }

    fn number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn queue_frame(&mut self, kept: bool) {
        let sequence = self.number();
        self.chunk += 1;
        self.live += usize::from(!kept);
        self.frames += 1;
        let timestamp = self.timestamp;
        self.timestamp += self.frame_ms;
        self.waiting.push_back(Waiting::Media { sequence, chunk: self.chunk, timestamp, kept });
    }

    /// The newest whole frame is nobody's; those that wait before it stay.
    fn leave_out(&mut self) {
        let at = self.frames * self.frame;
        self.samples.drain(at..at + self.frame);
        self.timestamp += self.frame_ms;
    }

    /// The oldest of the frames that count; those kept from before `start` stand before it.
    fn drop_oldest(&mut self) {
        let live = |one: &Waiting| matches!(one, Waiting::Media { kept: false, .. });
        let Some(at) = self.waiting.iter().position(live) else { return };
        let before = self.waiting.iter().take(at).filter(|one| matches!(one, Waiting::Media { .. })).count();
        self.waiting.remove(at);
        self.samples.drain(before * self.frame..(before + 1) * self.frame);
        self.live -= 1;
        self.frames -= 1;
        self.dropped += 1;
    }
}
