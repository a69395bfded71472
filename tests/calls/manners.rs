//! The bad habits of voice bots in what they send, and that the caller hears what was meant. How they come and go is in
//! `partings`.
//!
//! What cannot be simulated is in `stream::io::tests`: text that is not UTF-8, broken framing, sockets that are not
//! read.

use base64_simd::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use streamkit::audio::codec::G711;
use streamkit::flow::AnswerMode;
use streamkit::stream::tally::Drop;

use crate::words;
use crate::world::bot::{Script, media, pcm};
use crate::world::clock::{Frame, ms, secs};
use crate::world::ear::{companded, is_silent, sound};
use crate::world::{Setup, World};

pub(crate) fn with(script: Script) -> World {
    let mut world = World::new(Setup { script, ..Setup::default() });
    world.call();
    world.run(ms(507));
    world
}

pub(crate) fn in_a_call() -> World {
    with(|_, _| {})
}

/// The caller heard this, from its first sample to its last, and nothing else.
pub(crate) fn assert_heard(world: &World, said: &[i16]) {
    let ear = &world.callers[0].ear;
    let (line, said) = (ear.line(), companded(G711::Mu, said));
    let heard = sound(&line);
    let same = heard.iter().zip(&said).take_while(|(one, other)| one == other).count();
    assert!(heard == said, "{} samples were said, {} heard, {same} alike", said.len(), heard.len());
    ear.assert_steady();
}

/// Hangs up; the record of the stream, whose outcome no habit of a bot's may change.
pub(crate) fn hang_up(world: &mut World) -> Value {
    world.caller().hang_up();
    let stream = world.finish()["streams"][0].take();
    let outcome = ["Status", "DisconnectedBy", "Disposition"].map(|name| stream[name].as_str());
    assert_eq!(outcome, ["completed", "user", "caller_hangup"].map(Some));
    assert_eq!(stream["Error"], Value::Null);
    stream
}

pub(crate) fn drops(world: &mut World, why: Drop) -> u64 {
    world.kit.bridges.values_mut().map(|bridge| bridge.drops(why)).sum()
}

fn text(text: impl Into<String>) -> Frame {
    Frame::Text(text.into())
}

/// The names of all marks that came back.
pub(crate) fn names(world: &mut World) -> Vec<String> {
    let name = |mark: &Value| mark["mark"]["name"].as_str().expect("a string").to_owned();
    world.bot().all("mark").map(|(_, mark)| name(mark)).collect()
}

// ---- forms ----

#[test]
fn ids_and_numbers_of_any_kind_are_taken() {
    let mut world = in_a_call();
    let said = words(1, 1000);
    for (n, piece) in said.chunks(800).enumerate() {
        let payload = STANDARD.encode_to_string(pcm(piece));
        world.bot().send(match n {
            0 => json!({"event": "media", "streamSid": "MZ01", "media": {"payload": payload}}),
            1 => json!({"event": "media", "media": {"payload": payload}}),
            2 => json!({"event": "media", "stream_sid": "another's", "media": {"payload": payload}}),
            3 => json!({"event": "media", "stream_sid": 7, "sequence_number": 4, "media": {"chunk": 2, "timestamp": 20, "payload": payload}}),
            4 => json!({"event": "media", "stream_sid": null, "sequence_number": "-004", "media": {"chunk": "one", "timestamp": "1e9", "payload": payload}}),
            5 => json!({"event": "media", "sequenceNumber": {"a": [1, {}]}, "media": {"track": "inbound", "payload": payload}}),
            6 => json!({"event": "media", "track": "outbound", "sequence_number": "4", "media": {"track": 9, "timestamp": -1.5, "payload": payload}}),
            7 => json!({"event": "media", "sequence_number": "3", "media": {"chunk": "2", "sample_rate": 44100, "payload": payload}}),
            8 => json!({"event": "media", "stream_sid": ["x"], "account": true, "media": {"encoding": "mulaw", "payload": payload}}),
            _ => json!({"event": "media", "stream_sid": "", "mark": {"name": "no mark"}, "media": {"payload": payload, "name": 1}}),
        });
    }
    world
        .bot()
        .send(json!({"event": "mark", "streamSid": "MZ01", "sequence_number": 12, "mark": {"name": 17}}));
    world.run(secs(2));
    assert_eq!(drops(&mut world, Drop::WrongStream), 4, "MZ01 twice, another's, and none at all");
    assert_eq!(names(&mut world), ["17"]);
    let stream = hang_up(&mut world);
    assert_heard(&world, &said);
    assert_eq!(stream["messages"]["ignored"], 0);
}

