//! How long the bot's audio waits: as long as its messages are late, and no longer (docs/agentstream/playout.md).

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::media::StreamCounts;

/// A bot that sends message after message, each at a time of its own.
struct Bot {
    /// Milliseconds of a message.
    length: u32,
    /// Of sound and then of silence in what it says; no silence: it never pauses.
    words: (u32, u32),
    seed: u64,
    /// How late, in microseconds, a message is that is due so many milliseconds after the first.
    late: fn(&mut Entropy, u32) -> u32,
}

/// What came of it.
struct Came {
    /// Since the first message: when a message of the bot's was due, and how long after that its first sample left.
    delays: Vec<(Duration, Duration)>,
    counts: StreamCounts,
}

const TALK: (u32, u32) = (900, 200);

fn steady(_: &mut Entropy, _: u32) -> u32 {
    0
}

impl Bot {
    /// Every message begins with a number in eight loud samples; the rest is sound or silence.
    fn message(&self, number: u32, due: u32) -> Vec<i16> {
        let mut samples: Vec<i16> = (0..self.length * 8)
            .map(|n| {
                let ms = due + n / 8;
                let silent = ms % (self.words.0 + self.words.1) >= self.words.0;
                let loud = 600 + (n.wrapping_mul(2_654_435_761) >> 20) as i16;
                if silent { 0 } else { loud }
            })
            .collect();
        for (bit, sample) in samples.iter_mut().take(16).enumerate() {
            *sample = if number >> (15 - bit) & 1 == 1 { 20_000 } else { -20_000 };
        }
        samples
    }

    fn talk(&self, length: Duration) -> Came {
        let mut world = World::call(SampleRate::Hz8000);
        let mut chance = Entropy::seeded(self.seed);
        world.pass(2013); // no place on the clock is special
        let (from, mut sent, mut last) = (world.now, 0, world.now);
        let mut dues = Vec::new();
        while world.now < from + length {
            loop {
                let due = sent * self.length;
                let at = from + Duration::from_millis(due.into());
                if at > world.now {
                    break;
                }
                let late = (self.late)(&mut chance, due);
                let at = last.max(at + Duration::from_micros(late.into()));
                dues.push((at, due, sent));
                (last, sent) = (at, sent + 1);
            }
            while dues.first().is_some_and(|&(at, ..)| at <= world.now) {
                let (at, due, number) = dues.remove(0);
                let message = Play::Audio(self.message(number, due));
                world.bot.as_mut().expect("a bot").play_at(at, message).expect("room");
            }
            world.pass(1);
        }
        let delays = places(&world, from, self.length);
        world.play_when_there_is_room(Play::Clear { asked: None });
        world.pass(100);
        Came { delays, counts: counts(&mut world) }
    }
}

fn counts(world: &mut World) -> StreamCounts {
    world.apply(Command::Close(BOT));
    let closed = world.events.iter().rev().find_map(|(_, event)| match event {
        Event::Closed(BOT, counts) => Some((**counts).clone()),
        _ => None,
    });
    let Some(Counts::Stream(counts)) = closed else { panic!("a stream was closed") };
    counts
}

/// Finds the numbers in what the caller got.
fn places(world: &World, from: Instant, length: u32) -> Vec<(Duration, Duration)> {
    let line: Vec<(Duration, i16)> = world
        .got
        .iter()
        .flat_map(|got| got.payload.iter().map(|&octet| (got.at, MU_TO_LINEAR[usize::from(octet)])))
        .collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at + 16 <= line.len() {
        let bits = line[at..at + 16].iter().map(|(_, sample)| sample);
        if bits.clone().any(|sample| sample.unsigned_abs() < 15_000) {
            at += 1;
            continue;
        }
        let number = bits.fold(0_u32, |number, &sample| number << 1 | u32::from(sample > 0));
        let due = from - world.began + Duration::from_millis(u64::from(number * length));
        found.push((due - (from - world.began), line[at].0.saturating_sub(due)));
        at += 16;
    }
    found
}

impl Came {
    /// Delays of messages due from then on, least and greatest.
    fn from(&self, at: Duration) -> (Duration, Duration) {
        let delays = self.delays.iter().filter(|(due, _)| *due >= at).map(|(_, delay)| *delay);
        (delays.clone().min().expect("some"), delays.max().expect("some"))
    }

