//! Descriptions of real equipment and of RFC 4475 and RFC 5118, with what is answered to each.

use std::net::SocketAddr;

use super::{Agreed, Law, Refused, Session, Srtp, Wish, answer, media_addresses};

const V4: &str = "192.0.2.200:40000";

fn answered(body: &str, content_type: &str, local: &str) -> Result<(Agreed, String), Refused> {
    let wish = Wish::new(local.parse().unwrap());
    let answered = answer(body.as_bytes(), content_type, &wish, &Session::new(1))?;
    let text = Session::new(42).render(&answered.sdp);
    assert!(text.len() < 400, "{} octets", text.len());
    Ok((answered.media, text))
}

/// The answer with either line end and without the last one, written with plain line ends.
fn audio(body: &str) -> Result<(Agreed, String), Refused> {
    let plain = answered(body, "application/sdp", V4);
    for other in [body.replace('\n', "\r\n"), body.trim_end().to_owned()] {
        assert_eq!(answered(&other, "application/sdp", V4), plain);
    }
    let expected = plain.as_ref().err().copied();
    assert_eq!(
        media_addresses(body.as_bytes(), "application/sdp", Srtp::Off).err(),
        expected.filter(|why| *why != Refused::Family)
    );
    plain.map(|(media, text)| (media, text.replace("\r\n", "\n")))
}

fn media(remote: &str, law: Law, telephone_event: Option<u8>) -> Agreed {
    Agreed {
        remote: remote.parse::<SocketAddr>().unwrap(),
        rtcp: None,
        rtcp_mux: false,
        law,
        payload_type: law.payload_type(),
        also: None,
        telephone_event,
        telephone_event_also: None,
        crypto: None,
        ptime_ms: 20,
        send: true,
        receive: true,
        held: false,
    }
}

const HEAD: &str = "v=0\no=- 42 1 IN IP4 192.0.2.200\ns=-\nc=IN IP4 192.0.2.200\nt=0 0\n";

#[test]
fn avaya_session_manager_keeps_number_120_and_ptime_60() {
    let (agreed, text) = audio(
        "v=0\n\
         o=- 1581709032 1 IN IP4 192.0.2.3\n\
         s=-\n\
         c=IN IP4 198.51.100.5\n\
         b=TIAS:64000\n\
         t=0 0\n\
         a=avf:avc=n prio=n\n\
         a=csup:avf-v0\n\
         m=audio 2426 RTP/AVP 0 18 120\n\
         a=sendrecv\n\
         a=fmtp:18 annexb=no\n\
         a=rtpmap:120 telephone-event/8000\n\
         a=ptime:60\n",
    )
    .unwrap();
    assert_eq!(agreed, Agreed { ptime_ms: 60, ..media("198.51.100.5:2426", Law::Mu, Some(120)) });
    assert_eq!(
        text,
        format!(
            "{HEAD}m=audio 40000 RTP/AVP 0 120\na=rtpmap:0 PCMU/8000\na=rtpmap:120 telephone-event/8000\na=fmtp:120 0-16\na=ptime:60\na=sendrecv\n"
        )
    );
}

#[test]
fn avaya_voice_portal_without_a_media_line_is_refused() {
    let refused = audio(
        "v=0\n\
         o=- 1 1 IN IP4 192.0.2.214\n\
         s=-\n\
         c=IN IP4 192.0.2.214\n\
         t=0 0\n",
    )
    .unwrap_err();
    assert_eq!((refused, refused.status()), (Refused::NoAudio, 488));
}

#[test]
fn a_cisco_gateway_with_g729_alone_is_refused() {
    let refused = audio(
        "v=0\n\
         o=CiscoSystemsSIP-GW-UserAgent 5421 615 IN IP4 192.0.2.174\n\
         s=SIP Call\n\
         c=IN IP4 192.0.2.174\n\
         t=0 0\n\
         m=audio 16818 RTP/AVP 18 19\n\
         c=IN IP4 192.0.2.174\n\
         a=rtpmap:18 G729/8000\n\
         a=fmtp:18 annexb=no\n\
         a=rtpmap:19 CN/8000\n\
         a=ptime:20\n",
    )
    .unwrap_err();
    assert_eq!((refused, refused.status()), (Refused::NoCodec, 488));
}

#[test]
fn a_cisco_phone_may_write_c_after_m() {
    let (agreed, text) = audio(
        "v=0\n\
         o=Cisco-SIPUA 7221 0 IN IP4 198.51.100.10\n\
         s=SIP Call\n\
         t=0 0\n\
         m=audio 20096 RTP/AVP 0 8 18 9 116 101\n\
         c=IN IP4 198.51.100.10\n\
         a=rtpmap:0 PCMU/8000\n\
         a=rtpmap:8 PCMA/8000\n\
         a=rtpmap:18 G729/8000\n\
         a=fmtp:18 annexb=no\n\
         a=rtpmap:9 G722/8000\n\
         a=rtpmap:116 iLBC/8000\n\
         a=fmtp:116 mode=20\n\
         a=rtpmap:101 telephone-event/8000\n\
         a=fmtp:101 0-15\n\
         a=sendrecv\n",
    )
    .unwrap();
    assert_eq!(agreed, media("198.51.100.10:20096", Law::Mu, Some(101)));
    assert_eq!(
        text,
        format!(
            "{HEAD}m=audio 40000 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\na=sendrecv\n"
        )
    );
}

