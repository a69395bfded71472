//! The conformance checklist of agentstream.md section 16, as far as it needs no socket, in simulated time.
#![allow(clippy::disallowed_methods)] // any beginning will do: the clock jumps

use serde_json::Value;

use super::*;
use crate::ids::{CallSid, Entropy, StreamSid};
use crate::stream::{DisconnectedBy, Disposition, Outcome, Status};
use crate::units::SampleRate;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const BY: (DisconnectedBy, DisconnectedBy, DisconnectedBy) =
    (DisconnectedBy::User, DisconnectedBy::Bot, DisconnectedBy::NotApplicable);

/// A session, its clock, and what came out of it.
struct World {
    now: Instant,
    session: Session,
    /// Messages and `ping`, `close 1000`.
    said: Vec<String>,
    orders: Vec<Play>,
    events: Vec<Event>,
    /// The socket takes nothing.
    blocked: bool,
}

impl World {
    fn with(config: Config, url: &str, frame_ms: u32) -> Self {
        let (now, mut entropy) = (Instant::now(), Entropy::seeded(7));
        let start = Start {
            stream_sid: StreamSid::fresh(&mut entropy),
            call_sid: CallSid::fresh(&mut entropy),
            account_sid: "acme1".into(),
            from: "sip:08061234509".into(),
            to: "01512340321".into(),
            custom_parameters: vec![("UUI".into(), "A1".into())],
            rate: SampleRate::Hz8000,
        };
        let url = BotUrl::parse(url).expect("a URL");
        let settings = Settings { frame_ms, ..Settings::of(&config) };
        let session = Session::new(Arc::new(config), start, &url, &settings, now);
        Self { now, session, said: vec![], orders: vec![], events: vec![], blocked: false }
    }

    fn connecting() -> Self {
        Self::with(Config::default(), "wss://k:t@bot.example.com/x?key=v", 20)
    }

    /// Up, with `connected`, `start` and `Event::Up` taken.
    fn up() -> Self {
        Self::connecting().opened()
    }

    fn opened(mut self) -> Self {
        self.session.attempted(1);
        self.give(Input::Up { connect: 30 * MS });
        assert_eq!(self.events(), [Event::Up { connect: 30 * MS, attempts: 1 }]);
        assert_eq!(self.said(), ["connected", "start"]);
        self
    }

    fn give(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut text = String::new();
        while let Some(transmit) =
            (!self.blocked).then(|| self.session.poll_transmit(self.now, &mut text)).flatten()
        {
            self.said.push(match transmit {
                Transmit::Text => text.clone(),
                Transmit::Ping => "ping".into(),
                Transmit::Close(code) => format!("close {code}"),
            });
        }
        self.orders.extend(std::iter::from_fn(|| self.session.poll_play()));
        self.events.extend(std::iter::from_fn(|| self.session.poll_event()));
    }

