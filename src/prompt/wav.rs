//! WAV files of telephones: RIFF, `fmt ` and `data`, PCM or G.711. Lengths in the file are believed only as far as the
//! file goes.

use crate::audio::{G711, codec};

/// Why a file cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WavFault {
    /// No RIFF of the kind WAVE, or cut off before its audio.
    #[error("this is no WAV file")]
    Format,
    /// Another coding.
    #[error("its coding is {0}; 16-bit PCM (1), A-law (6) and mu-law (7) can be played")]
    Coding(u16),
    /// Another depth.
    #[error("its samples have {0} bits; PCM has 16 and G.711 8")]
    Depth(u16),
    /// Another rate.
    #[error("its rate is {0} Hz; 8000 Hz can be played")]
    Rate(u32),
    /// Several channels.
    #[error("it has {0} channels; one can be played")]
    Channels(u16),
    /// No audio.
    #[error("there is no audio in it")]
    Empty,
}

#[derive(Clone, Copy)]
enum Coding {
    Pcm,
    Law(G711),
}

/// The samples of a file.
pub(super) fn read(file: &[u8]) -> Result<Vec<i16>, WavFault> {
    let [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', rest @ ..] = file else {
        return Err(WavFault::Format);
    };
    let (mut rest, mut coding) = (rest, None);
    while let Some((name, body, after)) = chunk(rest) {
        match (name, coding) {
            (b"fmt ", _) => coding = Some(format(body)?),
            (b"data", Some(coding)) => return samples(coding, body),
            _ => {} // what else there may be is for others
        }
        rest = after;
    }
    Err(WavFault::Format)
}

/// Name and body of the next chunk, and what follows it; a body that is cut off ends with the file.
fn chunk(rest: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (name, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (body, after) = rest.split_at(length.min(rest.len()));
    let padding = usize::from(length % 2 == 1).min(after.len());
    Some((name, body, &after[padding..]))
}

fn format(body: &[u8]) -> Result<Coding, WavFault> {
    let &[c0, c1, n0, n1, r0, r1, r2, r3, _, _, _, _, _, _, b0, b1, ..] = body else {
        return Err(WavFault::Format);
    };
    let mut coding = u16::from_le_bytes([c0, c1]);
    if let (0xfffe, Some(&[s0, s1])) = (coding, body.get(24..26)) {
        coding = u16::from_le_bytes([s0, s1]); // WAVE_FORMAT_EXTENSIBLE: the coding stands in its sub-format
    }
    let channels = u16::from_le_bytes([n0, n1]);
    let rate = u32::from_le_bytes([r0, r1, r2, r3]);
    let bits = u16::from_le_bytes([b0, b1]);
    if channels != 1 {
        return Err(WavFault::Channels(channels));
    }
    if rate != 8000 {
        return Err(WavFault::Rate(rate));
    }
    match (coding, bits) {
        (1, 16) => Ok(Coding::Pcm),
        (6, 8) => Ok(Coding::Law(G711::A)),
        (7, 8) => Ok(Coding::Law(G711::Mu)),
        (1 | 6 | 7, bits) => Err(WavFault::Depth(bits)),
        (other, _) => Err(WavFault::Coding(other)),
    }
}

fn samples(coding: Coding, body: &[u8]) -> Result<Vec<i16>, WavFault> {
    let samples: Vec<i16> = match coding {
        Coding::Pcm => body.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
        Coding::Law(law) => {
            let mut samples = vec![0; body.len()];
            codec::decode(law, body, &mut samples);
            samples
        }
    };
    if samples.is_empty() { Err(WavFault::Empty) } else { Ok(samples) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(coding: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let chunk = |name: &[u8; 4], body: &[u8]| {
            let mut chunk = [&name[..], &(body.len() as u32).to_le_bytes(), body].concat();
            chunk.resize(chunk.len() + body.len() % 2, 0);
            chunk
        };
        let mut format = [coding.to_le_bytes(), channels.to_le_bytes()].concat();
        format.extend(rate.to_le_bytes());
        format.extend([0; 6]);
        format.extend(bits.to_le_bytes());
        let chunks = [chunk(b"fmt ", &format), chunk(b"LIST", b"odd"), chunk(b"data", data)].concat();
        [&b"RIFF"[..], &(chunks.len() as u32 + 4).to_le_bytes(), b"WAVE", &chunks].concat()
    }

    #[test]
    fn pcm_and_both_laws_are_read() {
        assert_eq!(read(&file(1, 1, 8000, 16, &[1, 0, 255, 255, 9])), Ok(vec![1, -1]));
        let mut heard = [0; 2];
        codec::decode(G711::Mu, &[0x10, 0x90], &mut heard);
        assert_eq!(read(&file(7, 1, 8000, 8, &[0x10, 0x90])), Ok(heard.to_vec()));
        codec::decode(G711::A, &[0x10, 0x90], &mut heard);
        assert_eq!(read(&file(6, 1, 8000, 8, &[0x10, 0x90])), Ok(heard.to_vec()));
    }

    #[test]
    fn what_cannot_be_played_says_what_it_is() {
        let wrong = |coding, channels, rate, bits| read(&file(coding, channels, rate, bits, &[0; 4]));
        assert_eq!(wrong(1, 2, 8000, 16), Err(WavFault::Channels(2)));
        assert_eq!(wrong(1, 1, 44_100, 16), Err(WavFault::Rate(44_100)));
        assert_eq!(wrong(1, 1, 8000, 24), Err(WavFault::Depth(24)));
        assert_eq!(wrong(3, 1, 8000, 32), Err(WavFault::Coding(3)));
        assert_eq!(read(&file(1, 1, 8000, 16, &[])), Err(WavFault::Empty));
        assert_eq!(read(b"ID3 this is music"), Err(WavFault::Format));
    }

    #[test]
    fn a_file_that_is_cut_off_gives_what_is_there() {
        let whole = file(1, 1, 8000, 16, &[1, 0, 2, 0, 3, 0]);
        assert_eq!(read(&whole[..whole.len() - 3]), Ok(vec![1]));
        for length in 0..whole.len() - 6 {
            assert!(matches!(read(&whole[..length]), Err(WavFault::Format | WavFault::Empty)), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_borne(octets: Vec<u8>) {
            let _ = read(&octets);
            let _ = read(&[&file(1, 1, 8000, 16, &[])[..36], &octets].concat());
        }
    }
}