    /// So many milliseconds each came, in order, none twice.
    fn assert_whole(&self, messages: usize) {
        assert!(self.delays.len() >= messages - 10, "{} of {messages} messages left", self.delays.len());
        assert!(self.delays.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, each once");
        let counts = &self.counts;
        assert!(counts.shed <= counts.played);
    }
}

#[test]
fn a_steady_bot_is_heard_a_few_milliseconds_after_its_messages() {
    for (length, minutes) in [(20, 10), (40, 1), (60, 1), (100, 1)] {
        let bot = Bot { length, words: TALK, seed: 1, late: steady };
        let came = bot.talk(Duration::from_secs(60 * minutes));
        came.assert_whole(60_000 * minutes as usize / length as usize);
        let (_, most) = came.from(5 * Duration::from_secs(1));
        assert!(most <= 12 * MS, "{length} ms: {most:?}");
        assert_eq!(came.counts.starved, 0, "{length} ms");
        assert!(came.counts.shed <= 8 * 80, "{} samples of silence were left out", came.counts.shed);
    }
}

/// The careful beginning is made up for in whole packets, whose number is not to hang on a fraction of a millisecond.
#[test]
fn a_first_message_that_was_more_punctual_than_all_that_follow_leaves_no_delay_behind() {
    fn settles(_: &mut Entropy, due: u32) -> u32 {
        if due < 400 { 0 } else { 300 }
    }
    let bot = Bot { length: 20, words: (5400, 400), seed: 1, late: settles };
    let came = bot.talk(Duration::from_secs(20));
    let (_, most) = came.from(Duration::from_secs(12));
    assert!(most <= 12 * MS, "{most:?}");
}

#[test]
fn a_bot_whose_messages_come_late_by_chance_is_heard_without_a_gap_as_late_as_they_come() {
    fn jitter(chance: &mut Entropy, _: u32) -> u32 {
        chance.below(60_000)
    }
    for seed in 0..4 {
        let bot = Bot { length: 20, words: TALK, seed, late: jitter };
        let came = bot.talk(Duration::from_secs(60));
        came.assert_whole(3000);
        let (_, most) = came.from(Duration::from_secs(15));
        assert!(most <= 85 * MS, "seed {seed}: {most:?}");
        assert_eq!(came.counts.starved, 0, "seed {seed}");
    }
}

#[test]
fn after_a_stall_no_delay_stays_behind() {
    fn stalls(_: &mut Entropy, due: u32) -> u32 {
        if (20_000..20_300).contains(&due) { (20_300 - due) * 1000 } else { 0 }
    }
    for length in [20, 40, 100] {
        let bot = Bot { length, words: TALK, seed: 1, late: stalls };
        let came = bot.talk(Duration::from_secs(60));
        came.assert_whole(60_000 / length as usize);
        let (_, stalled) = came.from(Duration::from_secs(20));
        assert!(stalled >= 200 * MS);
        let (_, most) = came.from(Duration::from_secs(30));
        assert!(most <= 12 * MS, "{length} ms: {most:?}");
        assert_eq!(came.counts.starved, 1);
    }
}

#[test]
fn a_bot_with_fits_is_given_the_delay_they_need() {
    fn fits(_: &mut Entropy, due: u32) -> u32 {
        if due % 10_000 == 5000 { 40_000 } else { 0 }
    }
    let bot = Bot { length: 20, words: TALK, seed: 1, late: fits };
    let came = bot.talk(Duration::from_secs(150));
    assert!(came.counts.starved <= 3, "{} of 15 fits made a gap", came.counts.starved);
}

#[test]
fn a_bot_with_a_fast_clock_is_not_heard_later_and_later() {
    // Two in a thousand: 480 ms early in the end.
    fn fast(_: &mut Entropy, due: u32) -> u32 {
        2_000_000 - due * 2
    }
    let bot = Bot { length: 20, words: TALK, seed: 1, late: fast };
    let came = bot.talk(Duration::from_secs(240));
    // Its messages are due ever earlier than their numbers say.
    let late = came
        .delays
        .iter()
        .map(|(due, delay)| delay.as_micros() as i64 - 2_000_000 + due.as_millis() as i64 * 2);
    let most = late.skip(1000).max().expect("some");
    assert!(most <= 30_000, "{most} us");
}

#[test]
fn what_is_sent_at_once_keeps_its_pauses() {
    let mut world = World::call(SampleRate::Hz8000);
    world.pass(1013);
    for turn in 0..5 {
        let bot = Bot { length: 200, words: (300, 300), seed: turn, late: steady };
        let from = world.got.len();
        let said: Vec<Vec<i16>> = (0..15).map(|n| bot.message(n, n * 200)).collect();
        for piece in &said {
            world.play(Play::Audio(piece.clone()));
            world.pass(3);
        }
        world.pass(4000);
        let heard: Vec<u8> = world.got[from..].iter().flat_map(|got| got.payload.clone()).collect();
        let said: Vec<u8> = said.iter().flatten().map(|&sample| linear_to_mu(sample)).collect();
        assert!(heard.windows(said.len()).any(|heard| heard == said), "turn {turn}: sample for sample");
    }
    assert_eq!(counts(&mut world).shed, 0);
}

#[test]
fn an_utterance_of_a_known_bot_begins_with_its_first_message() {
    let mut world = World::call(SampleRate::Hz8000);
    world.pass(1000);
    let bot = Bot { length: 20, words: (1000, 0), seed: 1, late: steady };
    let mut waits = Vec::new();
    for turn in 0..8 {
        world.pass(1500 + 7 * turn);
        let (began, from) = (world.time(), world.got.len());
        for n in 0..100 {
            let now = world.now;
            world
                .bot
                .as_mut()
                .expect("a bot")
                .play_at(now, Play::Audio(bot.message(n, n * 20)))
                .expect("room");
            world.pass(20);
        }
        world.pass(100);
        let first = world.got[from..].iter().find(|got| !got.silent()).expect("sound").at;
        waits.push((first - began).as_millis());
    }
    assert!((60..=85).contains(&waits[0]), "{waits:?}: nothing was known");
    // The core looks at what came with its next block.
    assert!(waits[1..].iter().all(|wait| (6..=26).contains(wait)), "{waits:?}");
    assert_eq!(counts(&mut world).starved, 0);
}

#[test]
fn the_clock_is_moved_in_silence_only_and_not_away() {
    let mut world = World::call(SampleRate::Hz8000);
    world.pass(500);
    for turn in 0..40_u32 {
        world.play(Play::Audio(vec![8000; 160 * 20]));
        world.pass(600 + turn * 13);
    }
    for pair in world.got.windows(2) {
        let [one, next] = pair else { unreachable!() };
        assert_eq!(next.timestamp.wrapping_sub(one.timestamp), 160, "time goes on by what was sent");
        assert_eq!(next.seq, one.seq.wrapping_add(1));
        let gap = next.at - one.at;
        if !one.silent() {
            assert_eq!(gap, 20 * MS, "at {:?}", one.at);
        }
        assert!(gap <= 21 * MS);
        assert!(gap >= 19 * MS || next.marker, "at {:?}", one.at);
    }
    for (n, got) in world.got.iter().enumerate() {
        let ideal = 20 * MS * (n as u32 + 1);
        assert!(got.at <= ideal + MS && got.at + 20 * MS >= ideal, "R-121: {:?} for {ideal:?}", got.at);
    }
}

#[test]
fn who_speaks_holds_the_clock_for_all() {
    let mut world = World::call(SampleRate::Hz8000);
    let music = port(2);
    world.apply(Command::Open(music, Spec::Player(Player::new(vec![1000; 800].into(), true))));
    world.link(music, CALLER);
    world.pass(500);
    for turn in 0..20_u32 {
        world.play(Play::Audio(vec![8000; 160 * 20]));
        world.pass(600 + turn * 13);
    }
    assert!(world.got.windows(2).all(|pair| pair[1].at - pair[0].at == 20 * MS));
}

#[test]
fn a_thousand_marks_between_two_words_make_no_gap() {
    let mut world = World::call(SampleRate::Hz8000);
    world.pass(500);
    world.play(Play::Audio(vec![8000; 800]));
    world.play(Play::Marks { first: 0, last: 4999 });
    world.play(Play::Audio(vec![8000; 800]));
    world.play(Play::Mark(5000));
    world.pass(1000);
    let voiced: Vec<_> = world.voiced().iter().map(|got| got.at).collect();
    assert_eq!(voiced.len(), 10);
    assert!(voiced.windows(2).all(|pair| pair[1] - pair[0] == 20 * MS), "{voiced:?}");
    let told = world.marks();
    assert_eq!(told, (0..=5000).map(|mark| (mark, Reached::Played)).collect::<Vec<_>>());
    assert_eq!(world.told[4999].0, voiced[4], "with the last sample before them");
    assert_eq!(counts(&mut world).marks_played, 5001);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_it_comes_every_sound_is_heard_once_and_every_sample_counted(
        rate in select(&SampleRate::ALL[..]),
        pieces in prop::collection::vec((1_u32..120, 0_u32..150, any::<bool>()), 20..120),
        clear in 0_usize..200,
    ) {
        let mut world = World::call(rate);
        world.pass(507);
        let (mut ordered, mut loud, mut marks) = (0_u64, 0, 0);
        for (n, (length, pause, silent)) in pieces.into_iter().enumerate() {
            let samples = vec![if silent { 3 } else { 8000 }; rate.samples(length)];
            ordered += samples.len() as u64;
            loud += if silent { 0 } else { u64::from(length) };
            let now = world.now;
            world.bot.as_mut().expect("a bot").play_at(now, Play::Audio(samples)).expect("room");
            world.play(Play::Mark(n as u32));
            marks += 1;
            if n == clear {
                world.clear();
                loud = 0;
                world.got.clear();
            }
            world.pass(pause);
        }
        world.play(Play::Finish { until: ordered });
        world.pass(10_000);
        prop_assert_eq!(world.marks().into_iter().map(|(mark, _)| mark).collect::<Vec<_>>(), (0..marks).collect::<Vec<_>>());
        let heard = world.got.iter().flat_map(|got| &got.payload).filter(|&&octet| MU_TO_LINEAR[usize::from(octet)] > 4000).count() as u64;
        prop_assert!(rate != SampleRate::Hz8000 || heard == loud * 8 || clear < 120, "{} of {}", heard, loud * 8);
        let counts = counts(&mut world);
        prop_assert_eq!(counts.played + counts.cleared + counts.discarded, ordered);
        prop_assert!(counts.shed <= counts.played);
    }
}
