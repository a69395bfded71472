//! The JSON Schemas of docs/agentstream against what the product writes and reads: neither drifts from the other.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonschema::Validator;
use serde_json::{Value, json};
use streamkit::config::{Config, Surroundings};
use streamkit::daemon::{self, Onlookers, Running};
use streamkit::ids::{CallSid, Entropy, StreamSid};
use streamkit::lab::bot::{self, Bot, Script, Step};
use streamkit::lab::caller::{Call, Caller, Config as CallerConfig, Dial};
use streamkit::lab::scene;
use streamkit::lab::speech::Speech;
use streamkit::sip::Transport;
use streamkit::stream::parse::{self, FromBot};
use streamkit::stream::{Direction, Start, StartExtras, StartStyle, Stop, message};
use streamkit::units::{Digit, SampleRate};
use tokio::time::timeout;

/// What is on its way has come by then, on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(30);

fn to_bot() -> Validator {
    validator(include_str!("../docs/agentstream/to-bot.schema.json"))
}

fn from_bot() -> Validator {
    validator(include_str!("../docs/agentstream/from-bot.schema.json"))
}

fn validator(text: &str) -> Validator {
    let schema: Value = serde_json::from_str(text).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::draft202012::new(&schema).expect("the schema can be used")
}

fn start(rate: SampleRate) -> Start {
    let mut entropy = Entropy::seeded(7);
    Start {
        stream_sid: StreamSid::fresh(&mut entropy),
        call_sid: CallSid::fresh(&mut entropy),
        account_sid: "acme \"1\"".to_owned(),
        from: "sip:08061234509".to_owned(),
        to: "01512340321".to_owned(),
        custom_parameters: vec![("UUI".to_owned(), "A1\u{7}".to_owned())],
        rate,
    }
}

/// Every message the product writes, in every form it has.
fn written() -> Vec<String> {
    let mut all = vec![message::CONNECTED.to_owned()];
    let mut add = |write: &dyn Fn(&mut String)| {
        let mut out = String::new();
        write(&mut out);
        all.push(out);
    };
    let extras = |direction: &str| StartExtras { direction: direction.to_owned(), ..StartExtras::default() };
    let styles = ["inbound", "outbound-api", "outbound-dial"].map(|direction| Some(extras(direction)));
    for rate in SampleRate::ALL {
        for extras in styles.iter().chain([&None]) {
            for raw in [false, true] {
                let continues = raw.then(|| start(rate).stream_sid);
                let style = StartStyle { raw, extras: extras.clone(), continues };
                let parameters = [("Key".to_owned(), "ü".to_owned()), ("UUI".to_owned(), String::new())];
                add(&|out| message::start(out, &start(rate), &parameters, &style));
            }
        }
        for frame in [20, 40, 60, 80, 100] {
            let pcm = vec![0x5a; 2 * rate.samples(frame)];
            add(&|out| message::media(out, 2, SID, 1, 0, &pcm));
        }
    }
    for digit in "0123456789*#ABCD".chars().filter_map(Digit::from_char) {
        add(&|out| message::dtmf(out, 57, SID, digit, Duration::from_millis(160)));
    }
    for name in ["turn-3-end", "", "-1.50e3", r#"a\"\u00e9"#] {
        add(&|out| message::mark(out, 91, SID, name));
    }
    for why in [Stop::CallEnded, Stop::Stopped, Stop::Shutdown] {
        add(&|out| message::stop(out, 4711, &start(SampleRate::Hz8000), SID, why));
    }
    all
}

const SID: &str = "b6c581d0aa11bb22cc33dd44ee55ff66";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn valid(schema: &Validator, text: &str) {
    if let Err(error) = schema.validate(&parsed(text)) {
        panic!("{error} at {}: {text}", error.instance_path());
    }
}

#[test]
fn every_message_the_product_writes_is_valid() {
    let schema = to_bot();
    let written = written();
    assert!(written.len() > 60);
    written.iter().for_each(|text| valid(&schema, text));
}

#[test]
fn a_message_that_is_broken_anywhere_is_not() {
    let schema = to_bot();
    let broken: usize = written().iter().map(|text| broken_anywhere(&schema, &parsed(text))).sum();
    assert!(broken > 1000);
}

