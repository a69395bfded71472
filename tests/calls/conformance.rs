//! The conformance checklist of agentstream.md section 16: one test a line, in its order, named for it. Each is the
//! line from end to end; the finer facts behind it stand beside the code and in the other files here.

use std::time::Instant;

use serde_json::{Value, json};
use streamkit::audio::codec::G711;
use streamkit::call::admission::Limits;
use streamkit::stream::connect::Failure;
use streamkit::stream::{BotUrl, upgrade};
use streamkit::units::SampleRate;

use crate::world::bot::{Bot, Door, media, pcm};
use crate::world::clock::{Frame, ms, secs};
use crate::world::ear::{companded, find, is_silent, pitch, sound};
use crate::world::{Setup, World};
use crate::{tone, tone_at, words};

/// A call with everything a bot can be told in it: audio, a key, marks, the stop.
fn an_ordinary_call(setup: Setup) -> (World, Value) {
    let frame_ms = setup.stream.frame_ms;
    let mut world = World::new(setup);
    world.caller().dial();
    world.run_until(secs(1), |world| !world.bots.is_empty());
    world.bot().frame_ms = frame_ms;
    world.run(secs(1));
    world.bot().mark("idle");
    world.bot().say(&words(1, 400));
    world.bot().mark("played");
    world.caller().mouth.press("5");
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();
    (world, cdr)
}

fn in_a_call() -> World {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(ms(507));
    world
}

fn at_the_door(doors: Vec<Door>) -> World {
    World::new(Setup { doors, ..Setup::default() })
}

/// `Status DisconnectedBy code`, of `Error` its code.
fn outcome(cdr: &Value) -> String {
    let stream = &cdr["streams"][0];
    let word = |name: &str| stream[name].as_str().unwrap_or_default();
    let code = word("Error").split(' ').next().unwrap_or_default();
    format!("{} {} {code}", word("Status"), word("DisconnectedBy")).trim_end().to_owned()
}

fn heard(world: &World) -> Vec<i16> {
    sound(&world.callers[0].ear.line()).to_vec()
}

fn said(samples: &[i16]) -> Vec<i16> {
    companded(G711::Mu, samples)
}

fn message(bot: &Bot, event: &str) -> Value {
    bot.all(event).next().expect("it was sent").1.clone()
}

/// Line 1; section 2, step 5.
#[test]
fn line_01_connected_then_start_are_first_and_alone() {
    let mut world = World::new(Setup::default());
    world.call();
    world.caller().mouth.say(&tone(440.0, 200));
    world.run(secs(1));
    world.caller().hang_up();
    world.finish();
    let first: Vec<&Value> = world.bot().heard.iter().map(|(_, message)| message).take(3).collect();
    assert_eq!(*first[0], json!({"event": "connected"}));
    assert_eq!((&first[1]["event"], &first[2]["event"]), (&"start".into(), &"media".into()));
}

/// Line 2; sections 4.3 and 5.2.
#[test]
fn line_02_all_scalars_are_strings_and_start_has_its_seven_members() {
    fn strings(value: &Value) -> bool {
        match value {
            Value::Object(members) => members.values().all(strings),
            other => other.is_string(),
        }
    }
    let (mut world, _) = an_ordinary_call(Setup::default());
    let messages = world.bot().heard.iter().map(|(_, message)| message);
    assert!(messages.filter(|message| message["event"] != "close").all(strings));
    let start = world.bot().start().as_object().expect("an object").clone();
    let members: Vec<&str> = start.keys().map(String::as_str).collect();
    let mut seven =
        ["stream_sid", "call_sid", "account_sid", "from", "to", "custom_parameters", "media_format"];
    seven.sort_unstable();
    assert_eq!(members, seven);
    assert_eq!(start["custom_parameters"], json!({}));
    let format = json!({"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"});
    assert_eq!(start["media_format"], format);
}

