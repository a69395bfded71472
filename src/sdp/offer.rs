//! Our offers and the answers to them (RFC 3264 §5 and §7, sip-trunk.md section 10).

use super::codec::{Coding, Events};
use super::crypto::Keyed;
use super::describe::{Audio, Description, Keys, OwnLine};
use super::read::Remote;
use super::terms::{Terms, keyed};
use super::{Agreed, Law, Refused, Session, Srtp, Wish, body, ptime};

/// An offer of all we can do, as it is to be sent: to an INVITE or re-INVITE without SDP, in a call of ours, or
/// to move or hold a leg. In a dialog that has m= lines already they all stand in their places.
///
/// `wish.codecs` is not empty and `wish.local` is an address that may be shown: the caller chose both.
pub fn offer(session: &mut Session, wish: &Wish) -> String {
    let audio = OwnLine::Audio(Audio {
        formats: wish.codecs.iter().map(|&law| (law, law.payload_type())).collect(),
        events: wish.telephone_event.then(|| (session.events_number(), Events::ALL)),
        ptime_ms: ptime::USUAL,
        direction: wish.direction,
        rtcp_mux: false,
        keys: keys(session, wish),
    });
    let mut lines = session.lines().to_vec();
    match lines.iter_mut().find(|line| matches!(line, OwnLine::Audio(_))) {
        Some(line) => *line = audio,
        None => lines.push(audio),
    }
    session.render(&Description { local: wish.local, lines, bound: 0 })
}

/// An offer is plain unless encryption is required or the dialog is encrypted already: a peer without it would refuse
/// the whole call (sip-trunk.md section 11.6).
fn keys(session: &Session, wish: &Wish) -> Option<Keys> {
    let known = session.keys();
    match wish.srtp {
        Srtp::Required => {}
        Srtp::Optional if known.is_some() => {}
        Srtp::Off | Srtp::Optional | Srtp::Unsafe => return None,
    }
    let ours = Keyed::offered(known.map_or(wish.secret, |keys| keys.ours.master));
    Some(Keys { ours, theirs: known.and_then(|keys| keys.theirs) })
}

/// The answer to the offer that `session` sent last: from an ACK, a PRACK or a response.
///
/// # Errors
/// The answer cannot be used: the call ends with BYE and `SIP;cause=488` after the ACK, or is as before when the
/// offer was made in a dialog that is up. `Absent` when there is no description at all.
pub fn accept(body: &[u8], content_type: &str, session: &mut Session) -> Result<Agreed, Refused> {
    let answer = Remote::read(body::extract(body, content_type)?.ok_or(Refused::Absent)?)?;
    let sent = session.description().ok_or(Refused::NoAudio)?;
    let (place, ours) = sent.audio().ok_or(Refused::NoAudio)?;
    // Lines beyond those of the offer are passed over.
    let line = answer.lines().nth(place).filter(|line| line.is_live_audio()).ok_or(Refused::NoAudio)?;
    let crypto = match &ours.keys {
        None => keyed(&line, Srtp::Off).map(|_| None)?,
        Some(Keys { ours, .. }) => {
            let theirs = keyed(&line, Srtp::Required)?;
            let ours_told = |theirs: &Keyed| (&theirs.tag, theirs.suite) == (&ours.tag, ours.suite);
            Some(theirs.filter(ours_told).ok_or(Refused::NoKey)?.with(ours))
        }
    };
    let terms = Terms::of(&line, sent.local.ip(), ours.rtcp_mux)?;
    let (law, number) = first_of(line.formats(), &ours.formats).ok_or(Refused::NoCodec)?;

    let agreed = terms.agreed(law, number, terms.direction(ours.direction));
    let theirs = line.telephone_event().map(|(number, _)| number);
    let events = ours.events.and_then(|(own, _)| theirs.map(|theirs| (own, theirs)));
    let agreed = Agreed {
        also: ours.formats.iter().copied().find(|&(other, _)| other != law),
        crypto,
        telephone_event: events.map(|(_, theirs)| theirs),
        telephone_event_also: events.and_then(|(own, theirs)| (own != theirs).then_some(own)),
        ..agreed
    };
    if let Some(crypto) = crypto {
        session.learn(crypto.receive);
    }
    Ok(agreed)
}

/// The first codec of the answer that stood in the offer, under the answer's number.
fn first_of(answered: impl Iterator<Item = (u8, Coding)>, offered: &[(Law, u8)]) -> Option<(Law, u8)> {
    answered
        .filter_map(|(number, coding)| match coding {
            Coding::Audio(law) => Some((law, number)),
            Coding::Events | Coding::Other => None,
        })
        .find(|(law, _)| offered.iter().any(|(own, _)| own == law))
}

#[cfg(test)]
mod tests {
    use super::super::{Direction, answer};
    use super::*;

    fn wish() -> Wish {
        Wish::new("192.0.2.200:40000".parse().unwrap())
    }

    fn offered() -> Session {
        let mut session = Session::new(9);
        offer(&mut session, &wish());
        session
    }

    fn accepted(lines: &str) -> Result<Agreed, Refused> {
        let body = format!("v=0\nc=IN IP4 192.0.2.1\n{lines}");
        accept(body.as_bytes(), "application/sdp", &mut offered())
    }