/// Each member in turn is left out, given another type, or joined by a stranger: none of that is valid. How many were
/// given another type.
fn broken_anywhere(schema: &Validator, message: &Value) -> usize {
    let mut broken = 0;
    for place in objects(message, String::new()) {
        let object = message.pointer(&place).and_then(Value::as_object).expect("an object");
        let open = place == "/start/custom_parameters";
        let told = |message: &Value, what: &str| {
            assert!(!schema.is_valid(message), "{what} is not noticed: {message}");
        };
        for key in object.keys() {
            let optional = ["direction", "stream_name", "custom_field", "continues"].contains(&key.as_str());
            let mut without = message.clone();
            without.pointer_mut(&place).and_then(Value::as_object_mut).expect("an object").remove(key);
            if !open && !optional {
                told(&without, &format!("{place}/{key} left out"));
            }
            for other in [json!(1), json!(null), json!([]), json!(true)] {
                let mut wrong = message.clone();
                wrong.pointer_mut(&place).expect("an object")[key] = other;
                told(&wrong, &format!("{place}/{key} of another type"));
                broken += 1;
            }
        }
        let strangers = ["streamSid", "callSid", "sequenceNumber", "more"];
        for stranger in strangers.iter().filter(|name| !open && (place != "/start" || **name != "more")) {
            let mut more = message.clone();
            more.pointer_mut(&place).expect("an object")[stranger] = json!("x");
            told(&more, &format!("{place}/{stranger}"));
        }
    }
    broken
}

/// Pointers to every object in it.
fn objects(value: &Value, at: String) -> Vec<String> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let inner = object.iter().flat_map(|(key, value)| objects(value, format!("{at}/{key}")));
    let inner: Vec<String> = inner.collect();
    std::iter::once(at).chain(inner).collect()
}

