//! Whole calls in simulated time: a peer that sends RTP, a bot at the other end of the rings, a clock that jumps.

#![allow(clippy::disallowed_methods)] // a beginning for simulated time

use std::net::{IpAddr, Ipv4Addr};

use super::super::port::player::Player;
use super::super::port::stream::pair;
use super::super::ring::StreamEnd;
use super::super::{Counts, Play, Reached, Reservation, StreamSpec, Told};
use super::*;
use crate::audio::G711;
use crate::audio::g711::{MU_TO_LINEAR, linear_to_mu};
use crate::ids::CallKey;
use crate::rtp::Packet;
use crate::units::{Digit, SampleRate, Ssrc};

mod delay;
mod secured;
mod truth;

const MS: Duration = Duration::from_millis(1);
const SILENCE: u8 = 0xFF;

const fn port(index: u8) -> PortId {
    PortId { call: CallKey(1), index }
}

const CALLER: PortId = port(0);
const BOT: PortId = port(1);

fn peer() -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, 7), 4000).into()
}

fn spec() -> RtpSpec {
    RtpSpec::new(peer(), G711::Mu)
}

/// A packet the caller got.
#[derive(Debug)]
struct Got {
    at: Duration,
    marker: bool,
    seq: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

impl Got {
    fn silent(&self) -> bool {
        self.payload.iter().all(|&octet| octet == SILENCE)
    }
}

struct World {
    began: Instant,
    now: Instant,
    graph: Graph,
    bot: Option<StreamEnd>,
    seq: u16,
    timestamp: u32,
    got: Vec<Got>,
    /// RTCP the caller got: when, where, what.
    reports: Vec<(Duration, SocketAddr, Vec<u8>)>,
    heard: Vec<i16>,
    told: Vec<(Duration, Told)>,
    events: Vec<(Duration, Event)>,
}

impl World {
    /// An empty graph.
    fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            now,
            graph: Graph::new(now, 200 * MS, Entropy::seeded(7)),
            bot: None,
            seq: 100,
            timestamp: 5000,
            got: Vec::new(),
            reports: Vec::new(),
            heard: Vec::new(),
            told: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A caller and a bot that hear each other.
    fn call(rate: SampleRate) -> Self {
        let mut world = Self::new();
        world.open_bot(rate);
        world.open_caller(spec());
        world.link(BOT, CALLER);
        world.link(CALLER, BOT);
        world
    }

    fn open_caller(&mut self, spec: RtpSpec) {
        let local = (IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), 10_000).into();
        self.apply(Command::Open(CALLER, Spec::Rtp(Box::new(spec), Reservation::simulated(local))));
    }

    fn open_bot(&mut self, rate: SampleRate) {
        let (stream, end) = pair(StreamSpec { rate, prebuffer: 60 * MS });
        self.apply(Command::Open(BOT, Spec::Stream(stream)));
        self.bot = Some(end);
    }

    fn apply(&mut self, command: Command) {
        self.graph.apply(self.now, command);
        self.drain();
    }

    fn link(&mut self, from: PortId, to: PortId) {
        self.apply(Command::Link(Link::plain(from, to)));
    }

    fn unlink(&mut self, from: PortId, to: PortId) {
        self.apply(Command::Unlink(Link::plain(from, to)));
    }

    fn play(&mut self, order: Play) {
        self.bot.as_mut().expect("a bot").play(order).expect("room");
    }

    /// As the stream does when its ring is full: it waits for room.
    fn play_when_there_is_room(&mut self, order: Play) {
        let mut order = Some(order);
        while let Some(refused) = order.take() {
            if let Err(refused) = self.bot.as_mut().expect("a bot").play(refused) {
                order = Some(refused);
                self.pass(1);
            }
        }
    }

    fn clear(&mut self) {
        self.play_when_there_is_room(Play::Clear { asked: Some(self.now) });
    }

