//! Inside calls that we began: changes, refreshes, challenges, and offers of the far end before its answer.

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, addr, name, sdp};
use crate::ids::{LegId, TrunkId};
use crate::sip::message::Message;
use crate::sip::{Body, Command, Credentials, Destination, Dial, Ended, Event, Transport};

const LEG: LegId = LegId(1 << 63 | 1);
const THERE: &str = "203.0.113.5:5060";
const SDP: &str = "Content-Type: application/sdp\r\n";

/// The INVITE of a call of ours.
fn dialled(body: Option<Body>) -> (Bench, Message) {
    let mut bench = Bench::new();
    let credentials = Credentials { user: "us".to_owned(), password: "secret".to_owned(), realm: None };
    bench.command(Command::Dial(Box::new(Dial {
        leg: LEG,
        trunk: TrunkId(0),
        uri: "sip:2000@203.0.113.5".to_owned(),
        to: Destination::Address(addr(THERE), Transport::Udp),
        ring_limit: Duration::from_secs(180),
        from: "sip:1000@192.0.2.1".to_owned(),
        headers: Vec::new(),
        body,
        credentials: Some(credentials),
    })));
    let invite = bench.only();
    (bench, invite)
}

/// The far end's answer, of its tag, with these lines and this body.
fn reply(bench: &mut Bench, request: &Message, status: &str, lines: &str, body: &str) {
    let to = request.header("To").unwrap().into_owned();
    let tag = if request.to().tag().is_some() { "" } else { ";tag=far" };
    let kind = if body.is_empty() { "" } else { SDP };
    let text = answer_to(request, status)
        .replace(&format!("To: {to}\r\n"), &format!("To: {to}{tag}\r\n{lines}{kind}"));
    let text =
        text.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    bench.from(THERE, &text);
}

/// A request of the far end in the dialog.
fn theirs(invite: &Message, method: &str, cseq: u32, lines: &str, body: &str) -> String {
    format!(
        "{method} sip:streamkit@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bKt{cseq};rport\r\n\
         From: <sip:2000@203.0.113.5>;tag=far\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:2000@203.0.113.5:5060>\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        invite.header("From").unwrap(),
        invite.call_id(),
        body.len()
    )
}

const CONTACT: &str = "Contact: <sip:2000@203.0.113.5:5060>\r\n";

/// A call of ours that is up, its 2xx with these lines.
fn up(lines: &str) -> (Bench, Message) {
    let (mut bench, invite) = dialled(Some(sdp()));
    reply(&mut bench, &invite, "200 OK", &format!("{CONTACT}{lines}"), "v=0\r\n");
    assert_eq!(bench.heard(), ["ACK"]);
    (bench, invite)
}

fn peer(bench: &mut Bench, text: &str) {
    // bench.trunk() lets 192.0.2.0/24 in; the far end of a call of ours speaks from there in its dialog.
    bench.from("192.0.2.10:5060", text);
}

#[test]
fn who_made_the_call_id_waits_longer_after_a_glare() {
    for _ in 0..3 {
        let (mut bench, _) = up("");
        bench.command(Command::Modify { leg: LEG, update: false, body: Some(sdp()) });
        let invite = bench.only();
        reply(&mut bench, &invite, "491 Pending", "", "");
        assert_eq!(bench.heard(), ["ACK"]);
        bench.wait(Duration::from_millis(2099));
        assert!(bench.sent.is_empty());
        bench.wait(Duration::from_millis(1901));
        assert_eq!(name(&bench.take().remove(0).1), "INVITE");
    }
}

#[test]
fn the_timer_of_a_call_of_ours_is_as_the_2xx_says() {
    let (mut bench, invite) = up("Allow: UPDATE\r\nRequire: timer\r\nSession-Expires: 90;refresher=uac\r\n");
    assert_eq!(invite.header("Session-Expires").as_deref(), Some("1800"));
    bench.wait(Duration::from_secs(45));
    let update = bench.only();
    assert_eq!(
        (name(&update).as_str(), update.header("Session-Expires").as_deref()),
        ("UPDATE", Some("90;refresher=uac"))
    );
    reply(&mut bench, &update, "200 OK", "Session-Expires: 90;refresher=uas\r\n", "");
    bench.wait(Duration::from_secs(60));
    assert_eq!(bench.heard(), ["BYE"]);
    assert_eq!(bench.ended(), Some(Ended::SessionExpired));
    let (mut bench, _) = up("");
    bench.wait(Duration::from_secs(7200));
    assert!(bench.sent.is_empty() && bench.ended().is_none(), "a 2xx without it: none");
}

