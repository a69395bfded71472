//! Any octets as a datagram and as a stream: never a panic, and what is answered can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit::sip::message::header::{diversion, identity, reason, session_expires, user_to_user, vendor};
use streamkit::sip::message::{Framed, Framer, Framing, Message, Response};

fuzz_target!(|octets: &[u8]| {
    match Message::parse(octets, Framing::Datagram) {
        Ok(message) => read_all(&message),
        Err(malformed) => {
            if let Some(message) = malformed.answerable {
                answer(&message, malformed.cause.status());
            }
        }
    }
    let (mut whole, mut split) = (Framer::new(), Framer::new());
    whole.push(octets);
    let at_once = drain(&mut whole);
    let mut bit_by_bit = Vec::new();
    for piece in octets.chunks(7) {
        split.push(piece);
        bit_by_bit.extend(drain(&mut split));
    }
    assert_eq!(at_once, bit_by_bit);
});

/// Everything a call asks of a message.
fn read_all(message: &Message) {
    let _ =
        (reason::reasons(message), reason::q850_cause(message), session_expires::session_expires(message));
    let _ = (session_expires::min_se(message), diversion::diversions(message), diversion::history(message));
    for uui in user_to_user::user_to_user(message) {
        let _ = (uui.decoded(), uui.ucid());
    }
    let _ = (identity::caller(message, true), identity::dialled(message), vendor::account_sid(message));
    let names = ["X-UUI".to_owned(), "X-Custom-Header".to_owned()];
    let sources = [vendor::UuiSource::XUui, vendor::UuiSource::UserToUser];
    for (_, value) in vendor::custom_headers(message, &names, 45, &sources, vendor::UuiDecode::Text) {
        assert!(value.len() <= 45);
    }
    let _ = (message.content_type(), message.boundary(), message.fields().count());
    if message.is_request() {
        answer(message, 200);
    }
}

/// An answer is one message, whatever is copied into it.
fn answer(message: &Message, status: u16) {
    let octets = Response::to(message, status)
        .to_tag("0123456789abcdef")
        .source("[2001:db8::1]:5062".parse().unwrap(), true)
        .record_route()
        .octets();
    match Message::parse(&octets, Framing::Datagram) {
        Ok(answer) => {
            assert_eq!((answer.status(), answer.body().len()), (Some(status), 0));
            assert_eq!(answer.via().received(), Some("2001:db8::1"));
            assert_eq!(answer.via().branch(), message.via().branch());
            assert_eq!(answer.call_id_octets(), message.call_id_octets());
        }
        Err(malformed) => assert!(malformed.answerable.is_none()),
    }
}

/// What came out, pings left out: they depend on what else has arrived.
fn drain(framer: &mut Framer) -> Vec<(&'static str, Vec<u8>)> {
    std::iter::from_fn(|| framer.next())
        .filter_map(|framed| match framed {
            Framed::Ping => None,
            Framed::Message(message) => Some(("message", message.octets().to_vec())),
            Framed::Refused(malformed) => Some((malformed.cause.as_str(), Vec::new())),
            Framed::Broken(_) => Some(("broken", Vec::new())),
        })
        .collect()
}
