//! Unidirectional streams beside the call (agentstream.md section 14): who hears what, and that nothing they do is felt
//! by caller or bot.

use std::sync::Arc;

use serde_json::{Value, json};
use streamkit::audio::codec::G711;
use streamkit::call::Request;
use streamkit::call::admission::Limits;
use streamkit::flow::applet::{Applet, Hangup, Stream, Voicebot};
use streamkit::flow::{AnswerMode, Reconnect, StreamSettings, Track};
use streamkit::stream::connect::Failure;
use streamkit::units::SampleRate;

use crate::world::bot::{Bot, Door, digits};
use crate::world::caller::sdp;
use crate::world::clock::{Frame, ms, secs};
use crate::world::ear::{companded, find, is_silent, pitch, sound};
use crate::world::{Setup, World};
use crate::{tone, tone_at, words};

const BOT: &str = "ws://bot.example/";
const FORK: &str = "ws://fork.example/";

fn start(url: &str, settings: StreamSettings) -> Applet {
    Applet::Stream(Stream::Start { url: url.to_owned(), settings: Arc::new(settings) })
}

fn fork(track: Track) -> Applet {
    start(FORK, StreamSettings { fork: Some(track), ..StreamSettings::default() })
}

fn bot(url: &str) -> Applet {
    let settings = Arc::default();
    Applet::Voicebot(Voicebot { urls: vec![url.to_owned()], settings, reconnect: Reconnect::No })
}

fn stop() -> Applet {
    Applet::Stream(Stream::Stop)
}

fn hangup() -> Applet {
    Applet::Hangup(Hangup::default())
}

/// A call that is up with these forks and a bot, which is the last of the bots.
fn with(forks: impl IntoIterator<Item = Applet>) -> World {
    let steps = forks.into_iter().chain([bot(BOT), hangup()]).collect();
    let mut world = World::new(Setup::steps(steps));
    world.call();
    world.run(ms(507));
    world
}

/// Caller and bot speak, each to the other, and nothing of it is lost.
fn assert_unharmed(world: &mut World) {
    let (asked, said) = (words(31, 700), words(32, 700));
    let bot = world.bots.len() - 1;
    let (heard, before) = (world.bots[bot].line().len(), world.callers[0].ear.line().len());
    world.caller().mouth.say(&asked);
    world.bots[bot].say(&said);
    world.run(secs(2));
    assert!(find(&world.bots[bot].line()[heard..], &companded(G711::Mu, &asked)).is_some());
    assert!(find(&world.callers[0].ear.line()[before..], &companded(G711::Mu, &said)).is_some());
    world.callers[0].ear.assert_steady();
}

/// The record of the fork and that of the bot.
fn ended(world: &mut World) -> (Value, Value) {
    world.caller().hang_up();
    let mut cdr = world.finish();
    assert_eq!(cdr["streams"].as_array().map(Vec::len), Some(2), "{cdr}");
    assert_eq!((&cdr["end"]["cause"], &cdr["end"]["by"]), (&"bye".into(), &"caller".into()));
    let (fork, bot) = (cdr["streams"][0].take(), cdr["streams"][1].take());
    assert_eq!((&fork["StreamType"], &bot["StreamType"]), (&"unidirectional".into(), &Value::Null));
    assert_eq!(bot["Disposition"], "caller_hangup");
    (fork, bot)
}

// ---- who hears what ----

#[test]
fn the_inbound_track_is_the_caller_sample_for_sample() {
    let mut world = with([fork(Track::Inbound)]);
    let asked = words(1, 1000);
    world.caller().mouth.say(&asked);
    world.bot().say(&words(2, 1000));
    world.run(secs(2));
    let line = world.bots[0].line();
    assert!(sound(&line) == companded(G711::Mu, &asked), "all of it, and nothing of the bot's");
    let (fork, _) = ended(&mut world);
    assert_eq!(world.bots[0].told(), "connected start stop:callended close:1000");
    assert_eq!((&fork["track"], &fork["Status"]), (&"inbound".into(), &"completed".into()));
    assert_eq!((&fork["DisconnectedBy"], &fork["Disposition"]), (&"user".into(), &"caller_hangup".into()));
    assert_eq!(fork["audio"]["received_ms"], 0);
}

