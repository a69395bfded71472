//! What a stream counts for the metrics, added up in plain numbers and told now and then (operator.md section 6).

use super::outbox::Sent;
use crate::telemetry::metrics;

/// What kind of message the bot sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Audio.
    Media,
    /// A mark.
    Mark,
    /// A clear.
    Clear,
    /// A wish to end.
    Stop,
    /// Anything else.
    Other,
}

/// Why something was dropped or passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// A frame of the caller: the bot does not read.
    SendQueue,
    /// Audio of the bot: the queue is full; messages.
    PlayoutFull,
    /// A payload that is missing or empty.
    NoPayload,
    /// A payload that is not base64.
    BadPayload,
    /// A mark without a fitting name.
    NamelessMark,
    /// A mark beyond `max_pending_marks`.
    TooManyMarks,
    /// A message that is not JSON, not text, or of no known event.
    Nonsense,
    /// Beyond the rate of messages.
    Rate,
    /// Not dropped, but meant for another stream.
    WrongStream,
    /// A key press that is to be encrypted, and there is no key to do it with.
    NoDtmfKey,
}

const SENT: [&str; 6] = ["connected", "start", "media", "dtmf", "mark", "stop"];
const HEARD: [&str; 5] = ["media", "mark", "clear", "stop", "other"];
const DROPPED: [&str; 10] = [
    "send_queue",
    "playout_full",
    "no_payload",
    "bad_payload",
    "nameless_mark",
    "too_many_marks",
    "nonsense",
    "rate",
    "wrong_stream",
    "no_dtmf_key",
];

/// Counts of one stream that have not been told yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    sent: [u32; 6],
    heard: [u32; 5],
    dropped: [u32; 10],
}

impl Tally {
    pub(crate) fn sent(&mut self, what: Sent) {
        self.sent[what as usize] += 1;
    }

    pub(crate) fn heard(&mut self, what: Heard) {
        self.heard[what as usize] += 1;
    }

    pub(crate) fn dropped(&mut self, why: Drop, times: u64) {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        let dropped = &mut self.dropped[why as usize];
        *dropped = dropped.saturating_add(times);
    }

    /// How often it happened since it was last told.
    pub fn drops(&self, why: Drop) -> u64 {
        self.dropped[why as usize].into()
    }

    /// Adds to the metrics what came since the last time.
    pub fn publish(&mut self) {
        let told = std::mem::take(self);
        let some = |count: &u32| *count > 0;
        for (event, count) in SENT.iter().zip(told.sent).filter(|(_, count)| some(count)) {
            metrics::stream_messages("out", event, count.into());
        }
        for (event, count) in HEARD.iter().zip(told.heard).filter(|(_, count)| some(count)) {
            metrics::stream_messages("in", event, count.into());
        }
        for (cause, count) in DROPPED.iter().zip(told.dropped).filter(|(_, count)| some(count)) {
            metrics::stream_dropped(cause, count.into());
        }
    }
}
