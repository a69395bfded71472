//! Reports, keys and tones of a call: RTCP, SRTP and DTMF as the graph sees them.

use super::*;
use crate::audio::tone::Tone;
use crate::media::{Latch, LatchMode, RtpCounts, Srtp, SrtpKey};
use crate::rtp::packet::is_rtcp;
use crate::rtp::receiver::Report;
use crate::rtp::rtcp::compound::{self, Heard, MAX_REPORT, Say};
use crate::rtp::srtp::{Key, Receiving, Sending};

const THEIRS: Ssrc = Ssrc(77);

fn beside(to: SocketAddr) -> SocketAddr {
    SocketAddr::new(to.ip(), to.port() + 1)
}

fn elsewhere() -> SocketAddr {
    (peer().ip(), 61_000).into()
}

fn key(octet: u8) -> SrtpKey {
    SrtpKey { short_tag: false, key: [octet; 16], salt: [octet + 1; 14] }
}

fn of(key: &SrtpKey) -> Key {
    Key { short_tag: key.short_tag, key: key.key, salt: key.salt }
}

fn srtp(send: u8, receive: u8) -> Option<Box<Srtp>> {
    Some(Box::new(Srtp { send: key(send), receive: key(receive), mki: 0 }))
}

impl World {
    /// A caller alone.
    fn alone(spec: RtpSpec) -> Self {
        let mut world = Self::new();
        world.open_caller(spec);
        world
    }

    /// The peer reports on what it got of us, to our RTCP socket or, `muxed`, to that of RTP.
    fn report(&mut self, from: SocketAddr, muxed: bool, lost: i32) {
        let bytes = self.report_bytes(lost);
        self.control(from, muxed, &bytes);
    }

    fn report_bytes(&self, lost: i32) -> Vec<u8> {
        let about =
            Report { ssrc: self.ours(), fraction_lost: 0, cumulative_lost: lost, highest_seq: 9, jitter: 80 };
        // Our last report came 100 ms ago and took 20 ms on its way.
        let last = self.heard_reports().last().and_then(|(_, heard)| heard.sent_at).unwrap_or(0);
        let at = self.reports.last().map_or(Duration::ZERO, |report| report.0);
        let held =
            (self.time().saturating_sub(at)).saturating_sub(40 * MS).as_millis() as u32 * 65_536 / 1000;
        let block = Some((about, last, if last == 0 { 0 } else { held }));
        let mut bytes = [0; MAX_REPORT];
        let say = Say { us: THEIRS, name: "them", sent: None, block, bye: false };
        let n = compound::write(&say, &mut bytes).expect("it fits");
        bytes[..n].to_vec()
    }

    fn control(&mut self, from: SocketAddr, muxed: bool, bytes: &[u8]) {
        if muxed {
            self.graph.datagram(self.now, CALLER, from, bytes);
        } else {
            self.graph.datagram_beside(self.now, CALLER, from, bytes);
        }
    }

    /// What we reported.
    fn heard_reports(&self) -> Vec<(SocketAddr, Heard)> {
        let read = |bytes: &[u8]| compound::read(bytes, THEIRS).expect("RTCP");
        self.reports.iter().map(|(_, to, bytes)| (*to, read(bytes))).collect()
    }

    /// Our SSRC, as it stands in our reports; 0 before the first.
    fn ours(&self) -> Ssrc {
        self.reports
            .first()
            .map_or(Ssrc(0), |(_, _, bytes)| compound::read(bytes, THEIRS).expect("RTCP").sender)
    }

    fn close(&mut self) -> RtpCounts {
        self.apply(Command::Close(CALLER));
        match self.events.pop() {
            Some((_, Event::Closed(CALLER, counts))) => match *counts {
                Counts::Rtp(counts) => counts,
                Counts::Stream(_) => panic!("an RTP port's"),
            },
            other => panic!("{other:?} is not the end"),
        }
    }

    fn keys(&self) -> String {
        let key = |event: &(Duration, Event)| match event.1 {
            Event::Digit(_, digit, _) => Some(digit.as_char()),
            _ => None,
        };
        self.events.iter().filter_map(key).collect()
    }

    /// A press of 100 ms as events.
    fn press(&mut self, number: u8, event: u8) {
        let start = self.timestamp;
        for n in 1..=7_u8 {
            let [high, low] = (u16::from(n.min(5)) * 160).to_be_bytes();
            let end = if n >= 5 { 0x80 } else { 0 };
            self.send(number, n == 1, start, &[event, end | 10, high, low]);
            self.pass(20);
        }
        self.timestamp = start.wrapping_add(1120);
    }