    /// Lets time pass, waking the session when it asks.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.session.poll_timeout(self.now).filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.give(Input::Timeout);
        }
        self.now = until;
    }

    /// The caller is heard, frame by frame, for so long.
    fn heard(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 20 {
            self.pass(20 * MS);
            self.give(Input::Heard(&[7; 160]));
        }
    }

    fn text(&mut self, text: &str) {
        self.give(Input::Text(text));
    }

    fn audio(&mut self, octets: &[u8]) {
        let payload = base64_simd::STANDARD.encode_to_string(octets);
        self.text(&format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#));
    }

    fn mark(&mut self, name: &str) {
        self.text(&format!(r#"{{"event":"mark","mark":{{"name":"{name}"}}}}"#));
    }

    fn clear(&mut self) {
        self.text(r#"{"event":"clear"}"#);
    }

    /// The playout reports its next `count` marks from `first` on.
    fn reached(&mut self, marks: std::ops::Range<u32>, how: Reached) {
        marks.for_each(|mark| self.give(Input::Told(Told::Mark { mark, how })));
    }

    /// Events of what was said since the last look; marks with their names.
    fn said(&mut self) -> Vec<String> {
        let short = |text: String| match serde_json::from_str::<Value>(&text) {
            Ok(value) => match value["mark"]["name"].as_str() {
                Some(name) => format!("mark {name}"),
                None => value["event"].as_str().expect("an event").to_owned(),
            },
            Err(_) => text,
        };
        self.said.drain(..).map(short).collect()
    }

    fn values(&mut self) -> Vec<Value> {
        self.said.drain(..).filter_map(|text| serde_json::from_str(&text).ok()).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn orders(&mut self) -> Vec<String> {
        let short = |order| match order {
            Play::Audio(samples) => format!("audio {}", samples.len()),
            Play::Clear { .. } => "clear".to_owned(),
            Play::MarksAndClear { first, last, .. } => format!("marks {first} to {last} and clear"),
            other => format!("{other:?}").to_lowercase(),
        };
        self.orders.drain(..).map(short).collect()
    }

    fn outcome(&mut self) -> Box<Outcome> {
        match self.events().pop() {
            Some(Event::Ended(outcome)) => outcome,
            other => panic!("no outcome but {other:?}"),
        }
    }

    fn words(&mut self) -> (Status, DisconnectedBy, Disposition) {
        let outcome = self.outcome();
        (outcome.status, outcome.disconnected_by, outcome.disposition)
    }
}

fn numbers(values: &[Value], path: &str) -> Vec<u64> {
    let read = |value: &Value| {
        value.pointer(path).map(|text| text.as_str().expect("a string").parse().expect("a number"))
    };
    values.iter().filter_map(read).collect()
}

#[test]
fn connected_and_start_come_first_and_alone() {
    let mut world = World::connecting();
    world.blocked = true;
    world.give(Input::Heard(&[1; 1000]));
    world.give(Input::Up { connect: MS });
    let five = Digit::from_char('5').expect("a key");
    world.give(Input::Told(Told::Digit { digit: five, held: 160 * MS }));
    world.mark("early");
    world.pass(11 * SECOND);
    world.blocked = false;
    world.give(Input::Timeout);
    assert_eq!(world.said()[..3], ["connected", "start", "ping"]);
}

#[test]
fn numbers_count_up_over_all_messages_and_timestamps_step_by_the_frame() {
    for frame_ms in [20, 40, 60, 80, 100] {
        let mut world = World::with(Config::default(), "wss://h/", frame_ms);
        world.give(Input::Up { connect: MS });
        world.heard(1200 * MS);
        let five = Digit::from_char('5').expect("a key");
        world.give(Input::Told(Told::Digit { digit: five, held: 160 * MS }));
        world.mark("m");
        world.reached(0..1, Reached::Idle);
        world.heard(1200 * MS);
        world.give(Input::Stop(Stop::CallEnded));
        let values = world.values();
        let all = numbers(&values, "/sequence_number");
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
        let frames = 2400 / u64::from(frame_ms);
        assert_eq!(numbers(&values, "/media/chunk"), (1..=frames).collect::<Vec<_>>());
        let times: Vec<_> = (0..frames).map(|frame| frame * u64::from(frame_ms)).collect();
        assert_eq!(numbers(&values, "/media/timestamp"), times);
        assert_eq!(values.last().map(|value| value["stop"]["reason"].clone()), Some("callended".into()));
    }
}

#[test]
fn payloads_are_20_ms_of_the_rate_asked_for() {
    for (rate, octets) in [(8000, 320), (16000, 640), (24000, 960)] {
        let mut world = World::with(Config::default(), &format!("wss://h/?sample-rate={rate}"), 20);
        world.give(Input::Up { connect: MS });
        let samples: Vec<i16> = (0..rate / 50).map(|i| i as i16 - 100).collect();
        world.give(Input::Heard(&samples));
        let values = world.values();
        assert_eq!(values[1]["start"]["media_format"]["sample_rate"], rate.to_string());
        let payload = values[2]["media"]["payload"].as_str().expect("a payload");
        let pcm = base64_simd::STANDARD.decode_to_vec(payload).expect("base64");
        assert_eq!(pcm.len(), octets);
        let back: Vec<i16> = pcm.as_chunks::<2>().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        assert_eq!(back, samples);
    }
}

#[test]
fn what_the_caller_said_before_start_comes_right_after_it_at_most_3_s() {
    let mut world = World::connecting();
    for second in 0..5i16 {
        world.give(Input::Heard(&[second; 8000]));
    }
    world.give(Input::Heard(&[9; 100])); // an odd piece: the first sample kept is where time begins
    assert!(world.said().is_empty());
    world.give(Input::Up { connect: MS });
    let values = world.values();
    assert_eq!(values.len(), 2 + 150);
    assert_eq!(numbers(&values, "/media/timestamp")[..3], [0, 20, 40]);
    let first = values[2]["media"]["payload"].as_str().expect("a payload");
    let pcm = base64_simd::STANDARD.decode_to_vec(first).expect("base64");
    assert_eq!(pcm[..2], [2, 0]);
}

#[test]
fn keys_pressed_before_start_come_after_it() {
    let mut world = World::connecting();
    let star = Digit::from_char('*').expect("a key");
    world.give(Input::Told(Told::Digit { digit: star, held: 40 * MS }));
    world.give(Input::Up { connect: MS });
    assert_eq!(world.said(), ["connected", "start", "dtmf"]);
}

#[test]
fn a_key_press_is_one_message_of_strings() {
    let mut world = World::up();
    let five = Digit::from_char('5').expect("a key");
    world.give(Input::Told(Told::Digit { digit: five, held: 160 * MS }));
    assert_eq!(world.values()[0]["dtmf"], serde_json::json!({"duration": "160", "digit": "5"}));
}

#[test]
fn a_slow_bot_loses_the_oldest_audio_and_no_control() {
    let mut world = World::up();
    world.blocked = true;
    world.heard(SECOND);
    world.mark("kept");
    world.reached(0..1, Reached::Idle);
    world.heard(4 * SECOND);
    world.blocked = false;
    world.give(Input::Timeout);
    let values = world.values();
    let chunks = numbers(&values, "/media/chunk");
    assert_eq!(chunks, (151..=250).collect::<Vec<_>>());
    assert_eq!(values[0]["mark"]["name"], "kept");
    assert_eq!(numbers(&values, "/media/timestamp")[0], 3000);
    let sequence = numbers(&values, "/sequence_number");
    assert_eq!((sequence[0], sequence[1]), (52, 153), "the gap shows the loss");
    world.give(Input::Stop(Stop::CallEnded));
    assert_eq!(world.outcome().figures.dropped_out, 150);
}

#[test]
fn audio_kept_from_before_start_does_not_count_as_waiting() {
    let mut world = World::connecting();
    world.give(Input::Heard(&[1; 24_000]));
    world.blocked = true;
    world.give(Input::Up { connect: MS });
    world.heard(3 * SECOND);
    world.blocked = false;
    world.give(Input::Timeout);
    let chunks = numbers(&world.values(), "/media/chunk");
    assert_eq!(chunks, (1..=150).chain(201..=300).collect::<Vec<_>>());
}

#[test]
fn a_socket_that_takes_nothing_for_15_s_is_given_up() {
    let mut world = World::up();
    world.heard(SECOND);
    world.blocked = true;
    for _ in 0..14 {
        world.heard(SECOND);
        world.give(Input::Control);
    }
    assert!(world.events().is_empty());
    world.heard(2 * SECOND);
    let outcome = world.outcome();
    assert_eq!(outcome.error, Some(StreamError::Unresponsive));
    assert_eq!(outcome.disposition, Disposition::ConnectionLost);
    assert!(world.session.is_over());
}

#[test]
fn octets_that_go_are_progress() {
    let mut world = World::up();
    world.blocked = true;
    for _ in 0..30 {
        world.heard(SECOND);
        world.give(Input::Control);
        world.give(Input::Progress);
    }
    assert!(world.events().is_empty());
}

#[test]
fn any_id_and_any_chunk_size_is_played_without_gap() {
    let mut world = World::up();
    let pcm: Vec<u8> = (0..48_000u32).map(|i| i as u8).collect();
    let (mut rest, mut sizes) = (&pcm[..], [1, 20, 801, 4096, 3, 640].iter().cycle());
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rest.len().min(*sizes.next().expect("endless")));
        world.audio(piece);
        rest = later;
    }
    let mut played = vec![];
    for order in world.orders.drain(..) {
        let Play::Audio(samples) = order else { panic!("{order:?}") };
        played.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    }
    assert_eq!(played, pcm);
    assert_eq!(world.events(), [Event::FirstAudio]);
    assert_eq!(world.session.tally().drops(Drop::Nonsense), 0);
}

#[test]
fn marks_come_back_once_and_in_order_as_the_playout_reaches_them() {
    let mut world = World::up();
    for name in ["pre", "same", "same"] {
        world.audio(&[1; 320]);
        world.mark(name);
    }
    assert_eq!(world.orders(), ["audio 160", "mark(0)", "audio 160", "mark(1)", "audio 160", "mark(2)"]);
    assert!(world.said().is_empty());
    world.reached(0..3, Reached::Played);
    world.reached(0..3, Reached::Played);
    assert_eq!(world.said(), ["mark pre", "mark same", "mark same"]);
}

#[test]
fn a_bot_that_echoes_marks_cannot_spin_the_stream() {
    let mut world = World::up();
    let (mut sent, mut number) = (0, 0);
    world.mark("m");
    for _ in 0..500 {
        for _ in 0..20 {
            world.reached(number..number + 1, Reached::Idle);
            let back = world.said().iter().filter(|said| said.starts_with("mark")).count();
            sent += back;
            (0..back).for_each(|_| world.mark("m"));
            number += back as u32;
        }
        world.pass(2 * MS);
    }
    assert!((590..=601).contains(&sent), "{sent} marks in a second");
}

#[test]
fn waiting_idle_marks_go_back_as_time_passes() {
    let mut world = World::up();
    (0..700).for_each(|i| world.mark(&i.to_string()));
    world.reached(0..700, Reached::Idle);
    assert_eq!(world.said().len(), 500);
    world.pass(SECOND);
    assert_eq!(world.said().len(), 100);
    world.clear();
    assert_eq!(world.said().len(), 100, "a clear lets the rest go at once");
}

#[test]
fn a_clear_drops_what_waits_here_and_passes_marks_on_before_it() {
    let mut world = World::up();
    world.audio(&[1; 320]);
    world.mark("a");
    let held: Vec<_> = std::iter::from_fn(|| world.session.poll_play()).collect();
    assert!(held.is_empty(), "all was taken by the ring");
    world.orders.clear();
    world.audio(&[1; 3]);
    world.orders.clear();
    world.clear();
    assert_eq!(world.orders(), ["clear"]);
    world.reached(0..1, Reached::Cleared);
    assert_eq!(world.said(), ["mark a"]);
    world.audio(&[1, 0]); // the odd octet before the clear is forgotten
    assert!(matches!(&world.orders[..], [Play::Audio(samples)] if samples[..] == [1]));
}

#[test]
fn marks_beyond_the_limit_are_dropped_and_those_accepted_come_back() {
    let mut world = World::up();
    world.audio(&[1; 320]);
    (0..9000).for_each(|i| world.mark(&i.to_string()));
    world.clear();
    world.reached(0..9000, Reached::Cleared);
    let said = world.said();
    assert_eq!((said.len(), said.last().map(String::as_str)), (8192, Some("mark 8191")));
    assert_eq!(world.session.tally().drops(Drop::TooManyMarks), 808);
}

#[test]
fn a_marks_name_comes_back_as_it_was_and_a_number_as_text() {
    let mut world = World::up();
    world.mark(r#"q\"\\\u00fc😀\ud800"#);
    world.text(r#"{"event":"mark","mark":{"name":17}}"#);
    world.text(r#"{"event":"mark","mark":{}}"#);
    world.reached(0..3, Reached::Idle);
    let said: Vec<_> = world.said.drain(..).collect();
    assert!(said[0].contains(r#""mark":{"name":"q\"\\\u00fc😀\ud800"}"#), "{said:?}");
    assert!(said[1].contains(r#""mark":{"name":"17"}"#));
    assert_eq!(said.len(), 2);
}

#[test]
fn nonsense_is_borne_and_too_much_of_it_is_not() {
    let mut world = World::up();
    let nonsense = ["not json", "[]", r#"{"event":"dtmf"}"#, r#"{"event":"media","media":{"payload":"%%"}}"#];
    for text in nonsense.iter().cycle().take(199) {
        world.text(text);
    }
    world.give(Input::Binary);
    world.audio(&[1, 0]);
    assert_eq!(world.events(), [Event::FirstAudio]);
    world.pass(10 * SECOND);
    world.said();
    (0..200).for_each(|_| world.text("x"));
    assert!(world.said().is_empty());
    world.text("x");
    assert_eq!(world.said(), ["close 1008"]);
    let outcome = world.outcome();
    assert_eq!((outcome.status, outcome.disconnected_by), (Status::Failed, DisconnectedBy::Bot));
    assert_eq!(outcome.disposition, Disposition::ProtocolError);
    assert_eq!(outcome.figures.ignored, 401);
    assert!(outcome.error.is_some_and(|error| error.to_string().starts_with("3013 protocol violation")));
}

#[test]
fn media_without_a_payload_and_nameless_marks_are_only_counted() {
    let mut world = World::up();
    for _ in 0..300 {
        world.text(r#"{"event":"media","media":{"payload":""}}"#);
        world.text(r#"{"event":"mark","mark":{}}"#);
    }
    world.give(Input::Stop(Stop::CallEnded));
    assert_eq!(world.outcome().figures.ignored, 600);
}

#[test]
fn control_frames_are_borne_at_100_a_second_and_no_more() {
    let mut world = World::up();
    for _ in 0..300 {
        world.give(Input::Control);
        world.pass(10 * MS);
    }
    assert!(world.events().is_empty());
    (0..101).for_each(|_| world.give(Input::Control));
    assert_eq!(world.said().last().map(String::as_str), Some("close 1008"));
}

#[test]
fn a_message_too_big_or_never_complete_ends_the_stream() {
    let mut world = World::up();
    world.text(&format!(r#"{{"x":"{}"}}"#, "y".repeat(1 << 20)));
    assert_eq!(world.said(), ["close 1009"]);
    let mut world = World::up();
    world.give(Input::Framing { complete: 4, open: true });
    world.pass(9 * SECOND);
    world.give(Input::Framing { complete: 5, open: true });
    world.pass(9 * SECOND);
    assert!(world.events().is_empty(), "another message");
    world.pass(SECOND);
    assert_eq!(world.said().last().map(String::as_str), Some("close 1008"));
}

#[test]
fn a_ping_goes_out_every_10_s_and_silence_of_30_s_is_the_end() {
    let mut world = World::up();
    for _ in 0..4 {
        world.pass(10 * SECOND);
        assert_eq!(world.said(), ["ping"]);
        world.give(Input::Control); // its pong
    }
    world.pass(29 * SECOND);
    assert!(world.events().is_empty());
    world.pass(SECOND);
    let outcome = world.outcome();
    assert_eq!(outcome.error, Some(StreamError::Unresponsive));
    assert!(world.session.is_over());
}

#[test]
fn the_caller_hangs_up_and_stop_is_the_last_message() {
    let mut world = World::up();
    world.heard(SECOND);
    world.audio(&[1; 32_000]);
    world.mark("unheard");
    world.give(Input::Heard(&[1; 100])); // not a whole frame
    world.said();
    world.give(Input::Stop(Stop::CallEnded));
    assert_eq!(world.said(), ["mark unheard", "stop", "close 1000"]);
    let outcome = world.outcome();
    assert_eq!(outcome.duration, SECOND);
    assert_eq!((outcome.playing_out, outcome.error), (false, None));
    assert_eq!((outcome.status, outcome.disposition), (Status::Completed, Disposition::CallerHangup));
    assert_eq!(world.orders().last().map(String::as_str), Some("clear"));
}

#[test]
fn whatever_the_peer_does_after_stop_has_no_influence() {
    let mut world = World::up();
    world.give(Input::Stop(Stop::Stopped));
    assert_eq!(world.said(), ["stop", "close 1000"]);
    assert_eq!(world.words(), (Status::Completed, BY.2, Disposition::Stopped));
    world.orders();
    world.audio(&[1; 320]);
    world.give(Input::Binary);
    world.give(Input::Told(Told::Mark { mark: 0, how: Reached::Played }));
    world.give(Input::Stop(Stop::CallEnded));
    world.give(Input::Lost("reset"));
    assert_eq!((world.said().len(), world.orders().len(), world.events().len()), (0, 0, 0));
    assert!(world.session.is_over());
}

#[test]
fn a_bot_that_ignores_stop_is_left_after_2_s() {
    let mut world = World::up();
    world.give(Input::Stop(Stop::CallEnded));
    assert_eq!(world.outcome().error, None);
    world.pass(1999 * MS);
    assert!(!world.session.is_over());
    world.pass(MS);
    assert!(world.session.is_over());
}

#[test]
fn a_bot_that_takes_not_even_stop_is_told_of_after_2_s() {
    let mut world = World::up();
    world.blocked = true;
    world.heard(SECOND);
    world.give(Input::Stop(Stop::CallEnded));
    assert!(world.events().is_empty());
    world.pass(2 * SECOND);
    assert_eq!(world.words(), (Status::Completed, BY.0, Disposition::CallerHangup));
    assert!(world.session.is_over());
}

#[test]
fn shutdown_says_stopped_and_closes_with_1001() {
    let mut world = World::up();
    world.give(Input::Stop(Stop::Shutdown));
    let reason = serde_json::from_str::<Value>(&world.said[0]).expect("JSON")["stop"]["reason"].clone();
    assert_eq!(reason, "stopped");
    assert_eq!(world.said(), ["stop", "close 1001"]);
    assert_eq!(world.words(), (Status::Completed, BY.2, Disposition::Shutdown));
}

#[test]
fn the_duration_limit_ends_a_stream() {
    let config = Config { max_stream_duration: 5 * SECOND, ..Config::default() };
    let mut world = World::with(config, "wss://h/", 20);
    world.give(Input::Up { connect: MS });
    world.heard(4980 * MS);
    world.said();
    world.pass(20 * MS);
    assert_eq!(world.said(), ["stop", "close 1000"]);
    let outcome = world.outcome();
    assert_eq!((outcome.disposition, outcome.duration), (Disposition::DurationLimit, 5 * SECOND));
}

#[test]
fn the_bot_closes_and_what_it_said_plays_up_to_the_last_sound() {
    for code in [Some(1000), Some(1001), None] {
        let mut world = World::up();
        world.audio(&[1; 16_000]);
        world.audio(&[0; 16_000]);
        world.mark("never back");
        world.give(Input::Closed { code, reason: "" });
        let outcome = world.outcome();
        assert_eq!((outcome.status, outcome.disposition), (Status::Completed, Disposition::BotClosed));
        assert!(outcome.playing_out);
        assert_eq!(world.orders().last().map(String::as_str), Some("finish { until: 8000 }"));
        assert!(world.said().is_empty(), "no stop to a bot that closed");
        world.give(Input::Lost("EOF"));
        assert!(world.session.is_over() && world.events().is_empty());
    }
}

#[test]
fn any_other_close_is_an_error_and_nothing_is_played_out() {
    for code in [1011, 4400, 1002] {
        let mut world = World::up();
        world.audio(&[1; 16_000]);
        world.give(Input::Closed { code: Some(code), reason: "ouch" });
        let outcome = world.outcome();
        assert_eq!(outcome.error, Some(StreamError::ClosedByPeer { code, reason: "ouch".into() }));
        assert_eq!(outcome.disposition, Disposition::BotError);
        assert!(!outcome.playing_out);
        assert_eq!(world.orders().last().map(String::as_str), Some("clear"));
    }
}

#[test]
fn a_connection_that_breaks_is_lost() {
    let mut world = World::up();
    world.audio(&[1; 16_000]);
    world.give(Input::Lost("connection reset by peer"));
    let outcome = world.outcome();
    let text = outcome.error.map(|error| error.to_string());
    assert_eq!(text.as_deref(), Some("3011 ws connection lost: connection reset by peer"));
    assert_eq!((outcome.status, outcome.disconnected_by), (Status::Failed, BY.2));
    assert!(!outcome.playing_out && world.session.is_over());
}

#[test]
fn a_bot_that_says_stop_has_a_second_to_close() {
    let mut world = World::up();
    world.audio(&[1; 16_000]);
    world.mark("m");
    world.text(r#"{"event":"stop"}"#);
    world.heard(980 * MS);
    world.said();
    world.pass(20 * MS);
    assert_eq!(world.said(), ["mark m", "stop", "close 1000"]);
    let outcome = world.outcome();
    assert_eq!((outcome.status, outcome.disconnected_by), (Status::Completed, BY.1));
    assert!(outcome.playing_out);
    assert_eq!(world.orders().last().map(String::as_str), Some("finish { until: 8000 }"));
}

#[test]
fn a_bot_that_says_stop_and_closes_in_any_way_has_closed() {
    for end in [
        Input::Closed { code: Some(1000), reason: "" },
        Input::Closed { code: Some(1011), reason: "" },
        Input::Lost("EOF"),
    ] {
        let mut world = World::up();
        world.text(r#"{"event":"stop"}"#);
        world.give(end);
        assert_eq!(world.words(), (Status::Completed, BY.1, Disposition::BotClosed));
        assert!(world.said().is_empty());
    }
}

#[test]
fn a_caller_who_hangs_up_while_we_connect_has_cancelled() {
    let mut world = World::connecting();
    world.session.attempted(1);
    world.give(Input::Stop(Stop::CallEnded));
    let outcome = world.outcome();
    assert_eq!((outcome.status, outcome.disconnected_by), (Status::Cancelled, BY.0));
    assert_eq!(outcome.disposition, Disposition::CallerHangupDuringSetup);
    assert_eq!((outcome.duration, outcome.stream_sid.is_some()), (Duration::ZERO, true));
    assert_eq!(outcome.url.as_deref(), Some("wss://bot.example.com/x?key=v"));
    assert!(world.said().is_empty() && world.session.is_over());
}

#[test]
fn a_bot_that_is_not_reached_has_failed_with_duration_0() {
    let mut world = World::connecting();
    world.session.attempted(2);
    let error = StreamError::Connect { reason: "unexpected status 403".into(), cause: "status" };
    world.give(Input::Failed(error.clone()));
    let outcome = world.outcome();
    assert_eq!((outcome.error, outcome.duration, outcome.figures.attempts), (Some(error), Duration::ZERO, 2));
    assert_eq!(outcome.disposition, Disposition::ConnectFailed);
    assert!(world.session.is_over());
}

#[test]
fn audio_beyond_the_queue_is_refused_told_once_and_counted() {
    let config = Config { max_queue: 10 * SECOND, ..Config::default() };
    let mut world = World::with(config, "wss://h/", 20).opened();
    (0..3).for_each(|_| world.audio(&[1; 96_000]));
    assert_eq!(world.events(), [Event::FirstAudio, Event::QueueFull]);
    world.session.taken(40_000);
    world.audio(&[1; 32_000]);
    world.give(Input::Stop(Stop::CallEnded));
    let figures = world.outcome().figures;
    assert_eq!((figures.received_ms, figures.refused_ms, figures.played_ms), (12_000, 8_000, 5_000));
}

#[test]
fn figures_say_what_was_cleared_and_how_marks_came_back() {
    let mut world = World::up();
    world.pass(300 * MS);
    world.audio(&[1; 16_000]);
    world.mark("cleared");
    world.session.taken(2000);
    world.clear();
    world.reached(0..1, Reached::Cleared);
    world.audio(&[1; 3200]);
    world.mark("played");
    world.session.taken(9600);
    world.reached(1..2, Reached::Played);
    world.mark("unplayed");
    world.give(Input::Stop(Stop::CallEnded));
    let figures = world.outcome().figures;
    assert_eq!((figures.received_ms, figures.played_ms, figures.cleared_ms), (1200, 450, 750));
    assert_eq!((figures.marks_received, figures.marks_played, figures.marks_cleared), (3, 1, 2));
    assert_eq!((figures.messages_in, figures.messages_out), (6, 6));
    assert_eq!(figures.first_audio, Some(300 * MS));
}

#[test]
fn orders_the_ring_cannot_take_stay_in_order_and_a_clear_overtakes_their_audio() {
    let mut world = World::up();
    world.blocked = true;
    let media = |text: &str| format!(r#"{{"event":"media","media":{{"payload":"{text}"}}}}"#);
    let (now, audio) = (world.now, media(&base64_simd::STANDARD.encode_to_string([1; 320])));
    for text in [&audio, &audio, r#"{"event":"mark","mark":{"name":"m"}}"#, &audio] {
        world.session.handle(now, Input::Text(text));
    }
    let first = world.session.poll_play().expect("an order");
    assert!(matches!(&first, Play::Audio(samples) if samples.len() == 320), "joined while they wait");
    world.session.give_back(first);
    world.session.handle(now, Input::Text(r#"{"event":"clear"}"#));
    world.drain();
    assert_eq!(world.orders(), ["marks 0 to 0 and clear"]);
}
