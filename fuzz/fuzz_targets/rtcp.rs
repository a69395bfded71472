//! Datagrams of any content through all that reads RTCP: nothing may panic, and what we then say is RTCP again.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use streamkit::rtp::receiver::Receiver;
use streamkit::rtp::rtcp::{MAX_REPORT, Session, WallClock, compound};
use streamkit::rtp::sender::Sender;
use streamkit::units::Ssrc;

// A record: time passed (100 ms a unit), length, then so many octets of the datagram.
fuzz_target!(|data: &[u8]| {
    let start = Instant::now();
    let mut now = start;
    let us = Ssrc(0x3031_3233); // "0123", for whoever makes inputs
    let mut sender = Sender::new(us.0, 1, 1);
    let mut receiver = Receiver::new();
    let clock = WallClock::new(now, Duration::from_secs(1 << 31));
    let mut session = Session::new(now, clock, "0123456789abcdef".to_owned(), 0);
    let mut rest = data;
    while let [passed, length, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        now += Duration::from_millis(100) * u32::from(*passed);
        let Ok(heard) = compound::read(datagram, us) else { continue };
        let _ = sender.audio(0, &[0xFF; 160], &mut [0; 200]);
        receiver.push(now, heard.sender, u16::from(*length) << 8, 0, 160, true);
        session.hear(now, &heard, &sender);
        let mut out = [0; MAX_REPORT];
        let n = session.report(now, 0, &sender, &mut receiver, &mut out).expect("it fits");
        let said = compound::read(&out[..n], heard.sender).expect("ours can be read");
        assert_eq!((said.sender, said.block.is_some(), said.bye), (us, true, false));
        if let Some(trip) = session.told().and_then(|told| told.round_trip) {
            assert!(trip <= Duration::from_secs(30));
        }
    }
});
