//! Any sequence of loss, copies, overtaking, turns of the counters, changes of source, jumps, pauses, keys, packet times
//! and clocks, against the plainest model: a list of what was taken, each with the samples only it can have brought.

use super::*;

/// What changes before a stretch of packets.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// Another source, with numbers and stamps of its own.
    Source(u32, u16, u32),
    /// The numbers jump.
    Numbers(u16),
    /// The stamps jump.
    Stamps(u32),
    /// Nothing is sent for so many ms, and the stamps go on.
    Pause(u64),
    /// Comfort noise, then nothing for so many ms.
    Noise(u64),
    /// A key is held for so many packets.
    Key(u64),
}

/// A stretch of packets under one mood of the network.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    change: Change,
    packets: u64,
    samples: u64,
    loss: u64,
    twice: u64,
    jitter_ms: u64,
    skew_ppm: i64,
    faint: bool,
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Nothing),
        1 => (1..4_u32, any::<u16>(), any::<u32>()).prop_map(|(ssrc, seq, time)| Change::Source(ssrc, seq, time)),
        1 => any::<u16>().prop_map(Change::Numbers),
        1 => any::<u32>().prop_map(Change::Stamps),
        1 => (0..3000_u64).prop_map(Change::Pause),
        1 => (0..3000_u64).prop_map(Change::Noise),
        1 => (1..40_u64).prop_map(Change::Key),
    ]
}

fn stretches() -> impl Strategy<Value = Vec<Stretch>> {
    let samples = prop::sample::select(vec![80_u64, 160, 160, 160, 240, 320, 480, 1600]);
    let stretch =
        (changes(), 1..120_u64, samples, 0..=30_u64, 0..=15_u64, 0..=120_u64, -500..=500_i64, any::<bool>())
            .prop_map(|(change, packets, samples, loss, twice, jitter_ms, skew_ppm, faint)| Stretch {
                change,
                packets,
                samples,
                loss,
                twice,
                jitter_ms,
                skew_ppm,
                faint,
            });
    prop::collection::vec(stretch, 1..8)
}

/// A sender who does all that.
struct Sender {
    dice: Dice,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    /// His time in µs.
    time: u64,
    /// Samples of content: no two packets have the same.
    content: u64,
    flights: Vec<Flight>,
}

impl Sender {
    fn send(&mut self, stretch: &Stretch, kind: Kind, samples: u64) {
        let copies =
            u64::from(!self.dice.chance(stretch.loss)) * (1 + u64::from(self.dice.chance(stretch.twice)));
        let payload = if kind == Kind::Audio { payload(self.content, samples) } else { Vec::new() };
        let skewed = self.time as i64 + self.time as i64 * stretch.skew_ppm / 1_000_000;
        for _ in 0..copies {
            self.flights.push(Flight {
                id: self.flights.len(),
                at: skewed as u64 + 5 * MS + self.dice.below(stretch.jitter_ms * MS + 1),
                ssrc: self.ssrc,
                seq: self.seq,
                timestamp: self.timestamp,
                kind,
                payload: payload.clone(),
                faint: stretch.faint,
            });
        }
        self.seq = self.seq.wrapping_add(1);
        self.content += samples;
    }

    fn pass(&mut self, samples: u64) {
        self.time += samples * 125;
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
    }

    fn stretch(&mut self, stretch: &Stretch) {
        match stretch.change {
            Change::Nothing => {}
            Change::Source(ssrc, seq, timestamp) => {
                (self.ssrc, self.seq, self.timestamp) = (ssrc, seq, timestamp);
            }
            Change::Numbers(by) => self.seq = self.seq.wrapping_add(by),
            Change::Stamps(by) => self.timestamp = self.timestamp.wrapping_add(by),
            Change::Pause(ms) => self.pass(ms * 8),
            Change::Noise(ms) => {
                self.send(stretch, Kind::Quiet, 0);
                self.pass(ms * 8);
            }
            Change::Key(packets) => self.press(stretch, packets),
        }
        for _ in 0..stretch.packets {
            self.pass(stretch.samples);
            let at = self.timestamp;
            self.timestamp = at.wrapping_sub(stretch.samples as u32);
            self.send(stretch, Kind::Audio, stretch.samples);
            self.timestamp = at;
        }
    }

    fn press(&mut self, stretch: &Stretch, packets: u64) {
        let start = self.timestamp;
        for i in 0..packets + 2 {
            self.pass(160);
            let now = std::mem::replace(&mut self.timestamp, start);
            self.send(stretch, Kind::Event { end: i + 1 >= packets }, 0);
            self.timestamp = now;
        }
    }
}

/// All that must hold of what came out.
fn check(flights: &[Flight], ride: &Ride) {
    let refused: BTreeSet<usize> = ride.refused.iter().map(|(flight, _)| flight.id).collect();
    let mut taken: Vec<&Flight> =
        flights.iter().filter(|flight| flight.kind == Kind::Audio && !refused.contains(&flight.id)).collect();
    let mut last: Option<&Flight> = None;
    for (at, item) in &ride.out {
        let Out::Audio(octets) = item else { continue };
        let from = taken.iter().position(|flight| flight.at <= *at && flight.payload.ends_with(octets));
        let flight = taken.swap_remove(from.expect("what was taken, once"));
        // Of one source and one count of numbers, none goes back. What is late from before a jump back may begin another:
        // it is ahead of what follows the jump, and nobody can tell.
        if let Some(last) = last.replace(flight)
            && last.ssrc == flight.ssrc
            && ride.count_of.get(&last.id) == ride.count_of.get(&flight.id)
        {
            let step = flight.seq.wrapping_sub(last.seq) as i16;
            assert!(step > 0 || step.unsigned_abs() >= 64, "{} after {}", flight.seq, last.seq);
        }
    }
    // What was taken and not delivered was counted as late, was under a key, or was cut for the clock's sake.
    let counts = ride.counts();
    let late = counts.late as usize - ride.refused_as(Discard::Late);
    let under_keys =
        if flights.iter().any(|flight| matches!(flight.kind, Kind::Event { .. })) { usize::MAX } else { 0 };
    let most = late.saturating_add(counts.corrections as usize).saturating_add(under_keys);
    assert!(taken.len() <= most, "{} taken and never delivered, {counts:?}", taken.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_sequence_is_one_line_in_order_and_in_real_time(
        stretches in stretches(), seed: u64, seq: u16, timestamp: u32, max_ms in 20..=1000_u64,
    ) {
        let mut sender = Sender {
            dice: Dice(seed), ssrc: 9, seq, timestamp, time: 0, content: 0, flights: Vec::new(),
        };
        stretches.iter().for_each(|stretch| sender.stretch(stretch));
        let mut flights = sender.flights;
        flights.sort_by_key(|flight| flight.at);
        let until = sender.time + 1_500_000;
        let ride = Ride::with_max(Duration::from_millis(max_ms), &flights, until);
        check(&flights, &ride);
        let off = ride.off(until);
        let behind = -(max_ms as i64) - 450;
        prop_assert!((behind..=360).contains(&off), "{} ms off", off);
    }
}