    /// Lets time pass by the millisecond.
    fn pass(&mut self, ms: u32) {
        for _ in 0..ms {
            self.now += MS;
            if self.graph.due().is_some_and(|due| due <= self.now) {
                self.graph.run(self.now);
                self.drain();
            }
        }
    }

    /// The caller sends a packet.
    fn say(&mut self, payload: &[u8]) {
        self.send(0, false, self.timestamp, payload);
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
    }

    fn send(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let packet = Packet { payload_type, marker, seq: self.seq, timestamp, ssrc: Ssrc(77), payload };
        let mut bytes = [0; 2000];
        let n = packet.write(&mut bytes).expect("it fits");
        self.graph.datagram(self.now, CALLER, peer(), &bytes[..n]);
        self.seq = self.seq.wrapping_add(1);
        self.drain();
    }

    /// The caller speaks for so long, a packet each 20 ms.
    fn talk(&mut self, ms: u32, octet: u8) {
        for _ in 0..ms / 20 {
            self.say(&[octet; 160]);
            self.pass(20);
        }
    }

    fn time(&self) -> Duration {
        self.now - self.began
    }

    fn drain(&mut self) {
        let at = self.now - self.began;
        while let Some(sent) = self.graph.transmit() {
            if sent.beside || crate::rtp::packet::is_rtcp(sent.bytes) {
                self.reports.push((at, sent.to, sent.bytes.to_vec()));
                continue;
            }
            assert_eq!((sent.port, sent.to), (CALLER, peer()));
            let packet = Packet::read(sent.bytes).expect("well-formed");
            let Packet { marker, seq, timestamp, payload, .. } = packet;
            self.got.push(Got { at, marker, seq, timestamp, payload: payload.to_vec() });
        }
        while let Some(event) = self.graph.event() {
            self.events.push((at, event));
        }
        while self.graph.spent().is_some() {}
        let Some(bot) = &mut self.bot else { return };
        let mut samples = [0; 480];
        loop {
            let n = bot.hear(&mut samples);
            self.heard.extend_from_slice(&samples[..n]);
            if n == 0 {
                break;
            }
        }
        while let Some(told) = bot.told() {
            self.told.push((at, told));
        }
    }

    /// Packets that are not silent.
    fn voiced(&self) -> Vec<&Got> {
        self.got.iter().filter(|got| !got.silent()).collect()
    }

    fn marks(&self) -> Vec<(u32, Reached)> {
        let mark = |told: &(Duration, Told)| match told.1 {
            Told::Mark { mark, how } => Some((mark, how)),
            Told::Digit { .. } => None,
        };
        self.told.iter().filter_map(mark).collect()
    }

    /// How far what the bot heard is from the time since its opening, in milliseconds.
    fn drift(&self) -> i64 {
        let rate = i64::from(self.bot.as_ref().expect("a bot").rate().hz() / 1000);
        self.heard.len() as i64 / rate - self.time().as_millis() as i64
    }

    fn is_drained(&self) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::Drained(BOT)))
    }
}

/// Every octet but the negative zero of mu-law, which has no linear form of its own.
fn octets() -> Vec<u8> {
    (0..=255_u8).filter(|&octet| octet != 0x7F).cycle().take(160 * 51).collect()
}

#[test]
fn g711_and_a_bot_at_8_khz_are_the_same_samples_both_ways() {
    let mut world = World::call(SampleRate::Hz8000);
    let said = octets();
    world.play(Play::Audio(said.iter().map(|&octet| MU_TO_LINEAR[usize::from(octet)]).collect()));
    for packet in said.chunks(160) {
        world.say(packet);
        world.pass(20);
    }
    world.pass(60);
    let expected: Vec<i16> = said.iter().map(|&octet| MU_TO_LINEAR[usize::from(octet)]).collect();
    let begin = world.heard.iter().position(|&s| s == expected[0]).expect("heard");
    assert!(world.heard[begin..].starts_with(&expected), "the bot hears the caller's samples");
    world.pass(40);
    let begin = world.got.iter().position(|got| !got.silent()).expect("heard");
    let got: Vec<u8> = world.got[begin..].iter().flat_map(|got| got.payload.clone()).collect();
    assert!(got.starts_with(&said), "the caller hears the bot's samples, from its first packet on");
}

