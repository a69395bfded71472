//! Judges what a bot does in one call: a pure core. It is told what was sent and what came, and when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::fault::{Fault, Finding, Findings};
use super::playout::Playout;
use super::reading::{self, Meaning};
use crate::units::SampleRate;

/// `max_message_bytes`.
const MESSAGE: usize = 1 << 20;
/// So many ignored messages within so long end a stream with 1008.
const NONSENSE: (usize, Duration) = (200, Duration::from_secs(10));
/// A connection that takes longer is heard.
const CONNECTS: Duration = Duration::from_secs(1);
/// An answer that takes longer is one the caller has given up on.
const REPLIES: Duration = Duration::from_secs(2);
/// What was on its way at `stop` has come by then.
const CROSSES: Duration = Duration::from_millis(500);
/// A mark that is sent again so soon after it came back was sent because it came back.
const AT_ONCE: Duration = Duration::from_millis(200);
/// So often in a row, it is no coincidence.
const LOOP: u32 = 3;
/// A pong takes no longer.
const PONG: Duration = Duration::from_secs(2);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input<'a> {
    /// The upgrade is done, after so long.
    Open(Duration),
    /// `start` is written.
    Started,
    /// The caller begins or ends to speak.
    Speaks(bool),
    /// Our line was stuck until now.
    Stuck,
    /// A ping is written.
    Pinged,
    /// A message could not be written: too many wait already.
    Unread,
    /// A mark was given back.
    Returned(&'a str),
    /// `stop` is written.
    Stopped,
    /// A text came.
    Text(&'a str),
    /// A binary message of so many octets came.
    Binary(usize),
    /// A pong came.
    Pong,
    /// A close frame came, with its code if it has one.
    Closed(Option<u16>),
    /// The connection broke.
    Broken(&'a str),
    /// We closed and were not answered.
    Unanswered,
}

/// Figures of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// TCP, TLS and upgrade.
    pub connect: Option<Duration>,
    /// From `start` to the first audio.
    pub first_audio: Option<Duration>,
    /// The longest from the end of the caller's speech to audio.
    pub slowest_reply: Option<Duration>,
    /// From `stop`, or our close, to the bot's close.
    pub close: Option<Duration>,
    /// Messages it sent.
    pub messages: u64,
    /// Octets of audio it sent.
    pub octets: u64,
    /// Of these, before the caller first spoke.
    pub greeting_octets: u64,
    /// The most that waited to be played.
    pub queued: Duration,
    /// Holes within utterances, and the longest.
    pub holes: (u64, Duration),
    /// Marks it sent.
    pub marks: u64,
    /// `clear`s it sent.
    pub clears: u64,
    /// The longest that our own machine was behind.
    pub late: Duration,
}

/// One call being listened to.
#[derive(Debug)]
pub(super) struct Listener {
    sid: String,
    playout: Playout,
    findings: Findings,
    figures: Figures,
    started: Option<Instant>,
    stopped: Option<Instant>,
    /// Since when the caller waits for an answer.
    waits: Option<Instant>,
    /// How often the bot had cleared when the caller began to speak into its audio.
    spoken_over: Option<u64>,
    has_spoken: bool,
    /// Messages with audio.
    chunks: u64,
    pinged: Option<Instant>,
    ignored: VecDeque<Instant>,
    /// The last mark that came back, and how often in a row it was sent again at once.
    returned: Option<(Instant, String)>,
    again: u32,
    unread: bool,
    over: bool,
}

impl Listener {
    pub(super) fn new(sid: String, rate: SampleRate) -> Self {
        Self {
            sid,
            playout: Playout::new(rate),
            findings: Findings::default(),
            figures: Figures::default(),
            started: None,
            stopped: None,
            waits: None,
            spoken_over: None,
            has_spoken: false,
            chunks: 0,
            pinged: None,
            ignored: VecDeque::new(),
            returned: None,
            again: 0,
            unread: false,
            over: false,
        }
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Open(took) => {
                self.figures.connect = Some(took);
                if took > CONNECTS {
                    self.findings.note(now, Fault::SlowConnect, || seconds(took));
                }
            }
            Input::Started => {
                self.started = Some(now);
                self.findings.begin(now);
            }
            Input::Speaks(true) => self.interrupted(now),
            Input::Speaks(false) => self.falls_silent(now),
            Input::Stuck => self.playout.excuse(),
            Input::Pinged => self.pinged = Some(now),
            Input::Pong => self.pinged = None,
            Input::Unread => self.unread(now),
            Input::Returned(name) => self.returned = Some((now, name.to_owned())),
            Input::Stopped => self.stopped = Some(now),
            Input::Text(text) => self.text(now, text),
            Input::Binary(octets) => {
                self.count(now, &format!("{octets} bytes, binary"));
                self.findings.note(now, Fault::Binary, || format!("{octets} bytes"));
                self.nonsense(now);
            }
            Input::Closed(code) => self.closed(now, code),
            Input::Broken(why) if !self.over && self.stopped.is_none() => {
                self.over = true;
                self.findings.note(now, Fault::Lost, || why.to_owned());
            }
            Input::Broken(_) => self.over = true,
            // One that has closed, but not its connection, has said all there is to say.
            Input::Unanswered if self.over => {}
            Input::Unanswered => self.findings.note(now, Fault::NoClose, || "within 2 s".to_owned()),
        }
    }

    /// What we do was due so long ago.
    pub(super) fn late(&mut self, late: Duration) {
        self.figures.late = self.figures.late.max(late);
    }

    /// A mark that comes back now.
    pub(super) fn due(&mut self, now: Instant) -> Option<String> {
        if self.stopped.is_some() { None } else { self.playout.due(now) }
    }

    /// When the next mark comes back.
    pub(super) fn next_mark(&self) -> Option<Instant> {
        if self.stopped.is_some() { None } else { self.playout.next_mark() }
    }

    /// What there is to say of the call as a whole.
    pub(super) fn finish(mut self, now: Instant) -> (Figures, Vec<Finding>) {
        let figures = &self.figures;
        if self.pinged.is_some_and(|pinged| now.saturating_duration_since(pinged) > PONG) && !self.unread {
            self.findings.note(now, Fault::NoPong, || "no pong within 2 s".to_owned());
        }
        if self.started.is_some() && figures.octets == 0 {
            self.findings.note(now, Fault::NoAudio, String::new);
        }
        if figures.octets > 0 && figures.marks == 0 {
            self.findings.note(now, Fault::NoMarks, String::new);
        }
        for size in [Fault::SmallChunk, Fault::Unaligned] {
            self.findings.pardon(size, self.chunks);
        }
        let (holes, longest) = figures.holes;
        let worst = format!("{holes} times, longest {} ms", longest.as_millis());
        self.findings.explain(Fault::Starved, worst);
        (self.figures, self.findings.sorted())
    }

    fn text(&mut self, now: Instant, text: &str) {
        self.count(now, text);
        if text.len() > MESSAGE {
            self.findings.note(now, Fault::TooBig, || format!("{} bytes", text.len()));
        }
        let (meaning, faults) = reading::read(text, &self.sid);
        for (fault, evidence) in faults {
            // Nobody can name a stream it has not been told of: that is told once, as what it is.
            if self.started.is_some() || !matches!(fault, Fault::NoStream | Fault::WrongStream) {
                self.findings.note(now, fault, || evidence);
            }
        }
        match meaning {
            Meaning::Audio(octets) => self.audio(now, octets),
            Meaning::Mark(name) => self.mark(now, name),
            Meaning::Clear => {
                self.figures.clears += 1;
                self.playout.clear(now);
            }
            Meaning::Stop => self.findings.note(now, Fault::EndsCall, || "with `stop`".to_owned()),
            Meaning::Nothing => self.nonsense(now),
        }
    }

    /// What is true of every message.
    fn count(&mut self, now: Instant, text: &str) {
        self.figures.messages += 1;
        if self.started.is_none() {
            self.findings.note(now, Fault::BeforeStart, || text.to_owned());
        }
        if self.stopped.is_some_and(|stopped| now.saturating_duration_since(stopped) > CROSSES) {
            self.findings.note(now, Fault::AfterStop, || text.to_owned());
        }
    }

    fn nonsense(&mut self, now: Instant) {
        let (most, within) = NONSENSE;
        self.ignored.push_back(now);
        while self.ignored.front().is_some_and(|first| now.saturating_duration_since(*first) > within) {
            self.ignored.pop_front();
        }
        if self.ignored.len() > most {
            self.ignored.pop_front();
            self.findings.note(now, Fault::Nonsense, || format!("{most} and more"));
        }
    }

    fn audio(&mut self, now: Instant, octets: usize) {
        self.chunks += 1;
        let figures = &mut self.figures;
        figures.octets += octets as u64;
        if !self.has_spoken {
            figures.greeting_octets += octets as u64;
        }
        if let (None, Some(started)) = (figures.first_audio, self.started) {
            figures.first_audio = Some(now.saturating_duration_since(started));
        }
        if let Some(since) = self.waits.take() {
            let took = now.saturating_duration_since(since);
            figures.slowest_reply = figures.slowest_reply.max(Some(took));
            if took > REPLIES {
                self.findings.note(now, Fault::SlowReply, || seconds(took));
            }
        }
        let heard = self.playout.audio(now, octets);
        figures.queued = figures.queued.max(self.playout.queued(now));
        if let Some(hole) = heard.hole {
            figures.holes = (figures.holes.0 + 1, figures.holes.1.max(hole));
            self.findings.note(now, Fault::Starved, String::new);
        }
        if let Some(behind) = heard.behind {
            self.findings.note(now, Fault::Slow, || format!("{} behind", seconds(behind)));
        }
        if heard.full {
            self.findings.note(now, Fault::QueueOver, || format!("a further {octets} bytes"));
        }
    }

    fn mark(&mut self, now: Instant, name: String) {
        self.figures.marks += 1;
        let echo = self
            .returned
            .as_ref()
            .is_some_and(|(at, returned)| *returned == name && now.saturating_duration_since(*at) < AT_ONCE);
        self.again = if echo { self.again + 1 } else { 0 };
        if self.again >= LOOP {
            self.findings.note(now, Fault::MarkLoop, || format!("{name:?}"));
        }
        if self.playout.waits_for(&name) {
            self.findings.note(now, Fault::MarkTwice, || format!("{name:?}"));
        }
        if !self.playout.mark(now, name) {
            self.findings.note(now, Fault::MarkFlood, String::new);
        }
    }

    fn interrupted(&mut self, now: Instant) {
        self.has_spoken = true;
        self.waits = None;
        self.spoken_over = (!self.playout.queued(now).is_zero()).then_some(self.figures.clears);
    }

    fn falls_silent(&mut self, now: Instant) {
        let busy = self.playout.queued(now);
        match self.spoken_over.take() {
            Some(clears) if clears == self.figures.clears && !busy.is_zero() => {
                self.findings.note(now, Fault::NoBargeIn, || format!("{} were still queued", seconds(busy)));
            }
            _ if busy.is_zero() => self.waits = Some(now),
            _ => {}
        }
    }

    fn unread(&mut self, now: Instant) {
        if self.stopped.is_none() && !self.over {
            self.unread = true;
            self.findings.note(now, Fault::NotReading, || "100 messages waited".to_owned());
        }
    }

    fn closed(&mut self, now: Instant, code: Option<u16>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let normal = matches!(code, None | Some(1000 | 1001 | 1005));
        let named = || code.map_or("without a code".to_owned(), |code| format!("code {code}"));
        let fault = match (self.stopped, normal) {
            (None, true) => Some(Fault::EndsCall),
            (None, false) => Some(Fault::OddCode),
            (Some(_), false) => Some(Fault::OddCodeAfterStop),
            (Some(_), true) => None,
        };
        if let Some(fault) = fault {
            self.findings.note(now, fault, named);
        }
        self.figures.close = self.stopped.map(|stopped| now.saturating_duration_since(stopped));
        // A bot that is gone has no pong to send.
        self.pinged = self.pinged.filter(|pinged| now.saturating_duration_since(*pinged) > PONG);
    }
}