#[test]
fn asterisk_with_maxptime_150_gets_twenty() {
    let (agreed, text) = audio(
        "v=0\n\
         o=- 1429284841 1429284841 IN IP4 198.51.100.17\n\
         s=Asterisk\n\
         c=IN IP4 198.51.100.17\n\
         t=0 0\n\
         m=audio 12752 RTP/AVP 8 0 111 9 3 101\n\
         a=rtpmap:8 PCMA/8000\n\
         a=rtpmap:0 PCMU/8000\n\
         a=rtpmap:111 G726-32/8000\n\
         a=rtpmap:9 G722/8000\n\
         a=rtpmap:3 GSM/8000\n\
         a=rtpmap:101 telephone-event/8000\n\
         a=fmtp:101 0-16\n\
         a=ptime:20\n\
         a=maxptime:150\n\
         a=sendrecv\n",
    )
    .unwrap();
    assert_eq!(agreed, media("198.51.100.17:12752", Law::A, Some(101)));
    assert_eq!(
        text,
        format!(
            "{HEAD}m=audio 40000 RTP/AVP 8 101\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=ptime:20\na=sendrecv\n"
        )
    );
}

#[test]
fn ribbon_is_answered_with_its_first_codec() {
    let (agreed, text) = audio(
        "v=0\n\
         o=Sonus_UAC 530375 497752 IN IP4 198.51.100.20\n\
         s=SIP Media Capabilities\n\
         c=IN IP4 198.51.100.20\n\
         t=0 0\n\
         m=audio 58002 RTP/AVP 0 8 18 101\n\
         a=rtpmap:0 PCMU/8000\n\
         a=rtpmap:8 PCMA/8000\n\
         a=rtpmap:18 G729/8000\n\
         a=fmtp:18 annexb=no\n\
         a=rtpmap:101 telephone-event/8000\n\
         a=fmtp:101 0-15\n\
         a=sendrecv\n\
         a=ptime:20\n",
    )
    .unwrap();
    assert_eq!(agreed, media("198.51.100.20:58002", Law::Mu, Some(101)));
    assert_eq!(
        text,
        format!(
            "{HEAD}m=audio 40000 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\na=sendrecv\n"
        )
    );
}

#[test]
fn audiocodes_without_telephone_event_gets_none() {
    let (agreed, text) = audio(
        "v=0\n\
         o=AudiocodesGW 619440176 619439848 IN IP4 192.0.2.101\n\
         s=Phone-Call\n\
         c=IN IP4 192.0.2.101\n\
         t=0 0\n\
         m=audio 6010 RTP/AVP 0\n\
         a=rtpmap:0 PCMU/8000\n\
         a=ptime:20\n\
         a=sendrecv\n",
    )
    .unwrap();
    assert_eq!(agreed, media("192.0.2.101:6010", Law::Mu, None));
    assert_eq!(
        text,
        format!("{HEAD}m=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\n")
    );
}

#[test]
fn freeswitch_with_three_rates_gets_the_one_at_8000() {
    let (agreed, text) = audio(
        "v=0\n\
         o=FreeSWITCH 1592283967 1592283968 IN IP4 198.51.100.50\n\
         s=FreeSWITCH\n\
         c=IN IP4 198.51.100.50\n\
         t=0 0\n\
         m=audio 26060 RTP/AVP 8 0 96 97 98 101 102 104\n\
         a=rtpmap:8 PCMA/8000\n\
         a=rtpmap:0 PCMU/8000\n\
         a=rtpmap:96 SPEEX/16000\n\
         a=rtpmap:97 SPEEX/8000\n\
         a=rtpmap:98 SPEEX/32000\n\
         a=rtpmap:101 telephone-event/8000\n\
         a=fmtp:101 0-16\n\
         a=rtpmap:102 telephone-event/16000\n\
         a=fmtp:102 0-16\n\
         a=rtpmap:104 telephone-event/32000\n\
         a=fmtp:104 0-16\n\
         a=ptime:20\n",
    )
    .unwrap();
    assert_eq!(agreed, media("198.51.100.50:26060", Law::A, Some(101)));
    assert_eq!(
        text,
        format!(
            "{HEAD}m=audio 40000 RTP/AVP 8 101\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=ptime:20\na=sendrecv\n"
        )
    );
}

