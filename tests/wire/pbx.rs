//! Calls of a PBX that is not ours: sipp.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use serde_json::{Value, json};
use streamkit::lab::bot::{End, Script, Step, Transcript};
use streamkit::lab::ear::{compare, gaps};
use streamkit::lab::sound::Sound;
use streamkit::lab::speech::Speech;
use streamkit::sip::Transport;
use streamkit::units::SampleRate;

use crate::kit::{ACCOUNT, Held, Node, Wanted, alone_with_sipp, bot, over};
use crate::sipp::Scene;

/// A hole in speech that a listener notices.
const HOLE: Duration = Duration::from_millis(15);
/// Milliseconds between two packets after which it was not the line's fault.
const STALL: u64 = 60;

/// The PBX speaks to an echo bot; what the bot heard, what it was told and what was recorded must be right.
async fn a_call(rate: SampleRate, tcp: bool, v6: bool) {
    let echo = bot(Script::echo()).await;
    let wanted = Wanted { v6, ..Wanted::leading_to(&echo, &format!("/media?sample-rate={rate}&team=sales")) };
    let node = Node::start(&wanted).await;
    let before = Held::settled().await;
    let said = Speech::Caller.sound();
    let lasts = said.duration() + Duration::from_millis(800);
    let scene = Scene { speech: said.clone(), lasts, tcp, ..Scene::new("call") };
    let transport = if tcp { Transport::Tcp } else { Transport::Udp };
    scene.play(node.sip(transport)).succeeds().await;

    let seen = over(&echo, 1).await;
    assert_eq!(seen.len(), 1, "one attempt");
    assert_eq!(seen[0].ended.as_ref().map(|(_, end)| end), Some(&End::ByStreamKit(Some(1000))));
    started_well(&node, rate);
    let cdr = node.cdrs(1).await.remove(0);
    heard_well(&seen[0], &said, &cdr);
    assert_eq!(cdr["end"]["cause"], "bye", "{cdr:#}");
    assert_eq!(cdr["end"]["by"], "caller");
    assert_eq!(cdr["sip"]["transport"], transport.as_str());
    assert_eq!(cdr["sip"]["code"], 200);
    let inward = &cdr["media"]["in"];
    for nothing in ["lost", "foreign", "malformed", "duplicated", "reordered"] {
        assert_eq!(inward[nothing], 0, "{nothing}: {inward:#}");
    }
    let packets = said.samples.len() as u64 / 160;
    assert!(inward["packets"].as_u64() >= Some(packets), "all of the {packets} packets: {inward:#}");
    assert_eq!(cdr["streams"][0]["Status"], "completed");
    assert_eq!(cdr["streams"][0]["messages"]["dropped"], 0);
    node.is_as_before(before).await;
    node.stop().await;
}

/// Everything that was said, in one piece, in well-formed messages. On a busy machine sipp itself may stop for longer
/// than a jitter buffer waits, and goes on later: then what was said is recognised, and the record says why.
fn heard_well(bot: &Transcript, said: &Sound, cdr: &Value) {
    assert_eq!(bot.faults, Vec::<String>::new());
    assert_eq!(bot.missing, 0);
    let inward = &cdr["media"]["in"];
    let figure = |name: &str| inward[name].as_u64().expect("a figure");
    let judged = compare(&bot.heard, said).expect("something was heard");
    let known = judged.segments.iter().filter(|piece| piece.correlation > 0.9).count();
    if figure("longest_gap_ms") > STALL || figure("concealed_ms") > 0 {
        eprintln!("sipp was held up: {inward:#}");
        assert!(known > 0, "{inward:#} {judged:#?}");
        return;
    }
    assert!(judged.correlation > 0.95, "{inward:#} {judged:#?}");
    assert_eq!(known, judged.segments.len(), "{inward:#} {judged:#?}");
    assert_eq!(gaps(&bot.heard, said, judged.delay, HOLE), []);
}

