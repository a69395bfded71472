//! What is counted is what was heard, and what was taken back is not heard any more.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::audio::Resampler;
use crate::media::StreamCounts;

const LOUD: u8 = 0x80;

impl World {
    /// The bot's port is closed: what it counted.
    fn counts(&mut self) -> StreamCounts {
        self.apply(Command::Close(BOT));
        let closed = self.events.iter().rev().find_map(|(_, event)| match event {
            Event::Closed(BOT, counts) => Some((**counts).clone()),
            _ => None,
        });
        let Some(Counts::Stream(counts)) = closed else { panic!("a stream was closed") };
        counts
    }

    /// The first packet from then on that is not silent.
    fn sound_after(&self, at: Duration) -> Duration {
        self.got.iter().find(|got| got.at >= at && !got.silent()).expect("a sound").at
    }
}

fn ms(time: Duration) -> u32 {
    time.as_millis() as u32
}

#[test]
fn a_turn_ends_with_the_packet_that_begins_the_answer() {
    for (rate, ptime_ms) in [(SampleRate::Hz8000, 20), (SampleRate::Hz24000, 20), (SampleRate::Hz16000, 60)] {
        let mut world = World::new();
        world.open_bot(rate);
        world.open_caller(RtpSpec { ptime_ms, ..spec() });
        world.link(BOT, CALLER);
        world.link(CALLER, BOT);
        let mut turns = Vec::new();
        for pause in [500, 1240, 80] {
            world.talk(300, SILENCE);
            world.talk(400, LOUD);
            let last = world.time() - 20 * MS; // when the last packet with speech came
            world.talk(pause, SILENCE);
            let ordered = world.time();
            world.play(Play::Audio(vec![8000; rate.samples(1000)]));
            world.talk(1500, SILENCE);
            turns.push(ms(world.sound_after(ordered) - last));
        }
        assert_eq!(world.counts().turns_ms, turns, "{rate}, ptime {ptime_ms}");
    }
}

#[test]
fn a_clear_ends_with_the_first_silent_packet_and_the_next_words_answer_the_interruption() {
    let rate = SampleRate::Hz16000;
    let mut world = World::call(rate);
    world.play(Play::Audio(vec![8000; rate.samples(5000)]));
    world.talk(1000, SILENCE);
    world.talk(300, LOUD);
    let last = world.time() - 20 * MS;
    world.pass(7);
    let asked = world.time();
    world.clear();
    world.clear(); // of nothing
    world.pass(200);
    let silent = world.got.iter().find(|got| got.at > asked).expect("a packet");
    assert!(silent.silent());
    let cleared = ms(silent.at - asked);
    let ordered = world.time();
    world.play(Play::Audio(vec![8000; rate.samples(500)]));
    world.pass(1000);
    let turn = ms(world.sound_after(ordered) - last);
    let counts = world.counts();
    assert_eq!((counts.turns_ms, counts.clears_ms), (vec![turn], vec![cleared]));
}

