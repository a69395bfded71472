//! The bot's octets back to samples (agentstream.md section 7.2): one continuous stream, whatever the messages' bounds.

use std::time::{Duration, Instant};

use base64_simd::{AsOut, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// How long an odd octet waits for its other half.
const ODD_KEPT: Duration = Duration::from_secs(1);
/// The scratch buffer goes back to nothing after a message larger than this.
const SCRATCH_KEPT: usize = 16 * 1024;

/// The payload is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

/// What joins payloads to one stream of samples.
#[derive(Debug, Default)]
pub struct Joiner {
    odd: Option<(u8, Instant)>,
    scratch: Vec<u8>,
}

impl Joiner {
    /// The samples a payload completes: standard or URL-safe alphabet, padding optional.
    ///
    /// # Errors
    /// When it is not base64; nothing of it is taken then.
    pub fn samples(&mut self, now: Instant, payload: &str) -> Result<Vec<i16>, Undecodable> {
        let odd = self.odd.filter(|&(_, since)| now.saturating_duration_since(since) <= ODD_KEPT);
        let prefix = usize::from(odd.is_some());
        let octets = self.decode(payload.as_bytes(), prefix)?;
        if let (Some((byte, _)), Some(first)) = (odd, self.scratch.first_mut()) {
            *first = byte;
        }
        let all = &self.scratch[..prefix + octets];
        let (pairs, rest) = all.as_chunks::<2>();
        let samples = pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        self.odd = rest.first().map(|&byte| (byte, now));
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
        Ok(samples)
    }

    /// A clear: the half of a sample that waits is not part of what comes.
    pub fn clear(&mut self) {
        self.odd = None;
    }

    /// Into the scratch buffer, behind `prefix` octets of room; how many octets they are.
    fn decode(&mut self, text: &[u8], prefix: usize) -> Result<usize, Undecodable> {
        let text = match text {
            [text @ .., b'=', b'='] | [text @ .., b'='] => text,
            text => text,
        };
        let alphabet = match memchr::memchr2(b'-', b'_', text) {
            Some(_) => URL_SAFE_NO_PAD,
            None => STANDARD_NO_PAD,
        };
        self.scratch.resize(prefix + alphabet.estimated_decoded_length(text.len()), 0);
        let room = self.scratch.get_mut(prefix..).unwrap_or_default();
        alphabet.decode(text, room.as_out()).map(|octets| octets.len()).map_err(|_| Undecodable)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // any instant will do: only differences are looked at
    use super::*;
    use base64_simd::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    fn octets(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn both_alphabets_are_read_with_and_without_padding() {
        let (now, samples) = (Instant::now(), [-1, 0x3e3f, -1025, 7, 9]);
        let pcm = octets(&samples);
        for alphabet in [STANDARD, URL_SAFE, STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = alphabet.encode_to_string(&pcm);
            assert_eq!(Joiner::default().samples(now, &text), Ok(samples.to_vec()), "{text}");
        }
    }

    #[test]
    fn what_is_not_base64_is_refused_and_leaves_the_odd_octet_alone() {
        let (now, mut joiner) = (Instant::now(), Joiner::default());
        assert_eq!(joiner.samples(now, &STANDARD.encode_to_string([1, 2, 3])), Ok(vec![0x0201]));
        for text in ["A", "A===", "AA A", "AAA=A", "+-AA", "ä", "====", "=AAA"] {
            assert_eq!(joiner.samples(now, text), Err(Undecodable), "{text}");
        }
        assert_eq!(joiner.samples(now, &STANDARD.encode_to_string([4])), Ok(vec![0x0403]));
    }

    #[test]
    fn an_odd_octet_is_forgotten_by_a_clear_and_after_a_second() {
        let (now, mut joiner) = (Instant::now(), Joiner::default());
        let (one, two) = (STANDARD.encode_to_string([9]), STANDARD.encode_to_string([1, 0]));
        assert_eq!(joiner.samples(now, &one), Ok(vec![]));
        joiner.clear();
        assert_eq!(joiner.samples(now, &two), Ok(vec![1]));
        assert_eq!(joiner.samples(now, &one), Ok(vec![]));
        assert_eq!(joiner.samples(now + Duration::from_millis(1001), &two), Ok(vec![1]));
    }

    #[test]
    fn a_large_message_leaves_no_large_buffer() {
        let mut joiner = Joiner::default();
        let text = STANDARD.encode_to_string(vec![1; 300_001]);
        assert_eq!(joiner.samples(Instant::now(), &text).map(|samples| samples.len()), Ok(150_000));
        assert!(joiner.scratch.capacity() <= SCRATCH_KEPT);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_samples_are_the_same(samples: Vec<i16>, cuts: Vec<u8>) {
            let (now, mut joiner, pcm) = (Instant::now(), Joiner::default(), octets(&samples));
            let (mut rest, mut joined) = (&pcm[..], vec![]);
            for cut in cuts {
                let (piece, later) = rest.split_at(rest.len().min(usize::from(cut)));
                joined.extend(joiner.samples(now, &STANDARD.encode_to_string(piece)).expect("base64"));
                rest = later;
            }
            joined.extend(joiner.samples(now, &STANDARD.encode_to_string(rest)).expect("base64"));
            prop_assert_eq!(joined, samples);
        }
    }
}