/// `start` as agentstream.md says: every scalar a string, the headers and the query parameters under their names.
fn started_well(node: &Node, rate: SampleRate) {
    let starts = node.starts.lock().expect("no test failed while it was held");
    assert_eq!(starts.len(), 1);
    let start = &starts[0];
    assert!(only_strings(start), "{start:#}");
    let start = &start["start"];
    let custom = json!({"Custom-Header": "SalesBot", "UUI": "A1B2C3", "team": "sales"});
    assert_eq!(start["custom_parameters"], custom);
    let named: BTreeMap<&str, &Value> =
        ["account_sid", "from", "to"].into_iter().map(|name| (name, &start[name])).collect();
    let (account, from, to) = (json!(ACCOUNT), json!("sip:08061234509"), json!("01512340321"));
    assert_eq!(named, BTreeMap::from([("account_sid", &account), ("from", &from), ("to", &to)]));
    let bit_rate = format!("{}kbps", rate.hz() * 16 / 1000);
    let format = json!({"encoding": "base64", "sample_rate": rate.hz().to_string(), "bit_rate": bit_rate});
    assert_eq!(start["media_format"], format);
}

fn only_strings(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Object(members) => members.values().all(only_strings),
        _ => false,
    }
}

#[test]
fn a_call_over_udp_is_heard_by_the_bot_at_8000_hz() {
    alone_with_sipp(a_call(SampleRate::Hz8000, false, false));
}

#[test]
fn a_call_over_udp_is_heard_by_the_bot_at_16000_hz() {
    alone_with_sipp(a_call(SampleRate::Hz16000, false, false));
}

#[test]
fn a_call_over_tcp_is_heard_by_the_bot() {
    alone_with_sipp(a_call(SampleRate::Hz8000, true, false));
}

#[test]
fn a_call_over_ipv6_is_heard_by_the_bot() {
    if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("this machine has no ::1");
    }
    alone_with_sipp(a_call(SampleRate::Hz8000, false, true));
}

#[test]
fn the_bot_hears_itself_by_way_of_an_echoing_pbx() {
    alone_with_sipp(async {
        let said = Speech::Greeting.sound();
        let speaker = bot(Script::of(vec![Step::burst(said.clone()), Step::Mark("said".into())])).await;
        let node = Node::start(&Wanted::leading_to(&speaker, "/media?sample-rate=16000")).await;
        let lasts = said.duration() + Duration::from_secs(1);
        Scene { lasts, echo: true, ..Scene::new("echo") }.play(node.sip(Transport::Udp)).succeeds().await;
        let seen = over(&speaker, 1).await;
        heard_well(&seen[0], &said, &node.cdrs(1).await.remove(0));
        assert_eq!(seen[0].marks().len(), 1, "it was told that it had been heard");
        node.is_idle().await;
        node.stop().await;
    });
}

#[test]
fn a_bot_that_closes_hangs_up_on_the_pbx() {
    alone_with_sipp(async {
        let steps = vec![
            Step::burst(Speech::Goodbye.sound()),
            Step::Mark("said".into()),
            Step::AwaitMark("said".into()),
            Step::Close(1000, String::new()),
        ];
        let leaver = bot(Script::of(steps)).await;
        let node = Node::start(&Wanted::leading_to(&leaver, "/media")).await;
        let before = Held::settled().await;
        Scene::new("hung_up").play(node.sip(Transport::Udp)).succeeds().await;
        let seen = over(&leaver, 1).await;
        assert_eq!(seen[0].faults, Vec::<String>::new());
        assert_eq!(seen[0].ended.as_ref().map(|(_, end)| end), Some(&End::ByBot(1000)));
        let cdr = node.cdrs(1).await.remove(0);
        assert_eq!(
            (&cdr["end"]["by"], &cdr["end"]["cause"]),
            (&json!("bot"), &json!("bot_closed")),
            "{cdr:#}"
        );
        assert_eq!(cdr["streams"][0]["DisconnectedBy"], "bot");
        node.is_as_before(before).await;
        node.stop().await;
    });
}

#[test]
fn a_ping_of_the_pbx_is_answered() {
    alone_with_sipp(async {
        let echo = bot(Script::echo()).await;
        let node = Node::start(&Wanted::leading_to(&echo, "/media")).await;
        let messages = Scene::new("options").play(node.sip(Transport::Udp)).succeeds().await;
        assert!(messages.contains("SIP/2.0 200"), "{messages}");
        node.stop().await;
    });
}
