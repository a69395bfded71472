//! What holds for every offer, however strange.

use proptest::collection::vec;
use proptest::prelude::*;

use super::read::Remote;
use super::{Direction, Law, Order, Session, Srtp, Wish, accept, answer, extract, media_addresses, offer};

/// Lines of descriptions, sound and unsound, often enough of the kind that makes an answer.
fn line() -> impl Strategy<Value = String> {
    const POOL: &[&str] = &[
        "c=IN IP4 192.0.2.1",
        "c=IN IP4 0.0.0.0",
        "c=IN IP6 2001:db8::1",
        "c=IN IP4 224.0.0.1",
        "c=IN IP4 host.example.com",
        "m=audio 4000 RTP/AVP 0 8 101",
        "m=audio 4002 RTP/AVP 97 8 96",
        "m=audio 0 RTP/AVP 0",
        "m=audio 4004 RTP/SAVP 0",
        "m=audio 4010 RTP/AVP 8 13 96",
        "m=audio 4012 RTP/AVP 18 0 101",
        "m=video 4006 RTP/AVP 31 96",
        "m=image 4008 udptl t38",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "m=text 0 RTP/AVP",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:96 telephone-event/8000",
        "a=rtpmap:97 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=fmtp:101 0-15",
        "a=fmtp:96 3,5-9,70",
        "a=ptime:30",
        "a=maxptime:25",
        "a=sendonly",
        "a=recvonly",
        "a=inactive",
        "a=rtcp-mux",
        "a=rtcp:4100 IN IP4 192.0.2.7",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
        "b=TIAS:64000",
        "t=0 0",
        "v=0",
        "",
    ];
    prop_oneof![20 => prop::sample::select(POOL).prop_map(str::to_owned), 1 => "[a-z]=[ -~]{0,24}", 1 => ".{0,12}"]
}

fn text() -> impl Strategy<Value = String> {
    let lines = (vec(line(), 0..24), prop::sample::select(vec!["\n", "\r\n"]), prop::bool::weighted(0.9));
    lines.prop_map(|(lines, end, versioned)| {
        let head = if versioned { format!("v=0{end}c=IN IP4 192.0.2.1{end}") } else { String::new() };
        head + &lines.join(end)
    })
}

fn wish() -> impl Strategy<Value = Wish> {
    let codecs = prop::sample::select(vec![vec![Law::Mu, Law::A], vec![Law::A, Law::Mu], vec![Law::A]]);
    let order = prop::sample::select(vec![Order::Offer, Order::Local]);
    (codecs, order, any::<bool>()).prop_map(|(codecs, order, telephone_event)| Wish {
        codecs,
        order,
        telephone_event,
        ..Wish::new("192.0.2.200:40000".parse().unwrap())
    })
}

/// Kind, port, protocol and formats of every m= line.
fn lines(text: &str) -> Vec<(String, u16, String, Vec<String>)> {
    let remote = Remote::read(text.as_bytes()).unwrap();
    let words = |fmt: &str| fmt.split(' ').map(str::to_owned).collect();
    remote
        .lines()
        .map(|l| (l.media.media.clone(), l.media.port, l.media.proto.clone(), words(&l.media.fmt)))
        .collect()
}

