//! A voice bot: what it hears, each message with its time, and what it says.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use serde_json::{Value, json};
use streamkit::stream::connect::Failure;

use super::clock::{Frame, ms};

/// How a bot's door answers one attempt.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// The upgrade is done after this.
    Opens(Duration),
    /// The attempt fails after this.
    Fails(Duration, Failure),
    /// Nothing is heard of the upgrade, ever.
    Silent,
}

/// What a bot does with each message, besides keeping it.
pub(crate) type Script = fn(&mut Bot, &Value);

/// Octets of a message of ours.
const CHUNK: usize = 3200;

/// One bot, on one socket.
#[derive(Debug)]
pub(crate) struct Bot {
    /// Samples a second.
    pub(crate) rate: u32,
    /// Milliseconds of each message it is to get.
    pub(crate) frame_ms: u32,
    /// Everything that came, and when.
    pub(crate) heard: Vec<(Instant, Value)>,
    /// It answers a close frame, and pings.
    pub(crate) polite: bool,
    /// It reads its socket.
    pub(crate) reads: bool,
    /// It did not always: audio may be missing.
    pub(crate) slow: bool,
    /// Nothing is sent to it for a while: time may be left out.
    pub(crate) skipped: bool,
    /// The connection is gone.
    pub(crate) gone: bool,
    script: Script,
    /// What it sends, and how long from now.
    pub(crate) outbox: VecDeque<(Duration, Frame)>,
}

impl Bot {
    pub(crate) fn new(rate: u32, script: Script) -> Self {
        let (heard, outbox) = (Vec::new(), VecDeque::new());
        Self {
            rate,
            frame_ms: 20,
            heard,
            polite: true,
            reads: true,
            slow: false,
            skipped: false,
            gone: false,
            script,
            outbox,
        }
    }

    // ---- what it does ----

    /// Says this as fast as the socket takes it.
    pub(crate) fn say(&mut self, samples: &[i16]) {
        self.say_in(CHUNK, samples);
    }

    /// The same, in messages of so many octets.
    pub(crate) fn say_in(&mut self, octets: usize, samples: &[i16]) {
        for piece in pcm(samples).chunks(octets) {
            self.send(media(piece));
        }
    }

    /// Says this in real time, 20 ms a message.
    pub(crate) fn say_live(&mut self, samples: &[i16]) {
        let frame = (self.rate / 25) as usize;
        self.say_every(ms(20), frame, samples);
    }

    /// Says this in messages of so many octets, one every so often.
    pub(crate) fn say_every(&mut self, pause: Duration, octets: usize, samples: &[i16]) {
        for (place, piece) in pcm(samples).chunks(octets).enumerate() {
            self.outbox.push_back((pause * place as u32, Frame::Text(media(piece).to_string())));
        }
    }

    /// Stops reading its socket.
    pub(crate) fn sleep(&mut self) {
        (self.reads, self.slow) = (false, true);
    }

    pub(crate) fn mark(&mut self, name: &str) {
        self.send(json!({"event": "mark", "mark": {"name": name}}));
    }

    pub(crate) fn clear(&mut self) {
        self.send(json!({"event": "clear"}));
    }

    pub(crate) fn send(&mut self, message: Value) {
        self.frame(Frame::Text(message.to_string()));
    }

    pub(crate) fn close(&mut self, code: u16) {
        self.frame(Frame::Close(Some(code), String::new()));
    }

    /// Its process dies.
    pub(crate) fn die(&mut self) {
        self.frame(Frame::Gone);
    }

    pub(crate) fn frame(&mut self, frame: Frame) {
        self.outbox.push_back((Duration::ZERO, frame));
    }

    /// Takes what streamkit sent.
    pub(crate) fn take(&mut self, now: Instant, frame: Frame) {
        match frame {
            Frame::Text(text) => {
                let message: Value = serde_json::from_str(&text).expect("streamkit writes JSON");
                self.heard.push((now, message.clone()));
                (self.script)(self, &message);
            }
            Frame::Ping if self.polite => self.frame(Frame::Pong),
            Frame::Close(code, reason) => {
                self.heard.push((now, json!({"event": "close", "code": code, "reason": reason})));
                if self.polite {
                    self.close(1000);
                    self.frame(Frame::Gone);
                }
            }
            Frame::Gone => self.gone = true,
            Frame::Ping | Frame::Pong | Frame::Binary => {}
        }
    }