#[test]
fn a_packet_in_order_is_heard_at_once() {
    let mut world = World::call(SampleRate::Hz8000);
    world.talk(200, 0x80);
    world.pass(7);
    for _ in 0..10 {
        let before = world.heard.len();
        world.say(&[0x80; 160]);
        assert_eq!(world.heard.len() - before, 160);
        world.pass(20);
    }
}

#[test]
fn a_burst_of_six_seconds_plays_for_six_seconds_with_its_mark_at_its_place() {
    for rate in SampleRate::ALL {
        let mut world = World::call(rate);
        world.pass(110);
        let second = rate.samples(1000);
        for n in 0..6 {
            world.play(Play::Audio(vec![8000; second]));
            world.play(Play::Mark(n));
        }
        world.pass(7000);
        let voiced = world.voiced();
        let (first, last) = (voiced[0].at, voiced[voiced.len() - 1].at);
        assert_eq!(first, 127 * MS, "the prebuffer is full at once");
        // A resampler's delay of 2 ms reaches into one more packet.
        let packets = if rate == SampleRate::Hz8000 { 300 } else { 301 };
        assert_eq!((voiced.len(), (last - first).as_millis() as usize), (packets, 20 * (packets - 1)));
        assert_eq!(world.marks(), (0..6).map(|n| (n, Reached::Played)).collect::<Vec<_>>());
        for (n, (at, _)) in world.told.iter().enumerate() {
            assert_eq!(*at, first + 980 * MS + Duration::from_secs(n as u64), "mark {n} of {rate}");
        }
        assert_eq!(world.bot.as_ref().map(StreamEnd::taken), Some(6 * second as u64));
    }
}

#[test]
fn a_clear_silences_within_one_packet_and_answers_the_marks() {
    for (rate, ptime_ms) in [(SampleRate::Hz8000, 20), (SampleRate::Hz24000, 20), (SampleRate::Hz8000, 60)] {
        let mut world = World::new();
        world.open_bot(rate);
        world.open_caller(RtpSpec { ptime_ms, ..spec() });
        world.link(BOT, CALLER);
        world.play(Play::Audio(vec![8000; rate.samples(2000)]));
        world.play(Play::Mark(1));
        world.play(Play::Audio(vec![8000; rate.samples(2000)]));
        world.play(Play::Mark(2));
        world.pass(505);
        world.clear();
        world.play(Play::Mark(3));
        let cleared = world.got.len();
        world.pass(20);
        let expected = [(1, Reached::Cleared), (2, Reached::Cleared), (3, Reached::Idle)];
        assert_eq!(world.marks(), expected, "within 20 ms");
        world.pass(500);
        let tail = world.got[cleared..].iter().map(|got| &got.payload);
        let loud = tail.flatten().filter(|&&octet| octet != SILENCE).count();
        assert!(loud <= 160, "{loud} samples after the clear at ptime {ptime_ms}");
        assert_eq!(world.bot.as_ref().map(StreamEnd::taken), Some(rate.samples(4000) as u64));
    }
}

#[test]
fn nothing_of_the_old_utterance_is_heard_in_the_new() {
    let mut world = World::call(SampleRate::Hz16000);
    world.play(Play::Audio(vec![20_000; 16_000]));
    world.pass(300);
    world.clear();
    world.play(Play::Audio(vec![0; 1600]));
    let cleared = world.got.len();
    world.pass(400);
    assert!(world.got[cleared..].iter().all(Got::silent));
}

