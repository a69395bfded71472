//! Keys that are pressed: what the bot gets stays one frame of 20 ms each 20 ms (AgentStream section 7.1).

use super::*;

/// How a gateway sends a key.
#[derive(Clone, Copy, Debug)]
struct Gateway {
    /// Packet times the key is down, the one with the first end bit among them.
    held: usize,
    /// The two copies of the end come at once with it, not in place of audio.
    burst: bool,
    /// Audio goes on beside, each packet so many µs after that of the event; negative: before it.
    beside: Option<i64>,
}

/// Ten seconds with keys at 3 s, 5 s and 7 s.
fn pressing(path: &Path, gateway: Gateway) -> Vec<Flight> {
    let (mut out, mut seq) = (Vec::new(), path.first_seq);
    let copies = if gateway.burst { 0 } else { 2 };
    for (i, audio) in path.flights().into_iter().enumerate() {
        let key =
            [150, 250, 350].into_iter().find(|start| (*start..start + gateway.held + copies).contains(&i));
        let Some(start) = key else {
            out.push(Flight { seq, ..audio });
            seq = seq.wrapping_add(1);
            continue;
        };
        let timestamp = path.first_time.wrapping_add(start as u32 * 160);
        let end = i >= start + gateway.held - 1;
        let event = Flight { kind: Kind::Event { end }, timestamp, payload: vec![], ..audio.clone() };
        let together = if end && gateway.burst { 3 } else { 1 };
        let mut events: Vec<Flight> = (0..together).map(|_| event.clone()).collect();
        if let Some(after) = gateway.beside {
            let at = audio.at.saturating_add_signed(after);
            events.insert(if after < 0 { 0 } else { events.len() }, Flight { at, ..audio });
        }
        for flight in events {
            out.push(Flight { seq, ..flight });
            seq = seq.wrapping_add(1);
        }
    }
    out
}

/// Times between the ends of successive 20 ms of the line, in µs, from `from` on.
fn intervals(ride: &Ride, from: u64) -> Vec<u64> {
    let (mut line, mut ends) = (0, Vec::new());
    for (at, item) in &ride.out {
        for _ in line / 160..(line + item.samples()) / 160 {
            ends.push(*at);
        }
        line += item.samples();
    }
    ends.windows(2).filter(|pair| pair[0] >= from).map(|pair| pair[1] - pair[0]).collect()
}

const PLAIN: Gateway = Gateway { held: 8, burst: false, beside: None };

#[test]
fn frames_go_on_one_each_20_ms_through_a_press() {
    for held in [3, 8, 100] {
        for burst in [false, true] {
            let path = Path::plain(10);
            let ride = Ride::run(pressing(&path, Gateway { held, burst, ..PLAIN }), path.until());
            let intervals = intervals(&ride, 1_000_000);
            assert!(intervals.len() > 440);
            let steady = intervals.iter().all(|between| (19_000..=21_000).contains(between));
            assert!(steady, "held {held}, burst {burst}: {intervals:?}");
            assert_eq!(ride.counts(), Counts::default());
        }
    }
}

#[test]
fn audio_beside_a_key_drives_the_line_and_none_of_it_is_late() {
    for after in [-2000, 0, 300, 5000] {
        let path = Path::plain(10);
        let ride = Ride::run(pressing(&path, Gateway { beside: Some(after), ..PLAIN }), path.until());
        let intervals = intervals(&ride, 1_000_000);
        // Where audio goes out of step with itself, the line may.
        let most = 21_000 + after.unsigned_abs();
        assert!(intervals.iter().all(|between| *between <= most), "{after}: {intervals:?}");
        assert_eq!((ride.counts().late, ride.counts().missing, ride.counts().resyncs), (0, 0, 0), "{after}");
        // What the first event packet covers is muted in any case.
        let sent = path.flights().len() as u64 * 160;
        assert!(ride.audio() + 160 >= sent, "{after}: {} of {sent}", ride.audio());
    }
}

#[test]
fn lost_event_packets_cost_no_audio_and_jitter_does_not_either() {
    for seed in 0..30 {
        let path = Path { jitter_ms: seed % 3 * 10, seed: seed + 1, ..Path::plain(10) };
        let mut dice = Dice(seed + 100);
        let mut sent = 0;
        let mut flights = pressing(&path, PLAIN);
        flights.retain(|flight| flight.kind == Kind::Audio || !dice.chance(30));
        sent += flights.iter().filter(|flight| flight.kind == Kind::Audio).count() as u64;
        let ride = Ride::run(flights, path.until());
        // A key whose ends are all lost may take what comes within the jitter after it.
        assert!(ride.audio() + 3 * 160 >= sent * 160, "seed {seed}: {} of {}", ride.audio(), sent * 160);
        assert_eq!(ride.counts().resyncs, 0, "seed {seed}");
        assert!((-60..=5).contains(&ride.off(path.until())), "seed {seed}: {}", ride.off(path.until()));
    }
}

#[test]
fn a_key_whose_packets_stop_leaves_the_line_in_real_time() {
    let path = Path::plain(10);
    let mut flights = pressing(&path, PLAIN);
    let first = flights.iter().position(|flight| flight.kind != Kind::Audio).expect("a key");
    flights.truncate(first + 4);
    let ride = Ride::run(flights, path.until());
    assert!((-45..=0).contains(&ride.off(path.until())), "{}", ride.off(path.until()));
    assert_eq!(ride.counts().missing, 0);
}