#[test]
fn rfc_4475_lines_are_answered_in_place() {
    let (agreed, text) = audio(
        "v=0\n\
         o=mhandley 29739 7272939 IN IP4 192.0.2.3\n\
         s=-\n\
         c=IN IP4 192.0.2.4\n\
         t=0 0\n\
         m=audio 49217 RTP/AVP 0 12\n\
         m=video 3227 RTP/AVP 31\n\
         a=rtpmap:31 LPC\n",
    )
    .unwrap();
    assert_eq!(agreed, media("192.0.2.4:49217", Law::Mu, None));
    assert_eq!(
        text,
        format!(
            "{HEAD}m=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\nm=video 0 RTP/AVP 31\n"
        )
    );
}

#[test]
fn rfc_4475_without_s_and_t_is_read() {
    let (agreed, text) = audio(
        "v=0\n\
         o=mhandley 29739 7272939 IN IP4 192.0.2.1\n\
         c=IN IP4 192.0.2.1\n\
         m=audio 49217 RTP/AVP 0 12\n\
         m=video 3227 RTP/AVP 31\n\
         a=rtpmap:31 LPC\n",
    )
    .unwrap();
    assert_eq!(agreed, media("192.0.2.1:49217", Law::Mu, None));
    assert_eq!(
        text,
        format!(
            "{HEAD}m=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\nm=video 0 RTP/AVP 31\n"
        )
    );
}

#[test]
fn rfc_5118_lines_of_two_families_are_answered_in_place() {
    let (agreed, text) = audio(
        "v=0\n\
         o=bob 280744730 28977631 IN IP4 host.example.com\n\
         s=\n\
         t=0 0\n\
         m=audio 22334 RTP/AVP 0\n\
         c=IN IP4 192.0.2.1\n\
         m=video 6024 RTP/AVP 107\n\
         c=IN IP6 2001:db8::1\n\
         a=rtpmap:107 H263-1998/90000\n",
    )
    .unwrap();
    assert_eq!(agreed, media("192.0.2.1:22334", Law::Mu, None));
    assert_eq!(
        text,
        format!(
            "{HEAD}m=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:20\na=sendrecv\nm=video 0 RTP/AVP 107\n"
        )
    );
}

#[test]
fn rfc_5118_mapped_addresses_are_ipv4() {
    let refused = audio(
        "v=0\n\
         o=assistant 971731711378798081 0 IN IP6 ::ffff:192.0.2.2\n\
         s=Call me soon, please!\n\
         c=IN IP6 ::ffff:192.0.2.2\n\
         t=3338481189 3370017201\n\
         m=audio 6000 RTP/AVP 2\n\
         a=rtpmap:2 G726-32/8000\n\
         m=video 6024 RTP/AVP 107\n\
         a=rtpmap:107 H263-1998/90000\n",
    )
    .unwrap_err();
    assert_eq!((refused, refused.status()), (Refused::NoCodec, 488));
}

#[test]
fn rfc_5118_ipv6_is_well_formed() {
    let body = "v=0\n\
         o=assistant 971731711378798081 0 IN IP6 2001:db8::20\n\
         s=Live video feed for today's meeting\n\
         c=IN IP6 2001:db8::20\n\
         t=3338481189 3370017201\n\
         m=audio 6000 RTP/AVP 2\n\
         a=rtpmap:2 G726-32/8000\n\
         m=video 6024 RTP/AVP 107\n\
         a=rtpmap:107 H263-1998/90000\n\
         ";
    assert_eq!(answered(body, "application/sdp", V4), Err(Refused::Family));
    assert_eq!(answered(body, "application/sdp", "[2001:db8::200]:40000"), Err(Refused::NoCodec));
}

#[test]
fn audiocodes_siprec_has_its_description_in_a_part() {
    let body = r#"--boundary_ac14d5
Content-Type: application/sdp

v=0
o=AudiocodesGW 1644952274 165864691 IN IP4 198.51.100.21
s=SBC-Call
c=IN IP4 198.51.100.21
t=0 0
m=audio 7716 RTP/AVP 8 101
a=rtpmap:8 PCMA/8000

--boundary_ac14d5
Content-Type: application/rs-metadata+xml
Content-Disposition: recording-session

<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
  <datamode>complete</datamode>
  <session session_id="abc123">
    <group-ref>group1</group-ref>
  </session>
</recording>

--boundary_ac14d5--
"#;
    let (agreed, text) = answered(body, "multipart/mixed;boundary=boundary_ac14d5", V4).unwrap();
    assert_eq!(agreed, media("198.51.100.21:7716", Law::A, None));
    assert!(
        text.ends_with("m=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=sendrecv\r\n")
    );
    assert_eq!(answered(body, "multipart/mixed", V4).unwrap().0, agreed, "the boundary parameter is lost");
}

#[test]
fn an_invite_without_body_wants_an_offer() {
    assert_eq!(answered("", "", V4), Err(Refused::Absent));
}
