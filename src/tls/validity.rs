//! From when to when a certificate is valid (RFC 5280 §4.1.2.5), read out of its DER for a word to the operator in
//! time. Nothing is judged by it: whoever connects judges by the library.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The two dates of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub until: Timestamp,
}

/// DER tags.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Validity {
    /// Reads it out of a certificate; absent when that is none.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
        // version, serial number, signature, issuer, validity
        if let Some((VERSION, _, after)) = element(rest) {
            rest = after;
        }
        for expected in [INTEGER, SEQUENCE, SEQUENCE] {
            rest = element(rest).filter(|(tag, ..)| *tag == expected)?.2;
        }
        let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let (tag, from, rest) = element(validity)?;
        let from = time(tag, from)?;
        let (tag, until, _) = element(rest)?;
        Some(Self { from, until: time(tag, until)? })
    }
}

/// The first element: its tag, what is in it, what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; two digits of a year stand for 1950 to 2049.
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z').filter(|text| text.is_ascii())?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let at = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?.min(59), 0).ok()?;
    Some(TimeZone::UTC.to_zoned(at).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn of(from: i32, until: i32) -> Validity {
        let mut params = CertificateParams::new(vec!["pbx.example.com".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(from, 3, 4), date_time_ymd(until, 12, 31));
        let made = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        Validity::of(made.der()).expect("a validity")
    }

    #[test]
    fn the_dates_are_read_in_both_ways_of_writing() {
        let short = of(1999, 2031);
        assert_eq!(short.from.to_string(), "1999-03-04T00:00:00Z");
        assert_eq!(short.until.to_string(), "2031-12-31T00:00:00Z");
        assert_eq!(of(2020, 2051).until.to_string(), "2051-12-31T00:00:00Z");
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).expect("a certificate");
        let der = made.cert.der();
        assert!(Validity::of(der).is_some());
        for end in 0..der.len() {
            assert_eq!(Validity::of(&der[..end]), None);
        }
    }
}
