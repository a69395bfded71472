//! What a caller says, packet by packet: recordings, keys, and silence between. A pure core.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::audio::G711;
use crate::audio::codec::encode;
use crate::audio::tone::Tone;
use crate::rtp::digits::{DigitSender, Step};
use crate::rtp::sender::Sender;
use crate::units::{Digit, SampleRate};

/// A key is held so long, and so much silence follows it in band.
const TONE: Duration = Duration::from_millis(100);
const GAP: Duration = Duration::from_millis(70);
/// Utterances that may wait.
const WAITING: usize = 1000;

/// What the SDP agreed on, as far as a mouth needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) law: G711,
    pub(super) payload_type: u8,
    pub(super) telephone_event: Option<u8>,
    pub(super) ptime_ms: u8,
}

impl Terms {
    pub(super) fn ptime(self) -> Duration {
        Duration::from_millis(self.ptime_ms.max(1).into())
    }

    fn samples(self) -> usize {
        usize::from(self.ptime_ms.max(1)) * 8
    }
}

/// Something to say.
#[derive(Debug)]
pub(super) enum Utterance {
    /// Samples at 8000 Hz.
    Speech(Vec<i16>),
    /// A key.
    Key(Digit),
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Its name, or the key.
    pub name: String,
    /// When its first packet left.
    pub from: Instant,
    /// When the packet after its last was due.
    pub to: Instant,
}

#[derive(Debug)]
struct Waiting {
    name: String,
    what: Utterance,
    done: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
enum Saying {
    Octets { octets: Vec<u8>, sent: usize },
    Event { sender: DigitSender, start: u32, payload_type: u8 },
}

/// A mouth.
#[derive(Debug)]
pub(super) struct Mouth {
    terms: Terms,
    rtp: Sender,
    queue: VecDeque<Waiting>,
    saying: Option<(Saying, Spoken, Option<oneshot::Sender<()>>)>,
    spoken: Vec<Spoken>,
    silent: bool,
}

impl Mouth {
    pub(super) fn new(terms: Terms, rtp: Sender) -> Self {
        Self { terms, rtp, queue: VecDeque::new(), saying: None, spoken: Vec::new(), silent: false }
    }

    pub(super) fn agree(&mut self, terms: Terms) {
        self.terms = terms;
    }

    pub(super) fn say(&mut self, name: String, what: Utterance, done: Option<oneshot::Sender<()>>) {
        if self.queue.len() < WAITING {
            self.queue.push_back(Waiting { name, what, done });
        }
    }

    /// Drops what is being said and what waits.
    pub(super) fn hush(&mut self, now: Instant) {
        self.queue.clear();
        self.finish(now);
    }

