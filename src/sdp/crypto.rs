//! `a=crypto`: keys of SRTP in the description (SDES, RFC 4568; sip-trunk.md section 11.6).
//!
//! ```text
//!  a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<30 octets, base64>|2^20|1:4 WSH=128
//!           tag       suite                  key and salt      lifetime MKI  parameters
//! ```
//!
//! A line that asks for what we do not do is passed over, and the next one looked at.

use std::fmt;

use super::read::Line;

/// Lines looked at in one m= section; RFC 4568 knows six suites.
const MAX_LINES: usize = 16;

/// Master key and salt of one direction: 16 and 14 octets (RFC 3711 §8.2). Never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Master(pub [u8; 30]);

impl Master {
    /// The key, and the salt.
    pub fn split(&self) -> ([u8; 16], [u8; 14]) {
        let (mut key, mut salt) = ([0; 16], [0; 14]);
        key.copy_from_slice(&self.0[..16]);
        salt.copy_from_slice(&self.0[16..]);
        (key, salt)
    }
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Master(..)")
    }
}

/// What protects a packet: AES in counter mode, and an HMAC of SHA-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// With a tag of 80 bits; what we offer.
    Tag80,
    /// With a tag of 32 bits on RTP, 80 on RTCP (RFC 4568 §6.2.2).
    Tag32,
}

impl Suite {
    /// As SDP writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Tag32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Tag80, Self::Tag32].into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }
}

/// What was agreed: one suite, a key for each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Both ways.
    pub suite: Suite,
    /// Ours.
    pub send: Master,
    /// Theirs.
    pub receive: Master,
    /// Octets of MKI in each packet of theirs, 0 to 4.
    pub mki: u8,
}

/// One line: ours as it is written, or theirs as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keyed {
    /// 1 to 9 digits.
    pub(super) tag: String,
    pub(super) suite: Suite,
    pub(super) master: Master,
    /// Octets; ours has none.
    pub(super) mki: u8,
}

impl Keyed {
    /// The line of our offers.
    pub(super) fn offered(master: Master) -> Self {
        Self { tag: "1".to_owned(), suite: Suite::Tag80, master, mki: 0 }
    }

    /// Our line in answer to theirs: its tag and suite, our key.
    pub(super) fn in_answer(&self, master: Master) -> Self {
        Self { tag: self.tag.clone(), suite: self.suite, master, mki: 0 }
    }

    /// The first line of theirs that we can do.
    pub(super) fn first(line: &Line<'_>) -> Option<Self> {
        line.values("crypto").take(MAX_LINES).find_map(Self::read)
    }

    /// The value of `a=crypto:`; none for what we do not do.
    fn read(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9 && tag.bytes().all(|b| b.is_ascii_digit()))?;
        let suite = Suite::from_name(words.next()?)?;
        let (master, mki) = key(words.next()?)?;
        words.all(can_be_ignored).then(|| Self { tag: tag.to_owned(), suite, master, mki })
    }

    /// What both lines come to.
    pub(super) const fn with(&self, ours: &Self) -> Crypto {
        Crypto { suite: self.suite, send: ours.master, receive: self.master, mki: self.mki }
    }
}

impl fmt::Display for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64_simd::STANDARD.encode_to_string(self.master.0);
        write!(f, "{} {} inline:{key}", self.tag, self.suite.name())
    }
}

/// `inline:key|lifetime|MKI:length`, the latter two at will; of several keys in one line none is taken, for it would
/// need the MKI to choose by.
fn key(word: &str) -> Option<(Master, u8)> {
    let (method, rest) = word.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") || rest.contains(';') {
        return None;
    }
    let mut parts = rest.split('|');
    let text = parts.next()?.trim_end_matches('=');
    // 30 octets are 40 digits, without padding; a few peers write one nevertheless.
    let master = base64_simd::STANDARD_NO_PAD.decode_to_vec(text).ok()?.try_into().ok()?;
    let mut mki = 0;
    for part in parts {
        match part.split_once(':') {
            Some((_, length)) => mki = length.parse().ok().filter(|length| (1..=4).contains(length))?,
            None if is_lifetime(part) => {}
            None => return None,
        }
    }
    Some((Master(master), mki))
}

