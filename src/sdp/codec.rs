//! What a payload type number stands for: rtpmap and fmtp (RFC 8866 §6.6, RFC 3551 §6, RFC 4733 §2.4).

use std::fmt;

/// The two laws of G.711 (RFC 3551 §4.5.14), the only audio we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// PCMU, static payload type 0.
    Mu,
    /// PCMA, static payload type 8.
    A,
}

impl Law {
    /// Its static payload type (RFC 3551 §6).
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// Encoding name as in `a=rtpmap`: `PCMU`, `PCMA`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mu => "PCMU",
            Self::A => "PCMA",
        }
    }
}

/// What a payload type stands for, as far as we care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// G.711, under its static number or any other.
    Audio(Law),
    /// telephone-event at 8000 Hz.
    Events,
    /// Nothing of ours, comfort noise and other rates of telephone-event included.
    Other,
}

impl Coding {
    /// What `number` stands for; `rtpmap` is the text after the number, `PCMU/8000`, where there is one.
    /// A mapping that cannot be read leaves a static number what it is.
    pub fn of(number: u8, rtpmap: Option<&str>) -> Self {
        match rtpmap.and_then(Self::named) {
            Some(coding) => coding,
            None => match number {
                0 => Self::Audio(Law::Mu),
                8 => Self::Audio(Law::A),
                _ => Self::Other,
            },
        }
    }

    fn named(rtpmap: &str) -> Option<Self> {
        let mut fields = rtpmap.trim().split('/').map(str::trim);
        let name = fields.next().filter(|name| !name.is_empty())?;
        let rate = fields.next()?;
        let mono = matches!(fields.next(), None | Some("1" | ""));
        Some(match (name.to_ascii_lowercase().as_str(), rate) {
            ("pcmu", "8000") if mono => Self::Audio(Law::Mu),
            ("pcma", "8000") if mono => Self::Audio(Law::A),
            ("telephone-event", "8000") => Self::Events,
            _ => Self::Other,
        })
    }
}

/// A value like `101 0-16` or `8 PCMA/8000`, split after its payload type number.
pub fn numbered(value: &str) -> Option<(u8, &str)> {
    let value = value.trim();
    let (number, rest) = value.split_once([' ', '\t'])?;
    Some((number.parse().ok()?, rest.trim()))
}

/// The RFC 4733 events of 0 to 16 (keys and flash) that a telephone-event line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events(u32);

impl Events {
    /// `0-16`, what we name ourselves.
    pub const ALL: Self = Self(0x1_ffff);

    /// The part of 0-16 that an fmtp value names, `0-15,66`; `ALL` when it is absent or unreadable, none when
    /// it is readable and all of it lies elsewhere.
    pub fn offered(fmtp: Option<&str>) -> Option<Self> {
        let Some(list) = fmtp else { return Some(Self::ALL) };
        let list = list.trim().strip_prefix("events=").unwrap_or(list);
        let Some(named) = list.split(',').map(span).try_fold(0, |all, span| Some(all | span?)) else {
            return Some(Self::ALL);
        };
        (named != 0).then_some(Self(named))
    }
}

/// One `5` or `0-15` as bits.
fn span(text: &str) -> Option<u32> {
    let text = text.trim();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u8, u8) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then(|| (first..=last.min(16)).fold(0, |bits, event| bits | 1 << event))
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut event = 0;
        while event <= 16 {
            let run = (self.0 >> event).trailing_ones();
            match run {
                0 => {}
                1 => write!(f, "{comma}{event}")?,
                _ => write!(f, "{comma}{event}-{}", event + run - 1)?,
            }
            if run > 0 {
                comma = ",";
            }
            event += run + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_is_known_by_number_and_by_name() {
        for (number, rtpmap, coding) in [
            (0, None, Coding::Audio(Law::Mu)),
            (8, None, Coding::Audio(Law::A)),
            (8, Some("pcma/8000"), Coding::Audio(Law::A)),
            (98, Some("PcMu/8000/1"), Coding::Audio(Law::Mu)),
            (0, Some("LPC"), Coding::Audio(Law::Mu)),
            (0, Some("G729/8000"), Coding::Other),
            (96, Some("PCMU/16000"), Coding::Other),
            (96, Some("PCMU/8000/2"), Coding::Other),
            (101, Some("Telephone-Event/8000"), Coding::Events),
            (101, Some("telephone-event/48000"), Coding::Other),
            (101, None, Coding::Other),
            (13, None, Coding::Other),
            (18, None, Coding::Other),
        ] {
            assert_eq!(Coding::of(number, rtpmap), coding, "{number} {rtpmap:?}");
        }
    }

    #[test]
    fn the_events_answered_are_those_of_ours_that_were_offered() {
        for (fmtp, events) in [
            (None, Some("0-16")),
            (Some("0-16"), Some("0-16")),
            (Some("0-15"), Some("0-15")),
            (Some("0-255"), Some("0-16")),
            (Some("0-11, 16 ,66,70-80"), Some("0-11,16")),
            (Some("5"), Some("5")),
            (Some("events=0-15"), Some("0-15")),
            (Some("32-36"), None),
            (Some("0-"), Some("0-16")),
            (Some("9-3"), Some("0-16")),
            (Some("nonsense"), Some("0-16")),
        ] {
            assert_eq!(Events::offered(fmtp).map(|e| e.to_string()).as_deref(), events, "{fmtp:?}");
        }
    }
}