#[test]
fn the_outbound_track_is_what_the_caller_hears() {
    let mut world = with([fork(Track::Outbound)]);
    let said = words(3, 1000);
    world.caller().mouth.say(&words(4, 1000));
    world.bot().say(&said);
    world.run(ms(500));
    world.bot().clear();
    world.run(secs(1));
    let heard = sound(&world.callers[0].ear.line()).to_vec();
    let line = world.bots[0].line();
    let line = companded(G711::Mu, sound(&line));
    assert!(
        line == heard && line.len() < said.len(),
        "{} to the fork, {} to the caller",
        line.len(),
        heard.len()
    );
    let (fork, _) = ended(&mut world);
    assert_eq!(fork["track"], "outbound");
}

#[test]
fn the_mixed_track_is_the_sum_of_both() {
    let mut world = with([fork(Track::Mixed)]);
    let (asked, said) = (words(5, 500), words(6, 500));
    world.caller().mouth.say(&asked);
    world.run(secs(1));
    world.bot().say(&said);
    world.run(secs(1));
    let line = world.bots[0].line();
    let one = find(&line, &companded(G711::Mu, &asked)).expect("the caller");
    let other = find(&line, &said).expect("the bot");
    assert!(one < other);
    world.caller().mouth.say(&[4000; 8000]);
    world.bot().say(&[-1500; 8000]);
    world.run(secs(2));
    let both = companded(G711::Mu, &[4000])[0] - 1500;
    let line = &world.bots[0].line()[line.len()..];
    let summed = line.iter().filter(|sample| **sample == both).count();
    assert!(summed > 7000, "{summed} of 8000");
    ended(&mut world);
}

#[test]
fn forks_and_bot_each_have_a_rate_and_a_frame_of_their_own() {
    let of = |rate: &str, track, frame_ms| {
        let settings =
            StreamSettings { fork: Some(track), frame_ms: Some(frame_ms), ..StreamSettings::default() };
        start(&format!("{FORK}?sample-rate={rate}"), settings)
    };
    let steps = vec![
        of("16000", Track::Inbound, 40),
        of("24000", Track::Outbound, 100),
        bot("ws://bot.example/?sample-rate=8000"),
        hangup(),
    ];
    let mut world = World::new(Setup::steps(steps));
    world.call();
    world.run(ms(500));
    world.caller().mouth.say(&tone(440.0, 1000));
    world.bot().say(&tone_at(SampleRate::Hz8000, 1000.0, 1000));
    world.run(secs(3));
    let heard = |at: usize| {
        let bot: &Bot = &world.bots[at];
        let hz = pitch(sound(&bot.line()), bot.rate);
        (bot.rate, bot.frame_ms, (hz / 20.0).round() as u32 * 20)
    };
    assert_eq!(heard(0), (16_000, 40, 440));
    assert_eq!(heard(1), (24_000, 100, 1000));
    assert_eq!(heard(2), (8000, 20, 440));
    assert!((990.0..1010.0).contains(&pitch(sound(&world.callers[0].ear.line()), 8000)));
    world.caller().hang_up();
    let cdr = world.finish();
    let rates: Vec<_> = (0..3).map(|at| cdr["streams"][at]["sample_rate"].as_u64()).collect();
    assert_eq!(rates, [16_000, 24_000, 8000].map(Some), "in the order they were opened");
}

#[test]
fn keys_and_marks_are_the_bots_alone() {
    let mut world = with([fork(Track::Inbound)]);
    world.caller().mouth.press("5");
    world.bot().mark("here");
    world.run(secs(1));
    assert_eq!(world.bots[0].told(), "connected start");
    assert_eq!(world.bots[1].told(), "connected start mark:here dtmf:5");
    ended(&mut world);
}

#[test]
fn a_fork_runs_on_while_the_caller_holds() {
    let mut world = with([fork(Track::Inbound)]);
    let offer = sdp(world.callers[0].mouth.from, "0 8 101", "sendonly");
    world.caller().reoffer(&offer);
    world.run(ms(100));
    let before = world.bots[0].line().len();
    world.caller().mouth.say(&words(7, 1000)); // music on hold
    world.run(secs(2));
    let line = world.bots[0].line();
    assert!((15_840..=16_160).contains(&(line.len() - before)), "{}", line.len() - before);
    assert!(is_silent(&line[before..]));
    ended(&mut world);
}

// ---- before the answer ----

fn before_the_answer(skip_ringing: bool) -> World {
    let settings = StreamSettings { fork: Some(Track::Inbound), skip_ringing, ..StreamSettings::default() };
    let late = vec![Door::Opens(secs(3))];
    let mut world = World::new(Setup {
        houses: vec![("bot.example", late)],
        ..Setup::steps(vec![start(FORK, settings), bot(BOT), hangup()])
    });
    world.caller().dial();
    world.run(secs(2));
    world
}