/// `2^n` or a number of packets. How long a key may live is said, and no call of ours sends so many packets.
fn is_lifetime(text: &str) -> bool {
    let digits = text.strip_prefix("2^").unwrap_or(text);
    !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The window size is the sender's advice, and what begins with `-` may be passed over (RFC 4568 §6.3.7); everything
/// else (KDR, UNENCRYPTED_SRTP, FEC_ORDER ...) must be done or refused.
fn can_be_ignored(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("WSH="))
}

#[cfg(test)]
mod tests {
    use super::super::{Agreed, Refused, Session, Srtp, Wish, accept, answer, offer};
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn theirs() -> Master {
        Master(base64_simd::STANDARD.decode_to_vec(KEY).unwrap().try_into().unwrap())
    }

    fn wish(srtp: Srtp, secret: u8) -> Wish {
        Wish { srtp, secret: Master([secret; 30]), ..Wish::new("192.0.2.200:40000".parse().unwrap()) }
    }

    fn offered(lines: &str) -> String {
        format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/SAVP 0\n{lines}")
    }

    fn to(session: &mut Session, body: &str, wish: &Wish) -> Result<(Agreed, String), Refused> {
        let answered = answer(body.as_bytes(), "", wish, session)?;
        Ok((answered.media, session.render(&answered.sdp)))
    }

    fn line(text: &str) -> &str {
        text.lines().find(|line| line.starts_with("a=crypto:")).unwrap_or_default()
    }

    #[test]
    fn the_offered_line_is_answered_under_its_tag_with_a_key_of_ours() {
        let body = offered(&format!("a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^20|1:4 WSH=64"));
        let (media, text) = to(&mut Session::new(1), &body, &wish(Srtp::Optional, 9)).unwrap();
        let crypto = media.crypto.unwrap();
        assert_eq!((crypto.suite, crypto.mki), (Suite::Tag32, 4));
        assert_eq!((crypto.send, crypto.receive), (Master([9; 30]), theirs()));
        assert!(text.contains("m=audio 40000 RTP/SAVP 0\r\n"), "{text}");
        let ours = base64_simd::STANDARD.encode_to_string([9; 30]);
        assert_eq!(line(&text), format!("a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:{ours}"));
        assert!(text.len() < 400);
    }

    #[test]
    fn a_line_that_asks_for_more_than_we_do_is_passed_over() {
        let good = format!("a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        for bad in [
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1"),
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP"),
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FEC_ORDER=FEC_SRTP"),
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:8"),
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4;inline:{KEY}|2:4"),
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ".to_owned(),
            format!("a=crypto:1 AEAD_AES_128_GCM inline:{KEY}"),
            format!("a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}"),
            "a=crypto:1".to_owned(),
        ] {
            let alone = to(&mut Session::new(1), &offered(&bad), &wish(Srtp::Required, 1));
            assert_eq!(alone.unwrap_err(), Refused::NoKey, "{bad}");
            let both = offered(&format!("{bad}\n{good}"));
            let (_, text) = to(&mut Session::new(1), &both, &wish(Srtp::Required, 1)).unwrap();
            assert!(line(&text).starts_with("a=crypto:9 "), "{bad}");
        }
        let ignored = offered(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}== -X=1 wsh=100"));
        assert!(to(&mut Session::new(1), &ignored, &wish(Srtp::Required, 1)).is_ok());
    }

    #[test]
    fn a_line_of_the_session_holds_for_an_audio_line_without_one() {
        let body = format!(
            "v=0\nc=IN IP4 192.0.2.1\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\nm=audio 4000 RTP/SAVP 0"
        );
        assert!(to(&mut Session::new(1), &body, &wish(Srtp::Optional, 1)).unwrap().0.crypto.is_some());
    }

