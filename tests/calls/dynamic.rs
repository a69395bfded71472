//! Bots that are asked for first (agentstream.md section 3.3), and what the account allows them.

use std::sync::Arc;

use base64_simd::STANDARD;
use percent_encoding::percent_decode_str;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};
use streamkit::audio::codec::G711;
use streamkit::call::{AccountSettings, Dialect, Request};
use streamkit::egress::{Allowed, Egress};
use streamkit::fetch::Failure;
use streamkit::flow::applet::{Applet, Voicebot};
use streamkit::flow::{AnswerMode, Reconnect, StreamSettings};
use streamkit::stream::DtmfKey;
use streamkit::stream::connect::Failure as NoBot;

use crate::tone;
use crate::world::bot::Door;
use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, find};
use crate::world::{Setup, Web, World};

const WEB: &str = "https://who.example/bots";

fn answers(url: &'static str, after_ms: u64, body: &str) -> Web {
    (url, Some((ms(after_ms), Ok(body.to_owned()))))
}

fn fails(failure: Failure) -> Web {
    (WEB, Some((ms(30), Err(failure))))
}

/// Every call goes to the bot this web server names.
fn asking(web: Web) -> Setup {
    Setup { webs: vec![web], ..Setup::url("https://key:s3cret@who.example/bots?tenant=7") }
}

fn named(url: &str) -> Setup {
    asking(answers(WEB, 300, &json!({"url": url, "other": [1]}).to_string()))
}

