//! Requests of ours that are too big for a datagram.

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, US, addr, trunk};
use crate::ids::{LegId, TrunkId};
use crate::sip::endpoint::Input;
use crate::sip::hop::Hop;
use crate::sip::message::Message;
use crate::sip::{Body, Command, Config, Destination, Dial, Target, Transport, Trunk};

const LEG: LegId = LegId(1 << 63 | 1);
const THERE: &str = "203.0.113.5:5060";

fn bench(trunk: Trunk) -> Bench {
    Bench::with(Config { trunks: vec![trunk], ..Config::default() })
}

/// Dials with so many octets of description; the INVITE.
fn dial(bench: &mut Bench, size: usize) -> Message {
    bench.command(Command::Dial(Box::new(Dial {
        leg: LEG,
        trunk: TrunkId(0),
        uri: "sip:2000@203.0.113.5".to_owned(),
        to: Destination::Address(addr(THERE), Transport::Udp),
        ring_limit: Duration::from_secs(180),
        credentials: None,
        from: "sip:1000@192.0.2.1".to_owned(),
        headers: Vec::new(),
        body: Some(Body::sdp("x".repeat(size))),
    })));
    bench.only()
}

fn transport(message: &Message) -> String {
    let via = message.raw("Via").next().unwrap();
    String::from_utf8_lossy(&via).split(' ').next().unwrap().to_owned()
}

fn refuse(bench: &mut Bench) {
    let hop = Hop { transport: Transport::Tcp, local: addr(US), remote: addr(THERE) };
    bench.input(Input::Failed(hop));
}

#[test]
fn it_goes_over_tcp_with_a_via_that_says_so_and_a_small_one_does_not() {
    let mut big = bench(trunk());
    let invite = dial(&mut big, 1300);
    assert_eq!(transport(&invite), "SIP/2.0/TCP");
    assert_eq!(invite.via().port(), Some(5060));
    big.wait(Duration::from_millis(1900));
    assert!(big.take().is_empty(), "a stream repeats nothing");
    let mut small = bench(trunk());
    assert_eq!(transport(&dial(&mut small, 100)), "SIP/2.0/UDP");
}

#[test]
fn refused_by_tcp_or_unheard_for_two_seconds_it_goes_over_udp_and_is_repeated() {
    for refused in [true, false] {
        let mut bench = bench(trunk());
        let first = dial(&mut bench, 1300);
        if refused {
            refuse(&mut bench);
        } else {
            bench.wait(Duration::from_secs(2));
        }
        let second = bench.only();
        assert_eq!(transport(&second), "SIP/2.0/UDP", "{refused}");
        assert_eq!((second.via().branch(), second.cseq()), (first.via().branch(), first.cseq()));
        assert!(bench.raw.is_empty());
        bench.wait(Duration::from_millis(1600));
        assert_eq!(bench.heard(), ["INVITE", "INVITE"], "at 500 and 1500 ms");
        refuse(&mut bench);
        assert_eq!(bench.ended(), None, "the connection matters no more");
    }
}

#[test]
fn its_cancel_and_the_ack_of_a_refusal_go_the_way_it_went() {
    let mut bench = bench(trunk());
    let invite = dial(&mut bench, 1300);
    bench.from(THERE, &answer_to(&invite, "180 Ringing"));
    bench.wait(Duration::from_secs(3));
    assert!(bench.take().is_empty(), "somebody is there");
    bench.command(Command::Hangup { leg: LEG, reason: None });
    let cancel = bench.only();
    assert_eq!((cancel.method().as_str(), transport(&cancel).as_str()), ("CANCEL", "SIP/2.0/TCP"));
    bench.from(THERE, &answer_to(&cancel, "200 OK"));
    bench.from(THERE, &answer_to(&invite, "487 Request Terminated"));
    let ack = bench.only();
    assert_eq!((ack.method().as_str(), transport(&ack).as_str()), ("ACK", "SIP/2.0/TCP"));
    assert_eq!(ack.via().branch(), invite.via().branch());
    bench.assert_nothing_left();
}

#[test]
fn where_udp_is_all_there_is_it_goes_over_udp() {
    let udp = Trunk { transports: vec![Transport::Udp], ..trunk() };
    let target = Target { transport: Some(Transport::Udp), ..trunk().targets.remove(0) };
    for trunk in [udp, Trunk { targets: vec![target], ..trunk() }] {
        let mut bench = bench(trunk);
        assert_eq!(transport(&dial(&mut bench, 1300)), "SIP/2.0/UDP");
    }
}

#[test]
fn inside_a_dialog_it_is_the_same() {
    let mut bench = bench(trunk());
    let (leg, _) = bench.up("");
    let body = Some(Body::sdp("x".repeat(1300)));
    bench.command(Command::Modify { leg, update: false, body });
    let reinvite = bench.only();
    assert_eq!((reinvite.method().as_str(), transport(&reinvite).as_str()), ("INVITE", "SIP/2.0/TCP"));
    let hop = Hop { transport: Transport::Tcp, local: addr(US), remote: addr(super::bench::PEER) };
    bench.input(Input::Failed(hop));
    assert_eq!(transport(&bench.only()), "SIP/2.0/UDP");
}