    /// An RTP packet of the peer under a key.
    fn send_sealed(&mut self, sending: &mut Sending, from: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let packet = Packet {
            payload_type: 0,
            marker: false,
            seq: self.seq,
            timestamp: self.timestamp,
            ssrc: THEIRS,
            payload,
        };
        let mut bytes = [0; 2000];
        let n = packet.write(&mut bytes).expect("it fits");
        let n = sending.protect(&mut bytes, n).expect("it fits");
        self.graph.datagram(self.now, CALLER, from, &bytes[..n]);
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
        self.take_sealed();
        bytes[..n].to_vec()
    }

    /// Packets we sent, as they are.
    fn take_sealed(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(packet) = self.graph.transmit() {
            sent.push((packet.to, packet.bytes.to_vec()));
        }
        while let Some(event) = self.graph.event() {
            self.events.push((self.now - self.began, event));
        }
        while self.graph.spent().is_some() {}
        sent
    }

    /// Time passes; what we sent meanwhile.
    fn pass_sealed(&mut self, ms: u32) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        for _ in 0..ms {
            self.now += MS;
            self.graph.run(self.now);
            sent.extend(self.take_sealed());
        }
        sent
    }
}

#[test]
fn reports_go_out_all_through_a_call_and_a_leave_at_its_end() {
    let mut world = World::alone(spec());
    world.talk(30_000, 0x80);
    let reports = world.heard_reports();
    assert!((4..=12).contains(&reports.len()), "{} in 30 s", reports.len());
    let ours = world.ours();
    for (to, heard) in reports {
        assert_eq!((to, heard.sender, heard.bye), (beside(peer()), ours, false));
        assert!(heard.sent_at.is_some() && heard.block.is_some_and(|block| block.cumulative_lost == 0));
    }
    let gaps: Vec<_> = world.reports.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| (2480 * MS..=7540 * MS).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "drawn anew each time");
    let before = world.reports.len();
    world.close();
    let last = &world.heard_reports()[before..];
    assert!(matches!(last, [(_, Heard { bye: true, .. })]), "{last:?}");
    assert!(world.graph.is_empty());
}

#[test]
fn on_hold_the_reports_go_on_and_the_watch_stands_still() {
    let mut world = World::alone(RtpSpec { timeout: 3000 * MS, ..spec() });
    world.talk(2000, 0x80);
    let held = RtpSpec { send: false, receive: false, timeout: 3000 * MS, ..spec() };
    world.apply(Command::Change(CALLER, Box::new(held)));
    let before = world.reports.len();
    world.pass(30_000);
    assert!(world.reports.len() >= before + 4);
    let kinds: Vec<u8> = world.reports[before + 1..].iter().map(|report| report.2[1]).collect();
    assert!(kinds.iter().all(|kind| *kind == 201), "who sends nothing is a receiver: {kinds:?}");
    assert!(!world.events.iter().any(|(_, event)| matches!(event, Event::Silent(_))));
}

#[test]
fn what_the_peer_reports_is_told_when_the_port_closes() {
    let mut world = World::alone(spec());
    while world.reports.is_empty() {
        world.talk(20, 0x80);
    }
    world.talk(140, 0x80);
    world.report(beside(peer()), false, 4);
    let counts = world.close();
    let told = counts.told.expect("told");
    assert_eq!((told.reports, told.lost, told.jitter_ms), (1, 4, 10.0));
    let trip = told.round_trip_ms.expect("it knew our report");
    assert!((trip - 40.0).abs() < 1.0, "{trip}");
    let (inward, outward) = (counts.mos_in.expect("heard"), counts.mos_out.expect("told"));
    assert!(inward > 4.3 && outward > 3.5 && outward < inward, "{inward} {outward}");
}

#[test]
fn a_port_that_heard_nothing_is_not_rated() {
    let mut world = World::alone(spec());
    world.pass(1000);
    let counts = world.close();
    assert_eq!((counts.mos_in, counts.mos_out, counts.told), (None, None, None));
}

