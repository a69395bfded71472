//! Calls that are not served: what the caller is told, what the bot sees of it, what is recorded.

use std::time::Duration;

use serde_json::Value;
use streamkit::lab::bot::{End, Manners, Script};
use streamkit::lab::caller::{Dial, Record};
use streamkit::sdp::Law;
use streamkit::sip::{Ended, Transport};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::kit::{Held, Node, PATIENCE, Wanted, alone, bot, bot_with, caller, eventually, over, until};
use crate::raw::{Telephone, to_tag};

/// Never answers an upgrade.
const SPEECHLESS: Duration = Duration::from_secs(3600);

/// Places a call that is refused; with what.
async fn refused(dial: Dial) -> (u16, Option<String>, Record) {
    let caller = caller().await;
    let call = caller.dial(dial).await.expect("dialled");
    let ended = call.answered().await.expect_err("it is refused");
    let record = call.finish().await;
    let Ended::Refused { status, reason } = ended else { panic!("{ended:?}") };
    (status, reason, record)
}

/// The record of a call that was refused, with nothing left of it.
async fn recorded(node: &Node, by: &str, cause: &str, code: u16) -> Value {
    let cdr = node.cdrs(1).await.remove(0);
    assert_eq!(cdr["end"]["by"], by, "{cdr:#}");
    assert_eq!(cdr["end"]["cause"], cause);
    assert_eq!(cdr["sip"]["code"], code);
    assert_eq!(cdr["times"]["duration_ms"], 0);
    assert_eq!(cdr["times"]["answer_ms"], Value::Null);
    node.is_idle().await;
    cdr
}

fn q850(cause: u8) -> Option<String> {
    Some(format!("Q.850;cause={cause}"))
}

#[test]
fn a_stranger_is_refused_and_leaves_no_record() {
    alone(async {
        let echo = bot(Script::echo()).await;
        let node = Node::start(&Wanted { stranger: true, ..Wanted::leading_to(&echo, "/media") }).await;
        let before = Held::settled().await;
        let (status, ..) = refused(node.dial()).await;
        assert_eq!(status, 403);
        node.is_as_before(before).await;
        assert!(echo.transcripts().is_empty(), "no bot was asked");
        node.cdrs(0).await;
        node.stop().await;
    });
}

#[test]
fn an_unknown_account_is_refused() {
    alone(async {
        let echo = bot(Script::echo()).await;
        let node = Node::start(&Wanted::leading_to(&echo, "/media")).await;
        let mut dial = node.dial();
        dial.headers = vec![("X-Exotel-AccountSid".into(), "somebody".into())];
        let (status, reason, _) = refused(dial).await;
        assert_eq!((status, reason), (403, q850(21)));
        assert!(echo.transcripts().is_empty(), "no bot was asked");
        recorded(&node, "streamkit", "account_unknown", 403).await;
        node.stop().await;
    });
}

#[test]
fn an_unknown_number_is_not_found() {
    alone(async {
        let echo = bot(Script::echo()).await;
        let node = Node::start(&Wanted::leading_to(&echo, "/media")).await;
        let (status, reason, _) = refused(node.dial_to("999")).await;
        assert_eq!((status, reason), (404, q850(1)));
        recorded(&node, "streamkit", "no_route", 404).await;
        assert!(echo.transcripts().is_empty(), "no bot was asked");
        node.stop().await;
    });
}

#[test]
fn a_caller_without_a_codec_of_ours_is_not_acceptable() {
    alone(async {
        let echo = bot(Script::echo()).await;
        let wanted = Wanted { trunk: "codecs = [\"pcmu\"]", ..Wanted::leading_to(&echo, "/media") };
        let node = Node::start(&wanted).await;
        let (status, reason, record) = refused(Dial { codecs: vec![Law::A], ..node.dial() }).await;
        assert_eq!((status, reason), (488, q850(65)));
        let refusal = record.sip.iter().find(|seen| seen.line.starts_with("SIP/2.0 488")).expect("a refusal");
        assert!(refusal.text.contains("\r\nWarning: 305 "), "{}", refusal.text);
        let cdr = node.cdrs(1).await.remove(0);
        assert_eq!(cdr["sip"]["code"], 488, "{cdr:#}");
        assert!(echo.transcripts().is_empty(), "no bot was asked");
        node.stop().await;
    });
}

