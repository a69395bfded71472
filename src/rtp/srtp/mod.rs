//! SRTP and SRTCP (RFC 3711) with AES_CM_128_HMAC_SHA1, over the `webrtc-srtp` crate.
//!
//! The crate ciphers and authenticates. What stands around it here, because it does otherwise:
//!
//! - its replay list counts 16 bits and is moved by packets that nobody authenticated: ours knows whole indices;
//! - it keeps a state for every SSRC it is shown: ours is shown those that were authentic, and few others;
//! - it takes an SRTCP packet whose E bit is clear without looking at its tag: such a packet is refused here;
//! - it parses header extensions and reads short packets beyond their end: it is given only where the payload begins;
//! - it knows no MKI: cut out before;
//! - it counts turns of the sequence number from 0 only: a peer who had turned before we listened is found all the same.
//!
//! A packet costs one allocation, of the crate's, each way; an SSRC, a key or a forger a few more.

mod receiving;
mod window;

use std::fmt;

use ::rtp::header::Header;
pub use receiving::{Receiving, Refused};
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_no_replay_protection, srtp_no_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

use super::packet::{HEADER, MAX_PAYLOAD};

/// The longest packet that is taken: any payload we take, behind the longest header that has no extension of its own.
pub const MAX_PROTECTED: usize = 2048;
/// What a packet of ours grows by at most: SRTCP's index and tag.
pub const OVERHEAD: usize = 4 + RTCP_TAG;

const RTCP_TAG: usize = 10;
/// The E bit and the index of an SRTCP packet.
const RTCP_INDEX: usize = 4;
/// An RTCP header with its sender, never enciphered.
const RTCP_HEAD: usize = 8;

const _: () = assert!(HEADER + 15 * 4 + MAX_PAYLOAD + RTCP_TAG + 4 <= MAX_PROTECTED);

/// What protects one direction (RFC 4568 §6.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The RTP tag has 32 bits, not 80.
    pub short_tag: bool,
    /// Master key.
    pub key: [u8; 16],
    /// Master salt.
    pub salt: [u8; 14],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("short_tag", &self.short_tag).finish_non_exhaustive()
    }
}

impl Key {
    fn tag(&self) -> usize {
        if self.short_tag { 4 } else { 10 }
    }

    /// A cryptographic context with nothing seen. The lengths of key and salt are those of the profile.
    fn context(&self) -> Context {
        let profile = if self.short_tag {
            ProtectionProfile::Aes128CmHmacSha1_32
        } else {
            ProtectionProfile::Aes128CmHmacSha1_80
        };
        let (rtp, rtcp) = (srtp_no_replay_protection(), srtcp_no_replay_protection());
        Context::new(&self.key, &self.salt, profile, Some(rtp), Some(rtcp))
            .expect("16 octets of key and 14 of salt are what the profile asks for")
    }
}

/// Protects what we send.
pub struct Sending {
    key: Key,
    context: Context,
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Sending {
    /// Nothing sent under this key.
    pub fn new(key: Key) -> Self {
        let context = key.context();
        Self { key, context }
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Protects an RTP packet of ours, which has neither CSRCs nor extension, in its place: the new length, or nothing
    /// when `packet` is no packet or has no room behind `length`.
    pub fn protect(&mut self, packet: &mut [u8], length: usize) -> Option<usize> {
        let plain = packet.get(..length)?;
        let header = header(plain, HEADER)?;
        let sealed = self.context.encrypt_rtp_with_header(plain, &header).ok()?;
        packet.get_mut(..sealed.len())?.copy_from_slice(&sealed);
        Some(sealed.len())
    }

    /// Protects an RTCP compound packet in its place, as `protect` does.
    pub fn protect_rtcp(&mut self, packet: &mut [u8], length: usize) -> Option<usize> {
        let plain = packet.get(..length).filter(|plain| plain.len() >= RTCP_HEAD)?;
        let sealed = self.context.encrypt_rtcp(plain).ok()?;
        packet.get_mut(..sealed.len())?.copy_from_slice(&sealed);
        Some(sealed.len())
    }
}

/// As much of a header as the cipher needs: number, source, and where the payload begins. The library is not asked to
/// parse: CSRCs are stood in for by as many zeroes, an extension by more of them.
fn header(packet: &[u8], payload: usize) -> Option<Header> {
    let &[_, _, s0, s1, _, _, _, _, c0, c1, c2, c3, ..] = packet else { return None };
    Some(Header {
        sequence_number: u16::from_be_bytes([s0, s1]),
        ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        csrc: vec![0; payload.checked_sub(HEADER)? / 4],
        ..Header::default()
    })
}

#[cfg(test)]
mod tests;