#[test]
fn an_utterance_begins_when_the_prebuffer_is_full_or_its_time_is_up() {
    let mut world = World::call(SampleRate::Hz8000);
    world.play(Play::Audio(vec![8000; 160])); // taken at 20 ms
    world.pass(500);
    let voiced: Vec<_> = world.voiced().iter().map(|got| got.at).collect();
    assert_eq!(voiced, [87 * MS], "60 ms after its first sample came, and 7 for those behind it");

    world.pass(1000);
    let begun = world.time();
    for n in 0..8 {
        world.play(Play::Audio(vec![8000; 160]));
        world.pass(if n < 7 { 7 } else { 460 });
    }
    let voiced: Vec<_> = world.voiced()[1..].iter().map(|got| got.at - begun).collect();
    assert!(
        voiced[0] <= 55 * MS && voiced.len() == 8,
        "{voiced:?}: soon after 60 ms were there behind the first 20"
    );
}

#[test]
fn a_queue_that_runs_empty_within_an_utterance_is_counted() {
    let mut world = World::call(SampleRate::Hz8000);
    world.play(Play::Audio(vec![8000; 1600]));
    world.pass(400); // empty since 220
    world.play(Play::Audio(vec![8000; 1650])); // the last packet is padded
    world.pass(2000);
    world.play(Play::Audio(vec![8000; 1600])); // another utterance
    world.pass(400);
    world.apply(Command::Close(BOT));
    let Some((_, Event::Closed(BOT, counts))) = world.events.pop() else { panic!("closed") };
    let Counts::Stream(counts) = *counts else { panic!("a stream's") };
    assert_eq!((counts.starved, counts.played), (1, 4850));
    assert!((190..=210).contains(&counts.longest_starvation_ms), "{}", counts.longest_starvation_ms);
    let padded = world.voiced().into_iter().filter(|got| got.payload.last() == Some(&SILENCE)).count();
    assert_eq!(padded, 1);
}

#[test]
fn whoever_comes_and_goes_the_bots_line_has_neither_hole_nor_double() {
    for rate in SampleRate::ALL {
        let mut world = World::new();
        world.open_bot(rate);
        world.pass(333);
        assert!((-20..=0).contains(&world.drift()), "nobody: {}", world.drift());
        world.open_caller(spec());
        world.pass(58);
        world.link(CALLER, BOT);
        world.pass(111);
        for turn in 0..40 {
            world.talk(60 + 20 * turn, 0x80);
            world.pass(turn % 7);
            world.unlink(CALLER, BOT);
            world.talk(80, 0x80);
            world.pass(turn % 13);
            world.link(CALLER, BOT);
            assert!((-100..=60).contains(&world.drift()), "turn {turn}: {}", world.drift());
        }
        world.apply(Command::Close(CALLER));
        world.pass(1000);
        assert!((-40..=60).contains(&world.drift()), "nobody again: {}", world.drift());
    }
}

#[test]
fn a_bot_hears_the_sum_when_two_speak_and_one_again_without_a_seam() {
    let mut world = World::call(SampleRate::Hz8000);
    world.talk(400, 0xA0);
    let music = port(2);
    world.apply(Command::Open(music, Spec::Player(Player::new(vec![1000; 800].into(), true))));
    world.link(music, BOT);
    world.talk(400, 0xA0);
    let alone = MU_TO_LINEAR[0xA0];
    assert!(world.heard[world.heard.len() - 800..].iter().all(|&s| s == alone + 1000));
    world.apply(Command::Close(music));
    world.talk(400, 0xA0);
    assert!(world.heard[world.heard.len() - 800..].iter().all(|&s| s == alone));
    assert!((-40..=40).contains(&world.drift()), "{}", world.drift());
}