#[test]
fn a_bot_that_refuses_twice_is_a_bad_gateway() {
    alone(async {
        let manners = Manners { refuse: vec![403; 10], ..Manners::default() };
        let unwilling = bot_with(Script::echo(), manners).await;
        let node = Node::start(&Wanted::leading_to(&unwilling, "/media")).await;
        let before = Held::settled().await;
        let (status, reason, _) = refused(node.dial()).await;
        assert_eq!((status, reason), (502, q850(38)));
        let cdr = recorded(&node, "bot", "bot_unavailable", 502).await;
        assert_eq!(cdr["streams"][0]["attempts"], 2, "{cdr:#}");
        node.is_as_before(before).await;
        let seen = over(&unwilling, 2).await;
        assert_eq!(seen.len(), 2, "exactly two attempts");
        for one in &seen {
            assert!(matches!(one.ended, Some((_, End::Refused(_)))), "{:?}", one.ended);
        }
        node.stop().await;
    });
}

#[test]
fn a_bot_that_never_answers_is_a_gateway_timeout() {
    alone(async {
        let mute = bot_with(Script::echo(), Manners { delay: SPEECHLESS, ..Manners::default() }).await;
        let wanted = Wanted { stream: "connect_timeout = \"1s\"", ..Wanted::leading_to(&mute, "/media") };
        let node = Node::start(&wanted).await;
        let (status, reason, _) = refused(node.dial()).await;
        assert_eq!((status, reason), (504, q850(102)));
        recorded(&node, "bot", "bot_timeout", 504).await;
        node.stop().await;
    });
}

#[test]
fn a_caller_who_gives_up_while_the_bot_is_slow_gets_487() {
    alone(async {
        let slow = bot_with(Script::echo(), Manners { delay: SPEECHLESS, ..Manners::default() }).await;
        let node = Node::start(&Wanted::leading_to(&slow, "/media")).await;
        let caller = caller().await;
        let call = caller.dial(node.dial()).await.expect("dialled");
        until(&slow, |all| !all.is_empty()).await;
        call.hang_up().await;
        let record = call.finish().await;
        let got = |line: &str| record.sip.iter().any(|seen| !seen.sent && seen.line.starts_with(line));
        assert!(got("SIP/2.0 180") && got("SIP/2.0 487") && got("SIP/2.0 200"), "{:#?}", record.sip);
        assert!(record.sip.iter().any(|seen| seen.sent && seen.line.starts_with("ACK ")));
        let cdr = recorded(&node, "caller", "cancel", 487).await;
        assert_eq!(cdr["streams"][0]["Disposition"], "caller_hangup_during_setup", "{cdr:#}");
        assert_eq!(cdr["streams"][0]["Status"], "cancelled");
        node.stop().await;
    });
}

#[test]
fn an_invite_that_is_sent_again_is_one_call() {
    alone(async {
        let slow = bot(Script::echo()).await;
        // what leads to the bot is opened when the test is ready
        let way = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("wss://{}/media", way.local_addr().expect("bound"));
        let node = Node::start(&Wanted { bot: url, ..Wanted::leading_to(&slow, "/media") }).await;
        let telephone = Telephone::facing(node.sip(Transport::Udp)).await;
        let invite = telephone.invite();
        telephone.send(&invite).await;
        let first = telephone.answered("SIP/2.0 180").await.pop().expect("it rings");
        telephone.send(&invite).await;
        telephone.send(&invite).await;
        let mut all = telephone.answered("SIP/2.0 180").await;
        let (mut near, _) = timeout(PATIENCE, way.accept()).await.expect("in time").expect("connected");
        let mut far = TcpStream::connect(slow.address()).await.expect("connected");
        tokio::spawn(async move { drop(copy_bidirectional(&mut near, &mut far).await) });
        all.extend(telephone.answered("SIP/2.0 200").await);
        let tags: Vec<String> =
            all.iter().filter(|text| !text.starts_with("SIP/2.0 100")).map(|t| to_tag(t)).collect();
        assert!(tags.iter().all(|tag| *tag == to_tag(&first)), "one dialog: {tags:?}");
        let repeated = all.iter().filter(|text| **text == first).count();
        assert!(repeated >= 1, "the last provisional answer is sent again: {all:#?}");
        let tag = to_tag(&first);
        telephone.send(&telephone.request("ACK", "1 ACK", "z9hG4bKack", &tag, "")).await;
        eventually("an answer", || slow.transcripts().iter().any(|one| one.start.is_some())).await;
        assert_eq!((node.running.board.len(), slow.transcripts().len()), (1, 1));
        telephone.send(&telephone.request("BYE", "2 BYE", "z9hG4bKbye", &tag, "")).await;
        let bye = telephone.answered("SIP/2.0 200").await.pop().expect("an answer");
        assert!(bye.contains("CSeq: 2 BYE"), "{bye}");
        let cdr = node.cdrs(1).await.remove(0);
        assert_eq!(cdr["end"]["cause"], "bye", "{cdr:#}");
        assert_eq!(cdr["sip"]["code"], 200);
        node.is_idle().await;
        node.stop().await;
    });
}
