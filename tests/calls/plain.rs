//! Ordinary calls.

use serde_json::{Value, json};
use streamkit::audio::codec::G711;
use streamkit::units::SampleRate;

use crate::world::caller::sdp;
use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, find, pitch};
use crate::world::{Setup, World};
use crate::{tone, tone_at};

#[test]
fn caller_and_bot_hear_each_other_sample_for_sample() {
    let mut world = World::new(Setup::default());
    world.call();
    let (question, answer) = (tone(440.0, 1000), tone(1000.0, 1000));
    world.caller().mouth.say(&question);
    world.run(ms(1500));
    world.bot().say(&answer);
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();

    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <200");
    assert_eq!(world.bot().story(), "connected start media stop:callended close:1000");
    assert!(find(&world.bot().line(), &companded(G711::Mu, &question)).is_some());
    let ear = &world.callers[0].ear;
    assert!(find(&ear.line(), &companded(G711::Mu, &answer)).is_some());
    ear.assert_steady();
    assert!(ear.packets[0].marker);
    assert_eq!(cdr["end"], json!({"by": "caller", "cause": "bye", "detail": ""}));
    assert_eq!(cdr["sip"]["code"], 200);
    assert_eq!(cdr["streams"][0]["Status"], "completed");
    assert_eq!(cdr["streams"][0]["Disposition"], "caller_hangup");
    assert_eq!(cdr["streams"][0]["Duration"], "3");
    assert_eq!(cdr["streams"][0]["audio"]["played_ms"], 1000);
    assert_eq!(cdr["media"]["in"]["lost"], 0);
    assert_eq!(cdr["verdict"]["side"], "none");
}

#[test]
fn a_call_in_a_law_is_as_exact() {
    let mut world = World::new(Setup::default());
    let caller = world.caller();
    caller.mouth.law = G711::A;
    caller.offer = Some(sdp(caller.mouth.from, "8 101", "sendrecv"));
    world.call();
    let (question, answer) = (tone(440.0, 500), tone(1000.0, 500));
    world.caller().mouth.say(&question);
    world.bot().say(&answer);
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();

    assert!(find(&world.bot().line(), &companded(G711::A, &question)).is_some());
    assert!(find(&world.callers[0].ear.line(), &companded(G711::A, &answer)).is_some());
    assert_eq!(cdr["media"]["codec"], "PCMA");
}

#[test]
fn at_every_rate_a_tone_keeps_its_pitch_both_ways() {
    for rate in SampleRate::ALL {
        let mut world = World::new(Setup::url(&format!("wss://bot.example.com/v1?sample-rate={rate}")));
        world.call();
        world.caller().mouth.say(&tone(440.0, 2000));
        world.bot().say(&tone_at(rate, 1000.0, 2000));
        world.run(secs(3));
        world.caller().hang_up();
        let cdr = world.finish();

        let format = json!({"encoding": "base64", "sample_rate": rate.to_string(),
            "bit_rate": format!("{}kbps", rate.hz() * 16 / 1000)});
        assert_eq!(world.bot().start()["media_format"], format);
        let heard = world.bot().line();
        let heard = pitch(&heard[rate.samples(500)..rate.samples(1500)], rate.hz());
        assert!((heard - 440.0).abs() < 1.0, "{heard} Hz at {rate}");
        let played = pitch(&world.callers[0].ear.line()[4000..12_000], 8000);
        assert!((played - 1000.0).abs() < 1.0, "{played} Hz from {rate}");
        assert_eq!(cdr["streams"][0]["audio"]["played_ms"], 2000);
        assert_eq!(cdr["streams"][0]["sample_rate"], rate.hz());
    }
}

#[test]
fn the_bot_is_told_who_calls_and_every_scalar_is_a_string() {
    let mut world = World::new(Setup::url("wss://bot.example.com/v1?sample-rate=16000&lang=hi-IN&UUI=url"));
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    world.caller().headers = vec![
        header("X-UUI", "A1B2"),
        header("X-Custom-Header", "SalesBot"),
        header("X-Exotel-AccountSid", "acme1"),
    ];
    world.call();
    world.run(ms(200));
    world.caller().hang_up();
    let cdr = world.finish();

    let start = world.bot().start().clone();
    assert_eq!(start["account_sid"], "acme1");
    assert_eq!((&start["from"], &start["to"]), (&"sip:08061234509".into(), &"01512340321".into()));
    let custom = json!({"Custom-Header": "SalesBot", "UUI": "url", "lang": "hi-IN"});
    assert_eq!(start["custom_parameters"], custom, "a parameter of the URL wins");
    assert_eq!(cdr["call_sid"], start["call_sid"]);
    assert_eq!(cdr["custom_headers"], json!({"Custom-Header": "SalesBot", "UUI": "A1B2"}));
    for (_, message) in &world.bot().heard {
        assert!(message["event"] == "close" || all_strings(message), "{message}");
    }
}

