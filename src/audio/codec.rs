//! Which codecs there are (RFC 3551 §4.5). Others join this enum when they are wanted.

use super::g711;

/// G.711 variants (RFC 3551 §4.5.14): 8000 Hz, one octet a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum G711 {
    /// PCMU, static payload type 0.
    Mu,
    /// PCMA, static payload type 8.
    A,
}

impl G711 {
    /// Its static payload type (RFC 3551 §6).
    pub const fn static_payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// Its name in an SDP `rtpmap`.
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Mu => "PCMU",
            Self::A => "PCMA",
        }
    }

    /// The octet of a sample of 0 (sip-trunk section 11.1).
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xFF,
            Self::A => 0xD5,
        }
    }
}

/// Octets to samples, as many as fit both; how many that were.
pub fn decode(law: G711, octets: &[u8], samples: &mut [i16]) -> usize {
    let table = match law {
        G711::Mu => &g711::MU_TO_LINEAR,
        G711::A => &g711::A_TO_LINEAR,
    };
    for (sample, &octet) in samples.iter_mut().zip(octets) {
        *sample = table[usize::from(octet)];
    }
    octets.len().min(samples.len())
}

/// Samples to octets, as many as fit both; how many that were.
pub fn encode(law: G711, samples: &[i16], octets: &mut [u8]) -> usize {
    match law {
        G711::Mu => {
            for (octet, &sample) in octets.iter_mut().zip(samples) {
                *octet = g711::LINEAR_TO_MU[usize::from(sample as u16 >> 2)];
            }
        }
        G711::A => {
            for (octet, &sample) in octets.iter_mut().zip(samples) {
                *octet = g711::LINEAR_TO_A[usize::from(sample as u16 >> 3)];
            }
        }
    }
    octets.len().min(samples.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_decodes_to_next_to_nothing_and_back() {
        for law in [G711::Mu, G711::A] {
            let mut samples = [99; 3];
            assert_eq!(decode(law, &[law.silence(); 3], &mut samples), 3);
            assert!(samples.iter().all(|s| s.abs() <= 8), "{samples:?}");
            let mut octets = [0; 3];
            assert_eq!(encode(law, &[0; 3], &mut octets), 3);
            assert_eq!(octets, [law.silence(); 3]);
        }
    }

    #[test]
    fn the_shorter_side_decides() {
        let (mut samples, mut octets) = ([7; 4], [7; 2]);
        assert_eq!(decode(G711::A, &[0xD5; 2], &mut samples), 2);
        assert_eq!(samples[2..], [7, 7]);
        assert_eq!(encode(G711::Mu, &[0; 9], &mut octets), 2);
        assert_eq!(octets, [0xFF; 2]);
    }
}
