//! Against the vectors of RFC 3711 by a second hand, and against whoever sits on the path.

#![allow(clippy::disallowed_methods)] // a test begins now

use std::time::{Duration, Instant};

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use sha1::Sha1;

use super::*;
use crate::rtp::Packet;
use crate::units::Ssrc;

/// RFC 3711 §B.3.
const MASTER: Key = Key {
    short_tag: false,
    key: [0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39],
    salt: [0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6],
};

const fn short() -> Key {
    Key { short_tag: true, ..MASTER }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// A second hand: the transforms of the RFC by a bare block cipher.
mod by_hand {
    use super::*;

    /// AES in counter mode: so much key stream (§4.1.1).
    pub(super) fn stream(key: &[u8], counter: [u8; 16], octets: usize) -> Vec<u8> {
        let cipher = Aes128::new_from_slice(key).unwrap();
        let blocks = (0..octets.div_ceil(16)).flat_map(|n| {
            let mut block = (u128::from_be_bytes(counter) + n as u128).to_be_bytes().into();
            cipher.encrypt_block(&mut block);
            block
        });
        blocks.take(octets).collect()
    }

    /// A session key (§4.3.1).
    pub(super) fn derive(key: &Key, label: u8, octets: usize) -> Vec<u8> {
        let mut x = [0; 16];
        x[..14].copy_from_slice(&key.salt);
        x[7] ^= label;
        stream(&key.key, x, octets)
    }

    fn counter(salt: &[u8], ssrc: &[u8], index: u64) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(salt);
        for (at, octet) in ssrc.iter().chain(&index.to_be_bytes()[2..]).enumerate() {
            iv[4 + at] ^= octet;
        }
        iv
    }

    fn tag(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }

    /// An SRTP packet of a given index, its payload behind `header` octets.
    pub(super) fn protect(key: &Key, packet: &[u8], header: usize, index: u64, mki: &[u8]) -> Vec<u8> {
        let iv = counter(&derive(key, 2, 14), &packet[8..12], index);
        let key_stream = stream(&derive(key, 0, 16), iv, packet.len() - header);
        let mut out = packet.to_vec();
        out[header..].iter_mut().zip(key_stream).for_each(|(octet, key)| *octet ^= key);
        let message = [&out[..], &((index >> 16) as u32).to_be_bytes()].concat();
        let tag = tag(&derive(key, 1, 20), &message);
        [&out[..], mki, &tag[..key.tag()]].concat()
    }

    /// An SRTCP packet.
    pub(super) fn protect_rtcp(key: &Key, packet: &[u8], word: u32, mki: &[u8]) -> Vec<u8> {
        let mut out = packet.to_vec();
        if word >> 31 == 1 {
            let iv = counter(&derive(key, 5, 14), &packet[4..8], u64::from(word & 0x7FFF_FFFF));
            let key_stream = stream(&derive(key, 3, 16), iv, packet.len() - 8);
            out[8..].iter_mut().zip(key_stream).for_each(|(octet, key)| *octet ^= key);
        }
        out.extend(word.to_be_bytes());
        let tag = tag(&derive(key, 4, 20), &out);
        [&out[..], mki, &tag[..10]].concat()
    }
}