    #[test]
    fn all_we_can_do_is_offered_in_our_order() {
        let text = offer(&mut Session::new(9), &wish());
        assert_eq!(
            text,
            "v=0\r\no=- 9 1 IN IP4 192.0.2.200\r\ns=-\r\nc=IN IP4 192.0.2.200\r\nt=0 0\r\n\
             m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
        );
        assert!(text.len() < 400);
        let other = Wish { codecs: vec![Law::A, Law::Mu], telephone_event: false, ..wish() };
        assert!(offer(&mut Session::new(9), &other).contains("m=audio 40000 RTP/AVP 8 0\r\n"));
    }

    #[test]
    fn the_first_codec_of_the_answer_is_sent_and_either_is_taken() {
        let media =
            accepted("m=audio 4000 RTP/AVP 18 8 0 101\na=rtpmap:101 telephone-event/8000\na=ptime:30")
                .unwrap();
        assert_eq!((media.law, media.payload_type, media.also), (Law::A, 8, Some((Law::Mu, 0))));
        assert_eq!((media.telephone_event, media.telephone_event_also), (Some(101), None));
        assert_eq!((media.ptime_ms, media.send, media.receive, media.held), (30, true, true, false));
    }

    #[test]
    fn a_renumbered_telephone_event_is_sent_so_and_taken_under_both() {
        let media = accepted("m=audio 4000 RTP/AVP 0 96\na=rtpmap:96 telephone-event/8000").unwrap();
        assert_eq!((media.telephone_event, media.telephone_event_also), (Some(96), Some(101)));
        assert_eq!(accepted("m=audio 4000 RTP/AVP 0").unwrap().telephone_event, None);
    }

    #[test]
    fn an_answer_may_hold_and_may_have_lines_to_spare() {
        let media = accepted("m=audio 4000 RTP/AVP 0\na=recvonly\nm=video 4002 RTP/AVP 31").unwrap();
        assert_eq!((media.send, media.receive, media.held), (true, false, false));
        let media = accepted("m=audio 4000 RTP/AVP 0\na=sendonly").unwrap();
        assert_eq!((media.send, media.receive, media.held), (false, true, true));
        let media = accepted("m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0").unwrap();
        assert_eq!((media.send, media.held, media.target()), (false, true, None));
        let unasked = accepted("m=audio 4000 RTP/AVP 0\na=rtcp-mux").unwrap();
        assert_eq!((unasked.rtcp_mux, unasked.rtcp), (false, None));
    }

    #[test]
    fn an_answer_without_anything_of_ours_is_refused() {
        for (lines, refused) in [
            ("m=audio 0 RTP/AVP 0", Refused::NoAudio),
            ("", Refused::NoAudio),
            ("m=video 4000 RTP/AVP 31", Refused::NoAudio),
            ("m=audio 4000 RTP/AVP 18", Refused::NoCodec),
            ("m=audio 4000 RTP/SAVP 0", Refused::Profile),
            ("m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1", Refused::Family),
        ] {
            assert_eq!(accepted(lines), Err(refused), "{lines}");
        }
        assert_eq!(accept(b"", "", &mut offered()), Err(Refused::Absent));
        assert_eq!(
            accept(b"v=0\nc=IN IP4 192.0.2.1\nm=audio 4 RTP/AVP 0", "", &mut Session::new(1)),
            Err(Refused::NoAudio)
        );
    }

    #[test]
    fn an_offer_in_a_dialog_keeps_its_lines_and_its_numbers() {
        let theirs = b"v=0\nc=IN IP4 192.0.2.1\nm=image 4002 udptl t38\nm=audio 4000 RTP/AVP 8 101 96\n\
                       a=rtpmap:101 opus/48000/2\na=rtpmap:96 telephone-event/8000";
        let mut session = Session::new(9);
        session.render(&answer(theirs, "", &wish(), &Session::new(1)).unwrap().sdp);
        let text = offer(&mut session, &wish());
        assert!(text.contains("m=image 0 udptl t38\r\nm=audio 40000 RTP/AVP 0 8 96\r\n"), "{text}");
        assert!(text.starts_with("v=0\r\no=- 9 2 "));
        let reply = b"v=0\nc=IN IP4 192.0.2.1\nm=image 0 udptl t38\nm=audio 5000 RTP/AVP 0 96\na=rtpmap:96 telephone-event/8000";
        let media = accept(reply, "", &mut session).unwrap();
        assert_eq!((media.remote.port(), media.law, media.telephone_event), (5000, Law::Mu, Some(96)));
    }

    #[test]
    fn a_number_the_peer_uses_otherwise_is_not_taken_for_keys() {
        let theirs = b"v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0 101 96\na=rtpmap:101 opus/48000/2\na=rtpmap:96 G726-32/8000";
        let mut session = Session::new(9);
        session.render(&answer(theirs, "", &wish(), &Session::new(1)).unwrap().sdp);
        assert!(offer(&mut session, &wish()).contains("m=audio 40000 RTP/AVP 0 8 97\r\n"));
    }

    #[test]
    fn a_leg_is_held_and_resumed_with_a_version_each() {
        let mut session = offered();
        let held = offer(&mut session, &Wish { direction: Direction::SendOnly, ..wish() });
        assert!(held.contains("o=- 9 2 ") && held.contains("a=sendonly\r\n"));
        let media =
            accept(b"v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=recvonly", "", &mut session).unwrap();
        assert_eq!((media.send, media.receive), (true, false));
        assert!(offer(&mut session, &wish()).contains("o=- 9 3 "));
    }
}
