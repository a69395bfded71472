//! SRTP as signalling settles it: what each setting takes, refuses and answers (sip-trunk.md 11.6).

use serde_json::Value;
use streamkit::call::Srtp;

use crate::world::caller::{field, sdp};
use crate::world::clock::secs;
use crate::world::{Setup, World};

const KEY: &str =
    "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20\r\n";
const OTHER: &str = "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";

fn world(srtp: Srtp, without_tls: bool) -> World {
    let mut setup = Setup::default();
    (setup.trunk.srtp, setup.trunk.srtp_without_tls) = (srtp, without_tls);
    World::new(setup)
}

fn offer(world: &mut World, profile: &str, crypto: &str) -> String {
    let plain = sdp(world.caller().mouth.from, "0 8 101", "sendrecv");
    plain.replace("RTP/AVP", profile) + crypto
}

/// A call whose INVITE offers this: ladder, SDP of the 200, refusal, record.
fn call(srtp: Srtp, without_tls: bool, profile: &str, crypto: &str) -> (String, String, String, Value) {
    let mut world = world(srtp, without_tls);
    let offer = offer(&mut world, profile, crypto);
    world.caller().offer = Some(offer);
    world.caller().dial();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    let last = world.wire.iter().rfind(|(_, up, text)| !up && text.starts_with("SIP/2.0 4"));
    let refusal = last.map(|(_, _, text)| text.clone()).unwrap_or_default();
    (world.ladder(), world.callers[0].sdp.clone(), refusal, cdr)
}

fn crypto(sdp: &str) -> &str {
    sdp.lines().find(|line| line.starts_with("a=crypto:")).unwrap_or_default()
}

#[test]
fn an_encrypted_offer_is_mirrored_and_a_plain_one_too() {
    let (_, answer, _, cdr) = call(Srtp::Optional, true, "RTP/SAVP", KEY);
    assert!(answer.contains("RTP/SAVP 0 101\r\n"), "{answer}");
    assert!(crypto(&answer).starts_with("a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:"), "{answer}");
    assert_eq!(cdr["media"]["srtp"], true);
    let (_, answer, _, cdr) = call(Srtp::Optional, true, "RTP/AVP", KEY);
    assert!(answer.contains("RTP/AVP 0 101\r\n") && crypto(&answer).is_empty(), "{answer}");
    assert_eq!(cdr["media"]["srtp"], false);
}

#[test]
fn what_a_trunk_does_not_take_is_a_488_with_its_cause() {
    for (srtp, without_tls, profile, crypto, cause) in [
        (Srtp::Off, true, "RTP/SAVP", KEY, "rtp_profile"),
        (Srtp::Optional, false, "RTP/SAVP", KEY, "rtp_profile"),
        (Srtp::Required, true, "RTP/AVP", KEY, "rtp_profile"),
        (Srtp::Required, true, "RTP/SAVP", "", "srtp_key"),
        (Srtp::Required, false, "RTP/SAVP", KEY, "srtp_without_tls"),
        (Srtp::Required, false, "RTP/AVP", "", "srtp_without_tls"),
    ] {
        let (ladder, _, refusal, cdr) = call(srtp, without_tls, profile, crypto);
        assert_eq!(ladder, "INVITE <100 <488 ACK", "{srtp:?} {profile}");
        assert_eq!(field(&refusal, "Reason"), "Q.850;cause=65");
        assert!(field(&refusal, "Warning").starts_with("304 "), "{refusal}");
        assert_eq!(cdr["end"]["cause"], cause, "{srtp:?} {profile}");
    }
}

#[test]
fn our_offer_is_encrypted_where_it_must_be() {
    let mut world = world(Srtp::Required, true);
    world.caller().offer = None;
    let answer = offer(&mut world, "RTP/SAVP", &KEY.replace(":4 ", ":1 "));
    world.caller().answer_in_ack = Some(answer);
    world.caller().dial();
    world.run(secs(1));
    let offered = world.callers[0].sdp.clone();
    assert!(offered.contains("RTP/SAVP 0 8 101\r\n"), "{offered}");
    assert!(crypto(&offered).starts_with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"), "{offered}");
    world.caller().hang_up();
    assert_eq!(world.finish()["media"]["srtp"], true);
}

#[test]
fn a_new_key_of_the_caller_gets_a_new_one_of_ours() {
    let mut world = world(Srtp::Optional, true);
    let first = offer(&mut world, "RTP/SAVP", KEY);
    world.caller().offer = Some(first.clone());
    world.caller().dial();
    world.run(secs(1));
    let mut keys = vec![crypto(&world.callers[0].sdp).to_owned()];
    for again in [first.clone(), first.replace(KEY, OTHER)] {
        world.caller().reoffer(&again);
        let before = world.callers[0].answers.len();
        world.run_until(secs(1), |world| world.callers[0].answers.len() > before);
        keys.push(crypto(&world.callers[0].answers[before].1).to_owned());
    }
    assert_eq!(keys[0], keys[1], "an unchanged key of theirs leaves ours");
    assert_ne!(keys[1], keys[2]);
    world.caller().hang_up();
    world.finish();
}

#[test]
fn no_two_calls_have_a_key_in_common() {
    let keys: Vec<String> = (0..2)
        .map(|seed| {
            let mut setup = Setup { seed, ..Setup::default() };
            (setup.trunk.srtp, setup.trunk.srtp_without_tls) = (Srtp::Optional, true);
            let mut world = World::new(setup);
            let offer = offer(&mut world, "RTP/SAVP", KEY);
            world.caller().offer = Some(offer);
            world.caller().dial();
            world.run(secs(1));
            let key = crypto(&world.callers[0].sdp).to_owned();
            world.caller().hang_up();
            world.finish();
            key
        })
        .collect();
    assert_ne!(keys[0], keys[1]);
}