#[test]
fn aes_in_counter_mode_is_that_of_rfc_3711_b_2() {
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
    let counter = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
    let stream = by_hand::stream(&key, counter, 0xFF02 * 16);
    assert_eq!(stream[..32], hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB"));
    assert_eq!(stream[0xFEFF * 16..0xFF00 * 16], hex("EC8CDF7398607CB0F2D21675EA9EA1E4"));
}

#[test]
fn session_keys_are_those_of_rfc_3711_b_3() {
    let key = |label, octets| by_hand::derive(&MASTER, label, octets);
    assert_eq!(key(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(key(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    let auth = hex(
        "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2",
    );
    assert_eq!(key(1, auth.len())[..20], auth[..20]);
}

/// The packet libsrtp tests itself with.
const PLAIN: &str = "800f1234decafbadcafebabe abababababababababababababababab";
const SEALED: &str = "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb";
const PLAIN_RTCP: &str = "81c8000bcafebabe abababababababababababababababab";
const SEALED_RTCP: &str = "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798";

fn seal(sending: &mut Sending, plain: &[u8]) -> Vec<u8> {
    let mut out = plain.to_vec();
    out.resize(plain.len() + OVERHEAD, 0);
    let length = sending.protect(&mut out, plain.len()).expect("it fits");
    out.truncate(length);
    out
}

fn seal_rtcp(sending: &mut Sending, plain: &[u8]) -> Vec<u8> {
    let mut out = plain.to_vec();
    out.resize(plain.len() + OVERHEAD, 0);
    let length = sending.protect_rtcp(&mut out, plain.len()).expect("it fits");
    out.truncate(length);
    out
}

#[test]
fn a_packet_is_protected_as_libsrtp_does() {
    assert_eq!(seal(&mut Sending::new(MASTER), &hex(PLAIN)), hex(SEALED));
    assert_eq!(by_hand::protect(&MASTER, &hex(PLAIN), 12, 0x1234, &[]), hex(SEALED));
    let short_tag = seal(&mut Sending::new(short()), &hex(PLAIN));
    assert_eq!(short_tag, hex(SEALED)[..32]);
    let now = Instant::now();
    assert_eq!(open(&mut Receiving::new(MASTER, 0), now, &hex(SEALED)), Ok(hex(PLAIN)));
    assert_eq!(open(&mut Receiving::new(short(), 0), now, &short_tag), Ok(hex(PLAIN)));
}

#[test]
fn an_rtcp_packet_is_protected_as_libsrtp_does_whatever_the_tag_of_rtp() {
    for key in [MASTER, short()] {
        let sealed = seal_rtcp(&mut Sending::new(key.clone()), &hex(PLAIN_RTCP));
        assert_eq!(sealed, hex(SEALED_RTCP));
        assert_eq!(open_rtcp(&mut Receiving::new(key, 0), &sealed), Ok(hex(PLAIN_RTCP)));
    }
}

fn open(receiving: &mut Receiving, now: Instant, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    receiving.open(now, packet).map(|opened| opened.to_vec())
}

fn open_rtcp(receiving: &mut Receiving, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    receiving.open_rtcp(Instant::now(), packet).map(|opened| opened.to_vec())
}

/// The packet of an index: its payload tells it.
fn packet(ssrc: u32, index: u64) -> Vec<u8> {
    let payload = [&index.to_be_bytes()[..], &[0xD5; 24]].concat();
    let (seq, timestamp) = (index as u16, index as u32 * 160);
    let packet =
        Packet { payload_type: 8, marker: false, seq, timestamp, ssrc: Ssrc(ssrc), payload: &payload };
    let mut out = [0; 64];
    let n = packet.write(&mut out).unwrap();
    out[..n].to_vec()
}

/// The same, protected.
fn sealed(ssrc: u32, index: u64) -> Vec<u8> {
    by_hand::protect(&MASTER, &packet(ssrc, index), 12, index, &[])
}

#[test]
fn any_bit_that_is_changed_is_found() {
    let now = Instant::now();
    let mut receiving = Receiving::new(MASTER, 0);
    let good = sealed(7, 100);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&mut receiving, now, &bad).is_err(), "bit {bit}");
    }
    for length in 0..good.len() {
        assert_eq!(open(&mut receiving, now, &good[..length]), Err(Refused::Unauthentic), "{length} octets");
    }
    assert_eq!(
        open(&mut receiving, now, &good),
        Ok(packet(7, 100)),
        "and the true one is taken after them all"
    );
}

#[test]
fn a_packet_is_opened_once() {
    let now = Instant::now();
    let mut receiving = Receiving::new(MASTER, 0);
    for index in [5, 3, 200, 150, 100] {
        assert_eq!(open(&mut receiving, now, &sealed(7, index)), Ok(packet(7, index)));
        assert_eq!(open(&mut receiving, now, &sealed(7, index)), Err(Refused::Replayed));
    }
    assert_eq!(open(&mut receiving, now, &sealed(7, 72)), Err(Refused::Replayed), "too old to tell");
}

#[test]
fn a_forged_first_packet_moves_nothing() {
    let now = Instant::now();
    let mut receiving = Receiving::new(MASTER, 0);
    let mut forged = sealed(7, 60_000);
    forged[40] ^= 1;
    assert_eq!(open(&mut receiving, now, &forged), Err(Refused::Unauthentic));
    for index in 10..13 {
        assert_eq!(open(&mut receiving, now, &sealed(7, index)), Ok(packet(7, index)));
    }
}

#[test]
fn the_counter_turns_and_what_was_overtaken_at_the_turn_is_opened() {
    let now = Instant::now();
    let mut receiving = Receiving::new(MASTER, 0);
    for index in [0xFFF0, 0xFFFE, 0x1_0001, 0xFFFF, 0x1_0000, 0xFFF8, 0x1_0003, 0x1_0002] {
        assert_eq!(open(&mut receiving, now, &sealed(7, index)), Ok(packet(7, index)), "{index:x}");
    }
    // 22 minutes a turn: on for two more, in steps of 10 minutes of silence.
    for index in (0x1_7000..0x3_2000).step_by(0x7000) {
        assert_eq!(open(&mut receiving, now, &sealed(7, index)), Ok(packet(7, index)), "{index:x}");
        assert_eq!(open(&mut receiving, now, &sealed(7, index - 100)), Ok(packet(7, index - 100)));
    }
    assert_eq!(open(&mut receiving, now, &sealed(7, 0xFFF9)), Err(Refused::Unauthentic), "of an older turn");
}

#[test]
fn a_counter_that_turned_before_we_listened_is_found() {
    let now = Instant::now();
    let mut receiving = Receiving::new(MASTER, 0);
    for index in [0x1_0005, 0x1_0006, 0xFFFF, 0x1_7000, 0x1_E000, 0x2_0000] {
        assert_eq!(open(&mut receiving, now, &sealed(7, index)), Ok(packet(7, index)), "{index:x}");
    }
}

#[test]
fn a_turn_that_fell_into_a_silence_is_found_after_it() {
    let began = Instant::now();
    let mut receiving = Receiving::new(MASTER, 0);
    assert!(open(&mut receiving, began, &sealed(7, 0x3000)).is_ok());
    let later = began + Duration::from_secs(60 * 25);
    let mut forged = sealed(7, 0x1_4000);
    forged[20] ^= 1;
    assert!(open(&mut receiving, later, &forged).is_err());
    let came = (0x1_4000..0x1_4020).filter(|&index| open(&mut receiving, later, &sealed(7, index)).is_ok());
    assert_eq!(came.count(), 32 - 7, "a forger's packet was tried in its place, then one in eight");
    assert!(open(&mut receiving, later, &sealed(7, 0x3001)).is_err(), "no way back");
    let mut receiving = Receiving::new(MASTER, 0);
    assert!(open(&mut receiving, began, &sealed(7, 0x3000)).is_ok());
    assert!(open(&mut receiving, later, &sealed(7, 0x1_4000)).is_ok());
}

#[test]
fn another_source_is_opened_and_the_one_before_is_not_replayed() {
    let now = Instant::now();
    let mut receiving = Receiving::new(MASTER, 0);
    for ssrc in [7, 8, 9] {
        assert_eq!(open(&mut receiving, now, &sealed(ssrc, 50)), Ok(packet(ssrc, 50)));
    }
    assert_eq!(open(&mut receiving, now, &sealed(7, 50)), Err(Refused::Replayed));
    assert_eq!(open(&mut receiving, now, &sealed(7, 51)), Ok(packet(7, 51)));
    for ssrc in 100..104 {
        assert!(open(&mut receiving, now, &sealed(ssrc, 1)).is_ok(), "sources are kept, but not without end");
    }
}

#[test]
fn forgers_of_many_sources_leave_nothing_behind() {
    let now = Instant::now();
    let mut receiving = Receiving::new(MASTER, 0);
    let mut forged = sealed(0, 1);
    for ssrc in 0..1000_u32 {
        forged[8..12].copy_from_slice(&ssrc.wrapping_mul(0x9E37_79B9).to_be_bytes());
        forged[50] = 1;
        assert_eq!(open(&mut receiving, now, &forged), Err(Refused::Unauthentic));
        assert!(receiving.strays < 64 && receiving.sources.is_empty());
    }
    assert!(open(&mut receiving, now, &sealed(7, 1)).is_ok());
}

#[test]
fn the_mki_is_cut_out() {
    let now = Instant::now();
    for mki in [&[9][..], &[1, 2], &[0, 0, 0, 1]] {
        for key in [MASTER, short()] {
            let mut receiving = Receiving::new(key.clone(), mki.len() as u8);
            let bytes = by_hand::protect(&key, &packet(7, 5), 12, 5, mki);
            assert_eq!(open(&mut receiving, now, &bytes), Ok(packet(7, 5)));
            let bytes = by_hand::protect_rtcp(&key, &hex(PLAIN_RTCP), 0x8000_0009, mki);
            assert_eq!(open_rtcp(&mut receiving, &bytes), Ok(hex(PLAIN_RTCP)));
            for length in 0..16 {
                let _ = (
                    open(&mut receiving, now, &bytes[..length]),
                    open_rtcp(&mut receiving, &bytes[..length]),
                );
            }
        }
    }
}

#[test]
fn csrcs_extension_and_padding_stay_what_they_were() {
    // P and X are set, two CSRCs; an extension of one-byte elements with its stop code, which parsers stumble over.
    let header = hex("B200 0005 00000000 00000007 11111111 22222222 BEDE0002 F1000000 00000000");
    let plain = [&header[..], &[0xD5; 20], &[0, 0, 0, 4]].concat();
    let bytes = by_hand::protect(&MASTER, &plain, header.len(), 5, &[]);
    assert_eq!(open(&mut Receiving::new(MASTER, 0), Instant::now(), &bytes), Ok(plain));
    // An extension longer than the packet.
    let lying = [&hex("9000 0005 00000000 00000007 BEDE00FF")[..], &[0; 40]].concat();
    assert_eq!(open(&mut Receiving::new(MASTER, 0), Instant::now(), &lying), Err(Refused::Unauthentic));
}

#[test]
fn rtcp_is_opened_once_and_never_unless_enciphered() {
    let mut receiving = Receiving::new(MASTER, 0);
    let plain = hex(PLAIN_RTCP);
    for index in [1, 3, 2] {
        let bytes = by_hand::protect_rtcp(&MASTER, &plain, 0x8000_0000 | index, &[]);
        assert_eq!(open_rtcp(&mut receiving, &bytes), Ok(plain.clone()));
        assert_eq!(open_rtcp(&mut receiving, &bytes), Err(Refused::Replayed));
    }
    // The library would take the first of these, which has no tag at all.
    let naked = [&plain[..], &4_u32.to_be_bytes(), &[0; 10]].concat();
    assert_eq!(open_rtcp(&mut receiving, &naked), Err(Refused::Unauthentic));
    let clear = by_hand::protect_rtcp(&MASTER, &plain, 4, &[]);
    assert_eq!(open_rtcp(&mut receiving, &clear), Err(Refused::Unauthentic));
    let good = by_hand::protect_rtcp(&MASTER, &plain, 0x8000_0005, &[]);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(open_rtcp(&mut receiving, &bad).is_err(), "bit {bit}");
    }
    for length in 0..good.len() {
        assert!(open_rtcp(&mut receiving, &good[..length]).is_err(), "{length} octets");
    }
    assert_eq!(open_rtcp(&mut receiving, &good), Ok(plain));
}

#[test]
fn what_was_under_way_when_the_key_changed_is_opened() {
    let now = Instant::now();
    let new = Key { key: [3; 16], ..MASTER };
    let under = |key: &Key, index| by_hand::protect(key, &packet(7, index), 12, index, &[]);
    let mut receiving = Receiving::new(MASTER, 0);
    assert!(open(&mut receiving, now, &under(&MASTER, 1)).is_ok());
    let mut receiving = receiving.followed_by(now, new.clone(), 0);
    assert_eq!(open(&mut receiving, now, &under(&MASTER, 2)), Ok(packet(7, 2)));
    assert_eq!(open(&mut receiving, now, &under(&MASTER, 2)), Err(Refused::Unauthentic), "but once");
    let rtcp = by_hand::protect_rtcp(&MASTER, &hex(PLAIN_RTCP), 0x8000_0001, &[]);
    assert_eq!(open_rtcp(&mut receiving, &rtcp), Ok(hex(PLAIN_RTCP)));
    assert_eq!(open(&mut receiving, now, &under(&new, 3)), Ok(packet(7, 3)));
    assert_eq!(open(&mut receiving, now, &under(&MASTER, 4)), Err(Refused::Unauthentic));

    let mut slow = Receiving::new(MASTER, 0).followed_by(now, new, 0);
    let late = now + Duration::from_secs(10);
    assert_eq!(open(&mut slow, late, &under(&MASTER, 4)), Err(Refused::Unauthentic), "not for ever");
}

#[test]
fn a_new_key_may_begin_at_any_turn_the_old_one_was_in() {
    let now = Instant::now();
    let new = Key { key: [3; 16], ..MASTER };
    // From 0 (RFC 4568 peers begin a new context), from the turn it was in (RFC 3711 §8.1 keeps the index).
    for first in [0x1005, 0x2_1005] {
        let mut receiving = Receiving::new(MASTER, 0);
        for index in [0xFFFF, 0x1_4000, 0x1_9000, 0x1_F000, 0x2_1000] {
            assert!(open(&mut receiving, now, &sealed(7, index)).is_ok());
        }
        let mut receiving = receiving.followed_by(now, new.clone(), 0);
        for index in first..first + 3 {
            let bytes = by_hand::protect(&new, &packet(7, index), 12, index, &[]);
            assert_eq!(open(&mut receiving, now, &bytes), Ok(packet(7, index)), "{index:x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Losses, doubles and disorder around the turn: what is opened is right, each once, and nothing that is new and
    /// in the window is refused.
    #[test]
    fn what_comes_is_opened_once_whatever_the_order(
        start in prop_oneof![1..100_u64, 0xFF80..0xFFFF_u64, 0x1_0000..0x1_0080_u64],
        steps in proptest::collection::vec((0..3_u64, 0..100_u64), 1..300)
    ) {
        let now = Instant::now();
        let mut receiving = Receiving::new(MASTER, 0);
        let (mut came, mut front) = (std::collections::HashSet::new(), start);
        let sent: Vec<_> = (start..start + 1000).map(|index| sealed(7, index)).collect();
        let mut highest = start;
        prop_assert!(open(&mut receiving, now, &sent[0]).is_ok());
        came.insert(start);
        for (ahead, behind) in steps {
            front += ahead;
            let index = front.saturating_sub(behind).max(start);
            if index + 128 <= highest {
                continue;
            }
            highest = highest.max(index);
            let expected = if came.insert(index) { Ok(packet(7, index)) } else { Err(Refused::Replayed) };
            prop_assert_eq!(open(&mut receiving, now, &sent[(index - start) as usize]), expected);
        }
    }

    #[test]
    fn nothing_that_comes_is_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..120), mki in 0..5_u8) {
        let mut receiving = Receiving::new(MASTER, mki);
        let now = Instant::now();
        let mut bytes = bytes;
        let _ = (open(&mut receiving, now, &bytes), open_rtcp(&mut receiving, &bytes));
        if let Some(first) = bytes.first_mut() {
            *first = 0x80 | *first & 0x3F;
        }
        prop_assert!(open(&mut receiving, now, &bytes).is_err());
        prop_assert!(open_rtcp(&mut receiving, &bytes).is_err());
    }
}