#[test]
fn reports_are_life() {
    let mut world = World::alone(RtpSpec { timeout: 500 * MS, ..spec() });
    world.talk(100, 0x80);
    for _ in 0..20 {
        world.report(beside(peer()), false, 0);
        world.pass(300);
    }
    let silent = |world: &World| world.events.iter().any(|(_, event)| matches!(event, Event::Silent(_)));
    assert!(!silent(&world));
    world.report((Ipv4Addr::new(203, 0, 113, 9), 4001).into(), false, 0);
    world.pass(600);
    assert!(silent(&world), "but not a stranger's");
}

#[test]
fn reports_share_the_socket_of_rtp_when_that_was_agreed_and_only_then() {
    for rtcp_mux in [false, true] {
        let mut world = World::alone(RtpSpec { rtcp_mux, ..spec() });
        world.talk(5000, 0x80);
        let to = if rtcp_mux { peer() } else { beside(peer()) };
        assert!(world.heard_reports().iter().all(|report| report.0 == to));
        world.report(peer(), true, 0);
        world.report(beside(peer()), false, 0);
        let counts = world.close();
        assert_eq!(counts.told.map(|told| told.reports), Some(1), "the other socket is not listened to");
        assert_eq!((counts.malformed, counts.foreign), (0, 0));
    }
}

#[test]
fn reports_go_where_the_sdp_says_or_beside_media_that_was_found_elsewhere() {
    let said: SocketAddr = (Ipv4Addr::new(192, 0, 2, 7), 7777).into();
    let mut world = World::alone(RtpSpec { rtcp: Some(said), ..spec() });
    world.talk(5000, 0x80);
    assert!(world.heard_reports().iter().all(|report| report.0 == said));
    world.report(said, false, 0);
    world.report(beside(peer()), false, 0);
    assert_eq!(world.close().told.map(|told| told.reports), Some(2), "one port above media is the peer too");

    // Behind a NAT: RTP is learned, then RTCP for itself.
    let mut world = World::alone(spec());
    for _ in 0..3 {
        let (seq, timestamp) = (world.seq, world.timestamp);
        let mut bytes = [0; 300];
        let payload = &[0x80; 160];
        let packet = Packet { payload_type: 0, marker: false, seq, timestamp, ssrc: THEIRS, payload };
        let n = packet.write(&mut bytes).expect("it fits");
        world.graph.datagram(world.now, CALLER, elsewhere(), &bytes[..n]);
        (world.seq, world.timestamp) = (seq + 1, timestamp + 160);
    }
    let sent = world.pass_sealed(4000);
    let reports: Vec<_> = sent.iter().filter(|sent| is_rtcp(&sent.1)).collect();
    assert!(!reports.is_empty() && reports.iter().all(|report| report.0 == beside(elsewhere())));
    let natted: SocketAddr = (peer().ip(), 62_345).into();
    for _ in 0..3 {
        world.report(natted, false, 0);
    }
    let sent = world.pass_sealed(8000);
    let reports: Vec<_> = sent.iter().filter(|sent| is_rtcp(&sent.1)).collect();
    assert!(!reports.is_empty() && reports.iter().all(|report| report.0 == natted), "{reports:?}");
    let rtp = sent.iter().filter(|sent| !is_rtcp(&sent.1)).all(|sent| sent.0 == elsewhere());
    assert!(rtp, "RTCP teaches nothing about RTP");
}

#[test]
fn rtcp_of_any_content_ends_nothing() {
    let mut world = World::alone(spec());
    let mut chance = Entropy::seeded(3);
    for n in 0..20_000_u32 {
        let mut bytes: Vec<u8> = (0..chance.below(120)).map(|_| chance.u32() as u8).collect();
        if let Some(head) = bytes.get_mut(..4) {
            (head[0], head[1], head[2], head[3]) =
                (0x80 | head[0] & 0x3F, 200 + (n % 9) as u8, 0, head[3] % 32);
        }
        world.control(beside(peer()), false, &bytes);
    }
    world.talk(100, 0x80);
    assert_eq!(world.close().packets_in, 5);
}

