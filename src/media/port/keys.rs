//! Keys of one line, by event (RFC 4733) and by ear: a key that comes both ways is told once (sip-trunk.md 11.5).

use std::time::{Duration, Instant};

use crate::audio::tone_detect::ToneDetector;
use crate::rtp::digits::Pressed;
use crate::units::Digit;

/// The same key by another way within so long is the same press.
const SAME: Duration = Duration::from_millis(400);

/// The ear, and what was told last.
#[derive(Debug, Default)]
pub(in crate::media) struct Keys {
    ear: Option<Box<ToneDetector>>,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    digit: Digit,
    at: Instant,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Event,
    Tone,
}

impl Keys {
    /// Whether tones are listened for.
    pub(in crate::media) fn listen(&mut self, inband: bool) {
        match (&self.ear, inband) {
            (None, true) => self.ear = Some(Box::default()),
            (Some(_), false) => self.ear = None,
            (None, false) | (Some(_), true) => {}
        }
    }

    /// A piece of the line.
    pub(in crate::media) fn hear(&mut self, line: &[i16]) {
        if let Some(ear) = &mut self.ear {
            ear.push(line);
        }
    }

    /// The next key heard as a tone that was not told as an event.
    pub(in crate::media) fn tone(&mut self, now: Instant) -> Option<Pressed> {
        while let Some((digit, held)) = self.ear.as_mut()?.poll() {
            if self.is_new(now, digit, Way::Tone) {
                return Some(Pressed { digit, held });
            }
        }
        None
    }

    /// Whether an event tells what no tone told.
    pub(in crate::media) fn event(&mut self, now: Instant, pressed: &Pressed) -> bool {
        self.is_new(now, pressed.digit, Way::Event)
    }

    fn is_new(&mut self, now: Instant, digit: Digit, way: Way) -> bool {
        let twin = self.last.is_some_and(|last| {
            last.digit == digit && last.way != way && now.saturating_duration_since(last.at) <= SAME
        });
        // Each press has one twin at most: a second press so soon after is one of its own.
        self.last = (!twin).then_some(Last { digit, at: now, way });
        !twin
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins now
mod tests {
    use super::*;

    #[test]
    fn a_key_by_both_ways_is_told_once_and_two_presses_twice() {
        let (start, mut keys) = (Instant::now(), Keys::default());
        let five = Digit::from_char('5').expect("a key");
        let mut told = |ms, way| keys.is_new(start + Duration::from_millis(ms), five, way);
        assert_eq!([told(0, Way::Event), told(30, Way::Tone)], [true, false]);
        assert_eq!([told(150, Way::Event), told(180, Way::Tone)], [true, false]);
        assert_eq!([told(300, Way::Tone), told(700, Way::Event)], [true, false]);
        assert_eq!([told(1000, Way::Tone), told(1401, Way::Event)], [true, true]);
        assert_eq!([told(1500, Way::Event), told(1600, Way::Event)], [true, true]);
    }
}