#[test]
fn values_that_the_product_never_writes_are_not_valid() {
    let schema = to_bot();
    let media = |chunk: &str, timestamp: &str, payload: &str| {
        format!(
            r#"{{"event":"media","sequence_number":"3","stream_sid":"{SID}","media":{{"chunk":"{chunk}","timestamp":"{timestamp}","payload":"{payload}"}}}}"#
        )
    };
    valid(&schema, &media("1", "0", "AAAA"));
    let dtmf = |inner: &str| {
        format!(r#"{{"event":"dtmf","sequence_number":"3","stream_sid":"{SID}","dtmf":{{{inner}}}}}"#)
    };
    valid(&schema, &dtmf(r#""duration":"160","digit":"x","encrypted":"AAAA""#));
    let broken = [
        media("0", "0", "AAAA"),
        media("01", "0", "AAAA"),
        media("1", "-20", "AAAA"),
        media("1", "20.0", "AAAA"),
        media("1", "0", ""),
        media("1", "0", "-_AA"),
        dtmf(r#""duration":"160","digit":"x""#),
        dtmf(r#""duration":"160","digit":"5","encrypted":"AAAA""#),
        dtmf(r#""duration":"160","digit":"E""#),
        r#"{"event":"clear"}"#.to_owned(),
        format!(r#"{{"event":"connected","stream_sid":"{SID}"}}"#),
    ];
    for text in &broken {
        assert!(!schema.is_valid(&parsed(text)), "{text}");
    }
    let raw = written().into_iter().find(|text| text.contains("audio/x-raw")).expect("one");
    assert!(!schema.is_valid(&parsed(&raw.replace(r#""bit_rate":"16""#, r#""bit_rate":"128kbps""#))));
    let plain = written().into_iter().find(|text| text.contains("256kbps")).expect("one");
    assert!(!schema.is_valid(&parsed(&plain.replace("256kbps", "128kbps"))));
}

/// Whether the product does anything upon it.
fn has_effect(text: &str) -> bool {
    match parse::read(text).map(|read| read.message) {
        Some(FromBot::Media(payload)) => payload.is_some(),
        Some(FromBot::Mark(name)) => name.is_some(),
        Some(FromBot::Clear | FromBot::Stop) => true,
        Some(FromBot::Unknown) | None => false,
    }
}

#[test]
fn what_a_bot_sends_is_valid_exactly_if_it_has_an_effect() {
    let schema = from_bot();
    let long = |n: usize| format!(r#"{{"event":"mark","mark":{{"name":"{}"}}}}"#, "x".repeat(n));
    for (text, effect) in [
        (format!(r#"{{"event":"media","stream_sid":"{SID}","media":{{"payload":"AAAA"}}}}"#), true),
        (r#"{"event":"media","media":{"payload":"-_8","timestamp":7},"more":[1]}"#.into(), true),
        (r#"{"event":"mark","mark":{"name":"a"}}"#.into(), true),
        (r#"{"event":"mark","mark":{"name":-1.5}}"#.into(), true),
        (long(256), true),
        (r#"{"event":"clear","streamSid":6}"#.into(), true),
        (r#"{"event":"stop","stop":{}}"#.into(), true),
        (long(257), false),
        (r#"{"event":"media"}"#.into(), false),
        (r#"{"event":"media","media":{"payload":""}}"#.into(), false),
        (r#"{"event":"media","media":{"payload":1}}"#.into(), false),
        (r#"{"event":"media","payload":"AAAA"}"#.into(), false),
        (r#"{"event":"mark"}"#.into(), false),
        (r#"{"event":"mark","mark":{"name":null}}"#.into(), false),
        (r#"{"event":"Clear"}"#.into(), false),
        (r#"{"event":"start"}"#.into(), false),
        (r#"{"type":"clear"}"#.into(), false),
        ("[1]".into(), false),
        ("7".into(), false),
    ] {
        assert_eq!(is_taken(&schema, &parsed(&text)), effect, "{text}");
    }
}

/// Whether a bot's message is valid, and has an effect: never one without the other.
fn is_taken(schema: &Validator, message: &Value) -> bool {
    let (valid, effect) = (schema.is_valid(message), has_effect(&message.to_string()));
    assert_eq!(valid, effect, "{message}");
    valid
}

/// Everything that passed on the sockets of a demo call and of one whose bot asks for its end.
#[test]
fn every_message_of_a_demo_call_is_valid_and_none_is_once_it_is_broken() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (mut passed, ended) =
        runtime.expect("a runtime").block_on(async { tokio::join!(demo_call(), call_that_the_bot_ends()) });
    // some 650 frames of the caller alone; what a busy machine is too late for is left out
    assert!(passed.len() > 200, "{} messages", passed.len());
    passed.extend(ended);
    let (to_bot, from_bot) = (to_bot(), from_bot());
    let mut kinds: BTreeMap<(bool, String), Value> = BTreeMap::new();
    for (direction, text) in &passed {
        let sent = *direction == Direction::ToBot;
        valid(if sent { &to_bot } else { &from_bot }, text);
        let message = parsed(text);
        let event = message["event"].as_str().expect("an event").to_owned();
        kinds.entry((sent, event)).or_insert(message);
    }
    let of = |sent: bool| -> Vec<&str> {
        kinds.keys().filter(|(its, _)| *its == sent).map(|(_, event)| event.as_str()).collect()
    };
    assert_eq!(of(true), ["connected", "dtmf", "mark", "media", "start", "stop"]);
    assert_eq!(of(false), ["clear", "mark", "media", "stop"]);
    for ((sent, event), message) in &kinds {
        if *sent {
            broken_anywhere(&to_bot, message);
        } else {
            broken_where_it_matters(&from_bot, event, message);
        }
    }
}

/// Of a bot's message what has a meaning is left out, or given another type.
fn broken_where_it_matters(schema: &Validator, event: &str, message: &Value) {
    assert!(is_taken(schema, message));
    let inner = match event {
        "media" => vec![("", "media"), ("/media", "payload")],
        "mark" => vec![("", "mark"), ("/mark", "name")],
        _ => vec![],
    };
    for (place, key) in [("", "event")].into_iter().chain(inner) {
        let mut without = message.clone();
        without.pointer_mut(place).and_then(Value::as_object_mut).expect("an object").remove(key);
        assert!(!is_taken(schema, &without), "{without}");
        for other in [json!(null), json!([]), json!({}), json!(true)] {
            let mut wrong = message.clone();
            wrong.pointer_mut(place).expect("an object")[key] = other;
            assert!(!is_taken(schema, &wrong), "{wrong}");
        }
    }
}

type Passed = Arc<Mutex<Vec<(Direction, String)>>>;

/// The scene of `streamkit demo`, with a daemon that is watched.
async fn demo_call() -> Vec<(Direction, String)> {
    let dial = scene::HEADERS.iter().fold(Dial::to(""), |dial, (name, _, value)| dial.header(*name, *value));
    call(scene::bot(), "/media?sample-rate=16000", dial, async |call| scene::caller(call).await).await
}

/// Its bot says something, and `stop`.
async fn call_that_the_bot_ends() -> Vec<(Direction, String)> {
    let script = vec![Step::burst(Speech::Barge.sound()), Step::Mark("a \"barge\"".to_owned()), Step::Stop];
    let target = "/media?sample-rate=24000&a=b";
    call(Script::of(script), target, dial(), async |call| drop(call.ended().await)).await
}

fn dial() -> Dial {
    Dial::to("").header("X-UUI", "A1B2")
}

/// A call, and everything that passed on the socket of its stream.
async fn call(
    script: Script,
    target: &str,
    dial: Dial,
    talk: impl AsyncFn(&Call),
) -> Vec<(Direction, String)> {
    let bot = Bot::start(bot::Config { tls: true, script, ..bot::Config::default() }).await.expect("a bot");
    let (state, passed) = (tempfile::tempdir().expect("a folder"), Passed::default());
    let ca_file = state.path().join("bot.pem");
    bot.certificate().expect("it speaks TLS").write(&ca_file).expect("written");
    let running = daemon(state.path(), &ca_file, &bot.url(target), &passed).await;
    let config = CallerConfig { bind: Ipv4Addr::LOCALHOST.into(), ..CallerConfig::default() };
    let caller = Caller::start(config).await.expect("a caller");
    let uri = format!("sip:01512340321@{}", udp(&running));
    let call = caller.dial(Dial { uri, ..dial }).await.expect("dialled");
    call.answered().await.expect("answered");
    timeout(2 * PATIENCE, talk(&call)).await.expect("the call is over in time");
    drop(call.finish().await);
    let over = bot.until(|calls| calls.first().is_some_and(|call| call.ended.is_some()));
    timeout(PATIENCE, over).await.expect("the bot's socket is closed in time");
    timeout(PATIENCE, running.stop()).await.expect("the daemon stops in time");
    let passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
    passed.clone()
}

fn udp(running: &Running) -> SocketAddr {
    running.sip.iter().find(|(transport, _)| *transport == Transport::Udp).expect("UDP").1
}

/// A daemon for this bot that keeps every message of its streams.
async fn daemon(state: &Path, ca_file: &Path, bot: &str, passed: &Passed) -> Running {
    let text = format!(
        "[node]\nname = \"schema\"\nstate_dir = {state:?}\nrun_dir = {state:?}\n\
         [sip]\nlisten = [\"udp://127.0.0.1:0\"]\n[http]\nlisten = [\"127.0.0.1:0\"]\n\
         [media]\nbind = \"127.0.0.1\"\n[limits]\ncalls = 10\ncpu_percent = 0\n\
         [stream]\nca_file = {ca_file:?}\n\
         [[trunk]]\nname = \"schema\"\npeers = [\"127.0.0.1\"]\naccount = \"acme1\"\n\
         [[route]]\nbot = {bot:?}\n",
    );
    let machine = Surroundings { variables: HashMap::new(), ..Surroundings::of_this_process() };
    let config = Config::from_text("schema", &text, &machine).unwrap_or_else(|refused| panic!("{refused}"));
    let seen = passed.clone();
    let stream: streamkit::stream::io::Trace = Arc::new(move |direction, text: &str| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push((direction, text.to_owned()));
    });
    daemon::start(config, Onlookers { stream: Some(stream), ..Onlookers::default() }).await.expect("started")
}
