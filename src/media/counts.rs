//! What a media core counts: plain numbers on the core, copied now and then to where a scrape may read them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::port::{Kind, Port};

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Sums over the ports of one graph, or of all a core ever had.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Tally {
            /// Adds another's numbers to these.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }

        /// A tally others may read. Each number is right; together they are of about the same moment.
        #[derive(Debug, Default)]
        pub(super) struct Published {
            $($name: AtomicU64,)*
        }

        impl Published {
            pub(super) fn set(&self, tally: &Tally) {
                $(self.$name.store(tally.$name, Ordering::Relaxed);)*
            }

            pub(super) fn read(&self) -> Tally {
                Tally { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

numbers! {
    /// RTP packets taken.
    packets_in,
    /// Their octets of payload.
    bytes_in,
    /// Packets that never came.
    lost,
    /// Packets that came after their place was concealed.
    late,
    /// Packets that came twice.
    duplicated,
    /// Packets from a source that is not the call's.
    foreign,
    /// Datagrams that are not RTP of the session.
    malformed,
    /// SRTP packets that were not authentic.
    unauthentic,
    /// SRTP packets that had come before.
    replayed,
    /// Milliseconds concealed or silent for want of packets.
    concealed_ms,
    /// RTP packets sent.
    packets_out,
    /// Their octets of payload.
    bytes_out,
    /// Packets the kernel did not take.
    send_failed,
    /// Packets sent that the peers told by RTCP never came.
    lost_out,
    /// Samples sessions did not take in time.
    heard_lost,
    /// Times a bot's queue ran empty within an utterance.
    starved,
    /// Keys that found no room on their way to a call or a session.
    keys_lost,
    /// Blocks more than 5 ms late.
    ticks_late,
    /// Blocks passed over for lateness.
    ticks_skipped,
    /// Calls ended for a fault of ours.
    faults,
    /// Nanoseconds the core worked.
    busy_ns,
    /// Times it ran.
    runs,
    /// Calls it has now.
    graphs,
    /// RTP ports it has now.
    rtp_ports,
    /// Streams it has now.
    streams,
}

/// What one media core counted, as of at most 100 ms ago while calls are up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreCounts {
    /// The core, or the worker's number when it is not pinned.
    pub core: usize,
    /// The numbers.
    pub tally: Tally,
}

impl Tally {
    /// Adds what a port counted.
    pub(super) fn count(&mut self, port: &Port) {
        match &port.kind {
            Kind::Rtp(rtp) => {
                let counts = rtp.counts();
                self.packets_in += counts.packets_in;
                self.bytes_in += counts.bytes_in;
                self.lost += counts.lost;
                self.late += counts.late;
                self.duplicated += counts.duplicated;
                self.foreign += counts.foreign;
                self.malformed += counts.malformed;
                self.unauthentic += counts.unauthentic;
                self.replayed += counts.replayed;
                self.lost_out += counts.told.map_or(0, |told| told.lost);
                self.concealed_ms += counts.concealed_ms;
                self.packets_out += counts.packets_out;
                self.bytes_out += counts.bytes_out;
                self.send_failed += counts.send_failed;
            }
            Kind::Stream(stream) => {
                self.heard_lost += stream.counts().heard_lost;
                self.starved += stream.counts().starved;
            }
            Kind::Player(_) => {}
        }
    }
}
