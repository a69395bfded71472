//! Datagrams of any content under SRTP: nothing may panic, nothing that was not protected by the key may pass, and
//! what was passes once, whatever came between.
#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use streamkit::rtp::srtp::{Key, Receiving, Sending};

// A record: what to do, a number, length, then so many octets of a datagram.
fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let Some((&options, mut rest)) = data.split_first() else { return };
    let key = Key { short_tag: options & 1 == 1, key: [7; 16], salt: [8; 14] };
    let mut sending = Sending::new(key.clone());
    let mut receiving = Receiving::new(key, 0);
    let (mut seq, mut came) = (u16::from(options) << 8, HashSet::new());
    let mut sent = Vec::new();
    while let [act, number, length, tail @ ..] = rest {
        let (octets, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        match act & 3 {
            0 => {
                // A stranger's, which looks as it likes.
                now += Duration::from_millis(100) * u32::from(*number);
                assert!(receiving.open(now, octets).is_err());
                assert!(receiving.open_rtcp(now, octets).is_err());
            }
            1 => {
                seq = seq.wrapping_add(u16::from(*number) + 1);
                let mut packet = [&[0x80, 0][..], &seq.to_be_bytes(), &[0; 4], &[0, 0, 0, 9], octets].concat();
                let length = packet.len();
                packet.resize(length + 10, 0);
                let length = sending.protect(&mut packet, length).expect("there is room");
                packet.truncate(length);
                sent.push(packet);
            }
            2 => {
                // One of those sent, now or again.
                let Some(at) = sent.len().checked_sub(1 + usize::from(*number)) else { continue };
                if receiving.open(now, &sent[at]).is_ok() {
                    assert!(came.insert(at), "twice");
                }
            }
            _ => {
                let Some(mut bent) = sent.last().cloned() else { continue };
                let at = usize::from(*number) % bent.len();
                let mask = octets.first().copied().unwrap_or(1).max(1);
                bent[at] ^= mask;
                assert!(receiving.open(now, &bent).is_err());
            }
        }
    }
});
