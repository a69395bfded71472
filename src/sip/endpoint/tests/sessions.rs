//! The session timer in both roles (RFC 4028, sip-trunk.md section 13).

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, CONTACT, inside, name, of_invite, sdp, trunk};
use crate::ids::LegId;
use crate::sip::message::Message;
use crate::sip::{Body, Command, Config, Ended, Event};

const SDP: &str = "Contact: <sip:1000@192.0.2.10:5060>\r\nContent-Type: application/sdp\r\n";
const EXPIRED: &str = "SIP;cause=408;text=\"session timer expired\"";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A call that is up, and its 200.
fn up(extra: &str, session_timer: u64) -> (Bench, LegId, String, Message) {
    let mut trunk = trunk();
    trunk.session_timer = secs(session_timer);
    let mut bench = Bench::with(Config { trunks: vec![trunk], ..Config::default() });
    let leg = bench.invited(extra);
    bench.command(Command::Answer { leg, body: Some(Body::sdp("v=0\r\no=ours\r\n")) });
    let ok = bench.only();
    let tag = ok.to().tag().unwrap().to_owned();
    bench.peer(&inside("ACK", &tag, 1, "", ""));
    (bench, leg, tag, ok)
}

fn line(message: &Message, name: &str) -> String {
    message.header(name).unwrap_or_default().into_owned()
}

fn with(request: &Message, status: &str, headers: &str) -> String {
    answer_to(request, status).replace("Content-Length", &format!("{headers}Content-Length"))
}

#[test]
fn too_short_an_interval_gets_422_and_the_call_does_not_begin() {
    for command in 0..2 {
        let mut bench = Bench::new();
        let leg = bench.invited("Supported: timer\r\nx: 60\r\n");
        bench.command(match command {
            0 => Command::Progress { leg, status: 180, body: None },
            _ => Command::Answer { leg, body: Some(sdp()) },
        });
        let refused = bench.only();
        assert_eq!((refused.status(), line(&refused, "Min-SE").as_str()), (Some(422), "90"));
        assert_eq!(bench.ended(), Some(Ended::ByUs));
        bench.peer(&of_invite("ACK", refused.to().tag().unwrap()));
        bench.assert_nothing_left();
    }
}

#[test]
fn the_200_says_who_refreshes_and_requires_it_of_them() {
    let (.., ok) = up("k: timer\r\nx: 600\r\n", 1800);
    assert_eq!(line(&ok, "Session-Expires"), "600;refresher=uac");
    assert!(ok.lists("Require", "timer") && ok.lists("Supported", "timer"));
    let (.., ok) = up("", 1800);
    assert_eq!(
        (line(&ok, "Session-Expires").as_str(), line(&ok, "Require").as_str()),
        ("1800;refresher=uas", "")
    );
    let (.., ok) = up("", 0);
    assert_eq!(line(&ok, "Session-Expires"), "");
}

#[test]
fn their_refreshes_keep_the_call_and_their_silence_ends_it() {
    let (mut bench, leg, tag, _) = up("Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n", 1800);
    let refresh = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n";
    for cseq in 2..12 {
        bench.wait(secs(45));
        match cseq % 2 {
            0 => bench.peer(&inside("UPDATE", &tag, cseq, &format!("{CONTACT}{refresh}"), "")),
            _ => {
                bench.peer(&inside("INVITE", &tag, cseq, &format!("{SDP}{refresh}"), "v=0\r\n"));
                bench.command(Command::Accept { leg, body: Some(sdp()) });
                bench.peer(&inside("ACK", &tag, cseq, "", ""));
            }
        }
        let ok = bench.only();
        assert_eq!(line(&ok, "Session-Expires"), "90;refresher=uac", "again in each");
        assert!(ok.lists("Require", "timer"));
    }
    bench.wait(Duration::from_millis(59_999));
    assert!(bench.sent.is_empty());
    bench.wait(Duration::from_millis(1));
    assert_eq!(line(&bench.only(), "Reason"), EXPIRED);
    assert_eq!(bench.ended(), Some(Ended::SessionExpired));
    bench.assert_nothing_left();
}

#[test]
fn we_refresh_by_update_where_it_is_allowed() {
    let extra = "Supported: timer\r\nSession-Expires: 90;refresher=uas\r\nAllow: INVITE, UPDATE\r\n";
    let (mut bench, ..) = up(extra, 1800);
    for cseq in 1..10 {
        bench.wait(secs(45));
        let update = bench.only();
        assert_eq!((name(&update).as_str(), update.cseq(), update.body().len()), ("UPDATE", cseq, 0));
        assert_eq!(line(&update, "Session-Expires"), "90;refresher=uac");
        bench.peer(&with(&update, "200 OK", "Session-Expires: 90;refresher=uac\r\nRequire: timer\r\n"));
    }
    assert!(bench.ended().is_none());
    assert!(
        !bench.events.iter().any(|event| matches!(event, Event::Modified { .. })),
        "the call need not know"
    );
}

#[test]
fn we_refresh_by_the_same_description_where_update_is_not_allowed() {
    let (mut bench, ..) = up("Session-Expires: 90\r\n", 0);
    for cseq in 1..10 {
        bench.wait(secs(45));
        let invite = bench.only();
        assert_eq!(
            (name(&invite).as_str(), invite.cseq(), invite.body()),
            ("INVITE", cseq, &b"v=0\r\no=ours\r\n"[..])
        );
        bench.peer(&with(&invite, "200 OK", "Session-Expires: 90;refresher=uac\r\n"));
        assert_eq!(bench.heard(), ["ACK"]);
    }
    assert!(bench.ended().is_none());
}