    // ---- what it heard ----

    /// The story so far: `connected start media dtmf:5 mark:a stop:callended close:1000`, media in a row told once.
    pub(crate) fn story(&self) -> String {
        let mut words: Vec<String> = self.heard.iter().map(|(_, message)| word(message)).collect();
        words.dedup_by(|next, last| next == "media" && last == "media");
        words.join(" ")
    }

    /// The story without the caller's audio.
    pub(crate) fn told(&self) -> String {
        self.story().replace(" media", "")
    }

    /// Messages of this event.
    pub(crate) fn all<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a (Instant, Value)> {
        self.heard.iter().filter(move |(_, message)| message["event"] == event)
    }

    pub(crate) fn start(&self) -> &Value {
        &self.all("start").next().expect("it was told of a start").1["start"]
    }

    /// When this mark came back first.
    pub(crate) fn marked(&self, name: &str) -> Instant {
        self.all("mark").find(|(_, mark)| mark["mark"]["name"] == name).expect("the mark came back").0
    }

    /// All the caller said.
    pub(crate) fn line(&self) -> Vec<i16> {
        self.all("media").flat_map(|(_, media)| samples(media)).collect()
    }

    /// agentstream.md sections 4 and 5: `connected`, `start`, numbers without a gap, frames of one length on one line.
    pub(crate) fn assert_well_told(&self) {
        let messages: Vec<&Value> = self.heard.iter().map(|(_, message)| message).collect();
        let Some(first) = messages.first() else { return };
        assert_eq!(**first, json!({"event": "connected"}));
        let (frame, step) = ((self.rate / 1000 * self.frame_ms) as usize, u64::from(self.frame_ms));
        let (mut number, mut chunk) = (0, 0);
        for message in &messages[1..] {
            if message["event"] == "close" {
                continue;
            }
            let last = number;
            number = digits(&message["sequence_number"]);
            assert!(number == last + 1 || self.slow && number > last, "{message}");
            assert_eq!(message["stream_sid"], messages[1]["stream_sid"]);
            if message["event"] == "media" {
                let last = chunk;
                chunk = digits(&message["media"]["chunk"]);
                assert!(chunk == last + 1 || self.slow && chunk > last, "{message}");
                let time = digits(&message["media"]["timestamp"]);
                match self.skipped {
                    true => assert!(time.is_multiple_of(step) && time >= (chunk - 1) * step, "{message}"),
                    false => assert_eq!(time, (chunk - 1) * step, "{message}"),
                }
                assert_eq!(samples(message).len(), frame);
            }
        }
        let ends = messages.iter().position(|message| message["event"] == "stop");
        let after = ends.map_or(0, |at| messages[at + 1..].iter().filter(|m| m["event"] != "close").count());
        assert_eq!(after, 0, "nothing follows a stop");
    }
}

/// A number as the protocol writes it.
pub(crate) fn digits(value: &Value) -> u64 {
    let text = value.as_str().expect("a string");
    let number = text.parse().expect("digits");
    assert_eq!(text, format!("{number}"), "no sign, no leading zero");
    number
}

fn word(message: &Value) -> String {
    let event = message["event"].as_str().unwrap_or_default();
    let of = |value: &Value| format!("{event}:{}", value.as_str().unwrap_or_default());
    match event {
        "dtmf" => of(&message["dtmf"]["digit"]),
        "mark" => of(&message["mark"]["name"]),
        "stop" => of(&message["stop"]["reason"]),
        "close" => format!("close:{}", message["code"]),
        _ => event.to_owned(),
    }
}

/// A message of audio as it should be.
pub(crate) fn media(pcm: &[u8]) -> Value {
    json!({"event": "media", "media": {"payload": STANDARD.encode_to_string(pcm)}})
}

/// Samples as octets.
pub(crate) fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn samples(media: &Value) -> Vec<i16> {
    let payload = media["media"]["payload"].as_str().expect("a payload");
    let pcm = STANDARD.decode_to_vec(payload).expect("base64");
    pcm.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}
