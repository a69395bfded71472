//! Where packets wait for those before them: a window of 128 numbers over 64 blocks of 160 octets.
//!
//! 64 blocks are 1.28 s of 20 ms packets in 10 KiB; a longer packet takes several blocks in a row, so what
//! it carries stays in one piece. Allocated once, when the call begins.

use super::Discard;

/// Numbers that may wait at once.
pub(super) const WINDOW: u64 = 128;

const BLOCK: usize = 160;
const BLOCKS: usize = 64;

/// What is known of one number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Slot {
    /// It has not come.
    #[default]
    Empty,
    /// It came and brings neither samples nor news.
    Void,
    /// It came: from here on there is silence.
    Quiet,
    /// It waits.
    Audio(Audio),
}

/// Samples that wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audio {
    /// Place of the first sample in the line.
    pub(super) place: u64,
    /// Samples.
    pub(super) samples: u16,
    /// The clock's correction stands before it: what is between it and the line is to be concealed.
    pub(super) joint: bool,
    block: u8,
}

impl Audio {
    /// Place of the first sample after it.
    pub(super) fn end(&self) -> u64 {
        self.place + u64::from(self.samples)
    }
}

/// What has come beyond a head that has not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// The first audio.
    pub(super) audio: Option<(u64, Audio)>,
    /// The first announced silence before it.
    pub(super) quiet: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Store {
    slots: Box<[Slot; WINDOW as usize]>,
    octets: Box<[u8; BLOCK * BLOCKS]>,
    /// A bit for each block that is free.
    free: u64,
    /// The first number not yet delivered or given up. The first of all leaves room for numbers before it.
    next: u64,
    /// The number after the highest that came, and never below `next`.
    end: u64,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            slots: Box::new([Slot::Empty; WINDOW as usize]),
            octets: Box::new([0; BLOCK * BLOCKS]),
            free: u64::MAX,
            next: 2 * WINDOW,
            end: 2 * WINDOW,
        }
    }

    /// The first number not yet delivered or given up.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// What stands at that number.
    pub(super) fn head(&self) -> Slot {
        self.slots[place(self.next)]
    }

    /// Whether nothing has come beyond the head.
    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.end
    }

    /// What has come beyond a head that has not.
    pub(super) fn ahead(&self) -> Ahead {
        let mut ahead = Ahead::default();
        for number in self.next..self.end {
            match self.slots[place(number)] {
                Slot::Empty | Slot::Void => {}
                Slot::Quiet => ahead.quiet = ahead.quiet.or(Some(number)),
                Slot::Audio(audio) => {
                    ahead.audio = Some((number, audio));
                    break;
                }
            }
        }
        ahead
    }

    /// Place of the first sample after all that waits, 0 when nothing does.
    pub(super) fn last_end(&self) -> u64 {
        let ends = (self.next..self.end).map(|number| match self.slots[place(number)] {
            Slot::Audio(audio) => audio.end(),
            Slot::Empty | Slot::Void | Slot::Quiet => 0,
        });
        ends.max().unwrap_or(0)
    }

    /// Passes over the numbers before `number`, forgetting what waits there; how much audio that was.
    pub(super) fn pass_to(&mut self, number: u64) -> u64 {
        let mut forgotten = 0;
        for passed in self.next..number.min(self.end) {
            let slot = std::mem::take(&mut self.slots[place(passed)]);
            if let Slot::Audio(audio) = slot {
                self.free |= blocks(audio.samples.into()) << audio.block;
                forgotten += 1;
            }
        }
        self.next = self.next.max(number);
        self.end = self.end.max(self.next);
        forgotten
    }

    /// The samples at the head from `cut` on; the head moves on.
    pub(super) fn take(&mut self, audio: Audio, cut: usize) -> &[u8] {
        self.pass_to(self.next + 1);
        let from = usize::from(audio.block) * BLOCK;
        self.octets.get(from + cut..from + usize::from(audio.samples)).unwrap_or(&[])
    }

    /// The joint of the head is told.
    pub(super) fn joined(&mut self) {
        if let Slot::Audio(audio) = &mut self.slots[place(self.next)] {
            audio.joint = false;
        }
    }

    /// Notes that a number came that brings no samples.
    pub(super) fn note(&mut self, number: u64, slot: Slot) {
        if (self.next..self.next + WINDOW).contains(&number) {
            self.slots[place(number)] = slot;
            self.end = self.end.max(number + 1);
        }
    }

    /// Keeps the samples of a number inside the window (`make_room`).
    pub(super) fn keep(&mut self, number: u64, at: u64, joint: bool, payload: &[u8]) -> Result<(), Discard> {
        if number < self.next {
            return Err(Discard::Late);
        }
        if number >= self.next + WINDOW {
            return Err(Discard::Early);
        }
        let slot = &mut self.slots[place(number)];
        if !matches!(slot, Slot::Empty) {
            return Err(Discard::Duplicate);
        }
        let block = room(self.free, payload.len()).ok_or(Discard::Early)?;
        self.free &= !(blocks(payload.len()) << block);
        let from = usize::from(block) * BLOCK;
        self.octets[from..from + payload.len()].copy_from_slice(payload);
        self.end = self.end.max(number + 1);
        *slot = Slot::Audio(Audio { place: at, samples: payload.len() as u16, joint, block });
        Ok(())
    }

    /// Moves the window so that it holds `number`; how much audio that cost.
    pub(super) fn make_room(&mut self, number: u64) -> u64 {
        if number < self.next + WINDOW { 0 } else { self.pass_to(number) }
    }
}

fn place(number: u64) -> usize {
    (number % WINDOW) as usize
}

/// As many low bits as blocks are needed for so many octets, 1 to 10.
fn blocks(octets: usize) -> u64 {
    (1 << octets.div_ceil(BLOCK).max(1)) - 1
}

/// The first of so many free blocks in a row.
fn room(free: u64, octets: usize) -> Option<u8> {
    let mut rows = free;
    for _ in 1..octets.div_ceil(BLOCK).max(1) {
        rows &= rows >> 1;
    }
    (rows != 0).then(|| rows.trailing_zeros() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_packets_lie_in_one_piece_and_give_all_back() {
        let mut store = Store::new();
        for round in 0..50_u64 {
            let mut kept = Vec::new();
            for i in 0..6 {
                let payload = vec![(round * 6 + i) as u8; [1600, 80, 160, 161, 1599, 1][i as usize]];
                store.keep(store.next() + i, 0, false, &payload).unwrap();
                kept.push(payload);
            }
            for payload in kept {
                let Slot::Audio(audio) = store.head() else { panic!("kept") };
                assert_eq!(store.take(audio, 0), &payload[..]);
            }
        }
        assert_eq!(store.free, u64::MAX);
    }

    #[test]
    fn a_full_store_refuses_and_stays_right() {
        let mut store = Store::new();
        let first = store.next();
        let full = (0..).find(|&i| store.keep(first + i, 0, false, &[7; 1600]).is_err());
        assert_eq!(full, Some(6));
        assert_eq!(store.pass_to(first + 6), 6);
        assert_eq!(store.free, u64::MAX);
    }

    #[test]
    fn blocks_in_a_row_are_found_between_taken_ones() {
        assert_eq!(room(0b0111_0110, 480), Some(4));
        assert_eq!(room(0b0111_0110, 320), Some(1));
        assert_eq!(room(1 << 63, 161), None);
        assert_eq!(room(1 << 63, 160), Some(63));
    }
}