#[test]
fn json_may_be_written_in_any_way() {
    let mut world = in_a_call();
    let said = words(2, 500);
    for (n, piece) in said.chunks(800).enumerate() {
        let payload = STANDARD.encode_to_string(pcm(piece));
        let php = payload.replace('/', r"\/");
        let escaped: String = payload.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        world.bot().frame(text(match n {
            0 => format!("\u{feff}{{\"event\":\"media\",\"media\":{{\"payload\":\"{payload}\"}}}}"),
            1 => format!("\r\n{{\r\n\t\"media\" : {{ \"payload\" : \"{payload}\" }} ,\r\n\t\"event\" : \"media\"\r\n}}\r\n\r\n"),
            2 => format!(r#"{{"event":"media","media":{{"payload":"{php}"}}}}"#),
            3 => format!(r#"{{"\u0065vent":"me\u0064ia","media":{{"p\u0061yload":"{escaped}"}}}}"#),
            _ => format!(r#"{{"sequence_number":1e999999,"x":123456789012345678901234567890,"event":"stop","event":"media","media":{{"chunk":-0.0E-400,"payload":"AAAA","payload":"{payload}"}}}}"#),
        }));
    }
    world.run(secs(1));
    let stream = hang_up(&mut world);
    assert_heard(&world, &said);
    assert_eq!(
        (&stream["messages"]["ignored"], &stream["Disposition"]),
        (&0.into(), &"caller_hangup".into())
    );
}

#[test]
fn base64_of_both_alphabets_with_and_without_padding_is_taken() {
    let mut world = in_a_call();
    let said = words(3, 800);
    let octets = pcm(&said);
    for (piece, alphabet) in
        octets.chunks(31).zip([STANDARD, URL_SAFE, STANDARD_NO_PAD, URL_SAFE_NO_PAD].iter().cycle())
    {
        world.bot().send(json!({"event": "media", "media": {"payload": alphabet.encode_to_string(piece)}}));
    }
    world.run(secs(1));
    let stream = hang_up(&mut world);
    assert_heard(&world, &said);
    assert_eq!(stream["messages"]["ignored"], 0);
}

#[test]
fn nonsense_between_words_is_passed_over_and_counted() {
    let mut world = in_a_call();
    let audio = media(&pcm(&[3000; 160])).to_string();
    let payload = |payload: &str| json!({"event": "media", "media": {"payload": payload}}).to_string();
    let of_media = |inner: Value| json!({"event": "media", "media": inner, "payload": "AAAA"}).to_string();
    let of_mark = |inner: Value| json!({"event": "mark", "mark": inner, "name": "x"}).to_string();
    let mut nonsense: Vec<String> = [
        "",
        " ",
        "\0",
        "\u{feff}",
        "hello",
        "<xml/>",
        "{",
        "}",
        "[]",
        "[[{}]]",
        "null",
        "true",
        "17",
        "1e999999",
        "\"media\"",
        "{}",
        r#"{"event":null}"#,
        r#"{"event":["media"]}"#,
        r#"{"event":1e999999}"#,
        r#"{"event":"media""#,
        r#"{'event':'clear'}"#,
        r#"{"event":"Clear"}"#,
        r#"{"event":"clear "}"#,
        r#"{"event":"connected"}"#,
        r#"{"event":"start","start":{}}"#,
        r#"{"event":"dtmf","dtmf":{"digit":"5"}}"#,
        r#"{"event":"transfer","to":"sip:1"}"#,
        r#"{"type":"clear"}"#,
        r#"[{"event":"clear"}]"#,
    ]
    .map(str::to_owned)
    .to_vec();
    nonsense.extend([audio.replace(r#""event":"media""#, r#""event":"MEDIA""#)]);
    nonsense.extend([audio[..audio.len() - 9].to_owned(), format!("{audio}{audio}"), format!("[{audio}]")]);
    nonsense.extend(
        ["", "A", "====", "%%%%", "AA A", "AAAA\n", " AAAA", "AAA=AAAA", "ÄÄÄÄ", "+-AA"].map(payload),
    );
    nonsense.extend(
        [
            json!(null),
            json!([]),
            json!({}),
            json!("AAAA"),
            json!({"payload": 17}),
            json!({"payload": ["AAAA"]}),
            json!({"Payload": "AAAA"}),
        ]
        .map(of_media),
    );
    nonsense.extend(
        [
            json!(null),
            json!("x"),
            json!({}),
            json!({"name": null}),
            json!({"name": true}),
            json!({"name": {"a": 1}}),
            json!({"Name": "x"}),
        ]
        .map(of_mark),
    );
    nonsense.extend([
        "[".repeat(200_000),
        format!(r#"{{"event":"clear","x":{}1{}}}"#, "{\"a\":".repeat(5000), "}".repeat(5000)),
    ]);

    let said = words(4, 20 * nonsense.len());
    for (piece, nonsense) in said.chunks(160).zip(&nonsense) {
        world.bot().say(piece);
        world.bot().frame(text(nonsense));
        world.bot().frame(Frame::Binary);
    }
    world.run(ms(20) * nonsense.len() as u32 + secs(1));
    let stream = hang_up(&mut world);
    assert_heard(&world, &said);
    assert_eq!(stream["messages"]["ignored"], 2 * nonsense.len());
    assert_eq!(stream["messages"]["in"], 3 * nonsense.len());
    assert_eq!((&stream["Status"], &stream["DisconnectedBy"]), (&"completed".into(), &"user".into()));
    assert!(names(&mut world).is_empty());
}

// ---- sizes and times ----

#[test]
fn messages_of_any_size_are_one_line() {
    for octets in [1, 20, 319, 801, 4096, 48_000] {
        let mut world = in_a_call();
        let said = words(5, 4000);
        world.bot().say_in(octets, &said);
        world.run(secs(5));
        let stream = hang_up(&mut world);
        assert_heard(&world, &said);
        let audio = &stream["audio"];
        assert_eq!((&audio["received_ms"], &audio["played_ms"]), (&4000.into(), &4000.into()), "{octets}");
        assert_eq!((&audio["starved"], &stream["messages"]["ignored"]), (&0.into(), &0.into()), "{octets}");
    }
}

#[test]
fn messages_in_real_time_are_one_line_whatever_their_size() {
    for (octets, every) in
        [(20, ms(1250) / 1000), (320, ms(20)), (640, ms(40)), (801, ms(50)), (16_000, ms(1000))]
    {
        let mut world = in_a_call();
        let said = words(6, 3000);
        world.bot().say_every(every, octets, &said);
        world.run(secs(5));
        let stream = hang_up(&mut world);
        assert_heard(&world, &said);
        assert_eq!(stream["audio"]["starved"], 0, "{octets}");
    }
}

#[test]
fn a_bot_slower_than_real_time_is_heard_in_pieces_and_whole() {
    let mut world = in_a_call();
    let said = words(7, 1000);
    world.bot().say_every(ms(150), 1600, &said);
    world.run(secs(3));
    let stream = hang_up(&mut world);
    let ear = &world.callers[0].ear;
    let loud: Vec<i16> = ear.line().into_iter().filter(|sample| !is_silent(&[*sample])).collect();
    assert!(loud == companded(G711::Mu, &said), "{} samples of 8000", loud.len());
    ear.assert_steady();
    assert_eq!((&stream["audio"]["starved"], &stream["audio"]["played_ms"]), (&9.into(), &1000.into()));
}

#[test]
fn an_odd_octet_waits_for_its_half_and_not_for_ever() {
    let mut world = in_a_call();
    let (said, stray) = (words(8, 1500), [0x7f]);
    let [first, second, third] = [&said[..4000], &said[4000..8000], &said[8000..]].map(pcm);
    let together = [&first[..], &second[..1]].concat();
    world.bot().send(media(&together));
    world.run(ms(450));
    world.bot().send(media(&second[1..]));
    world.bot().send(media(&stray));
    world.run(ms(1200)); // it is forgotten
    world.bot().send(media(&third));
    world.run(secs(1));
    let stream = hang_up(&mut world);
    let heard: Vec<i16> =
        world.callers[0].ear.line().into_iter().filter(|sample| !is_silent(&[*sample])).collect();
    assert!(heard == companded(G711::Mu, &said), "{} samples", heard.len());
    assert_eq!(stream["audio"]["played_ms"], 1500);
}

#[test]
fn of_ten_minutes_at_once_two_are_played_and_the_rest_is_refused() {
    let mut world = in_a_call();
    let (said, surplus, anew) = (words(9, 120_000), words(10, 480_000), words(11, 1000));
    world.bot().say(&said);
    world.bot().say(&surplus);
    world.bot().mark("end");
    let asked = world.now();
    world.run(secs(121));
    assert_eq!(drops(&mut world, Drop::PlayoutFull), 2400, "messages");
    let back = world.bot().marked("end") - asked;
    assert!((ms(119_975)..=ms(120_025)).contains(&back), "{back:?}");
    let stood = world.callers[0].ear.line().len();
    world.bot().say(&anew);
    world.run(secs(2));
    let stream = hang_up(&mut world);
    let line = world.callers[0].ear.line();
    let (before, after) = line.split_at(stood);
    assert!(sound(before) == companded(G711::Mu, &said) && sound(after) == companded(G711::Mu, &anew));
    let audio = &stream["audio"];
    let figures = ["received_ms", "played_ms", "refused_ms", "cleared_ms"].map(|name| audio[name].as_u64());
    assert_eq!(figures, [121_000, 121_000, 480_000, 0].map(Some));
    assert_eq!(stream["messages"]["ignored"], 0);
}

#[test]
fn a_bot_that_never_reads_is_heard_until_it_is_given_up() {
    let mut world = in_a_call();
    world.bot().sleep();
    let said = words(13, 3000);
    world.bot().say(&said);
    world.bot().mark("end");
    let stream = world.finish()["streams"][0].take();
    assert_heard(&world, &said);
    let outcome = ["Status", "DisconnectedBy", "Disposition", "Error"].map(|name| stream[name].as_str());
    assert_eq!(outcome, ["failed", "NA", "connection_lost", "3014 ws peer unresponsive"].map(Some));
    assert_eq!(
        (&stream["audio"]["received_ms"], &stream["audio"]["played_ms"]),
        (&3000.into(), &3000.into())
    );
    assert_eq!(stream["marks"], json!({"received": 1, "played": 1, "cleared": 0}));
    let dropped = stream["messages"]["dropped"].as_u64();
    assert!(dropped >= Some(640), "all but the two seconds that may wait: {dropped:?}");
    assert_eq!(names(&mut world), [""; 0], "it saw nothing");
}

#[test]
fn what_is_said_before_the_greeting_was_read_is_heard_whole() {
    for answer in [AnswerMode::BotReady, AnswerMode::BotAudio, AnswerMode::Immediate] {
        let mut setup = Setup::default();
        setup.trunk.answer = answer;
        let mut world = World::new(setup);
        world.caller().dial();
        world.run_until(secs(1), |world| !world.bots.is_empty());
        world.run(ms(50)); // its door is open; `connected` is on its way
        assert_eq!(world.bot().story(), "", "{answer:?}");
        let greeting = words(12, 1000);
        world.bot().say(&greeting);
        world.bot().mark("greeted");
        world.run(secs(3));
        let stream = hang_up(&mut world);
        assert_heard(&world, &greeting);
        assert_eq!(
            world.bot().told(),
            "connected start mark:greeted stop:callended close:1000",
            "{answer:?}"
        );
        assert_eq!(stream["audio"]["played_ms"], 1000);
    }
}