#[test]
fn a_gap_in_which_the_caller_spoke_is_a_turn_and_no_want_of_audio() {
    let mut world = World::call(SampleRate::Hz8000);
    world.play(Play::Audio(vec![8000; 1600]));
    world.talk(300, SILENCE);
    world.talk(200, LOUD);
    world.talk(200, SILENCE);
    world.play(Play::Audio(vec![8000; 1600]));
    world.talk(600, SILENCE);
    let counts = world.counts();
    assert_eq!((counts.starved, counts.turns_ms.len()), (0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// agentstream.md section 8: at most one packet that was handed to RTP before.
    #[test]
    fn after_a_clear_nothing_old_is_heard_and_what_is_new_begins_clean(
        rate in select(&SampleRate::ALL[..]),
        ptime_ms in select(&[10_u8, 20, 30, 40, 60][..]),
        rounds in prop::collection::vec((1_usize..20_000, 1_usize..700, 0_u32..700, any::<bool>()), 1..5),
        pause in 0_u32..90,
        (length, seed) in (200_usize..9000, any::<u64>()),
    ) {
        let mut chance = Entropy::seeded(seed);
        let anew: Vec<i16> = (0..length).map(|_| chance.u32() as i16 / 3).collect();
        let mut world = World::new();
        world.open_bot(rate);
        world.open_caller(RtpSpec { ptime_ms, ..spec() });
        world.link(BOT, CALLER);
        world.link(CALLER, BOT);
        for (length, chunk, played, talks) in rounds {
            for piece in vec![20_000; length].chunks(chunk.max(length / 200)) {
                world.play_when_there_is_room(Play::Audio(piece.to_vec()));
            }
            world.pass(played);
            world.clear();
            if talks {
                world.say(&[SILENCE; 160]); // the order is found with the packet
            }
        }
        let (cleared, at) = (world.got.len(), world.time());
        world.pass(pause);
        world.play_when_there_is_room(Play::Audio(anew.clone()));
        world.pass(1400);

        let heard: Vec<u8> = world.got[cleared..].iter().flat_map(|got| got.payload.clone()).collect();
        let expected = alone(rate, anew);
        let (heard, expected) = (trimmed(&heard), trimmed(&expected));
        let differ = heard.iter().zip(expected).position(|(one, other)| one != other);
        prop_assert_eq!((heard.len(), differ), (expected.len(), None), "cleared at {:?}", at);
        let counts = world.counts();
        prop_assert!(counts.clears_ms.iter().all(|&took| took <= ptime_ms.max(20).into()), "{:?}", counts.clears_ms);
    }

    #[test]
    fn what_was_ordered_was_played_cleared_or_discarded(
        rate in select(&SampleRate::ALL[..]),
        steps in prop::collection::vec((0_u8..8, 1_u32..900), 1..40),
        end in 0_u8..4,
        last in 0_u32..700,
    ) {
        let mut world = World::call(rate);
        let (mut ordered, mut marks) = (0, 0);
        for (what, n) in steps {
            match what {
                0..=2 => {
                    let samples = vec![8000; rate.samples(n)];
                    let length = samples.len() as u64;
                    ordered += if world.bot.as_mut().expect("a bot").play(Play::Audio(samples)).is_ok() { length } else { 0 };
                }
                3 => {
                    marks += u64::from(world.bot.as_mut().expect("a bot").play(Play::Mark(n)).is_ok());
                }
                4 => world.clear(),
                _ => world.pass(n),
            }
        }
        match end {
            0 => world.play_when_there_is_room(Play::Finish { until: ordered }),
            1 => world.play_when_there_is_room(Play::Finish { until: ordered / 2 }),
            2 => world.play_when_there_is_room(Play::Clear { asked: None }),
            _ => {}
        }
        world.pass(last);
        let counts = world.counts();
        prop_assert_eq!(counts.played + counts.cleared + counts.discarded, ordered, "{:?}", counts);
        prop_assert_eq!(counts.marks_played + counts.marks_cleared, world.marks().len() as u64);
        prop_assert!(counts.marks_played + counts.marks_cleared <= marks);
        let heard: u64 = world.got.iter().flat_map(|got| &got.payload).map(|&octet| u64::from(octet != SILENCE)).sum();
        let (played, edges) = (counts.played / rate.times_8k() as u64, 40 * (1 + world.voiced().len() as u64 / 8));
        if rate == SampleRate::Hz8000 {
            prop_assert_eq!(heard, played);
        } else {
            prop_assert!(heard.abs_diff(played) <= edges, "{} heard, {} played", heard, played);
        }
    }
}

/// What a caller hears of audio that nothing came before.
fn alone(rate: SampleRate, mut samples: Vec<i16>) -> Vec<u8> {
    let length = samples.len().next_multiple_of(rate.samples(20)) + rate.samples(20);
    samples.resize(length, 0);
    let mut resampler = Resampler::new(rate, SampleRate::Hz8000);
    let mut line = vec![0; resampler.max_output(length)];
    let made = resampler.process(&samples, &mut line);
    line[..made].iter().map(|&sample| linear_to_mu(sample)).collect()
}

/// Without the silence around it.
fn trimmed(octets: &[u8]) -> &[u8] {
    let first = octets.iter().position(|&octet| octet != SILENCE).unwrap_or(octets.len());
    let last = octets.iter().rposition(|&octet| octet != SILENCE).map_or(first, |at| at + 1);
    &octets[first..last]
}
