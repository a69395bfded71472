//! How long a SIP message takes to be read and answered.

use std::hint::black_box;

use divan::Bencher;
use streamkit::sip::message::{Framer, Framing, Message, Response};

const ORDINARY: &[u8] = include_bytes!("../tests/vectors/pbx/asterisk-pjsip-maxptime150.sip");
const LONG: &[u8] = include_bytes!("../tests/vectors/pbx/avaya-session-manager.sip");

fn main() {
    divan::main();
}

#[divan::bench(args = ["ordinary", "long"])]
fn parse(bencher: Bencher<'_, '_>, which: &str) {
    let octets = pick(which);
    bencher.bench(|| Message::parse(black_box(octets), Framing::Datagram).unwrap());
}

#[divan::bench(args = ["ordinary", "long"])]
fn answer(bencher: Bencher<'_, '_>, which: &str) {
    let message = Message::parse(pick(which), Framing::Datagram).unwrap();
    let remote = "192.0.2.9:5060".parse().unwrap();
    bencher.bench(|| {
        Response::to(black_box(&message), 180)
            .to_tag("0123456789abcdef")
            .source(remote, false)
            .record_route()
            .octets()
    });
}

/// A stream that comes an octet at a time: the cost of an octet must not grow with the message.
#[divan::bench(args = [1, 64, 1460])]
fn frame(bencher: Bencher<'_, '_>, piece: usize) {
    bencher.bench(|| {
        let mut framer = Framer::new();
        let mut messages = 0;
        for piece in black_box(LONG).chunks(piece) {
            framer.push(piece);
            while framer.next().is_some() {
                messages += 1;
            }
        }
        assert_eq!(messages, 1);
    });
}

fn pick(which: &str) -> &'static [u8] {
    if which == "long" { LONG } else { ORDINARY }
}
