//! What a bot can do wrong, how bad that is, and where the protocol says so; and the findings of one call.

use std::time::{Duration, Instant};

/// Longest evidence in characters.
const EVIDENCE: usize = 160;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works; this would be better.
    Advice,
    /// Callers notice, sometimes.
    Warning,
    /// Audio is lost, or the call.
    Error,
}

impl Severity {
    /// `advice`, `warning`, `error`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! faults {
    ($($name:ident $severity:ident $word:literal $section:literal $text:literal,)*) => {
        /// What a bot can do wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $(#[doc = $text] $name,)*
        }

        impl Fault {
            /// All of them, in the order of a call.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity),* }
            }

            /// A stable word for programs.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// Section of the protocol.
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section),* }
            }

            /// For people.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

faults! {
    NoConnection Error "no_connection" "2" "cannot be connected to",
    SlowConnect Warning "slow_connect" "2" "takes more than a second to connect: the caller hears it ring so long",
    BeforeStart Warning "before_start" "2" "sends before it has `start`: it cannot know rate and stream yet",
    NotJson Error "not_json" "6.5" "sends text that is not a JSON object: it is ignored",
    Binary Error "binary" "6.5" "sends binary messages: they are ignored; audio goes as base64 in `media`",
    EventCase Error "event_case" "6.1" "writes an event's name in capitals: it is not recognised",
    PlatformEvent Warning "platform_event" "6.5" "sends an event that only the platform sends: it is ignored",
    UnknownEvent Warning "unknown_event" "6.5" "sends an event that the protocol does not know: it is ignored",
    Nonsense Error "nonsense" "6.5" "sends more than 200 messages in 10 s that are ignored: the platform closes with 1008",
    NoStream Advice "no_stream" "6.1" "leaves out `stream_sid`: tolerated here, not everywhere",
    CamelCase Advice "camel_case" "6.1" "writes `streamSid` for `stream_sid`: tolerated here, not everywhere",
    WrongStream Warning "wrong_stream" "6.1" "names another stream than that of `start`",
    TooBig Error "too_big" "7.3" "sends a message over 1 MiB: the platform closes with 1009",
    NoPayload Error "no_payload" "6.2" "sends `media` without a payload: it is ignored",
    BadPayload Error "bad_payload" "6.2" "sends a payload that is not base64: it is ignored",
    NoMarkName Error "no_mark_name" "6.3" "sends a mark without a name of at most 256 bytes: it never comes back",
    HalfSample Warning "half_sample" "7.2" "sends an odd number of bytes: half a sample waits for the next message, or for ever",
    Unaligned Advice "unaligned" "7.3" "sends chunks that are not a multiple of 320 bytes",
    SmallChunk Advice "small_chunk" "7.3" "sends chunks under 3200 bytes: any delay on the way is heard",
    LargeChunk Advice "large_chunk" "7.3" "sends chunks over 100 000 bytes",
    QueueOver Error "queue_over" "7.3" "sends audio faster than it is played until more than 120 s wait: the rest is dropped",
    Starved Warning "starved" "7.2" "lets its audio run dry within an utterance: the caller hears a hole",
    Slow Error "slower_than_real_time" "7.2" "sends an utterance slower than it is played",
    RateIgnored Error "rate_ignored" "3.1" "sends the same bytes at every rate: it plays too fast or too slowly at all but one",
    NoAudio Warning "no_audio" "7.2" "never sends audio",
    SlowReply Warning "slow_reply" "7.2" "takes more than 2 s to answer the caller",
    NoBargeIn Advice "no_barge_in" "8" "talks on when the caller interrupts: no `clear` came",
    NoMarks Advice "no_marks" "8" "sends no marks: it cannot know what was heard",
    MarkTwice Advice "mark_twice" "8" "uses a mark's name again before it came back: it cannot tell the two apart",
    MarkLoop Warning "mark_loop" "8" "sends each mark that comes back again: without end",
    MarkFlood Error "mark_flood" "8" "has more than 8192 marks waiting: the rest is dropped",
    NoPong Error "no_pong" "7.5" "does not answer pings: a silent bot is taken for dead after 30 s",
    NotReading Error "not_reading" "7.4" "does not read for 2 s: what the caller says is dropped",
    EndsCall Advice "ends_call" "9" "ended the call itself",
    OddCode Error "odd_code" "10" "closed the call with a code that is a failure",
    Lost Error "lost" "10" "broke the connection without a close frame: recorded as a failure",
    AfterStop Advice "after_stop" "9" "goes on sending after `stop`",
    OddCodeAfterStop Warning "odd_code_after_stop" "9" "closes after `stop` with a code other than 1000",
    NoClose Warning "no_close" "9" "answers neither `stop` nor the close after it: its sockets pile up",
}