#[test]
fn links_into_one_ear_are_summed_and_saturated_as_loud_as_they_are() {
    let mut world = World::new();
    world.open_caller(spec());
    for (index, sample) in [(2, 30_000), (3, 20_000), (4, -32_000)] {
        let player = Spec::Player(Player::new(vec![sample; 160].into(), true));
        world.apply(Command::Open(port(index), player));
    }
    let mut heard = |links: &[Link]| {
        links.iter().for_each(|&link| world.apply(Command::Link(link)));
        world.pass(40);
        links.iter().for_each(|&link| world.apply(Command::Unlink(link)));
        world.got.pop().expect("a packet").payload[0]
    };
    let link = |index| Link::plain(port(index), CALLER);
    assert_eq!(heard(&[link(2), link(3)]), linear_to_mu(i16::MAX));
    assert_eq!(heard(&[link(2), link(3), link(4)]), linear_to_mu(18_000), "saturated once, at the end");
    assert_eq!(heard(&[Link { gain: Gain(64), ..link(3) }]), linear_to_mu(5000));
    assert_eq!(heard(&[]), SILENCE);
}

#[test]
fn two_callers_hear_each_other() {
    let mut world = World::new();
    world.open_caller(spec());
    world.got.clear();
    let other = port(5);
    let local = (IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), 10_002).into();
    let mute = RtpSpec { send: false, ..spec() };
    world.apply(Command::Open(other, Spec::Rtp(Box::new(mute), Reservation::simulated(local))));
    world.link(other, CALLER);
    let mut bytes = [0; 200];
    for n in 0..50_u16 {
        let (seq, timestamp) = (n, u32::from(n) * 160);
        let packet =
            Packet { payload_type: 0, marker: false, seq, timestamp, ssrc: Ssrc(9), payload: &[0x80; 160] };
        let length = packet.write(&mut bytes).expect("it fits");
        world.graph.datagram(world.now, other, peer(), &bytes[..length]);
        world.pass(20);
    }
    let voiced = world.voiced();
    assert!(voiced.len() >= 48, "{}", voiced.len());
    assert!(voiced.iter().skip(2).all(|got| got.payload.iter().all(|&octet| octet == 0x80)));
}

#[test]
fn packets_leave_each_ptime_with_exact_mean_and_unbroken_numbers() {
    for ptime_ms in [10, 20, 30, 40, 60] {
        let mut world = World::new();
        world.open_caller(RtpSpec { ptime_ms, ..spec() });
        world.pass(12_000);
        let samples = u32::from(ptime_ms) * 8;
        assert_eq!(world.got.len(), 12_000 / usize::from(ptime_ms), "ptime {ptime_ms}");
        for (n, pair) in world.got.windows(2).enumerate() {
            assert_eq!(pair[1].at - pair[0].at, u32::from(ptime_ms) * MS, "packet {n} of ptime {ptime_ms}");
            assert_eq!(pair[1].seq, pair[0].seq.wrapping_add(1));
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(samples));
            assert_eq!((pair[0].marker, pair[1].marker), (n == 0, false));
        }
    }
}

#[test]
fn a_core_that_was_held_up_makes_up_for_three_packets_at_most() {
    let mut world = World::call(SampleRate::Hz8000);
    world.play(Play::Audio(vec![8000; 16_000]));
    world.pass(400);
    let before = world.got.len();
    world.now += 200 * MS;
    world.pass(1);
    assert_eq!(world.got.len() - before, 3);
    let (last, next) = (&world.got[before - 1], &world.got[before]);
    assert_eq!(next.seq, last.seq.wrapping_add(1));
    assert_eq!(next.timestamp, last.timestamp.wrapping_add(160 * 8), "the time passed all the same");
    world.pass(60);
    assert!((-60..=0).contains(&world.drift()), "the bot's line has no hole: {}", world.drift());
    world.pass(2940);
    assert_eq!(world.voiced().len(), 100, "not one packet of the bot is lost");
}