fn seconds(long: Duration) -> String {
    format!("{:.2} s", long.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Call {
        listener: Listener,
        now: Instant,
    }

    impl Call {
        fn started() -> Self {
            let mut call =
                Self { listener: Listener::new("b6".into(), SampleRate::Hz8000), now: Instant::now() };
            call.listener.handle(call.now, Input::Open(Duration::from_millis(3)));
            call.listener.handle(call.now, Input::Started);
            call
        }

        fn after(&mut self, ms: u64, input: Input<'_>) -> &mut Self {
            self.now += Duration::from_millis(ms);
            self.listener.handle(self.now, input);
            self
        }

        fn says(&mut self, after: u64, ms: usize) -> &mut Self {
            let payload = base64_simd::STANDARD.encode_to_string(vec![1; 16 * ms]);
            let text = format!(r#"{{"event":"media","stream_sid":"b6","media":{{"payload":"{payload}"}}}}"#);
            self.after(after, Input::Text(&text))
        }

        fn marks(&mut self, after: u64, name: &str) -> &mut Self {
            let text = format!(r#"{{"event":"mark","stream_sid":"b6","mark":{{"name":"{name}"}}}}"#);
            self.after(after, Input::Text(&text))
        }

        fn faults(self) -> Vec<Fault> {
            let (_, findings) = self.listener.finish(self.now);
            findings.into_iter().map(|finding| finding.fault).collect()
        }
    }

    const CLEAR: &str = r#"{"event":"clear","stream_sid":"b6"}"#;

    #[test]
    fn a_bot_that_greets_listens_and_is_interrupted_has_no_fault() {
        let mut call = Call::started();
        call.says(300, 1000).marks(0, "greeting").after(1500, Input::Pinged).after(5, Input::Pong);
        call.after(10, Input::Speaks(true))
            .after(900, Input::Speaks(false))
            .says(700, 3000)
            .marks(0, "answer");
        call.after(500, Input::Speaks(true)).after(200, Input::Text(CLEAR)).after(300, Input::Speaks(false));
        call.after(3000, Input::Stopped).after(10, Input::Closed(Some(1000)));
        assert_eq!(call.faults(), []);
    }

    #[test]
    fn one_that_talks_on_answers_late_or_never_marks_is_told() {
        let mut call = Call::started();
        call.says(0, 3000).after(500, Input::Speaks(true)).after(900, Input::Speaks(false));
        call.after(3000, Input::Speaks(true)).after(900, Input::Speaks(false)).says(2100, 200);
        assert_eq!(call.faults(), [Fault::SlowReply, Fault::NoBargeIn, Fault::NoMarks]);
    }

    #[test]
    fn marks_sent_straight_back_are_a_loop_and_a_name_used_twice_is_told() {
        let mut call = Call::started();
        call.says(0, 200);
        for _ in 0..4 {
            call.marks(500, "a").after(0, Input::Returned("a"));
            assert_eq!(call.listener.due(call.now), Some("a".to_owned()));
            call.marks(50, "a").after(0, Input::Returned("a"));
            assert!(call.listener.due(call.now).is_some());
        }
        assert_eq!(call.faults(), []);
        let mut call = Call::started();
        for _ in 0..5 {
            call.marks(50, "a");
            assert_eq!(call.listener.due(call.now), Some("a".to_owned()));
            call.after(0, Input::Returned("a"));
        }
        call.says(0, 500).marks(0, "b").marks(0, "b");
        assert_eq!(call.faults(), [Fault::MarkLoop, Fault::MarkTwice]);
    }

    #[test]
    fn how_it_ends_is_judged() {
        let ended = |input: &[Input<'_>]| {
            let mut call = Call::started();
            call.says(0, 200).marks(0, "a");
            for input in input {
                call.after(1000, *input);
            }
            call.faults()
        };
        assert_eq!(ended(&[Input::Closed(Some(1000))]), [Fault::EndsCall]);
        assert_eq!(ended(&[Input::Closed(Some(4400)), Input::Broken("eof")]), [Fault::OddCode]);
        assert_eq!(ended(&[Input::Broken("reset")]), [Fault::Lost]);
        assert_eq!(ended(&[Input::Stopped, Input::Closed(Some(1011))]), [Fault::OddCodeAfterStop]);
        assert_eq!(ended(&[Input::Stopped, Input::Text(CLEAR)]), [Fault::AfterStop]);
        assert_eq!(ended(&[Input::Stopped, Input::Unanswered, Input::Broken("eof")]), [Fault::NoClose]);
        assert_eq!(ended(&[Input::Unread, Input::Stopped]), [Fault::NotReading]);
        assert_eq!(ended(&[Input::Pinged, Input::Stopped, Input::Pong]), []);
        assert_eq!(ended(&[Input::Pinged, Input::Stopped, Input::Stopped, Input::Stopped]), [Fault::NoPong]);
    }

    #[test]
    fn ignored_messages_are_counted_within_ten_seconds() {
        let mut call = Call::started();
        call.says(0, 200).marks(0, "a");
        for _ in 0..200 {
            call.after(10, Input::Binary(3));
        }
        for _ in 0..100 {
            call.after(80, Input::Text("?"));
        }
        assert_eq!(call.now - call.listener.started.unwrap(), Duration::from_secs(10));
        let mut slower = Call::started();
        slower.says(0, 200).marks(0, "a");
        for _ in 0..300 {
            slower.after(51, Input::Binary(3));
        }
        assert!(call.faults().contains(&Fault::Nonsense));
        assert_eq!(slower.faults(), [Fault::Binary]);
    }

    #[test]
    fn what_comes_before_start_is_told_as_that() {
        let mut call = Call { listener: Listener::new("b6".into(), SampleRate::Hz8000), now: Instant::now() };
        call.after(0, Input::Open(Duration::from_secs(3)));
        call.after(5, Input::Text(r#"{"event":"clear"}"#)).after(5, Input::Started);
        call.says(0, 200).marks(0, "a");
        assert_eq!(call.faults(), [Fault::SlowConnect, Fault::BeforeStart]);
    }
}
