//! Requests inside a call, and where ours go.

use std::time::Duration;

use super::bench::{Bench, CONTACT, addr, inside, name, sdp, trunk};
use crate::sip::{Command, Config, Event, Refusal};

const SDP: &str = "Contact: <sip:1000@192.0.2.11:5062>\r\nContent-Type: application/sdp\r\n";

/// Where the BYE of a call goes that came with these header lines, and the BYE.
fn bye_after(extra: &str) -> (std::net::SocketAddr, crate::sip::message::Message) {
    let mut bench = Bench::new();
    let (leg, _) = bench.up(extra);
    bench.command(Command::Hangup { leg, reason: None });
    bench.take().remove(0)
}

#[test]
fn a_request_goes_to_the_contact_when_nothing_stands_between() {
    let (to, bye) = bye_after("Contact: <sip:1000@192.0.2.99:5070>\r\n");
    assert_eq!(
        (to, bye.request_uri().unwrap().as_str()),
        (addr("192.0.2.99:5070"), "sip:1000@192.0.2.99:5070")
    );
    assert!(bye.list("Route").is_empty());
}

#[test]
fn a_contact_outside_the_trunk_is_shown_but_not_contacted() {
    for host in ["198.51.100.9", "pbx.example.com", "10.0.0.5", "0.0.0.0", "255.255.255.255"] {
        let (to, bye) = bye_after(&format!("Contact: <sip:1000@{host}:5070>\r\n"));
        assert_eq!(to, addr("192.0.2.10:5060"), "{host}");
        assert_eq!(bye.request_uri().unwrap().as_str(), format!("sip:1000@{host}:5070"));
    }
}

#[test]
fn a_private_contact_is_reached_by_the_source_unless_the_trunk_says_otherwise() {
    let private = |nat_contact| {
        let mut trunk = trunk();
        trunk.peers.push("10.0.0.0/8".parse().unwrap());
        trunk.nat_contact = nat_contact;
        let mut bench = Bench::with(Config { trunks: vec![trunk], ..Config::default() });
        let (leg, _) = bench.up("Contact: <sip:1000@10.0.0.5:5070>\r\n");
        bench.command(Command::Hangup { leg, reason: None });
        bench.take()[0].0
    };
    assert_eq!(private(true), addr("192.0.2.10:5060"));
    assert_eq!(private(false), addr("10.0.0.5:5070"));
}

#[test]
fn a_loose_route_is_followed_and_its_transport_decides() {
    let route = "Record-Route: <sip:192.0.2.30:5080;lr>\r\nRecord-Route: <sip:192.0.2.31;lr>\r\n\
                 Contact: <sip:1000@192.0.2.99;transport=tls>\r\n";
    let (to, bye) = bye_after(route);
    assert_eq!(to, addr("192.0.2.30:5080"));
    assert_eq!(bye.request_uri().unwrap().as_str(), "sip:1000@192.0.2.99;transport=tls");
    assert_eq!(bye.list("Route"), ["<sip:192.0.2.30:5080;lr>", "<sip:192.0.2.31;lr>"]);
    assert_eq!(bye.via().transport(), "UDP");
    let (_, bye) = bye_after("Record-Route: <sip:192.0.2.30;lr;transport=tcp>\r\n");
    assert_eq!(bye.via().transport(), "TCP");
}

#[test]
fn a_strict_route_takes_the_request_uri() {
    let (to, bye) = bye_after("Record-Route: <sip:192.0.2.30>,<sip:192.0.2.31;lr>\r\n");
    assert_eq!((to, bye.request_uri().unwrap().as_str()), (addr("192.0.2.30:5060"), "sip:192.0.2.30"));
    assert_eq!(bye.list("Route"), ["<sip:192.0.2.31;lr>", "<sip:1000@192.0.2.10:5060>"]);
}

#[test]
fn an_invite_without_contact_is_answered_and_its_bye_goes_to_the_source() {
    let mut bench = Bench::new();
    bench.from("192.0.2.44:5066", &super::bench::invite("").replace(CONTACT, ""));
    bench.take();
    let leg = bench.leg();
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.from("192.0.2.44:5066", &inside("ACK", &tag, 1, "", ""));
    bench.command(Command::Hangup { leg, reason: None });
    let (to, bye) = bench.take().remove(0);
    assert_eq!((to, bye.request_uri().unwrap().as_str()), (addr("192.0.2.44:5066"), "sip:1000@192.0.2.10"));
}

#[test]
fn a_reinvite_is_put_to_the_call_and_moves_the_target() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    assert!(bench.sent.is_empty());
    assert!(matches!(bench.events.last(), Some(Event::Reoffer { body: Some(_), .. })));
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    bench.wait(Duration::from_millis(250));
    assert_eq!(bench.heard(), ["100"]);
    bench.peer(&inside("INVITE", &tag, 3, SDP, "v=0\r\n"));
    let busy = bench.only();
    assert_eq!(busy.status(), Some(500));
    assert!(busy.header("Retry-After").unwrap().parse::<u32>().unwrap() <= 10);
    bench.command(Command::Accept { leg, body: Some(sdp()) });
    let ok = bench.only();
    assert_eq!(
        (ok.status(), ok.cseq(), ok.to().tag(), ok.headers("Contact").count()),
        (Some(200), 2, Some(&*tag), 1)
    );
    bench.peer(&inside("INVITE", &tag, 4, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["491"]); // before the ACK
    bench.peer(&inside("ACK", &tag, 2, "", ""));
    assert!(matches!(bench.events.last(), Some(Event::Confirmed { .. })));
    bench.command(Command::Hangup { leg, reason: None });
    assert_eq!(bench.take()[0].0, addr("192.0.2.11:5062"));
    bench.assert_nothing_left();
}