/// One thing a bot did, once or more often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub fault: Fault,
    /// How often.
    pub times: u64,
    /// When first, from `start`.
    pub at: Duration,
    /// What was seen the first time, or the worst of it.
    pub evidence: String,
}

/// The findings of one call, each fault once.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    began: Option<Instant>,
    found: Vec<Finding>,
}

impl Findings {
    /// Times count from here.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Notes a fault; the evidence of the first time is kept.
    pub(super) fn note(&mut self, now: Instant, fault: Fault, evidence: impl FnOnce() -> String) {
        if let Some(known) = self.found.iter_mut().find(|finding| finding.fault == fault) {
            known.times += 1;
            return;
        }
        let at = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        self.found.push(Finding { fault, times: 1, at, evidence: shortened(&evidence()) });
    }

    /// What the worst was is known at the end only.
    pub(super) fn explain(&mut self, fault: Fault, evidence: String) {
        if let Some(known) = self.found.iter_mut().find(|finding| finding.fault == fault) {
            known.evidence = shortened(&evidence);
        }
    }

    /// Takes back what was found in no more than half of `all`: the end of an utterance has the size it has.
    pub(super) fn pardon(&mut self, fault: Fault, all: u64) {
        self.found.retain(|finding| finding.fault != fault || finding.times * 2 > all);
    }

    /// Worst first, then as they came.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|finding| (std::cmp::Reverse(finding.fault.severity()), finding.at));
        self.found
    }
}

/// A line that can be printed, whatever a stranger sent.
pub(super) fn shortened(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut kept: String = text.chars().take(EVIDENCE).map(plain).collect();
    if text.chars().nth(EVIDENCE).is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_fault_has_a_word_of_its_own_and_is_documented() {
        let words: HashSet<_> = Fault::ALL.iter().map(|fault| fault.word()).collect();
        assert_eq!(words.len(), Fault::ALL.len());
        let page = include_str!("../../../docs/check-bot.md");
        for fault in Fault::ALL {
            let (word, severity) = (fault.word(), fault.severity().word());
            let row = format!("| `{word}` | {severity} | {} | {} |\n", fault.section(), fault.text());
            assert!(page.contains(&row), "docs/check-bot.md lacks {row}");
        }
    }

    #[test]
    fn a_fault_is_told_once_with_its_number_and_the_worst_come_first() {
        let (now, mut findings) = (Instant::now(), Findings::default());
        findings.begin(now);
        findings.note(now + Duration::from_millis(5), Fault::NoMarks, String::new);
        for n in 0..3 {
            findings
                .note(now + Duration::from_millis(7), Fault::Binary, || format!("{n}\n{}", "x".repeat(500)));
        }
        let sorted = findings.sorted();
        assert_eq!((sorted[0].fault, sorted[0].times), (Fault::Binary, 3));
        assert_eq!(sorted[0].at, Duration::from_millis(7));
        assert!(sorted[0].evidence.starts_with("0\u{fffd}x") && sorted[0].evidence.ends_with('…'));
        assert_eq!(sorted[1].fault, Fault::NoMarks);
    }
}