proptest! {
    #[test]
    fn octets_of_any_kind_are_read_without_panic(body in vec(any::<u8>(), 0..600), content_type in ".{0,40}") {
        let _ = extract(&body, &content_type);
        let _ = Remote::read(&body);
        let mut described = b"v=0\nc=IN IP4 192.0.2.1\nm=".to_vec();
        described.extend_from_slice(&body);
        let _ = Remote::read(&described);
        let mut mixed = b"--b\n\n--b\n".to_vec();
        mixed.extend_from_slice(&body);
        let _ = extract(&mixed, "multipart/mixed;boundary=b");
    }

    #[test]
    fn an_answer_has_the_offers_lines_and_nothing_the_offer_lacks(text in text(), wish in wish()) {
        let Ok(answered) = answer(text.as_bytes(), "application/sdp", &wish, &Session::new(1)) else { return Ok(()) };
        let mut session = Session::new(1);
        let written = session.render(&answered.sdp);
        let (offered, ours) = (lines(&text), lines(&written));
        prop_assert_eq!(offered.len(), ours.len());
        prop_assert_eq!(ours.iter().filter(|line| line.1 != 0).count(), 1);
        for (theirs, ours) in offered.iter().zip(&ours) {
            prop_assert_eq!((&theirs.0, &theirs.2), (&ours.0, &ours.2));
            if ours.1 == 0 {
                prop_assert_eq!(&theirs.3, &ours.3);
            } else {
                prop_assert!(theirs.1 != 0 && ours.3.iter().all(|number| theirs.3.contains(number)));
            }
        }
        let media = answered.media;
        prop_assert!(wish.codecs.contains(&media.law));
        prop_assert_eq!(media.send, !media.held);
        prop_assert_eq!(media.rtcp_mux, written.contains("a=rtcp-mux"));
        prop_assert!(!media_addresses(text.as_bytes(), "application/sdp", Srtp::Off).unwrap().is_empty());
    }

    #[test]
    fn an_answer_can_be_read_back_by_who_offered(text in text(), wish in wish()) {
        let Ok(answered) = answer(text.as_bytes(), "application/sdp", &wish, &Session::new(1)) else { return Ok(()) };
        let mut session = Session::new(1);
        let written = session.render(&answered.sdp);
        let far = Wish::new("192.0.2.201:40002".parse().unwrap());
        let back = answer(written.as_bytes(), "", &far, &Session::new(1)).unwrap().media;
        prop_assert_eq!(back.remote, wish.local);
        prop_assert_eq!((back.law, back.payload_type), (answered.media.law, answered.media.payload_type));
        prop_assert_eq!(back.telephone_event, answered.media.telephone_event);
        prop_assert_eq!(back.ptime_ms, answered.media.ptime_ms);
        prop_assert_eq!((back.send, back.receive), (answered.media.receive, answered.media.send));
    }

    #[test]
    fn the_version_rises_exactly_when_something_else_differs(offers in vec(text(), 1..6), wish in wish()) {
        let mut session = Session::new(7);
        let mut last: Option<String> = None;
        for text in offers {
            let Ok(answered) = answer(text.as_bytes(), "application/sdp", &wish, &Session::new(1)) else { continue };
            let written = session.render(&answered.sdp);
            prop_assert_eq!(&session.render(&answered.sdp), &written);
            if let Some(last) = last.replace(written.clone()) {
                let step = version(&written) - version(&last);
                prop_assert_eq!(step, u64::from(without_origin(&written) != without_origin(&last)));
            }
        }
    }

    #[test]
    fn an_offer_in_a_dialog_keeps_its_lines(text in text(), wish in wish()) {
        let Ok(answered) = answer(text.as_bytes(), "application/sdp", &wish, &Session::new(1)) else { return Ok(()) };
        let mut session = Session::new(7);
        let before = lines(&session.render(&answered.sdp));
        let wish = Wish { direction: Direction::SendOnly, ..wish };
        let after = lines(&offer(&mut session, &wish));
        let kinds = |lines: &[(String, u16, String, Vec<String>)]| lines.iter().map(|l| (l.0.clone(), l.1)).collect::<Vec<_>>();
        prop_assert_eq!(kinds(&before), kinds(&after));
    }

    #[test]
    fn an_answer_to_our_offer_is_taken_or_refused_without_panic(text in text(), wish in wish()) {
        let mut session = Session::new(7);
        let _ = offer(&mut session, &wish);
        if let Ok(agreed) = accept(text.as_bytes(), "application/sdp", &mut session) {
            prop_assert!(wish.codecs.contains(&agreed.law));
            prop_assert!(agreed.also.is_none_or(|(law, _)| law != agreed.law));
            prop_assert!(agreed.telephone_event.is_none() || wish.telephone_event);
        }
    }
}

fn version(text: &str) -> u64 {
    text.lines().nth(1).unwrap().split(' ').nth(2).unwrap().parse().unwrap()
}

fn without_origin(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("o=")).collect()
}