#[test]
fn on_hold_nothing_is_sent_and_the_bot_is_played_by_the_clock() {
    let mut world = World::call(SampleRate::Hz8000);
    world.pass(100);
    let before = world.got.len();
    world.apply(Command::Change(CALLER, Box::new(RtpSpec { send: false, receive: false, ..spec() })));
    world.play(Play::Audio(vec![8000; 8000]));
    world.play(Play::Mark(1));
    world.talk(2000, 0x80);
    assert_eq!(world.got.len(), before);
    assert_eq!(world.marks(), [(1, Reached::Played)]);
    assert!(world.heard.iter().all(|&s| s == 0), "nobody listens to a held caller");
    world.apply(Command::Change(CALLER, Box::new(spec())));
    world.pass(20);
    let (last, next) = (&world.got[before - 1], &world.got[before]);
    assert!(next.marker && next.seq == last.seq.wrapping_add(1));
    assert_eq!(next.timestamp, last.timestamp.wrapping_add(160 * 101), "hold counts as elapsed time");
    assert!((-60..=40).contains(&world.drift()), "{}", world.drift());
}

#[test]
fn what_a_bot_left_behind_is_played_to_its_bound_and_told() {
    let mut world = World::call(SampleRate::Hz8000);
    world.play(Play::Audio(vec![8000; 4000]));
    world.play(Play::Audio(vec![0; 4000]));
    world.play(Play::Finish { until: 4000 });
    world.play(Play::Audio(vec![8000; 4000])); // nothing follows a Finish
    world.pass(499);
    assert!(!world.is_drained());
    world.pass(21);
    assert!(world.is_drained());
    world.pass(1000);
    assert_eq!(world.voiced().len(), 25);
    assert_eq!(world.bot.as_ref().map(StreamEnd::taken), Some(12_000));
    assert_eq!(world.events.iter().filter(|(_, event)| matches!(event, Event::Drained(_))).count(), 1);
}

#[test]
fn a_session_that_is_dropped_leaves_its_audio_to_be_played() {
    let mut world = World::call(SampleRate::Hz16000);
    world.play(Play::Audio(vec![8000; 16_000]));
    world.bot = None;
    world.pass(1026);
    assert!(!world.is_drained());
    world.pass(1);
    assert!(world.is_drained());
    assert_eq!(world.voiced().len(), 51);
    world.apply(Command::Close(BOT));
    let Some((_, Event::Closed(BOT, counts))) = world.events.pop() else { panic!("closed") };
    assert!(matches!(*counts, Counts::Stream(counts) if counts.played == 16_000 && counts.heard_lost == 0));
}

#[test]
fn a_flood_of_small_chunks_neither_blocks_a_clear_nor_loses_a_mark() {
    let mut world = World::call(SampleRate::Hz8000);
    let mut marks = 0;
    for round in 0..20 {
        loop {
            let bot = world.bot.as_mut().expect("a bot");
            if bot.play(Play::Audio(vec![8000; 40])).is_err() || bot.play(Play::Mark(marks)).is_err() {
                break;
            }
            marks += 1;
        }
        if round == 10 {
            let before = world.bot.as_ref().expect("a bot").taken();
            world.clear();
            world.pass(20);
            let taken = world.bot.as_ref().expect("a bot").taken();
            assert!(taken - before > 8 * 40, "the clear reached past the full queue");
        }
        world.pass(20);
    }
    world.pass(5000);
    let told = world.marks();
    assert_eq!(told.len() as u32, marks);
    assert!(told.iter().enumerate().all(|(n, &(mark, _))| n as u32 == mark), "each once and in order");
}

#[test]
fn a_key_is_told_to_the_call_and_to_the_bot_that_hears_the_caller() {
    let mut world = World::call(SampleRate::Hz8000);
    world.talk(100, 0x80);
    let start = world.timestamp;
    for n in 1..=8_u8 {
        let duration = u16::from(n.min(6)) * 160;
        let end = if n >= 6 { 0x80 } else { 0 };
        let [high, low] = duration.to_be_bytes();
        world.send(101, n == 1, start, &[5, end | 10, high, low]);
        world.pass(20);
    }
    world.pass(400);
    let digit = Digit::from_char('5').expect("a key");
    let held = 120 * MS;
    let told: Vec<_> = world.told.iter().map(|told| told.1).collect();
    assert_eq!(told, [Told::Digit { digit, held }]);
    let keys = world.events.iter().filter(|(_, event)| matches!(event, Event::Digit(..))).count();
    assert_eq!(keys, 1);
}