#[test]
fn a_call_under_srtp_is_one_that_only_the_keys_can_read() {
    let mut world = World::alone(RtpSpec { srtp: srtp(1, 2), ..spec() });
    let (mut theirs, mut ours) = (Sending::new(of(&key(2))), Receiving::new(of(&key(1)), 0));
    let mut sent = Vec::new();
    for _ in 0..200 {
        world.send_sealed(&mut theirs, peer(), &[0x80; 160]);
        sent.extend(world.pass_sealed(20));
    }
    let mut got = (0, 0);
    for (to, bytes) in &sent {
        if is_rtcp(bytes) {
            assert_eq!(*to, beside(peer()));
            let opened = ours.open_rtcp(world.now, bytes).expect("under our key");
            assert!(compound::read(&opened, THEIRS).expect("RTCP").block.is_some());
            got.1 += 1;
        } else {
            let opened = ours.open(world.now, bytes).expect("under our key");
            assert!(Packet::read(&opened).expect("RTP").payload.iter().all(|octet| *octet == SILENCE));
            assert_eq!(bytes.len(), opened.len() + 10);
            got.0 += 1;
        }
    }
    assert!(got.0 >= 199 && got.1 >= 1, "{got:?}");
    let mut report = world.report_bytes(0);
    let n = report.len();
    world.control(beside(peer()), false, &report.clone());
    report.resize(n + 14, 0);
    let n = theirs.protect_rtcp(&mut report, n).expect("it fits");
    world.control(beside(peer()), false, &report[..n]);
    world.control(beside(peer()), false, &report[..n]);
    let sent = world.pass_sealed(0);
    assert!(sent.is_empty());
    world.graph.apply(world.now, Command::Close(CALLER));
    let leave = world.take_sealed();
    let [(_, leave)] = &leave[..] else { panic!("{leave:?}") };
    assert!(compound::read(&ours.open_rtcp(world.now, leave).expect("ours"), THEIRS).expect("RTCP").bye);
    let Some((_, Event::Closed(_, counts))) = world.events.pop() else { panic!("closed") };
    let Counts::Rtp(counts) = *counts else { panic!("an RTP port's") };
    assert_eq!((counts.packets_in, counts.unauthentic, counts.replayed), (200, 1, 1));
}

#[test]
fn what_is_not_authentic_teaches_nothing_and_keeps_nobody_alive() {
    let latch = Latch { mode: LatchMode::Any, signalling: peer().ip(), networks: Vec::new() };
    let mut world = World::alone(RtpSpec { srtp: srtp(1, 2), latch, timeout: 500 * MS, ..spec() });
    let (mut forger, mut theirs) = (Sending::new(of(&key(9))), Sending::new(of(&key(2))));
    for _ in 0..50 {
        world.send_sealed(&mut forger, elsewhere(), &[0x80; 160]);
        assert!(world.pass_sealed(20).iter().all(|sent| sent.0 == peer() || sent.0 == beside(peer())));
    }
    assert!(world.events.iter().any(|(_, event)| matches!(event, Event::Silent(_))));
    assert!(!world.events.iter().any(|(_, event)| matches!(event, Event::FirstIn(_))));
    for _ in 0..4 {
        world.send_sealed(&mut theirs, elsewhere(), &[0x80; 160]);
    }
    let sent = world.pass_sealed(100);
    assert!(sent.iter().any(|sent| sent.0 == elsewhere()), "the true peer is found there");
    let counts = world.close();
    assert_eq!((counts.unauthentic, counts.packets_in), (50, 2), "two taught, the third was taken");
}

#[test]
fn a_new_key_is_taken_over_and_an_old_one_that_stays_forgets_nothing() {
    let mut world = World::alone(RtpSpec { srtp: srtp(1, 2), ..spec() });
    let (mut theirs, mut ours) = (Sending::new(of(&key(2))), Receiving::new(of(&key(1)), 0));
    let old = world.send_sealed(&mut theirs, peer(), &[0x80; 160]);
    let sent = world.pass_sealed(20);
    assert!(ours.open(world.now, &sent[0].1).is_ok());
    world.graph.apply(world.now, Command::Change(CALLER, Box::new(RtpSpec { srtp: srtp(1, 2), ..spec() })));
    world.graph.datagram(world.now, CALLER, peer(), &old);
    let sent = world.pass_sealed(20);
    assert!(ours.open(world.now, &sent[0].1).is_ok(), "the same key goes on");

    world.graph.apply(world.now, Command::Change(CALLER, Box::new(RtpSpec { srtp: srtp(3, 4), ..spec() })));
    let (mut new, mut ours) = (Sending::new(of(&key(4))), Receiving::new(of(&key(3)), 0));
    world.send_sealed(&mut theirs, peer(), &[0x80; 160]);
    world.send_sealed(&mut new, peer(), &[0x80; 160]);
    world.send_sealed(&mut theirs, peer(), &[0x80; 160]);
    let sent = world.pass_sealed(40);
    assert!(sent.iter().all(|sent| ours.open(world.now, &sent.1).is_ok()));
    let counts = world.close();
    assert_eq!((counts.packets_in, counts.replayed, counts.unauthentic), (3, 1, 1));
}