    #[test]
    fn what_a_trunk_wants_decides_which_profile_is_taken() {
        let plain = format!(
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
        );
        let secret = offered(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
        for (srtp, of_plain, of_secret) in [
            (Srtp::Off, Ok(false), Err(Refused::Profile)),
            (Srtp::Optional, Ok(false), Ok(true)),
            (Srtp::Required, Err(Refused::Profile), Ok(true)),
            (Srtp::Unsafe, Err(Refused::Unsafe), Err(Refused::Unsafe)),
        ] {
            let got = |body| {
                to(&mut Session::new(1), body, &wish(srtp, 1)).map(|(media, text)| {
                    assert_eq!(media.crypto.is_some(), !line(&text).is_empty());
                    media.crypto.is_some()
                })
            };
            assert_eq!((got(&plain), got(&secret)), (of_plain, of_secret), "{srtp:?}");
        }
        let dtls = secret.replace("RTP/SAVP", "UDP/TLS/RTP/SAVPF");
        assert_eq!(to(&mut Session::new(1), &dtls, &wish(Srtp::Required, 1)).unwrap_err(), Refused::Profile);
    }

    #[test]
    fn our_key_stays_until_the_peer_changes_its_own() {
        let mut session = Session::new(1);
        let other = base64_simd::STANDARD.encode_to_string([3; 30]);
        let body = |key| offered(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}"));
        let (_, first) = to(&mut session, &body(KEY), &wish(Srtp::Optional, 1)).unwrap();
        let (_, again) = to(&mut session, &body(KEY), &wish(Srtp::Optional, 2)).unwrap();
        assert_eq!(first, again);
        let (media, changed) = to(&mut session, &body(&other), &wish(Srtp::Optional, 3)).unwrap();
        let crypto = media.crypto.unwrap();
        assert_eq!((crypto.send, crypto.receive), (Master([3; 30]), Master([3; 30])));
        assert_ne!(line(&changed), line(&again));
    }

    #[test]
    fn offers_are_encrypted_when_required_or_once_the_dialog_is() {
        let mut session = Session::new(1);
        assert!(offer(&mut session, &wish(Srtp::Optional, 1)).contains("RTP/AVP 0 8 101\r\n"));

        let mut session = Session::new(1);
        let text = offer(&mut session, &wish(Srtp::Required, 1));
        assert!(text.contains("m=audio 40000 RTP/SAVP 0 8 101\r\n"), "{text}");
        assert!(line(&text).starts_with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AQEB"));
        assert_eq!(offer(&mut session, &wish(Srtp::Required, 2)), text);
        let answered = offered(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31"));
        let crypto = accept(answered.as_bytes(), "", &mut session).unwrap().crypto.unwrap();
        assert_eq!((crypto.send, crypto.receive), (Master([1; 30]), theirs()));

        let mut session = Session::new(1);
        let body = offered(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"));
        to(&mut session, &body, &wish(Srtp::Optional, 5)).unwrap();
        let later = offer(&mut session, &wish(Srtp::Optional, 6));
        assert!(later.contains("RTP/SAVP") && line(&later).contains("_80 inline:BQUF"), "{later}");
    }

    #[test]
    fn an_answer_must_have_our_line() {
        let mut session = Session::new(1);
        offer(&mut session, &wish(Srtp::Required, 1));
        for (lines, refused) in [
            (offered(""), Refused::NoKey),
            (offered(&format!("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")), Refused::NoKey),
            (offered(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}")), Refused::NoKey),
            ("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0".to_owned(), Refused::Profile),
        ] {
            assert_eq!(accept(lines.as_bytes(), "", &mut session), Err(refused), "{lines}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", wish(Srtp::Required, 1).secret), "Master(..)");
    }
}