/// Line 3; section 4.2.
#[test]
fn line_03_start_has_no_camel_case() {
    fn keys(value: &Value, all: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            all.push(key.clone());
            keys(value, all);
        }
    }
    let (mut world, _) = an_ordinary_call(Setup::default());
    let mut all = Vec::new();
    world.bot().heard.iter().for_each(|(_, message)| keys(message, &mut all));
    assert!(all.iter().all(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_')), "{all:?}");
}

/// Line 4; sections 4.4 and 5.3. `finish` looks at every number of every message.
#[test]
fn line_04_numbers_count_up_and_timestamps_step_by_frame_ms() {
    for frame_ms in [20, 40, 60, 80, 100] {
        let mut setup = Setup::default();
        setup.stream.frame_ms = frame_ms;
        let (mut world, _) = an_ordinary_call(setup);
        let whole = "connected start mark:idle dtmf:5 mark:played stop:callended close:1000";
        assert_eq!(world.bot().told(), whole);
        let frames = world.bot().all("media").count() as u32;
        assert!((2800..=3060).contains(&(frames * frame_ms)), "{frames} of {frame_ms} ms");
    }
}

/// Line 5; sections 2.1 and 3.2.
#[test]
fn line_05_query_path_and_credentials_arrive_and_credentials_are_nowhere_else() {
    let text = "wss://key:s3cr%65t@bot.example.com:8443/a%2Fb/c?lang=hi-IN&sample-rate=8000&x=%20y&flag";
    let url = BotUrl::parse(text).expect("a URL");
    let request = upgrade::request(&url, "StreamKit/1", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut lines = request.split("\r\n");
    assert_eq!(lines.next(), Some("GET /a%2Fb/c?lang=hi-IN&sample-rate=8000&x=%20y&flag HTTP/1.1"));
    let basic = format!("Authorization: Basic {}", base64_simd::STANDARD.encode_to_string("key:s3cret"));
    assert_eq!(lines.filter(|line| line.contains(&basic)).count(), 1);
    assert!(request.contains("\r\nHost: bot.example.com:8443\r\n"));
    assert!(!request.contains("s3cr") && !request.contains("Sec-WebSocket-Extensions"));

    let (mut world, cdr) = an_ordinary_call(Setup::url(text));
    let custom = json!({"lang": "hi-IN", "x": " y", "flag": ""});
    assert_eq!(world.bot().start()["custom_parameters"], custom);
    let without = "wss://bot.example.com:8443/a%2Fb/c?lang=hi-IN&sample-rate=8000&x=%20y&flag";
    assert_eq!(cdr["streams"][0]["StreamUrl"], without);
    let mut told = vec![cdr.to_string(), format!("{url:?} {url}")];
    told.extend(world.bot().heard.iter().map(|(_, message)| message.to_string()));
    told.extend(world.wire.iter().map(|(_, _, text)| text.clone()));
    let encoded = base64_simd::STANDARD.encode_to_string("key:s3cret");
    let secrets = ["s3cr", "key:", encoded.as_str()];
    assert!(told.iter().all(|text| secrets.iter().all(|secret| !text.contains(secret))));
}

/// Line 6; sections 3.1, 5.3 and 7.1.
#[test]
fn line_06_each_rate_has_its_payload_and_keeps_a_tone_both_ways() {
    for (rate, octets) in [(SampleRate::Hz8000, 320), (SampleRate::Hz16000, 640), (SampleRate::Hz24000, 960)]
    {
        let mut world = World::new(Setup::url(&format!("wss://bot.example.com/?sample-rate={rate}")));
        world.call();
        world.caller().mouth.say(&tone(440.0, 1500));
        world.bot().say(&tone_at(rate, 1000.0, 1500));
        world.run(secs(2));
        world.caller().hang_up();
        world.finish();
        let frame = message(world.bot(), "media")["media"]["payload"].clone();
        let frame = base64_simd::STANDARD.decode_to_vec(frame.as_str().expect("a payload"));
        assert_eq!(frame.map(|octets| octets.len()).ok(), Some(octets));
        let there = pitch(&world.bot().line()[rate.samples(500)..rate.samples(1300)], rate.hz());
        let here = pitch(&world.callers[0].ear.line()[4000..10_400], 8000);
        assert!(
            (there - 440.0).abs() < 1.0 && (here - 1000.0).abs() < 1.0,
            "{there} and {here} Hz at {rate}"
        );
    }
}

/// Line 7; section 6.1.
#[test]
fn line_07_messages_with_any_id_are_accepted() {
    let mut world = in_a_call();
    let line = words(2, 500);
    let ids = [
        json!({"streamSid": "MZ"}),
        json!({}),
        json!({"stream_sid": "wrong"}),
        json!({"stream_sid": 5, "sequence_number": 5}),
        json!({"sequence_number": "5"}),
    ];
    for (piece, id) in line.chunks(800).zip(ids) {
        let mut message = media(&pcm(piece));
        message.as_object_mut().expect("an object").extend(id.as_object().expect("an object").clone());
        world.bot().send(message);
    }
    world.run(secs(1));
    world.caller().hang_up();
    assert_eq!(world.finish()["streams"][0]["messages"]["ignored"], 0);
    assert!(heard(&world) == said(&line));
}

/// Line 8; section 7.3.
#[test]
fn line_08_chunks_of_any_size_are_played_without_gap_or_noise() {
    for (octets, pause) in [(20, ms(0)), (801, ms(0)), (4096, ms(0)), (48_000, ms(0)), (640, ms(40))] {
        let mut world = in_a_call();
        let line = words(3, 3000);
        world.bot().say_every(pause, octets, &line);
        world.run(secs(4));
        world.caller().hang_up();
        world.finish();
        assert!(heard(&world) == said(&line), "{octets}");
        world.callers[0].ear.assert_steady();
    }
}

/// Line 9; sections 7.2 and 8.
#[test]
fn line_09_six_seconds_at_once_play_six_seconds_and_their_mark_comes_then() {
    let mut world = in_a_call();
    let line = words(4, 6000);
    world.bot().say(&line);
    world.bot().mark("end");
    let asked = world.now();
    world.run(secs(7));
    world.caller().hang_up();
    world.finish();
    let ear = &world.callers[0].ear;
    let place = find(&ear.line(), &said(&line)).expect("all of it, in one piece");
    let took = ear.came(place + line.len() - 1) + ms(20) - ear.came(place);
    assert!((ms(5940)..=ms(6060)).contains(&took), "{took:?}");
    let back = world.bots[0].marked("end") - asked;
    assert!((ms(5900)..=ms(6100)).contains(&back), "{back:?}");
}

/// Line 10; section 8.
#[test]
fn line_10_a_clear_silences_echoes_marks_in_order_and_new_audio_plays() {
    let mut world = in_a_call();
    for second in 1..=5 {
        world.bot().say(&words(5, 1000));
        world.bot().mark(&second.to_string());
    }
    world.run(ms(1700));
    world.bot().clear();
    let cleared = world.now();
    world.run(ms(700));
    let last = world.callers[0].ear.sound_before(world.now()).expect("sound");
    assert!(last - cleared <= ms(100), "{:?}", last - cleared);
    assert_eq!(world.bot().told(), "connected start mark:1 mark:2 mark:3 mark:4 mark:5");
    let (stood, anew) = (world.callers[0].ear.line().len(), words(6, 1000));
    assert!(is_silent(&world.callers[0].ear.line()[stood - 4000..]));
    world.bot().say(&anew);
    world.run(secs(2));
    world.caller().hang_up();
    world.finish();
    assert!(sound(&world.callers[0].ear.line()[stood..]) == said(&anew));
}

/// Line 11; section 8.
#[test]
fn line_11_marks_before_and_behind_each_chunk_come_back_once_in_order() {
    let mut world = in_a_call();
    let (line, asked) = (words(7, 2000), world.now());
    for (n, piece) in line.chunks(1600).enumerate() {
        world.bot().mark(&format!("pre-{n}"));
        world.bot().say(piece);
        world.bot().mark(&format!("post-{n}"));
    }
    world.run(secs(3));
    let marks: Vec<(Instant, Value)> = world.bot().all("mark").cloned().collect();
    let names: Vec<&str> = marks.iter().filter_map(|(_, mark)| mark["mark"]["name"].as_str()).collect();
    let sent: Vec<String> = (0..10).flat_map(|n| [format!("pre-{n}"), format!("post-{n}")]).collect();
    assert_eq!(names, sent);
    for (n, pair) in marks.chunks(2).enumerate() {
        let due = ms(200) * (n as u32 + 1);
        let back = pair[1].0 - asked;
        assert!(back >= due - ms(25) && back <= due + ms(25), "post-{n} after {back:?}");
    }
    world.caller().hang_up();
    world.finish();
    assert!(heard(&world) == said(&line));
}

/// Line 12; section 8, defence.
#[test]
fn line_12_a_bot_that_echoes_marks_stays_below_the_limit() {
    let script = |bot: &mut Bot, message: &Value| {
        if message["event"] == "mark" {
            (0..3).for_each(|_| bot.send(message.clone()));
        }
    };
    let mut world = World::new(Setup { script, ..Setup::default() });
    world.call();
    world.bot().mark("again");
    world.run(secs(20));
    let marks: Vec<Instant> = world.bot().all("mark").map(|(at, _)| *at).collect();
    assert!(marks.len() > 2000, "{}", marks.len());
    let most =
        marks.iter().map(|from| marks.iter().filter(|at| **at >= *from && **at < *from + secs(1)).count());
    assert!(most.max() <= Some(601), "a burst of 500 and 100 a second");
    let later = marks.iter().filter(|at| **at >= marks[0] + secs(10) && **at < marks[0] + secs(20)).count();
    assert!((990..=1010).contains(&later), "{later} in ten seconds");
    world.caller().hang_up();
    world.finish();
}

/// Line 13; sections 6.5 and 7.3.
#[test]
fn line_13_nonsense_leaves_the_stream_alive() {
    let mut world = in_a_call();
    let line = words(8, 1000);
    for piece in line.chunks(400) {
        world.bot().say(piece);
        world.bot().frame(Frame::Text("{not json".to_owned()));
        world.bot().send(json!({"event": "media", "media": {"payload": "?"}}));
        world.bot().frame(Frame::Binary);
        world.bot().send(json!({"event": "whisper"}));
    }
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(
        (outcome(&cdr).as_str(), &cdr["streams"][0]["messages"]["ignored"]),
        ("completed user", &80.into())
    );
    assert!(heard(&world) == said(&line));
}

/// Line 14; sections 2.4, 10 and 11.
#[test]
fn line_14_refused_is_tried_twice_never_answering_fails_at_10_s_and_503_once_works() {
    let mut world = at_the_door(vec![Door::Fails(ms(1), Failure::Refused)]);
    world.caller().dial();
    let cdr = world.finish();
    let stream = &cdr["streams"][0];
    assert_eq!((outcome(&cdr).as_str(), &stream["Duration"]), ("failed NA 3009", &"0".into()));
    assert_eq!((&stream["attempts"], &stream["Disposition"]), (&2.into(), &"connect_failed".into()));
    let reason = "3009 failed to establish ws conn: dial tcp 10.0.0.9:8080: connect: connection refused";
    assert_eq!(stream["Error"], reason);

    let mut world = at_the_door(vec![Door::Silent]);
    world.caller().dial();
    let dialled = world.now();
    world.run_until(secs(20), |world| world.ladder().contains("<504"));
    let took = world.now() - dialled;
    assert!((ms(10_000)..=ms(10_100)).contains(&took), "{took:?}");
    let cdr = world.finish();
    assert_eq!((outcome(&cdr).as_str(), &cdr["streams"][0]["Duration"]), ("failed NA 3009", &"0".into()));

    let mut world = at_the_door(vec![Door::Fails(ms(50), Failure::Status(503)), Door::Opens(ms(50))]);
    world.call();
    world.caller().hang_up();
    assert_eq!(outcome(&world.finish()), "completed user");
}

/// Line 15; sections 9 and 10.
#[test]
fn line_15_a_caller_who_hangs_up_is_told_of_and_during_setup_is_cancelled() {
    let mut world = in_a_call();
    world.caller().hang_up();
    assert_eq!(outcome(&world.finish()), "completed user");
    assert_eq!(world.bot().story(), "connected start media stop:callended close:1000");
    let mut world = at_the_door(vec![Door::Opens(secs(3))]);
    world.caller().dial();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    let stream = &cdr["streams"][0];
    assert_eq!((outcome(&cdr).as_str(), &stream["Duration"]), ("cancelled user", &"0".into()));
    assert_eq!(stream["Disposition"], "caller_hangup_during_setup");
    assert!(stream["StreamSID"].is_string());
}

/// Line 16; sections 9 and 10.
#[test]
fn line_16_a_close_with_1000_is_played_out_others_fail_and_a_reset_is_lost() {
    let ways = [
        (Frame::Close(Some(1000), String::new()), "completed bot", true),
        (Frame::Close(Some(1011), String::new()), "failed bot 3012", false),
        (Frame::Close(Some(4400), String::new()), "failed bot 3012", false),
        (Frame::Gone, "failed NA 3011", false),
    ];
    for (way, expected, played) in ways {
        let mut world = in_a_call();
        let line = words(9, 1000);
        world.bot().say(&line);
        world.run(ms(200));
        world.bot().frame(way.clone());
        assert_eq!(outcome(&world.finish()), expected, "{way:?}");
        assert_eq!(heard(&world) == said(&line), played, "{way:?}");
        assert!(
            world.ladder().ends_with("<BYE 200"),
            "{way:?}: the call goes on to its next step, the hangup"
        );
    }
}

/// Line 17; section 9.
#[test]
fn line_17_a_bot_that_ignores_stop_is_closed_without_an_error() {
    let mut world = in_a_call();
    world.bot().polite = false;
    world.caller().hang_up();
    world.run(ms(2100));
    assert!(world.bot().gone);
    assert_eq!(world.bot().told(), "connected start stop:callended close:1000");
    assert_eq!(outcome(&world.finish()), "completed user");
}

/// Line 18; section 7.4. That memory is bounded is `stream::session`'s and `stream::outbox`'s to show.
#[test]
fn line_18_a_bot_that_stops_reading_harms_no_call_and_loses_no_control_message() {
    let mut world = in_a_call();
    let line = words(10, 3000);
    world.bot().sleep();
    world.bot().say(&line);
    world.bot().mark("kept");
    world.caller().mouth.press("1");
    world.run(secs(12));
    world.callers[0].ear.assert_steady();
    world.bot().reads = true;
    world.run(secs(1));
    assert_eq!(world.bot().told(), "connected start dtmf:1 mark:kept");
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(outcome(&cdr), "completed user");
    assert!(cdr["streams"][0]["messages"]["dropped"].as_u64().is_some_and(|dropped| dropped >= 495));
    assert!(heard(&world) == said(&line));
}

/// Line 19; section 2, step 2.
#[test]
fn line_19_over_the_stream_limit_no_connection_is_made() {
    let mut world =
        World::new(Setup { limits: Limits { streams: 0, ..Limits::default() }, ..Setup::default() });
    world.caller().dial();
    let cdr = world.finish();
    let stream = &cdr["streams"][0];
    assert_eq!((outcome(&cdr).as_str(), &stream["Duration"]), ("failed NA 3010", &"0".into()));
    assert_eq!(stream["DetailedStatus"], "Streaming_call_throttled");
    assert!(world.bots.is_empty() && stream.get("StreamSID").is_none());
}

/// Line 20; section 5.4.
#[test]
fn line_20_a_key_press_is_one_message_of_strings() {
    let mut world = in_a_call();
    world.caller().mouth.press("0*#");
    world.run(secs(1));
    world.caller().info("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    world.run(secs(1));
    world.bot().close(1000);
    world.finish();
    let told: Vec<Value> = world.bot().all("dtmf").map(|(_, message)| message["dtmf"].clone()).collect();
    let key = |digit: &str, duration: &str| json!({"digit": digit, "duration": duration});
    assert_eq!(told, [key("0", "100"), key("*", "100"), key("#", "100"), key("5", "160")]);
}
