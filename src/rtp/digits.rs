//! Telephone keys as RTP events (RFC 4733), in and out (sip-trunk section 11.5, reliability R-47).

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::units::{Digit, RtpTime, SeqNum, Ssrc};

/// An event whose packets stop for so long is over.
const STOPPED: Duration = Duration::from_millis(120);
/// Keys held for less are none.
const LEAST: u64 = 30 * 8;
/// So long after an event its sequence numbers say nothing about the next: they may have turned.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How far a time stamp may stray in gateways whose stamps grow with each packet.
const STRAY: u64 = 60 * 8;
/// Events of over 8 s come in segments (RFC 4733 §2.5.1.3): the stamp then moves by about so much.
const SEGMENT: std::ops::RangeInclusive<u64> = 0xF000..=0x1_0000;

/// A key that was pressed and released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// Which.
    pub digit: Digit,
    /// How long it was held.
    pub held: Duration,
}

/// Makes keys of event packets: each once, whatever is missing, doubled or wrong.
#[derive(Clone, Debug, Default)]
pub struct DigitReceiver {
    event: Option<Event>,
    done: ArrayVec<Pressed, 4>,
}

/// The event that was heard last.
#[derive(Clone, Copy, Debug)]
struct Event {
    ssrc: Ssrc,
    digit: Digit,
    /// Its highest sequence number, and the stamp that came with it.
    seq: SeqNum,
    time: RtpTime,
    /// Samples, over all segments; those of the present one.
    total: u64,
    duration: u16,
    first: Instant,
    last: Instant,
    /// A packet with the end bit came.
    ended: bool,
    /// It has been told, or was too short.
    told: bool,
    /// Its packets stopped.
    stopped: bool,
}

/// What an event packet says.
#[derive(Clone, Copy, Debug)]
struct Heard {
    digit: Digit,
    end: bool,
    duration: u16,
}

impl Heard {
    /// The first block; copies after it, and the volume, are not looked at. Flash and other events are no
    /// keys.
    fn read(payload: &[u8]) -> Option<Self> {
        let &[event, flags, high, low, ..] = payload else { return None };
        Some(Self {
            digit: Digit::from_event(event)?,
            end: flags & 0x80 != 0,
            duration: u16::from_be_bytes([high, low]),
        })
    }
}

/// Whether an event packet says that its event is over (RFC 4733 §2.3.2); also of events that are no keys.
pub fn is_end(payload: &[u8]) -> bool {
    payload.get(1).is_some_and(|flags| flags & 0x80 != 0)
}

/// What a packet is to the event before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// More of it.
    Same,
    /// More of it, in a further segment.
    Segment,
    /// Another event.
    New,
    /// Nothing to be learned.
    Stale,
}

impl DigitReceiver {
    /// No key pressed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event packet in. Then `poll` until it says nothing. The marker is no proof of anything:
    /// gateways leave it out or set it on each packet.
    pub fn push(&mut self, now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, marker: bool, payload: &[u8]) {
        let _ = marker;
        let Some(heard) = Heard::read(payload) else { return };
        let part =
            self.event.as_ref().map_or(Part::New, |event| event.part(now, ssrc, seq, timestamp, heard));
        match part {
            Part::Stale => return,
            Part::New => {
                self.tell(false);
                self.event = Some(Event::begin(now, ssrc, seq, timestamp, heard));
            }
            Part::Segment => {
                if let Some(event) = &mut self.event {
                    event.total += u64::from(event.duration);
                    event.duration = 0;
                    event.more(now, seq, timestamp, heard);
                }
            }
            Part::Same => {
                if let Some(event) = &mut self.event {
                    event.more(now, seq, timestamp, heard);
                }
            }
        }
        if heard.end {
            self.tell(true);
        }
    }

