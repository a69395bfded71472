//! Any octets as a challenge and as an answer to one: never a panic, what we write can be read, and nobody who does
//! not know the password is let in.
#![no_main]

use std::net::IpAddr;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use streamkit::ids::Entropy;
use streamkit::sip::Credentials;
use streamkit::sip::auth::{Admission, Algorithm, Answer, Challenge, Door, Login, Tries};
use streamkit::sip::message::{Framing, Message};

const REALM: &str = "pbx";

fuzz_target!(|octets: &[u8]| {
    let _ = (Challenge::parse(octets), Answer::parse(octets));
    if octets.iter().any(|octet| matches!(octet, b'\r' | b'\n')) {
        return;
    }
    let (mut entropy, users) = (Entropy::seeded(1), vec![credentials()]);
    let start = "SIP/2.0 401 Unauthorized\r\n";
    if let Some(refusal) = message(start, "INVITE", "WWW-Authenticate", octets) {
        let mut login = Login::new(credentials());
        if login.challenged(&refusal, &mut Tries::default()) {
            for (_, value) in login.headers("INVITE", "sip:bot@h", &mut entropy) {
                Answer::parse(value.as_bytes()).expect("what we write can be read");
            }
        }
    }
    let start = "INVITE sip:bot@h SIP/2.0\r\n";
    if let Some(request) = message(start, "INVITE", "Authorization", octets) {
        let mut door = Door::new(&mut entropy);
        let (now, source) = (Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let known = (users.as_slice(), [Algorithm::Sha256, Algorithm::Md5].as_slice());
        assert_ne!(door.judge(now, source, REALM, known, &request), Admission::Pass);
    }
});

fn credentials() -> Credentials {
    Credentials { user: "alice".to_owned(), password: "never guessed".to_owned(), realm: None }
}

fn message(start: &str, method: &str, field: &str, value: &[u8]) -> Option<Message> {
    let mut octets = format!(
        "{start}Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\n{field}: "
    )
    .into_bytes();
    octets.extend_from_slice(value);
    octets.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
    Message::parse(&octets, Framing::Datagram).ok()
}