    /// While silent no packet leaves; time goes on.
    pub(super) fn silence(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// The packet of this packet time, if one is to leave: its length in `out`.
    pub(super) fn packet(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let samples = self.terms.samples();
        if self.silent {
            self.rtp.skip(samples as u32);
            return None;
        }
        if self.saying.is_none() {
            self.begin(now);
        }
        match &mut self.saying {
            Some((Saying::Event { sender, start, payload_type }, ..)) => {
                let step = sender.step();
                let (payload_type, start) = (*payload_type, *start);
                match step {
                    Step::Event(event) => {
                        let length = self.rtp.event(payload_type, event.marker, start, &event.payload, out);
                        self.rtp.skip(samples as u32);
                        length
                    }
                    Step::Gap => {
                        self.rtp.skip(samples as u32);
                        None
                    }
                    Step::Done => {
                        self.finish(now);
                        self.packet(now, out)
                    }
                }
            }
            Some((Saying::Octets { octets, sent }, ..)) => {
                let end = (*sent + samples).min(octets.len());
                let mut frame = [self.terms.law.silence(); 480];
                let (part, frame) = (&octets[*sent..end], &mut frame[..samples]);
                frame[..part.len()].copy_from_slice(part);
                *sent = end;
                let over = end == octets.len();
                let length = self.rtp.audio(self.terms.payload_type, frame, out);
                if over {
                    self.finish(now + self.terms.ptime());
                }
                length
            }
            None => {
                let frame = [self.terms.law.silence(); 480];
                self.rtp.audio(self.terms.payload_type, &frame[..samples], out)
            }
        }
    }

    /// Packets whose time passed so long ago that they are not sent.
    pub(super) fn skip(&mut self, packets: u32) {
        self.rtp.skip(packets * self.terms.samples() as u32);
    }

    /// The numbers of what leaves.
    pub(super) fn rtp(&self) -> &Sender {
        &self.rtp
    }

    pub(super) fn ptime(&self) -> Duration {
        self.terms.ptime()
    }

    pub(super) fn into_spoken(mut self, now: Instant) -> Vec<Spoken> {
        self.finish(now);
        self.spoken
    }

    fn begin(&mut self, now: Instant) {
        let Some(Waiting { name, what, done }) = self.queue.pop_front() else { return };
        let saying = match what {
            Utterance::Speech(samples) => self.octets(&samples),
            Utterance::Key(digit) => match self.terms.telephone_event {
                Some(payload_type) => Saying::Event {
                    sender: DigitSender::new(digit, TONE, self.terms.ptime()),
                    start: self.rtp.timestamp(),
                    payload_type,
                },
                None => self.octets(&tone(digit)),
            },
        };
        self.saying = Some((saying, Spoken { name, from: now, to: now }, done));
    }

    fn octets(&self, samples: &[i16]) -> Saying {
        let mut octets = vec![0; samples.len()];
        encode(self.terms.law, samples, &mut octets);
        Saying::Octets { octets, sent: 0 }
    }

    fn finish(&mut self, now: Instant) {
        if let Some((_, spoken, done)) = self.saying.take() {
            self.spoken.push(Spoken { to: now, ..spoken });
            if let Some(done) = done {
                let _ = done.send(()); // nobody need be waiting
            }
        }
    }
}

/// The key as a pair of tones, for a peer that takes no telephone-event.
fn tone(digit: Digit) -> Vec<i16> {
    let rate = SampleRate::Hz8000;
    let mut samples = vec![0; rate.samples(TONE.as_millis() as u32)];
    Tone::digit(rate, digit).fill(&mut samples);
    samples.resize(samples.len() + rate.samples(GAP.as_millis() as u32), 0);
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::codec::decode;
    use crate::rtp::Packet;

    const TERMS: Terms = Terms { law: G711::A, payload_type: 8, telephone_event: Some(101), ptime_ms: 20 };

    fn run(mouth: &mut Mouth, packets: u32) -> Vec<Option<(u8, u32, Vec<u8>)>> {
        let (mut now, mut out) = (Instant::now(), [0; 600]);
        (0..packets)
            .map(|_| {
                now += Duration::from_millis(20);
                let length = mouth.packet(now, &mut out)?;
                let packet = Packet::read(&out[..length]).unwrap();
                Some((packet.payload_type, packet.timestamp, packet.payload.to_vec()))
            })
            .collect()
    }

    #[test]
    fn speech_leaves_in_packets_and_silence_follows() {
        let mut mouth = Mouth::new(TERMS, Sender::new(1, 1, 0));
        mouth.say("hello".into(), Utterance::Speech(vec![1000; 200]), None);
        let packets: Vec<_> = run(&mut mouth, 3).into_iter().map(Option::unwrap).collect();
        let mut samples = [0; 160];
        decode(G711::A, &packets[1].2, &mut samples);
        assert!(samples[..40].iter().all(|s| (900..1100).contains(s)));
        assert!(packets[2].2.iter().all(|o| *o == G711::A.silence()));
        assert_eq!(packets.iter().map(|p| p.1).collect::<Vec<_>>(), [0, 160, 320]);
        let spoken = mouth.into_spoken(Instant::now());
        assert_eq!((spoken.len(), spoken[0].to - spoken[0].from), (1, Duration::from_millis(40)));
    }

    #[test]
    fn a_key_has_one_timestamp_and_time_goes_on_over_it() {
        let mut mouth = Mouth::new(TERMS, Sender::new(1, 1, 0));
        mouth.say("5".into(), Utterance::Key(Digit::from_char('5').unwrap()), None);
        let packets = run(&mut mouth, 16);
        let events: Vec<_> = packets.iter().flatten().filter(|p| p.0 == 101).collect();
        assert!(events.len() >= 5, "{}", events.len());
        assert!(events.iter().all(|e| e.1 == 0 && e.2[0] == 5));
        let (at, after) =
            packets.iter().enumerate().filter_map(|(n, p)| Some((n, p.as_ref()?))).next_back().unwrap();
        assert_eq!((after.0, after.1 as usize), (8, at * 160));
    }

    #[test]
    fn without_telephone_event_a_key_is_heard() {
        let mut mouth = Mouth::new(Terms { telephone_event: None, ..TERMS }, Sender::new(1, 1, 0));
        mouth.say("5".into(), Utterance::Key(Digit::from_char('5').unwrap()), None);
        let loud = run(&mut mouth, 10).into_iter().flatten().filter(|p| p.2[40] != G711::A.silence()).count();
        assert_eq!(loud, 5);
    }

    #[test]
    fn hushed_it_falls_silent_at_once_and_tells_who_waits() {
        let mut mouth = Mouth::new(TERMS, Sender::new(1, 1, 0));
        let (done, mut told) = oneshot::channel();
        mouth.say("long".into(), Utterance::Speech(vec![1000; 8000]), Some(done));
        run(&mut mouth, 2);
        mouth.hush(Instant::now());
        assert!(told.try_recv().is_ok());
        assert!(run(&mut mouth, 1)[0].as_ref().unwrap().2.iter().all(|o| *o == G711::A.silence()));
        mouth.silence(true);
        assert_eq!(run(&mut mouth, 2), [None, None]);
    }
}