    /// The next key that was released by now.
    pub fn poll(&mut self, now: Instant) -> Option<Pressed> {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.tell(false);
            if let Some(event) = &mut self.event {
                event.stopped = true;
            }
        }
        self.done.pop_at(0)
    }

    /// When a key whose end has not come counts as released.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.event.as_ref().filter(|event| event.is_down()).map(|event| event.last + STOPPED)
    }

    /// A key is down: audio is to be muted towards whoever hears this line.
    pub fn muted(&self) -> bool {
        self.event.as_ref().is_some_and(Event::is_down)
    }

    /// Tells of the event, once. Only an end that was heard proves that a key was too short.
    fn tell(&mut self, ended: bool) {
        let Some(event) = &mut self.event else { return };
        if std::mem::replace(&mut event.told, true) {
            return;
        }
        let samples = event.samples();
        if !ended || samples >= LEAST {
            let held = Duration::from_millis(samples / 8);
            // Four are more than can end at once; one that nobody asked for is lost.
            let _ = self.done.try_push(Pressed { digit: event.digit, held });
        }
    }
}

impl Event {
    fn begin(now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, heard: Heard) -> Self {
        Self {
            ssrc,
            digit: heard.digit,
            seq: SeqNum::first(seq),
            time: RtpTime::first(timestamp),
            total: 0,
            duration: heard.duration,
            first: now,
            last: now,
            ended: heard.end,
            told: false,
            stopped: false,
        }
    }

    fn is_down(&self) -> bool {
        !self.ended && !self.stopped
    }

    /// How long it was held, in samples: as it says, or by our clock when it says nothing.
    fn samples(&self) -> u64 {
        match self.total + u64::from(self.duration) {
            0 => self.last.saturating_duration_since(self.first).as_millis() as u64 * 8,
            said => said,
        }
    }

    fn more(&mut self, now: Instant, seq: u16, timestamp: u32, heard: Heard) {
        let seq = self.seq.nearest(seq);
        if seq > self.seq {
            self.seq = seq;
            self.time = self.time.nearest(timestamp);
        }
        self.duration = self.duration.max(heard.duration);
        self.last = now;
        self.ended |= heard.end;
        self.stopped = false;
    }

    fn part(&self, now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, heard: Heard) -> Part {
        if ssrc != self.ssrc || now.saturating_duration_since(self.last) > FORGOTTEN {
            return Part::New;
        }
        let (seq, time) = (self.seq.nearest(seq), self.time.nearest(timestamp));
        let same_key = heard.digit == self.digit;
        if seq <= self.seq {
            // A copy, or one that was overtaken: what it belongs to is known.
            let ours = same_key && time == self.time && seq < self.seq && !self.ended;
            return if ours { Part::Same } else { Part::Stale };
        }
        if !same_key {
            return Part::New;
        }
        let moved = time.0.abs_diff(self.time.0);
        if moved == 0 {
            let anew = heard.duration < self.duration || self.ended && !heard.end;
            return if anew { Part::New } else { Part::Same };
        }
        if !self.ended && SEGMENT.contains(&moved) && SEGMENT.contains(&self.duration.into()) {
            return Part::Segment;
        }
        self.part_of_growing(moved, heard)
    }

    /// The stamp has moved, but not the key: another press, or a gateway whose stamps grow with each packet.
    /// There the stamp moves as the duration does, and no further; another press is beyond the end of this.
    fn part_of_growing(&self, moved: u64, heard: Heard) -> Part {
        let Some(grown) = heard.duration.checked_sub(self.duration) else { return Part::New };
        let grown = u64::from(grown);
        let same = match (self.ended, heard.end) {
            (false, false) => grown > 0 && moved <= grown + STRAY,
            (false, true) => moved <= grown + STRAY,
            (true, true) => grown == 0 && moved <= STRAY,
            (true, false) => false,
        };
        if same { Part::Same } else { Part::New }
    }
}

/// One event packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// First packet of the event.
    pub marker: bool,
    /// What it carries.
    pub payload: [u8; 4],
}

/// What the sender of a key does in one packet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this packet, in place of audio, with the timestamp of the key's start.
    Event(EventPacket),
    /// Send nothing, or silence: the gap after the key.
    Gap,
    /// The key is over: audio goes on.
    Done,
}

/// Sends one key: a packet each packet time, the last three with the end bit, then a gap.
#[derive(Clone, Debug)]
pub struct DigitSender {
    digit: Digit,
    /// Samples a packet, samples of the whole key, samples until audio may go on.
    step: u32,
    tone: u32,
    over: u32,
    /// Samples that have passed, packets with the end bit that were sent.
    passed: u32,
    ends: u32,
}

impl DigitSender {
    const ENDS: u32 = 3;
    const GAP_MS: u32 = 70;
    const VOLUME: u8 = 10;