#[test]
fn keys_come_under_either_number_and_without_any_audio() {
    for (number, agreed, also) in [(96, 96, None), (101, 101, None), (122, 122, None), (101, 96, Some(101))] {
        let mut world =
            World::alone(RtpSpec { telephone_event: Some(agreed), telephone_event_also: also, ..spec() });
        world.press(number, 5);
        world.press(agreed, 11);
        world.pass(300);
        assert_eq!(world.keys(), "5#", "{number}");
        let counts = world.close();
        assert_eq!((counts.malformed, counts.packets_in), (0, 14));
    }
}

#[test]
fn a_flash_is_no_key_and_audio_under_a_key_is_muted() {
    let mut world = World::call(SampleRate::Hz8000);
    world.talk(200, 0x80);
    world.press(101, 16);
    assert_eq!(world.keys(), "");
    world.talk(200, 0x80);
    let start = world.timestamp;
    world.heard.clear();
    for n in 1..=10_u16 {
        let [high, low] = (n * 160).to_be_bytes();
        world.send(101, n == 1, start, &[3, 10, high, low]);
        world.say(&[0x80; 160]);
        world.pass(20);
    }
    let loud = world.heard.iter().filter(|sample| sample.unsigned_abs() > 100).count();
    // The concealer fades what was there before.
    assert!(loud <= 320, "{loud} samples of {} were heard under the key", world.heard.len());
    world.pass(200);
    assert_eq!(world.keys(), "3");
}

/// A key as a tone, so many packets of 20 ms.
fn sing(world: &mut World, key: char, packets: usize) {
    let mut tone = Tone::digit(SampleRate::Hz8000, Digit::from_char(key).expect("a key"));
    for _ in 0..packets {
        let mut samples = [0; 160];
        tone.fill(&mut samples);
        world.say(&samples.map(linear_to_mu));
        world.pass(20);
    }
    world.talk(100, SILENCE);
}

#[test]
fn a_tone_is_a_key_where_that_is_wanted_and_stays_to_be_heard() {
    for inband_dtmf in [false, true] {
        let mut world = World::new();
        world.open_bot(SampleRate::Hz8000);
        world.open_caller(RtpSpec { inband_dtmf, ..spec() });
        world.link(CALLER, BOT);
        world.talk(100, SILENCE);
        sing(&mut world, '4', 5);
        sing(&mut world, '2', 3);
        assert_eq!(world.keys(), if inband_dtmf { "42" } else { "" });
        assert_eq!(world.told.len(), 2 * usize::from(inband_dtmf), "the bot is told like the call");
        let loud = world.heard.iter().filter(|sample| sample.unsigned_abs() > 1000).count();
        assert!(loud > 800, "{loud} samples of the tones were heard");
    }
}

#[test]
fn a_key_as_event_and_as_tone_is_told_once() {
    let mut world = World::new();
    world.open_bot(SampleRate::Hz8000);
    world.open_caller(RtpSpec { inband_dtmf: true, ..spec() });
    world.link(CALLER, BOT);
    world.talk(100, SILENCE);
    sing(&mut world, '5', 4);
    world.press(101, 5);
    world.talk(600, SILENCE);
    sing(&mut world, '5', 4);
    assert_eq!(world.keys(), "55");
}

#[test]
fn loss_lowers_the_rating_and_loss_in_runs_lowers_it_more() {
    let rated = |lost: fn(u32) -> bool| {
        let mut world = World::alone(spec());
        for n in 0..1000 {
            if lost(n) {
                world.seq = world.seq.wrapping_add(1);
                world.timestamp = world.timestamp.wrapping_add(160);
            } else {
                world.say(&[0x80; 160]);
            }
            world.pass(20);
        }
        world.close().mos_in.expect("heard")
    };
    let clean = rated(|_| false);
    let (single, runs) = (rated(|n| n % 20 == 7), rated(|n| (50..55).contains(&(n % 100))));
    assert!(clean > 4.35 && single < clean - 0.3 && runs < single - 0.05, "{clean} {single} {runs}");
}
