//! The answer to an offer (RFC 3264 §6, sip-trunk.md section 10).

use std::net::IpAddr;

use super::codec::Coding;
use super::describe::{Audio, Description, Keys, OwnLine};
use super::read::{Line, Remote};
use super::terms::{Terms, keyed};
use super::{Agreed, Law, Order, Refused, Session, Srtp, Wish, body};

/// An offer that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What the audio port is to do.
    pub media: Agreed,
    /// What is answered: [`super::Session::render`] writes it.
    pub sdp: Description,
}

/// An offer of the peer that was read, and can be looked at as often as one likes.
#[derive(Debug)]
pub struct Offer(Remote);

impl Offer {
    /// Reads the description in `body`.
    ///
    /// # Errors
    /// What to refuse with. `Absent` means that an offer of ours is wanted: [`body::extract`] tells it beforehand.
    pub fn read(body: &[u8], content_type: &str) -> Result<Self, Refused> {
        Remote::read(body::extract(body, content_type)?.ok_or(Refused::Absent)?).map(Self)
    }

    /// Answers it: the first usable audio line is taken, every other line is answered in its place with port 0.
    /// The same for an INVITE, a re-INVITE and an UPDATE; what changed (hold, resume, address, codec) is what differs
    /// in `media`. `session` tells which key of ours the peer knows.
    ///
    /// # Errors
    /// What to refuse with; in a dialog nothing has changed then.
    pub fn answer(&self, wish: &Wish, session: &Session) -> Result<Answered, Refused> {
        let (place, line, (terms, (law, number), theirs)) = first_usable(&self.0, |line| {
            let keyed = keyed(line, wish.srtp)?;
            let terms = Terms::of(line, wish.local.ip(), true)?;
            let codec = choose(line, &wish.codecs, wish.order).ok_or(Refused::NoCodec)?;
            Ok((terms, codec, keyed))
        })?;

        let direction = terms.direction(wish.direction);
        let events = line.telephone_event().filter(|_| wish.telephone_event);
        let ours =
            theirs.as_ref().map(|theirs| theirs.in_answer(session.key_for(theirs.master, wish.secret)));
        let media = Agreed {
            telephone_event: events.map(|(number, _)| number),
            crypto: theirs.as_ref().zip(ours.as_ref()).map(|(theirs, ours)| theirs.with(ours)),
            ..terms.agreed(law, number, direction)
        };
        let audio = Audio {
            formats: vec![(law, number)],
            events,
            ptime_ms: media.ptime_ms,
            direction,
            rtcp_mux: media.rtcp_mux,
            keys: ours.map(|ours| Keys { ours, theirs: theirs.map(|theirs| theirs.master) }),
        };
        let mut lines: Vec<OwnLine> = self.0.lines().map(|line| off(&line)).collect();
        if let Some(taken) = lines.get_mut(place) {
            *taken = OwnLine::Audio(audio);
        }
        Ok(Answered { media, sdp: Description { local: wish.local, lines, bound: bound(&line) } })
    }

    /// The addresses the peer wants audio at, in the order of its offer, so that one of ours can be chosen before a
    /// port is taken. `0.0.0.0` or `::` when it begins on hold: then only the family counts.
    ///
    /// # Errors
    /// As [`Offer::answer`], for offers that no local address or order of codecs could save.
    pub fn media_addresses(&self, srtp: Srtp) -> Result<Vec<IpAddr>, Refused> {
        let usable = |line: &Line<'_>| {
            keyed(line, srtp)?;
            let ip = line.address()?;
            choose(line, &[Law::Mu, Law::A], Order::Offer).map(|_| ip).ok_or(Refused::NoCodec)
        };
        first_usable(&self.0, usable)?;
        Ok(self.0.lines().filter(Line::is_live_audio).filter_map(|line| usable(&line).ok()).collect())
    }
}