    /// A key held for `tone` (100 ms is usual, 8 s the most), sent in packets of `ptime`.
    pub fn new(digit: Digit, tone: Duration, ptime: Duration) -> Self {
        let samples = |time: Duration, most: u128| (time.as_millis().clamp(1, most) * 8) as u32;
        let (step, tone) = (samples(ptime, 200), samples(tone, 8000));
        let tone = tone.max(step);
        Self { digit, step, tone, over: tone + Self::GAP_MS * 8, passed: 0, ends: 0 }
    }

    /// What to do in the next packet time.
    pub fn step(&mut self) -> Step {
        let marker = self.passed == 0;
        self.passed = self.passed.saturating_add(self.step);
        let end = self.passed >= self.tone;
        if end && self.ends == Self::ENDS {
            return if self.passed < self.over + self.step { Step::Gap } else { Step::Done };
        }
        self.ends += u32::from(end);
        let [high, low] = (self.passed.min(self.tone) as u16).to_be_bytes();
        let flags = if end { 0x80 | Self::VOLUME } else { Self::VOLUME };
        Step::Event(EventPacket { marker, payload: [self.digit.event(), flags, high, low] })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins now
mod tests {
    use super::*;

    const PTIME: Duration = Duration::from_millis(20);

    /// What a gateway may have wrong.
    #[derive(Clone, Copy, Default)]
    struct Gateway {
        growing_stamps: bool,
        one_stamp: bool,
    }

    struct World {
        start: Instant,
        now: Instant,
        receiver: DigitReceiver,
        gateway: Gateway,
        seq: u16,
        stamp: u32,
        keys: String,
    }

    fn world(gateway: Gateway) -> World {
        let start = Instant::now();
        let (receiver, keys) = (DigitReceiver::new(), String::new());
        World { start, now: start, receiver, gateway, seq: 65_530, stamp: u32::MAX - 500, keys }
    }

    impl World {
        fn hear(&mut self, seq: u16, stamp: u32, key: char, end: bool, duration: u16) {
            let [high, low] = duration.to_be_bytes();
            let event = Digit::from_char(key).map_or(16, Digit::event);
            let payload = [event, if end { 0x8A } else { 0x0A }, high, low];
            self.receiver.push(self.now, Ssrc(1), seq, stamp, duration == 160, &payload);
            self.poll();
        }

        fn poll(&mut self) {
            while let Some(pressed) = self.receiver.poll(self.now) {
                self.keys.push(pressed.digit.as_char());
            }
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
            self.stamp = self.stamp.wrapping_add(ms as u32 * 8);
            self.poll();
        }

        /// A press of 100 ms: packets 0..=4, then the end twice more; those of `lost` do not arrive.
        fn press(&mut self, key: char, lost: &[usize]) {
            let start = if self.gateway.one_stamp { 0 } else { self.stamp };
            for i in 0..7_usize {
                let duration = (i.min(4) as u16 + 1) * 160;
                let stamp = if self.gateway.growing_stamps { self.stamp } else { start };
                if !lost.contains(&i) {
                    self.hear(self.seq, stamp, key, i >= 4, duration);
                }
                self.seq = self.seq.wrapping_add(1);
                self.wait(20);
            }
        }
    }

    #[test]
    fn a_key_is_told_once_at_its_end() {
        let mut w = world(Gateway::default());
        for i in 1..=4_u16 {
            w.hear(i, 500, '5', false, i * 160);
            assert!(w.receiver.muted() && w.keys.is_empty());
        }
        w.receiver.push(w.now, Ssrc(1), 5, 500, false, &[5, 0x8A, 3, 32]);
        assert!(!w.receiver.muted());
        assert_eq!(
            w.receiver.poll(w.now),
            Some(Pressed { digit: Digit::from_char('5').unwrap(), held: Duration::from_millis(100) })
        );
        w.hear(6, 500, '5', true, 800);
        w.hear(7, 500, '5', true, 800);
        w.wait(1000);
        assert_eq!((w.keys.as_str(), w.receiver.poll_timeout()), ("", None));
    }

    #[test]
    fn any_packet_that_arrives_is_enough() {
        for arrives in 0..7 {
            let mut w = world(Gateway::default());
            let lost: Vec<usize> = (0..7).filter(|&i| i != arrives).collect();
            for key in "5509*#D".chars() {
                w.press(key, &lost);
                w.wait(70);
            }
            w.wait(200);
            assert_eq!(w.keys, "5509*#D", "packet {arrives} alone");
        }
    }

    #[test]
    fn doubled_and_swapped_packets_yield_no_second_key() {
        let mut w = world(Gateway::default());
        for (seq, duration, end) in [
            (1, 160, false),
            (3, 480, false),
            (2, 320, false),
            (5, 800, true),
            (4, 640, false),
            (6, 800, true),
            (5, 800, true),
            (7, 800, true),
            (3, 480, false),
        ] {
            w.hear(seq, 500, '7', end, duration);
            w.hear(seq, 500, '7', end, duration);
            w.wait(20);
        }
        w.wait(500);
        assert_eq!(w.keys, "7");
    }

    #[test]
    fn a_missing_end_is_made_up_after_120_ms_and_a_late_one_is_no_key() {
        let mut w = world(Gateway::default());
        w.hear(1, 500, '1', false, 400);
        assert_eq!(w.receiver.poll_timeout(), Some(w.start + Duration::from_millis(120)));
        w.wait(119);
        assert!(w.keys.is_empty() && w.receiver.muted());
        w.wait(1);
        assert!(w.keys == "1" && !w.receiver.muted());
        w.wait(30);
        w.hear(7, 500, '1', true, 1600);
        w.wait(500);
        assert_eq!(w.keys, "1");
    }

    #[test]
    fn the_next_key_ends_the_one_before() {
        let mut w = world(Gateway::default());
        w.hear(1, 500, '1', false, 400);
        w.hear(9, 1800, '2', false, 160);
        assert_eq!(w.keys, "1");
        w.wait(120);
        assert_eq!(w.keys, "12");
    }

    #[test]
    fn gateways_whose_stamps_grow_send_one_key_each_press() {
        for lost in [&[][..], &[0], &[4], &[1, 2], &[4, 5], &[6]] {
            let mut w = world(Gateway { growing_stamps: true, ..Gateway::default() });
            for key in "1122#".chars() {
                w.press(key, lost);
                w.wait(70);
            }
            w.wait(200);
            assert_eq!(w.keys, "1122#", "without {lost:?}");
        }
    }

    #[test]
    fn gateways_with_one_stamp_for_all_send_one_key_each_press() {
        for lost in [&[][..], &[0], &[4], &[4, 5], &[4, 5, 6], &[2, 3]] {
            let mut w = world(Gateway { one_stamp: true, ..Gateway::default() });
            for key in "1122#".chars() {
                w.press(key, lost);
                w.wait(70);
            }
            w.wait(200);
            assert_eq!(w.keys, "1122#", "without {lost:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        let mut w = world(Gateway::default());
        w.hear(1, 500, 'F', true, 800);
        w.receiver.push(w.now, Ssrc(1), 2, 600, true, &[1, 0x80, 3]);
        w.receiver.push(w.now, Ssrc(1), 3, 700, true, &[]);
        w.wait(200);
        w.hear(4, 900, '3', true, 239);
        w.wait(200);
        assert_eq!(w.keys, "");
        w.hear(5, 1900, '3', true, 240);
        assert_eq!(w.keys, "3");
    }

    #[test]
    fn copies_of_earlier_events_in_one_packet_are_not_looked_at() {
        let mut w = world(Gateway::default());
        for (seq, end, high, low) in [(1, 0, 0, 160), (2, 0, 1, 64), (3, 0x80, 1, 224)] {
            // Behind it what RFC 4733 §2.5.1.5 lets stand there: other reports.
            let payload = [4, end | 10, high, low, 7, 0x8A, 3, 32, 8, 10, 0, 160];
            w.receiver.push(w.now, Ssrc(1), seq, 500, seq == 1, &payload);
            w.poll();
            w.wait(20);
        }
        w.wait(300);
        assert_eq!(w.keys, "4");
    }

    #[test]
    fn a_marker_that_is_missing_or_on_every_packet_proves_nothing() {
        for marker in [false, true] {
            let mut w = world(Gateway::default());
            for (seq, stamp) in [(1, 500), (2, 500), (3, 500), (9, 2900), (10, 2900), (11, 2900)] {
                let end = if seq % 8 == 3 { 0x80 } else { 0 };
                let [high, low] = (u16::from(seq as u8 % 8) * 160).to_be_bytes();
                w.receiver.push(w.now, Ssrc(1), seq, stamp, marker, &[6, end, high, low]);
                w.poll();
                w.wait(if seq == 3 { 240 } else { 20 });
            }
            assert_eq!(w.keys, "66", "{marker}");
        }
    }

    #[test]
    fn a_gateway_that_gives_no_durations_is_timed_by_our_clock() {
        let mut w = world(Gateway::default());
        for i in 1..=6 {
            w.receiver.push(w.now, Ssrc(1), i, 500, false, &[1, if i == 6 { 0x80 } else { 0 }, 0, 0]);
            w.now += PTIME;
        }
        assert_eq!(w.receiver.poll(w.now).map(|pressed| pressed.held), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_press_of_ten_seconds_in_segments_is_one_key() {
        let mut w = world(Gateway::default());
        let (mut seq, mut stamp, mut duration) = (1_u16, 1000_u32, 0_u32);
        for _ in 0..500 {
            duration += 160;
            if duration > 0xFFFF {
                stamp = stamp.wrapping_add(0xFFFF);
                duration -= 0xFFFF;
            }
            w.hear(seq, stamp, '9', false, duration as u16);
            seq += 1;
            w.now += PTIME;
        }
        assert_eq!(w.keys, "");
        let [high, low] = (duration as u16).to_be_bytes();
        w.receiver.push(w.now, Ssrc(1), seq, stamp, false, &[9, 0x80, high, low]);
        let held = w.receiver.poll(w.now).expect("a key").held.as_millis();
        assert!((9_900..=10_100).contains(&held), "{held}");
    }

    #[test]
    fn the_same_key_a_quarter_of_an_hour_later_counts() {
        let mut w = world(Gateway { one_stamp: true, ..Gateway::default() });
        w.press('1', &[]);
        w.wait(900_000);
        w.seq = w.seq.wrapping_add(45_000);
        w.press('1', &[]);
        assert_eq!(w.keys, "11");
    }

    #[test]
    fn another_source_is_another_key() {
        let mut w = world(Gateway::default());
        w.hear(1, 500, '1', false, 400);
        w.receiver.push(w.now, Ssrc(2), 1, 500, false, &[1, 0x80, 1, 200]);
        w.poll();
        assert_eq!(w.keys, "11");
    }

    #[test]
    fn a_key_is_sent_as_100_ms_three_ends_and_a_gap() {
        let mut sender = DigitSender::new(Digit::from_char('#').unwrap(), Duration::from_millis(100), PTIME);
        let packet = |marker, end: u8, duration: u16| {
            let [high, low] = duration.to_be_bytes();
            Step::Event(EventPacket { marker, payload: [11, end | 10, high, low] })
        };
        let wanted = [
            packet(true, 0, 160),
            packet(false, 0, 320),
            packet(false, 0, 480),
            packet(false, 0, 640),
            packet(false, 0x80, 800),
            packet(false, 0x80, 800),
            packet(false, 0x80, 800),
            Step::Gap,
            Step::Gap,
            Step::Done,
            Step::Done,
        ];
        assert_eq!(wanted.map(|_| sender.step()), wanted);
    }

    #[test]
    fn what_is_sent_is_received_at_every_packet_time() {
        for ptime in [10, 20, 30, 40, 60] {
            let ptime = Duration::from_millis(ptime);
            let mut w = world(Gateway::default());
            for key in "12*".chars() {
                let mut sender =
                    DigitSender::new(Digit::from_char(key).unwrap(), Duration::from_millis(100), ptime);
                let start = w.stamp;
                loop {
                    match sender.step() {
                        Step::Event(event) => {
                            w.receiver.push(w.now, Ssrc(1), w.seq, start, event.marker, &event.payload);
                            w.seq = w.seq.wrapping_add(1);
                        }
                        Step::Gap => {}
                        Step::Done => break,
                    }
                    w.wait(ptime.as_millis() as u64);
                }
            }
            assert_eq!(w.keys, "12*", "{ptime:?}");
        }
    }
}