#[test]
fn a_refresh_without_an_answer_and_one_to_a_stranger_end_the_call() {
    let extra = "Supported: timer\r\nSession-Expires: 300;refresher=uas\r\nAllow: INVITE, UPDATE\r\n";
    for status in [Some("481 Gone"), Some("408 Late"), None] {
        let (mut bench, ..) = up(extra, 1800);
        bench.wait(secs(150));
        let update = bench.only();
        match status {
            Some(status) => bench.peer(&answer_to(&update, status)),
            None => bench.wait(secs(32)),
        }
        let (_, bye) = bench.take().pop().unwrap();
        assert_eq!((name(&bye).as_str(), line(&bye, "Reason").as_str()), ("BYE", EXPIRED));
        assert_eq!(bench.ended(), Some(Ended::SessionExpired));
        bench.assert_nothing_left();
    }
}

#[test]
fn a_refused_refresh_is_asked_for_longer_sent_again_or_tried_later() {
    let extra = "Supported: timer\r\nSession-Expires: 300;refresher=uas\r\nAllow: INVITE, UPDATE\r\n";
    let (mut bench, ..) = up(extra, 1800);
    bench.wait(secs(150));
    let update = bench.only();
    bench.peer(&with(&update, "422 Small", "Min-SE: 400\r\n"));
    let again = bench.only();
    assert_eq!(
        (line(&again, "Session-Expires").as_str(), line(&again, "Min-SE").as_str()),
        ("400;refresher=uac", "400")
    );
    bench.peer(&answer_to(&again, "491 Pending"));
    bench.wait(secs(2));
    let (_, third) = bench.take().remove(0);
    bench.peer(&answer_to(&third, "500 Oops"));
    bench.wait(secs(113)); // two thirds of 400 are 266
    assert!(bench.sent.is_empty());
    bench.wait(secs(1));
    let fourth = bench.only();
    bench.peer(&with(&fourth, "200 OK", "Session-Expires: 400;refresher=uac\r\n"));
    bench.wait(secs(200));
    assert_eq!(bench.heard(), ["UPDATE"]);
    assert!(bench.ended().is_none());
}

#[test]
fn a_422_of_ours_leaves_the_timer_alone() {
    let (mut bench, _, tag, _) = up("Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n", 1800);
    bench.wait(secs(45));
    for (cseq, method, body) in [(2, "UPDATE", ""), (3, "UPDATE", "v=0\r\n"), (4, "INVITE", "v=0\r\n")] {
        bench.peer(&inside(method, &tag, cseq, &format!("{SDP}Supported: timer\r\nx: 60\r\n"), body));
        let refused = bench.only();
        assert_eq!((refused.status(), line(&refused, "Min-SE").as_str()), (Some(422), "90"), "{method}");
        bench.peer(&super::bench::request("ACK", "INVITE4", &tag, 4, "", ""));
    }
    bench.wait(Duration::from_millis(14_999));
    assert!(bench.ended().is_none());
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.ended(), Some(Ended::SessionExpired));
}

#[test]
fn the_refresher_turns_it_off_and_any_request_turns_the_roles() {
    let (mut bench, leg, tag, _) = up("Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n", 1800);
    bench.peer(&inside("UPDATE", &tag, 2, &format!("{CONTACT}Supported: timer\r\n"), ""));
    assert_eq!(line(&bench.only(), "Session-Expires"), "");
    bench.wait(secs(3600));
    assert!(bench.sent.is_empty() && bench.ended().is_none());
    let roles =
        format!("{CONTACT}Supported: timer\r\nSession-Expires: 90;refresher=uas\r\nAllow: UPDATE\r\n");
    bench.peer(&inside("UPDATE", &tag, 3, &roles, ""));
    assert_eq!(line(&bench.only(), "Session-Expires"), "90;refresher=uas");
    bench.command(Command::Modify { leg, update: true, body: Some(sdp()) });
    let update = bench.only();
    assert_eq!(line(&update, "Session-Expires"), "90;refresher=uac");
    bench.wait(secs(10));
    bench.take();
    bench.peer(&with(&update, "200 OK", "Session-Expires: 90;refresher=uas\r\n"));
    bench.wait(Duration::from_millis(59_999));
    assert!(bench.sent.is_empty(), "they refresh now, from this 200 on");
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.ended(), Some(Ended::SessionExpired));
}

#[test]
fn a_refresh_waits_while_an_offer_is_open() {
    let (mut bench, leg, tag, _) = up("Session-Expires: 90\r\n", 0);
    bench.wait(secs(44));
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    bench.wait(secs(3));
    assert_eq!(bench.heard(), ["100"]);
    let refusal = crate::sip::Refusal { status: 488, reason: None, retry_after: None, warning: None };
    bench.command(Command::Reject { leg, refusal });
    bench.peer(&super::bench::request("ACK", "INVITE2", &tag, 2, "", ""));
    assert_eq!(bench.heard(), ["488"]);
    bench.wait(secs(1));
    assert_eq!(bench.heard(), ["INVITE"]);
}