#[test]
fn a_refresh_by_reinvite_says_our_offer_again_and_tells_what_is_answered() {
    let (mut bench, _) = up("Session-Expires: 90\r\n");
    bench.wait(Duration::from_secs(45));
    let invite = bench.only();
    assert_eq!((name(&invite).as_str(), invite.body()), ("INVITE", &b"v=0\r\n"[..]));
    reply(
        &mut bench,
        &invite,
        "200 OK",
        &format!("{CONTACT}Session-Expires: 90;refresher=uac\r\n"),
        "v=0\r\nmoved",
    );
    assert_eq!(bench.heard(), ["ACK"]);
    let Some(Event::Modified { result: Ok(Some(body)), .. }) = bench.events.last() else { panic!() };
    assert_eq!(body.bytes, b"v=0\r\nmoved");
}

#[test]
fn a_challenge_to_a_change_is_answered_once_and_the_ack_shows_the_same() {
    const ASK: &str = "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",qop=\"auth\"\r\n";
    let (mut bench, _) = up("");
    bench.command(Command::Modify { leg: LEG, update: false, body: Some(sdp()) });
    let invite = bench.only();
    reply(&mut bench, &invite, "401 Unauthorized", ASK, "");
    let sent = bench.take();
    let (ack, again) = (&sent[0].1, &sent[1].1);
    assert_eq!(
        (name(ack).as_str(), name(again).as_str(), again.cseq()),
        ("ACK", "INVITE", invite.cseq() + 1)
    );
    assert!(again.header("Authorization").unwrap().contains("response="));
    reply(&mut bench, again, "200 OK", CONTACT, "v=0\r\n");
    assert_eq!(bench.only().header("Authorization"), again.header("Authorization"));
    bench.command(Command::Modify { leg: LEG, update: false, body: Some(sdp()) });
    let third = bench.only();
    assert!(third.header("Authorization").is_some(), "who has asked is shown it at once");
    reply(&mut bench, &third, "401 Unauthorized", ASK, "");
    let (_, fourth) = bench.take().remove(1);
    reply(&mut bench, &fourth, "401 Unauthorized", ASK, "");
    assert_eq!(bench.heard(), ["ACK"], "a second refusal ends it");
    assert!(matches!(bench.events.last(), Some(Event::Modified { result: Err(401), .. })));
}

#[test]
fn a_challenge_in_a_call_of_theirs_is_never_answered() {
    let mut bench = Bench::new();
    let (leg, _) = bench.up("");
    bench.command(Command::Modify { leg, update: false, body: Some(sdp()) });
    let invite = bench.only();
    let ask = "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\nContent-Length";
    bench.peer(&answer_to(&invite, "401 Unauthorized").replace("Content-Length", ask));
    assert_eq!(bench.heard(), ["ACK"]);
    assert!(matches!(bench.events.last(), Some(Event::Modified { result: Err(401), .. })));
}

#[test]
fn an_offer_of_a_far_end_that_rings_waits_for_its_answer_to_ours() {
    let (mut bench, invite) = dialled(Some(sdp()));
    reply(&mut bench, &invite, "180 Ringing", CONTACT, "");
    peer(&mut bench, &theirs(&invite, "UPDATE", 1, "", ""));
    peer(&mut bench, &theirs(&invite, "UPDATE", 2, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["200", "491"]);
    reply(
        &mut bench,
        &invite,
        "183 Progress",
        &format!("{CONTACT}Require: 100rel\r\nRSeq: 7\r\n"),
        "v=0\r\n",
    );
    let prack = bench.only();
    assert_eq!(name(&prack), "PRACK");
    reply(&mut bench, &prack, "200 OK", "", "");
    peer(&mut bench, &theirs(&invite, "UPDATE", 3, SDP, "v=0\r\nnew"));
    assert!(matches!(bench.events.last(), Some(Event::Reoffer { body: Some(_), .. })), "{:?}", bench.events);
    bench.command(Command::Accept { leg: LEG, body: Some(sdp()) });
    let ok = bench.only();
    assert_eq!((ok.status(), ok.body()), (Some(200), &b"v=0\r\n"[..]));
    reply(&mut bench, &invite, "200 OK", CONTACT, "");
    assert_eq!(bench.heard(), ["ACK"]);
    bench.command(Command::Hangup { leg: LEG, reason: None });
    bench.assert_nothing_left();
}

#[test]
fn their_offer_in_a_2xx_comes_before_any_other() {
    let (mut bench, invite) = dialled(None);
    reply(&mut bench, &invite, "200 OK", CONTACT, "v=0\r\noffer");
    peer(&mut bench, &theirs(&invite, "INVITE", 1, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["491"]);
    bench.command(Command::Modify { leg: LEG, update: false, body: Some(sdp()) });
    assert!(bench.sent.is_empty());
    bench.command(Command::Acknowledge { leg: LEG, body: Some(sdp()) });
    assert_eq!(bench.heard(), ["ACK", "INVITE"]);
    bench.command(Command::Hangup { leg: LEG, reason: None });
    bench.assert_nothing_left();
}