fn all_strings(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Object(members) => members.values().all(all_strings),
        _ => false,
    }
}

#[test]
fn audio_begins_within_40_ms_of_start_and_keeps_real_time() {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(secs(10));
    world.caller().hang_up();
    world.finish();

    let bot = world.bot();
    let start = bot.all("start").next().expect("a start").0;
    let frames: Vec<_> = bot.all("media").map(|(at, _)| *at).collect();
    assert!(frames[0] - start <= ms(40), "{:?}", frames[0] - start);
    for (n, at) in frames.iter().enumerate() {
        let due = frames[0] + ms(20) * n as u32;
        assert!(*at >= due - ms(1) && *at <= due + ms(25), "frame {n} is {:?} off", *at - frames[0]);
    }
}

#[test]
fn two_calls_at_once_keep_to_themselves() {
    let mut world = World::new(Setup { callers: 2, ..Setup::default() });
    world.caller().dial();
    world.callers[1].dial();
    world.run(secs(1));
    let words: Vec<_> = [440.0, 500.0, 600.0, 700.0].map(|hz| companded(G711::Mu, &tone(hz, 500))).into();
    for n in 0..2 {
        world.callers[n].mouth.say(&words[n]);
        world.bots[n].say(&words[n + 2]);
    }
    world.run(secs(1));
    for caller in &mut world.callers {
        caller.hang_up();
    }
    assert_eq!(world.finish_all().len(), 2);
    for n in 0..2 {
        let (bot, ear) = (world.bots[n].line(), world.callers[n].ear.line());
        assert!(find(&bot, &words[n]).is_some() && find(&bot, &words[1 - n]).is_none());
        assert!(find(&ear, &words[n + 2]).is_some() && find(&ear, &words[3 - n]).is_none());
    }
}

#[test]
fn packets_are_as_long_as_the_offer_wants_them() {
    for ptime in [10, 20, 30, 40, 60] {
        let mut world = World::new(Setup::default());
        let offer = world.caller().offer.take().expect("an offer");
        world.caller().offer = Some(offer.replace("a=ptime:20", &format!("a=ptime:{ptime}")));
        world.call();
        let words = tone(1000.0, 500);
        world.bot().say(&words);
        world.bot().mark("end");
        world.run(secs(1));
        world.caller().hang_up();
        let cdr = world.finish();
        let ear = &world.callers[0].ear;
        assert!(ear.packets.iter().all(|packet| packet.samples.len() == ptime * 8), "{ptime}");
        assert!(find(&ear.line(), &companded(G711::Mu, &words)).is_some());
        ear.assert_steady();
        assert_eq!(
            (&cdr["media"]["ptime_ms"], world.bot().told().contains("mark:end")),
            (&ptime.into(), true)
        );
    }
}

#[test]
fn the_record_keeps_where_the_call_has_been() {
    let mut world = World::new(Setup::default());
    let long = "x".repeat(300);
    world.caller().headers = [
        ("Diversion", "<sip:2000@pbx>;reason=user-busy, <tel:+911234>;reason=no-answer"),
        ("History-Info", "<sip:71506@pbx>;index=1"),
        ("User-to-User", "04C8054142434445FA080001000A5F3B2C1D;encoding=hex"),
        ("X-Genesys-CallUUID", "0L1V2K"),
        ("X-UUI", &long),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    world.call();
    world.caller().hang_up();
    let cdr = world.finish();
    let sip = &cdr["sip"];
    assert_eq!(sip["diversion"][0]["from"], "2000");
    assert_eq!(sip["diversion"][1]["reason"], "no-answer");
    assert_eq!(sip["history"][0], "sip:71506@pbx");
    assert_eq!(sip["ucid"], "0001000A5F3B2C1D");
    assert_eq!(sip["genesys_call_uuid"], "0L1V2K");
    assert_eq!(sip["uui"].as_str().map(str::len), Some(256));
    assert_eq!(cdr["custom_headers"]["UUI"].as_str().map(str::len), Some(45));
}