/// [`Offer::read`] and [`Offer::answer`] at once.
///
/// # Errors
/// Those of both.
pub fn answer(body: &[u8], content_type: &str, wish: &Wish, session: &Session) -> Result<Answered, Refused> {
    Offer::read(body, content_type)?.answer(wish, session)
}

/// [`Offer::read`] and [`Offer::media_addresses`] at once.
///
/// # Errors
/// Those of both.
pub fn media_addresses(body: &[u8], content_type: &str, srtp: Srtp) -> Result<Vec<IpAddr>, Refused> {
    Offer::read(body, content_type)?.media_addresses(srtp)
}

/// The first audio line that passes, its place, and what it came to; or why the first of them did not.
fn first_usable<T>(
    offer: &Remote,
    judge: impl Fn(&Line<'_>) -> Result<T, Refused>,
) -> Result<(usize, Line<'_>, T), Refused> {
    let mut refusal = None;
    for (place, line) in offer.lines().enumerate().filter(|(_, line)| line.is_live_audio()) {
        match judge(&line) {
            Ok(found) => return Ok((place, line, found)),
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    Err(refusal.unwrap_or(Refused::NoAudio))
}

/// One codec of ours and the number the offer gives it.
fn choose(line: &Line<'_>, ours: &[Law], order: Order) -> Option<(Law, u8)> {
    let mut offered = line.formats().filter_map(|(number, coding)| match coding {
        Coding::Audio(law) if ours.contains(&law) => Some((law, number)),
        Coding::Audio(_) | Coding::Events | Coding::Other => None,
    });
    match order {
        Order::Offer => offered.next(),
        // Of one law under two numbers the first still counts.
        Order::Local => offered.min_by_key(|(law, _)| ours.iter().position(|own| own == law)),
    }
}

fn off(line: &Line<'_>) -> OwnLine {
    let media = line.media;
    OwnLine::Off { media: media.media.clone(), proto: media.proto.clone(), formats: media.fmt.clone() }
}

/// Dynamic numbers that mean something else than telephone-event, a bit each.
fn bound(line: &Line<'_>) -> u128 {
    let others = line.formats().filter(|&(number, coding)| number >= 96 && coding != Coding::Events);
    others.fold(0, |bits, (number, _)| bits | 1 << number)
}

#[cfg(test)]
mod tests {
    use super::super::{Direction, Session};
    use super::*;

    fn wish() -> Wish {
        Wish::new("192.0.2.200:40000".parse().unwrap())
    }

    fn with(wish: &Wish, lines: &str) -> Result<(Agreed, String), Refused> {
        let body = format!("v=0\nc=IN IP4 192.0.2.1\n{lines}");
        let answered = answer(body.as_bytes(), "application/sdp", wish, &Session::new(1))?;
        Ok((answered.media, Session::new(1).render(&answered.sdp)))
    }

    fn to(lines: &str) -> Result<(Agreed, String), Refused> {
        with(&wish(), lines)
    }

    #[test]
    fn directions_are_mirrored_and_old_holds_understood() {
        for (attribute, connection, answered, send, receive, held) in [
            ("sendrecv", "", "sendrecv", true, true, false),
            ("sendonly", "", "recvonly", false, true, true),
            ("recvonly", "", "sendonly", true, false, false),
            ("inactive", "", "inactive", false, false, true),
            ("x", "", "sendrecv", true, true, false),
            ("sendrecv", "c=IN IP4 0.0.0.0\n", "recvonly", false, true, true),
            ("inactive", "c=IN IP4 0.0.0.0\n", "inactive", false, false, true),
        ] {
            let (media, text) = to(&format!("m=audio 4000 RTP/AVP 0\n{connection}a={attribute}")).unwrap();
            assert!(text.ends_with(&format!("a={answered}\r\n")), "{attribute} {connection}: {text}");
            assert_eq!(
                (media.send, media.receive, media.held),
                (send, receive, held),
                "{attribute} {connection}"
            );
            assert_eq!(media.target().is_none(), !connection.is_empty());
            assert!(text.contains("c=IN IP4 192.0.2.200\r\n"), "our own address is always a real one");
        }
    }

    #[test]
    fn a_direction_of_the_session_holds_for_a_line_without_one() {
        let (media, _) = to("a=inactive\na=ptime:40\nm=audio 4000 RTP/AVP 0").unwrap();
        assert_eq!((media.held, media.ptime_ms), (true, 40));
        assert!(!to("a=inactive\nm=audio 4000 RTP/AVP 0\na=sendrecv").unwrap().0.held);
    }

    #[test]
    fn a_hold_of_ours_narrows_the_answer() {
        let wish = Wish { direction: Direction::SendOnly, ..wish() };
        let (media, text) = with(&wish, "m=audio 4000 RTP/AVP 0").unwrap();
        assert_eq!((media.send, media.receive, media.held), (true, false, false));
        assert!(text.contains("a=sendonly\r\n"));
        assert!(with(&wish, "m=audio 4000 RTP/AVP 0\na=sendonly").unwrap().1.contains("a=inactive\r\n"));
    }

    #[test]
    fn whose_order_counts_is_a_wish() {
        let local = Wish { codecs: vec![Law::A, Law::Mu], order: Order::Local, ..wish() };
        let lines = "m=audio 4000 RTP/AVP 0 96 8\na=rtpmap:96 PCMA/8000";
        assert_eq!(to(lines).map(|(m, _)| (m.law, m.payload_type)), Ok((Law::Mu, 0)));
        assert_eq!(with(&local, lines).map(|(m, _)| (m.law, m.payload_type)), Ok((Law::A, 96)));
        let a_only = Wish { codecs: vec![Law::A], ..wish() };
        assert_eq!(with(&a_only, lines).map(|(m, _)| m.law), Ok(Law::A));
        assert_eq!(with(&a_only, "m=audio 4000 RTP/AVP 0"), Err(Refused::NoCodec));
    }

    #[test]
    fn telephone_event_keeps_the_offers_number_and_only_at_8000() {
        let lines = "m=audio 4000 RTP/AVP 0 13 100 96\na=rtpmap:100 telephone-event/16000\n\
                     a=rtpmap:96 telephone-event/8000\na=fmtp:96 0-11,32-35";
        let (media, text) = to(lines).unwrap();
        assert_eq!(media.telephone_event, Some(96));
        assert!(
            text.contains("m=audio 40000 RTP/AVP 0 96\r\n") && text.contains("a=fmtp:96 0-11\r\n"),
            "{text}"
        );
        let inband = Wish { telephone_event: false, ..wish() };
        assert_eq!(with(&inband, lines).unwrap().0.telephone_event, None);
    }

    #[test]
    fn every_other_line_is_answered_off_in_its_place() {
        let (media, text) = to("m=image 4006 udptl t38\nm=audio 0 RTP/AVP 0\nm=audio 4000 RTP/SAVP 0 8\n\
             m=audio 4002/2 RTP/AVP 18 8\nm=audio 4004 RTP/AVP 0\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel")
        .unwrap();
        assert_eq!((media.remote.port(), media.law), (4002, Law::A));
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(
            lines,
            [
                "m=image 0 udptl t38",
                "m=audio 0 RTP/AVP 0",
                "m=audio 0 RTP/SAVP 0 8",
                "m=audio 40000 RTP/AVP 8",
                "m=audio 0 RTP/AVP 0",
                "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
            ]
        );
    }

    #[test]
    fn a_refusal_says_what_is_wrong_with_the_first_audio_line() {
        for (lines, refused, warning) in [
            ("", Refused::NoAudio, 304),
            ("m=audio 0 RTP/AVP 0", Refused::NoAudio, 304),
            ("m=image 4000 udptl t38", Refused::NoAudio, 304),
            ("m=audio 4000 RTP/SAVP 0\nm=audio 4002 RTP/AVP 18", Refused::Profile, 304),
            ("m=audio 4000 RTP/AVPF 0", Refused::Profile, 304),
            ("m=audio 4000 RTP/AVP 18 101\na=rtpmap:101 telephone-event/8000", Refused::NoCodec, 305),
            ("m=audio 4000 RTP/AVP 0\nc=IN IP4 pbx.example.com", Refused::Address, 301),
            ("m=audio 4000 RTP/AVP 0\nc=ATM NSAP 47.0091", Refused::Address, 301),
            ("m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1", Refused::Family, 301),
            ("m=audio 4000 RTP/AVP 0\nc=IN IP4 239.1.2.3/16", Refused::Multicast, 330),
        ] {
            let got = to(lines).unwrap_err();
            assert_eq!(
                (got, got.status(), got.warning().map(|w| w.0)),
                (refused, 488, Some(warning)),
                "{lines}"
            );
            assert_eq!(got.reason(), Some("Q.850;cause=65"));
        }
    }

    #[test]
    fn mapped_ipv4_is_ipv4_and_ipv6_is_answered_with_ipv6() {
        let offer = |ip| format!("m=audio 4000 RTP/AVP 0\nc=IN IP6 {ip}");
        let (media, text) = to(&offer("::ffff:192.0.2.9")).unwrap();
        assert_eq!(media.remote.to_string(), "192.0.2.9:4000");
        assert!(text.contains("c=IN IP4 192.0.2.200\r\n"));
        let six = Wish::new("[2001:db8::200]:40000".parse().unwrap());
        let (_, text) = with(&six, &offer("2001:db8::9")).unwrap();
        assert!(
            text.contains("o=- 1 1 IN IP6 2001:db8::200\r\n") && text.contains("c=IN IP6 2001:db8::200\r\n")
        );
        for hidden in ["[fe80::1]:40000", "[::]:40000"] {
            assert_eq!(
                with(&Wish::new(hidden.parse().unwrap()), &offer("2001:db8::9")),
                Err(Refused::Family)
            );
        }
    }

    #[test]
    fn of_two_families_the_line_of_ours_is_taken() {
        let lines =
            "m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1\nm=audio 4002 RTP/AVP 0\nc=IN IP4 192.0.2.7";
        assert_eq!(to(lines).unwrap().0.remote.to_string(), "192.0.2.7:4002");
        let body = format!("v=0\n{lines}");
        let addresses = media_addresses(body.as_bytes(), "", Srtp::Off).unwrap();
        assert_eq!(addresses, ["2001:db8::1", "192.0.2.7"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn rtcp_goes_where_the_peer_says() {
        let rtcp = |lines: &str| {
            let (media, text) = to(&format!("m=audio 4000 RTP/AVP 0\n{lines}")).unwrap();
            (media.rtcp.map(|at| at.to_string()), media.rtcp_mux, text.contains("a=rtcp-mux\r\n"))
        };
        assert_eq!(rtcp(""), (None, false, false));
        assert_eq!(rtcp("a=rtcp:4009"), (Some("192.0.2.1:4009".into()), false, false));
        assert_eq!(rtcp("a=rtcp:4009\na=rtcp-mux"), (Some("192.0.2.1:4000".into()), true, true));
        assert_eq!(rtcp("c=IN IP4 0.0.0.0\na=rtcp-mux"), (None, true, true));
    }

    #[test]
    fn ice_bundle_and_keys_are_not_echoed() {
        let (_, text) =
            to("a=group:BUNDLE 0\na=ice-ufrag:x\nm=audio 4000 RTP/AVP 0 13\na=mid:0\na=setup:actpass\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\na=candidate:1 1 udp 1 192.0.2.1 4000 typ host")
            .unwrap();
        assert_eq!(
            text,
            "v=0\r\no=- 1 1 IN IP4 192.0.2.200\r\ns=-\r\nc=IN IP4 192.0.2.200\r\nt=0 0\r\n\
             m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
        );
    }
}
