//! Where the bot's messages begin and end on the wire (RFC 6455 §5.2), followed beside the library, which tells
//! neither fragments nor that a message has begun (reliability R-62).

/// Fragments a message may have.
pub const MAX_FRAGMENTS: u32 = 128;

/// Follows frames as octets go by.
#[derive(Clone, Debug, Default)]
pub struct Framing {
    header: [u8; 14],
    have: usize,
    /// Octets of the payload still to come.
    payload: u64,
    /// The frame ends a data message.
    last: bool,
    open: bool,
    fragments: u32,
    most: u32,
    complete: u64,
}

impl Framing {
    /// These octets came.
    pub fn feed(&mut self, mut octets: &[u8]) {
        while let Some((&first, rest)) = octets.split_first() {
            if self.payload > 0 {
                let step = self.payload.min(octets.len() as u64);
                self.payload -= step;
                octets = octets.get(step as usize..).unwrap_or_default();
                self.frame_done();
                continue;
            }
            octets = rest;
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = first;
                self.have += 1;
            }
            if self.have >= 2 && self.have == self.header_len() {
                self.begin();
            }
        }
    }

    /// Data messages that are complete, and whether another has begun.
    pub fn progress(&self) -> (u64, bool) {
        (self.complete, self.open)
    }

    /// A message came in more fragments than are borne.
    pub fn too_many_fragments(&self) -> bool {
        self.most > MAX_FRAGMENTS
    }

    fn header_len(&self) -> usize {
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.header[1] & 0x80 != 0 { 4 } else { 0 }
    }

    fn begin(&mut self) {
        let [flags, short, long @ ..] = self.header;
        self.payload = match (short & 0x7f, long) {
            (126, [a, b, ..]) => u64::from(u16::from_be_bytes([a, b])),
            (127, [a, b, c, d, e, f, g, h, ..]) => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            (length, _) => u64::from(length),
        };
        self.have = 0;
        let data = flags & 0x08 == 0;
        self.last = data && flags & 0x80 != 0;
        if data {
            self.open = true;
            self.fragments += 1;
            self.most = self.most.max(self.fragments);
        }
        self.frame_done();
    }

    fn frame_done(&mut self) {
        if self.payload == 0 && std::mem::take(&mut self.last) {
            (self.open, self.fragments) = (false, 0);
            self.complete += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(flags: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![flags];
        match length {
            0..126 => frame.push(length as u8),
            126..=0xffff => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + length, 0xff);
        frame
    }

    #[test]
    fn messages_are_counted_however_the_octets_come() {
        let wire =
            [frame(0x81, 0), frame(0x01, 300), frame(0x89, 5), frame(0x80, 70_000), frame(0x81, 3)].concat();
        for piece in [1, 2, 7, 1000, wire.len()] {
            let mut framing = Framing::default();
            wire.chunks(piece).for_each(|octets| framing.feed(octets));
            assert_eq!(framing.progress(), (3, false), "{piece}");
        }
    }

    #[test]
    fn a_message_is_open_from_its_first_header_to_its_last_octet() {
        let mut framing = Framing::default();
        let wire = frame(0x81, 10);
        framing.feed(&wire[..2]);
        assert_eq!(framing.progress(), (0, true));
        framing.feed(&wire[2..]);
        assert_eq!(framing.progress(), (1, false));
        framing.feed(&frame(0x01, 10));
        assert_eq!(framing.progress(), (1, true));
    }

    #[test]
    fn fragments_are_counted_for_each_message() {
        let mut framing = Framing::default();
        for _ in 0..3 {
            framing.feed(&frame(0x01, 1));
            (0..126).for_each(|_| framing.feed(&frame(0x00, 1)));
            framing.feed(&frame(0x80, 1));
        }
        assert!(!framing.too_many_fragments());
        framing.feed(&frame(0x01, 1));
        (0..128).for_each(|_| framing.feed(&frame(0x00, 0)));
        assert!(framing.too_many_fragments());
    }

    proptest! {
        #[test]
        fn any_octets_are_followed_without_panic(octets: Vec<u8>) {
            Framing::default().feed(&octets);
        }
    }
}