#[test]
fn a_fork_that_began_before_the_answer_hears_silence_until_then() {
    let mut world = before_the_answer(false);
    assert_eq!(world.ladder(), "INVITE <100 <180");
    let ringing = world.bots[0].line();
    assert!((8 * 1900..=8 * 1950).contains(&ringing.len()), "{}", ringing.len());
    world.run(secs(2));
    let asked = words(8, 500);
    world.caller().mouth.say(&asked);
    world.run(secs(1));
    let line = world.bots[0].line();
    assert!(sound(&line) == companded(G711::Mu, &asked));
    assert!(line.len().abs_diff(8 * 4950) <= 8 * 60, "one line from its start on: {}", line.len());
    ended(&mut world);
}

#[test]
fn with_skip_ringing_a_fork_gets_nothing_before_the_answer_and_the_gap_shows() {
    let mut world = before_the_answer(true);
    assert_eq!(world.bots[0].story(), "connected start");
    world.bots[0].skipped = true;
    world.run(secs(2));
    let first = world.bots[0].all("media").next().expect("audio from the answer on").clone();
    let (chunk, time) = (digits(&first.1["media"]["chunk"]), digits(&first.1["media"]["timestamp"]));
    assert_eq!(chunk, 1, "no message is missing");
    assert!((2900..=3000).contains(&time), "{time}");
    let asked = words(9, 500);
    world.caller().mouth.say(&asked);
    world.run(secs(1));
    assert!(sound(&world.bots[0].line()) == companded(G711::Mu, &asked));
    let times: Vec<u64> =
        world.bots[0].all("media").map(|(_, media)| digits(&media["media"]["timestamp"])).collect();
    assert!(times.windows(2).all(|pair| pair[1] == pair[0] + 20));
    ended(&mut world);
}

#[test]
fn a_fork_alone_does_not_keep_a_call() {
    let mut world = World::new(Setup::steps(vec![fork(Track::Inbound), hangup()]));
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <480 ACK");
    assert_eq!(cdr["streams"][0]["Disposition"], "caller_hangup_during_setup");
}

// ---- what it does is not felt ----