#[test]
fn a_reinvite_before_the_first_ack_gets_491() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["491"]);
    assert!(bench.ended().is_none());
}

#[test]
fn a_refused_reinvite_leaves_the_call_as_it_was() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    let refusal = Refusal { status: 488, reason: None, retry_after: None, warning: None };
    bench.command(Command::Reject { leg, refusal });
    assert_eq!(bench.heard(), ["488"]);
    bench.peer(&super::bench::request("ACK", "INVITE2", &tag, 2, "", ""));
    bench.wait(Duration::from_secs(40));
    assert!(bench.sent.is_empty() && bench.ended().is_none());
    bench.command(Command::Hangup { leg, reason: None });
    assert_eq!(bench.take()[0].0, addr("192.0.2.10:5060")); // the refused Contact was not taken
}

#[test]
fn a_cancelled_reinvite_leaves_the_call_as_it_was() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    bench.peer(&super::bench::request("CANCEL", "INVITE2", &tag, 2, "", ""));
    assert_eq!(bench.heard(), ["200", "487"]);
    bench.command(Command::Accept { leg, body: Some(sdp()) });
    assert!(bench.sent.is_empty() && bench.ended().is_none());
}

#[test]
fn an_unacknowledged_reinvite_ends_the_call() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    bench.command(Command::Accept { leg, body: Some(sdp()) });
    bench.wait(Duration::from_secs(33));
    assert_eq!(bench.ended(), Some(crate::sip::Ended::AckTimeout));
    bench.assert_nothing_left();
}

#[test]
fn a_lower_number_gets_500_and_a_gap_is_fine() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    bench.peer(&inside("OPTIONS", &tag, 50, "", ""));
    bench.peer(&inside("OPTIONS", &tag, 49, "", ""));
    assert_eq!(bench.heard(), ["200", "500"]);
}

#[test]
fn another_remote_tag_is_another_dialog() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    bench.peer(&inside("BYE", &tag, 2, "", "").replace("tag=peer", "tag=other"));
    assert_eq!(bench.heard(), ["481"]);
    assert!(bench.ended().is_none());
}

#[test]
fn digits_in_info_are_told() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    let relay = "Content-Type: application/dtmf-relay\r\n";
    bench.peer(&inside("INFO", &tag, 2, relay, "Signal=5\r\nDuration=160\r\n"));
    let Some(Event::Digit { digit, held, .. }) = bench.events.last() else { panic!("{:?}", bench.events) };
    assert_eq!((digit.as_char(), held.as_millis()), ('5', 160));
    bench.peer(&inside("INFO", &tag, 2, relay, "Signal=5\r\nDuration=160\r\n")); // a copy
    bench.peer(&inside("INFO", &tag, 3, "", ""));
    bench.peer(&inside("INFO", &tag, 4, "Content-Type: text/plain\r\n", "5"));
    bench.peer(&inside("INFO", &tag, 5, "Info-Package: foo\r\n", ""));
    assert_eq!(bench.heard(), ["200", "200", "200", "415", "469"]);
    assert_eq!(bench.events.iter().filter(|event| matches!(event, Event::Digit { .. })).count(), 1);
}

#[test]
fn other_requests_inside_a_call_are_answered_as_section_12_says() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    let cases = [
        ("UPDATE", "", "", "200"),
        ("OPTIONS", "", "", "200"),
        ("NOTIFY", "o: refer;id=3\r\n", "", "200"),
        ("NOTIFY", "Event: telephone-event\r\n", "", "489"),
        ("NOTIFY", "", "", "489"),
        ("PRACK", "RAck: 1 1 INVITE\r\n", "", "481"),
        ("REFER", "Refer-To: <sip:x@y>\r\n", "", "405"),
        ("MESSAGE", "", "", "405"),
        ("SUBSCRIBE", "", "", "405"),
        ("FROBNICATE", "", "", "501"),
        ("INVITE", "Require: precondition\r\n", "", "420"),
    ];
    for (cseq, (method, headers, body, status)) in (2..).zip(cases) {
        bench.peer(&inside(method, &tag, cseq, headers, body));
        assert_eq!(name(&bench.only()), status, "{method}");
    }
    assert!(bench.ended().is_none());
    bench.peer(&inside("UPDATE", &tag, 40, "Contact: <sip:1000@192.0.2.12:5064>\r\n", ""));
    bench.take();
    bench.command(Command::Hangup { leg, reason: None });
    assert_eq!(bench.take()[0].0, addr("192.0.2.12:5064"));
}

#[test]
fn the_scheme_of_our_contact_is_the_dialogs() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("Record-Route: <sips:192.0.2.20;lr>\r\n");
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    bench.command(Command::Accept { leg, body: None });
    assert!(bench.only().contact().unwrap().uri.as_str().starts_with("sips:"));
}

#[test]
fn an_advertised_name_stands_in_contact_and_via() {
    let config =
        Config { trunks: vec![trunk()], advertise: Some("2001:db8::5".to_owned()), ..Config::default() };
    let mut bench = Bench::with(config);
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let ok = bench.only();
    assert_eq!(ok.contact().unwrap().uri.as_str(), "sip:streamkit@[2001:db8::5]:5060;transport=udp");
}