/// What a web server was asked, decoded.
fn asked(world: &World, errand: usize) -> Vec<(String, String)> {
    let target = world.kit.errands[errand].1.url.target().to_owned();
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned();
    let query = target.split_once('?').expect("a query").1.to_owned();
    let pairs = query.split('&').map(|pair| pair.split_once('=').expect("a pair"));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

fn outcome(stream: &Value) -> [&str; 4] {
    ["Status", "DisconnectedBy", "Disposition", "Duration"].map(|key| stream[key].as_str().expect("a text"))
}

#[test]
fn the_bot_that_is_named_gets_the_call() {
    let mut world = World::new(named("wss://k:t0ken@bot.example/talk?sample-rate=16000&a=b"));
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    world.caller().headers = vec![header("X-UUI", "A1&B2"), header("X-Custom-Header", "Sales\"Bot")];
    world.call();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();

    let fetched = asked(&world, 0);
    let sid = cdr["call_sid"].as_str().expect("a text");
    let headers = r#"{"Custom-Header":"Sales\"Bot","UUI":"A1&B2"}"#;
    let created = fetched[5].1.clone();
    assert!(created.starts_with("1970-01-01 00:00:0") && created.len() == 19, "{created}");
    let (from, to) = (cdr["from"].as_str().expect("a text"), cdr["to"].as_str().expect("a text"));
    let from = from.strip_prefix("sip:").expect("the default style");
    let expected = [
        ("tenant", "7"),
        ("CallSid", sid),
        ("CallFrom", from),
        ("CallTo", to),
        ("Direction", "inbound"),
        ("Created", &created),
        ("From", from),
        ("To", to),
        ("CurrentTime", &created),
        ("SIPCustomHeader", headers),
    ];
    assert_eq!(fetched, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let errand = &world.kit.errands[0].1;
    assert_eq!((errand.egress.clone(), errand.url.to_string()), (Egress::Configured, WEB.to_owned()));

    let stream = &cdr["streams"][0];
    assert_eq!(stream["StreamUrl"], "wss://bot.example/talk?sample-rate=16000&a=b");
    assert_eq!(outcome(stream), ["completed", "user", "caller_hangup", "1"]);
    assert_eq!((&stream["sample_rate"], &stream["connect_ms"]), (&16000.into(), &50.into()));
    let start = &world.bot().start();
    assert_eq!(start["custom_parameters"], json!({"Custom-Header": "Sales\"Bot", "UUI": "A1&B2", "a": "b"}));
    assert_eq!(start["stream_sid"], stream["StreamSID"]);
    // the budget of the connection begins with the answer
    assert!((350..=360).contains(&cdr["times"]["answer_ms"].as_u64().expect("a number")), "{}", cdr["times"]);
}

#[test]
fn what_is_named_at_run_time_is_trusted_as_far_as_the_list_says() {
    let mut setup = named("ws://10.0.0.9/x");
    let allow = [Allowed::Host("10.0.0.9".into())];
    setup.fetch.allow = allow.clone().into();
    let mut world = World::new(setup);
    world.call();
    world.caller().hang_up();
    world.finish();
    assert_eq!(world.kit.egress, [Egress::RunTime(allow.into())]);
}

#[test]
fn a_rate_we_have_not_is_8000_at_call_time() {
    let mut world = World::new(named("wss://bot.example/?sample-rate=11025"));
    world.call();
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!((&cdr["streams"][0]["sample_rate"], world.bot().rate), (&8000.into(), 8000));
}

#[test]
fn no_usable_answer_is_a_bad_url_and_ends_the_call() {
    let cases = [
        (fails(Failure::Status(404)), "3002 failed to fetch stream url: unexpected status 404"),
        (fails(Failure::Deadline(secs(5))), "3002 failed to fetch stream url: timeout after 5s"),
        (
            fails(Failure::Refused("who.example:443".into())),
            "3002 failed to fetch stream url: dial tcp who.example:443",
        ),
        (answers(WEB, 5, "wss://bot.example/"), "3003 invalid response from stream url endpoint"),
        (
            answers(WEB, 5, r#"{"url":"http://bot.example/"}"#),
            "3003 invalid response from stream url endpoint",
        ),
    ];
    for (web, error) in cases {
        let mut world = World::new(asking(web));
        world.caller().dial();
        let cdr = world.finish();
        let stream = &cdr["streams"][0];
        assert_eq!(outcome(stream), ["failed", "NA", "bad_url", "0"]);
        assert!(stream["Error"].as_str().expect("a text").starts_with(error), "{stream}");
        assert_eq!(stream["StreamSID"].as_str().map(str::len), Some(32), "an attempt was begun");
        assert!(stream.get("StreamUrl").is_none(), "none was known");
        assert!(world.bots.is_empty() && !cdr.to_string().contains("s3cret"));
        assert_eq!(
            (&cdr["end"]["cause"], &cdr["times"]["duration_ms"]),
            (&"bot_unavailable".into(), &0.into())
        );
    }
}

#[test]
fn over_its_limits_a_bot_that_is_named_is_not_called() {
    let mut setup = named("wss://bot.example/?a=1&b=2&c=3&d=4");
    let legacy = AccountSettings { dialect: Dialect::Legacy, ..AccountSettings::default() };
    let mut world = World::new(setup.clone());
    world.call();
    world.caller().hang_up();
    assert_eq!(world.finish()["streams"][0]["Status"], "completed");

    setup.accounts.insert("acme1".into(), legacy.clone());
    let mut world = World::new(setup);
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(outcome(&cdr["streams"][0]), ["failed", "NA", "bad_url", "0"]);
    assert_eq!(cdr["streams"][0]["Error"], "3004 custom parameters over limit");

    // a URL of the configuration, should it come that far, is judged the same
    let mut setup = Setup::urls(&["wss://bot.example/?a=1&b=2&c=3&d=4", "wss://bot.example/?a=1&b=2&c=3"]);
    setup.accounts.insert("acme1".into(), legacy);
    let mut world = World::new(setup);
    world.call();
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["streams"][0]["Error"], "3004 custom parameters over limit");
    assert_eq!(cdr["streams"][1]["Status"], "completed");
}

/// A step that talks with this bot, with these settings.
fn voicebot(url: &str, settings: StreamSettings) -> Applet {
    Applet::Voicebot(Voicebot {
        urls: vec![url.to_owned()],
        settings: Arc::new(settings),
        reconnect: Reconnect::No,
    })
}

#[test]
fn a_step_of_a_flow_may_ask_too_and_says_which_flow_it_is() {
    let mut setup = Setup::steps(vec![voicebot("https://who.example/bots", StreamSettings::default())]);
    setup.webs = vec![answers(WEB, 20, r#"{"url":"wss://bot.example/"}"#)];
    let mut world = World::new(setup);
    world.call();
    world.caller().hang_up();
    assert_eq!(world.finish()["streams"][0]["StreamUrl"], "wss://bot.example/");
    assert!(asked(&world, 0).contains(&("flow_id".to_owned(), "flow".to_owned())));
}

#[test]
fn the_next_bot_follows_one_that_is_not_named() {
    for web in [fails(Failure::Status(500)), answers(WEB, 5, "{}")] {
        let mut setup = Setup::urls(&["https://who.example/bots", "wss://spare.example/"]);
        setup.webs = vec![web];
        let mut world = World::new(setup);
        world.call();
        world.caller().hang_up();
        let cdr = world.finish();
        let dispositions =
            [0, 1].map(|n| cdr["streams"][n]["Disposition"].as_str().expect("a text").to_owned());
        assert_eq!(dispositions, ["bad_url", "caller_hangup"]);
    }
}

#[test]
fn a_caller_who_hangs_up_meanwhile_gives_it_up() {
    let mut world = World::new(asking((WEB, None)));
    world.caller().dial();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 CANCEL <200 <487 ACK");
    let stream = &cdr["streams"][0];
    assert_eq!(outcome(stream), ["cancelled", "user", "caller_hangup_during_setup", "0"]);
    assert_eq!(stream["StreamSID"].as_str().map(str::len), Some(32));
    assert!(stream.get("StreamUrl").is_none() && stream.get("Error").is_none());
    assert_eq!(world.kit.given_up, 1);

    // after the answer, too; and an answer that crosses the BYE changes nothing
    let mut setup = named("wss://bot.example/");
    setup.trunk.answer = AnswerMode::Immediate;
    let mut world = World::new(setup);
    world.call();
    world.run(ms(100));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(outcome(&cdr["streams"][0]), ["cancelled", "user", "caller_hangup_during_setup", "0"]);
    assert_eq!((cdr["end"]["cause"].as_str(), world.bots.len()), (Some("bye"), 0));
}

#[test]
fn a_node_that_goes_down_gives_it_up() {
    let mut world = World::new(asking((WEB, None)));
    world.caller().dial();
    world.run(secs(1));
    world.ask(Request::Shutdown);
    let cdr = world.finish();
    assert_eq!(cdr["streams"][0]["Disposition"], "shutdown");
    assert_eq!(world.kit.given_up, 1);
}

#[test]
fn over_the_stream_limit_nobody_is_asked() {
    let mut setup = named("wss://bot.example/");
    setup.limits.streams = 0;
    let mut world = World::new(setup);
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(cdr["streams"][0]["Disposition"], "throttled");
    assert!(world.kit.errands.is_empty() && cdr["streams"][0].get("StreamSID").is_none());
}

#[test]
fn the_breaker_of_what_is_configured_counts_both_the_fetch_and_the_bot() {
    let refused = (WEB, Some((ms(30), Err(Failure::Status(500)))));
    let no_bot = answers(WEB, 5, r#"{"url":"wss://bot.example/"}"#);
    for (web, doors) in
        [(refused, vec![Door::Opens(ms(1))]), (no_bot, vec![Door::Fails(ms(1), NoBot::Refused)])]
    {
        let mut setup = Setup::urls(&["https://who.example/bots", "wss://spare.example/"]);
        (setup.webs, setup.callers, setup.stream.breaker_failures) = (vec![web], 2, 1);
        setup.houses = vec![("bot.example", doors), ("spare.example", vec![Door::Opens(ms(1))])];
        let mut world = World::new(setup);
        world.call();
        world.caller().hang_up();
        world.run(secs(1));
        world.callers[1].dial();
        world.run(secs(5));
        world.callers[1].hang_up();
        let all = world.finish_all();
        assert_eq!(all[0]["streams"].as_array().map(Vec::len), Some(2));
        assert_eq!(all[1]["streams"].as_array().map(Vec::len), Some(1), "it is passed over: {}", all[1]);
        assert_eq!(world.kit.errands.len(), 1);
    }
}

#[test]
fn keys_are_told_encrypted_and_in_no_other_way() {
    let hex: String = (0..32).map(|n| format!("{n:02x}")).collect();
    let mut setup = Setup::default();
    setup.stream.encrypt_dtmf = true;
    let key = Some(DtmfKey::parse(&hex).expect("a key"));
    setup.accounts.insert("acme1".into(), AccountSettings { dtmf_key: key, ..AccountSettings::default() });
    let mut world = World::new(setup);
    world.call();
    world.caller().mouth.press("59#");
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();
    let sid = cdr["streams"][0]["StreamSID"].as_str().expect("a text").to_owned();
    let told: Vec<Value> = world.bot().all("dtmf").map(|(_, message)| message["dtmf"].clone()).collect();
    let open = |dtmf: &Value| {
        let mut octets = STANDARD.decode_to_vec(dtmf["encrypted"].as_str().expect("a text")).expect("base64");
        let mut sealed = octets.split_off(12);
        let key: Vec<u8> = (0..32).collect();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key"));
        let nonce = Nonce::try_assume_unique_for_key(&octets).expect("12 octets");
        let text = key.open_in_place(nonce, Aad::from(sid.as_bytes()), &mut sealed).expect("ours");
        String::from_utf8(text.to_vec()).expect("text")
    };
    assert_eq!(told.iter().map(open).collect::<String>(), "59#");
    assert!(told.iter().all(|dtmf| dtmf["digit"] == "x" && dtmf["duration"] == "100"), "{told:?}");
}

#[test]
fn without_a_key_to_encrypt_with_none_is_told() {
    let mut setup = Setup::default();
    setup.stream.encrypt_dtmf = true;
    let mut world = World::new(setup);
    world.call();
    world.caller().mouth.press("59#");
    world.run(secs(2));
    world.caller().hang_up();
    world.finish();
    assert_eq!(world.bot().story(), "connected start media stop:callended close:1000");
}

#[test]
fn what_an_answered_caller_says_while_his_bot_is_asked_for_is_the_bots() {
    for rate in ["8000", "16000", "24000"] {
        let url = format!("wss://bot.example/talk?sample-rate={rate}");
        let mut setup = asking(answers(WEB, 1500, &json!({ "url": url }).to_string()));
        setup.trunk.answer = AnswerMode::Immediate;
        let mut world = World::new(setup);
        world.call();
        world.run(ms(100));
        let question = tone(440.0, 1000);
        world.caller().mouth.say(&question);
        world.run(secs(4));
        world.caller().hang_up();
        let cdr = world.finish();
        assert_eq!(outcome(&cdr["streams"][0])[2], "caller_hangup");
        let line = world.bot().line();
        if rate == "8000" {
            assert!(find(&line, &companded(G711::Mu, &question)).is_some(), "word for word");
        }
        let times = rate.parse::<usize>().expect("a number") / 1000;
        let loud = line.iter().filter(|sample| sample.unsigned_abs() > 1000).count() / times;
        assert!((850..=1000).contains(&loud), "{loud} ms of it at {rate}");
    }
}