#[test]
fn a_fork_that_breaks_or_closes_does_not_touch_the_call() {
    type End = (fn(&mut Bot), &'static str, &'static str, &'static str);
    let ends: [End; 4] = [
        (Bot::die, "failed", "NA", "connection_lost"),
        (|bot| bot.close(1011), "failed", "bot", "bot_error"),
        (|bot| bot.close(1000), "completed", "bot", "bot_closed"),
        (|bot| bot.frame(Frame::Close(None, String::new())), "completed", "bot", "bot_closed"),
    ];
    for (end, status, by, disposition) in ends {
        let mut world = with([fork(Track::Mixed)]);
        end(&mut world.bots[0]);
        world.run(ms(500));
        assert_unharmed(&mut world);
        assert_eq!(world.kit.admission.in_use().all_streams, 1, "its place is free again");
        let (fork, _) = ended(&mut world);
        assert_eq!(
            [&fork["Status"], &fork["DisconnectedBy"], &fork["Disposition"]],
            [status, by, disposition]
        );
    }
}

#[test]
fn a_fork_that_cannot_be_had_does_not_touch_the_call() {
    let steps = vec![fork(Track::Mixed), bot(BOT), hangup()];
    let refuses = vec![Door::Fails(ms(20), Failure::Refused)];
    let mut world = World::new(Setup { houses: vec![("fork.example", refuses)], ..Setup::steps(steps) });
    world.call();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK");
    world.run(secs(1));
    assert_unharmed(&mut world);
    let (fork, _) = ended(&mut world);
    assert_eq!((&fork["Disposition"], &fork["attempts"]), (&"connect_failed".into(), &2.into()));
}

#[test]
fn whatever_a_fork_sends_is_ignored() {
    let mut world = with([fork(Track::Inbound)]);
    let fork = &mut world.bots[0];
    fork.say(&words(10, 2000));
    for n in 0..1000 {
        fork.mark(&n.to_string());
        fork.clear();
        fork.frame(Frame::Text("no JSON at all".to_owned()));
        fork.frame(Frame::Binary);
        fork.send(json!({"event": "stop"}));
    }
    world.run(secs(3));
    assert!(is_silent(&world.callers[0].ear.line()));
    assert_unharmed(&mut world);
    assert_eq!(world.bots[0].told(), "connected start");
    let (fork, bot) = ended(&mut world);
    assert_eq!(
        (&fork["messages"]["ignored"], &fork["Status"]),
        (&fork["messages"]["in"], &"completed".into())
    );
    assert!(fork["messages"]["in"].as_u64() >= Some(5000));
    assert_eq!((&fork["marks"]["received"], &bot["messages"]["in"]), (&0.into(), &bot["messages"]["in"]));
}

#[test]
fn a_fork_that_never_reads_is_given_up_and_keeps_no_more_than_it_may() {
    let mut world = with([fork(Track::Mixed)]);
    world.bots[0].sleep();
    world.run(secs(10));
    assert_unharmed(&mut world);
    world.run(secs(10));
    let (fork, bot) = ended(&mut world);
    assert_eq!(
        (&fork["Disposition"], &fork["Error"]),
        (&"connection_lost".into(), &"3014 ws peer unresponsive".into())
    );
    let dropped = fork["messages"]["dropped"].as_u64().expect("a number");
    assert!((600..=700).contains(&dropped), "all but 2 s of 15: {dropped}");
    assert_eq!(bot["messages"]["dropped"], 0);
}

// ---- how it ends ----

#[test]
fn the_stop_action_ends_the_forks_begun_before_it_and_the_call_goes_on() {
    let steps = vec![
        fork(Track::Inbound),
        fork(Track::Outbound),
        bot(BOT),
        stop(),
        bot("ws://next.example/"),
        hangup(),
    ];
    let mut world = World::new(Setup::steps(steps));
    world.call();
    world.run(ms(500));
    world.bots[2].close(1000);
    world.run(ms(500));
    for fork in &world.bots[..2] {
        assert_eq!(fork.told(), "connected start stop:stopped close:1000");
    }
    assert_unharmed(&mut world);
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <200");
    let ends: Vec<_> =
        (0..4).map(|at| cdr["streams"][at]["Disposition"].as_str().unwrap_or_default()).collect();
    assert_eq!(ends, ["stopped", "stopped", "bot_closed", "caller_hangup"]);
    assert_eq!(
        (&cdr["streams"][0]["Status"], &cdr["streams"][0]["DisconnectedBy"]),
        (&"completed".into(), &"NA".into())
    );
}

#[test]
fn a_node_that_goes_down_tells_forks_too() {
    let mut world = with([fork(Track::Inbound)]);
    world.ask(Request::Shutdown);
    let cdr = world.finish();
    for bot in &world.bots {
        assert_eq!(bot.told(), "connected start stop:stopped close:1001");
    }
    assert_eq!(cdr["streams"][0]["Disposition"], "shutdown");
}

#[test]
fn forks_take_places_among_the_streams() {
    let limits = Limits { streams: 2, ..Limits::default() };
    let steps = vec![bot(BOT), hangup()];
    let forks = (0..3).map(|_| fork(Track::Inbound));
    let mut world = World::new(Setup { limits, ..Setup::steps(forks.chain(steps).collect()) });
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(cdr["sip"]["code"], 503, "no place is left for the bot");
    for at in [2, 3] {
        let stream = &cdr["streams"][at];
        assert_eq!(stream["DetailedStatus"], "Streaming_call_throttled");
        assert!(stream.get("StreamSID").is_none());
    }
    assert_eq!(world.bots.len(), 2);
}

#[test]
fn a_call_has_eight_forks_at_most() {
    let mut world = with((0..10).map(|_| fork(Track::Mixed)));
    assert_eq!(world.bots.len(), 8 + 1);
    assert_unharmed(&mut world);
    world.caller().hang_up();
    let cdr = world.finish();
    let throttled = |stream: &&Value| stream["Disposition"] == "throttled";
    assert_eq!(cdr["streams"].as_array().map(|all| all.iter().filter(throttled).count()), Some(2));
}

#[test]
fn in_immediate_mode_a_fork_hears_the_caller_from_the_answer_on() {
    let late = vec![Door::Opens(secs(1))];
    let mut setup = Setup::steps(vec![bot(BOT), fork(Track::Inbound), bot("ws://next.example/"), hangup()]);
    setup.trunk.answer = AnswerMode::Immediate;
    setup.houses = vec![("fork.example", late)];
    let mut world = World::new(setup);
    world.call();
    world.run(ms(300));
    world.bots[0].close(1000);
    world.run(ms(20));
    let asked = words(11, 600);
    world.caller().mouth.say(&asked); // while the fork is being reached
    world.run(secs(3));
    assert!(sound(&world.bots[1].line()) == companded(G711::Mu, &asked));
    world.caller().hang_up();
    world.finish();
}