#[test]
fn a_peer_that_falls_silent_is_told_once() {
    let mut world = World::new();
    world.open_caller(RtpSpec { timeout: 500 * MS, ..spec() });
    let silent =
        |world: &World| world.events.iter().filter(|(_, event)| matches!(event, Event::Silent(_))).count();
    world.talk(1000, 0x80);
    assert_eq!(silent(&world), 0);
    world.pass(2000);
    assert_eq!(silent(&world), 1);
    world.talk(100, 0x80);
    world.pass(600);
    assert_eq!(silent(&world), 2);
}

#[test]
fn the_first_audio_each_way_is_told_once() {
    let mut world = World::call(SampleRate::Hz8000);
    world.pass(100);
    assert!(world.events.is_empty(), "our own silence is no audio");
    world.talk(100, 0x80);
    world.play(Play::Audio(vec![1; 8000]));
    world.pass(500);
    let events: Vec<_> = world.events.iter().map(|(_, event)| event).collect();
    assert!(matches!(events[..], [Event::FirstIn(CALLER), Event::FirstOut(CALLER)]), "{events:?}");
}

#[test]
fn commands_for_ports_that_are_gone_change_nothing() {
    let mut world = World::call(SampleRate::Hz8000);
    world.apply(Command::Close(CALLER));
    world.apply(Command::Close(CALLER));
    world.apply(Command::Change(CALLER, Box::new(spec())));
    world.link(CALLER, BOT);
    world.unlink(port(9), BOT);
    world.pass(100);
    world.apply(Command::Close(BOT));
    let closed = world.events.iter().filter(|(_, event)| matches!(event, Event::Closed(..))).count();
    assert_eq!((closed, world.graph.is_empty(), world.graph.due()), (2, true, None));
}

/// what the bot hears lasts as long as the call, to 0.1 %, whatever the path does.
#[test]
fn loss_jitter_reorder_and_new_sources_do_not_bend_the_bots_line() {
    for seed in 0..4 {
        let mut chance = Entropy::seeded(seed);
        let mut world = World::call(SampleRate::Hz8000);
        let mut under_way: Vec<(u32, Vec<u8>)> = Vec::new();
        let (mut ssrc, mut bytes) = (Ssrc(1), [0; 300]);
        for ms in 0..300_000_u32 {
            if ms % 20 == 0 {
                if chance.below(3000) == 0 {
                    (ssrc, world.timestamp) = (Ssrc(ssrc.0 + 1), chance.u32());
                }
                let (seq, timestamp) = (world.seq, world.timestamp);
                let packet =
                    Packet { payload_type: 0, marker: false, seq, timestamp, ssrc, payload: &[0x90; 160] };
                let n = packet.write(&mut bytes).expect("it fits");
                (world.seq, world.timestamp) = (seq.wrapping_add(1), timestamp.wrapping_add(160));
                if chance.below(100) >= 20 {
                    let copies = 1 + usize::from(chance.below(20) == 0);
                    let late = ms + 1 + chance.below(100);
                    under_way.extend(std::iter::repeat_n((late, bytes[..n].to_vec()), copies));
                }
            }
            under_way.retain(|(due, bytes)| {
                let arrives = *due <= ms;
                if arrives {
                    world.graph.datagram(world.now, CALLER, peer(), bytes);
                }
                !arrives
            });
            world.pass(1);
            world.drain();
        }
        assert!(world.drift().abs() <= 300, "seed {seed}: {} ms in 300 s", world.drift());
        let voiced = world.heard.iter().filter(|&&s| s != 0).count();
        assert!(voiced * 100 > world.heard.len() * 60, "seed {seed}: {voiced} samples are more than silence");
    }
}
