//! Where packets wait for those before them: a window of numbers over blocks of 80 octets.
//!
//! A packet takes several blocks in a row, so what it carries stays in one piece. Nothing waits for longer than the
//! longest wait and as far ahead of the clock as the line may be: there is room for that in packets of 10 ms and
//! longer, and no more: 52 blocks of 10 ms, in 4 KiB, at the default of 200 ms. A quiet network needs a few of them, so a
//! call begins with 16; the others are taken, once, when a packet finds no room.

use std::time::Duration;

use super::Discard;

const BLOCK: usize = 80;
const BLOCK_MS: u128 = 10;
/// At the beginning, of blocks and of numbers.
const FIRST: usize = 16;
/// Beyond the longest wait: what the line may be ahead, and a packet of 160 ms.
const BEYOND_MS: u128 = 320;
/// As many as `free` has bits: 1.28 s.
const MOST_BLOCKS: u128 = 128;
/// Numbers that may wait at once: of packets of 5 ms, as long as the default wait and what goes beyond.
const WINDOW: usize = 64;
/// The same when more may wait.
const LONG_WINDOW: usize = 128;

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
    /// A power of two.
    slots: Box<[Slot]>,
    /// Numbers that may wait.
    window: usize,
    octets: Vec<u8>,
    /// Blocks there may be.
    blocks: usize,
    /// A bit for each block that is free.
    free: u128,
    /// The first number not yet delivered or given up. The first of all leaves room for numbers before it.
    next: u64,
    /// The number after the highest that came, and never below `next`.
    end: u64,
}

impl Store {
    /// Room for what waits `max` at most.
    pub(super) fn new(max: Duration) -> Self {
        let blocks = (max.as_millis() + BEYOND_MS).div_ceil(BLOCK_MS).min(MOST_BLOCKS) as usize;
        let window = if blocks > WINDOW { LONG_WINDOW } else { WINDOW };
        Self {
            slots: [Slot::Empty; FIRST].into(),
            window,
            octets: vec![0; BLOCK * FIRST.min(blocks)],
            blocks,
            free: first(FIRST.min(blocks)),
            next: 2 * window as u64,
            end: 2 * window as u64,
        }
    }

    /// Numbers that may wait at once.
    pub(super) fn window(&self) -> u64 {
        self.window as u64
    }

    /// The first number not yet delivered or given up.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// What stands at that number.
    pub(super) fn head(&self) -> Slot {
        self.slots[self.place(self.next)]
    }

    /// Whether nothing has come beyond the head.
    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.end
    }

    /// What has come beyond a head that has not.
    pub(super) fn ahead(&self) -> Ahead {
        let mut ahead = Ahead::default();
        for number in self.next..self.end {
            match self.slots[self.place(number)] {
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

    /// The audio that begins at this place of the line.
    pub(super) fn at_place(&self, line: u64) -> Option<Audio> {
        (self.next..self.end).find_map(|number| match self.slots[self.place(number)] {
            Slot::Audio(audio) if audio.place == line => Some(audio),
            Slot::Audio(_) | Slot::Empty | Slot::Void | Slot::Quiet => None,
        })
    }

    /// Place of the first sample after all that waits, 0 when nothing does.
    pub(super) fn last_end(&self) -> u64 {
        let ends = (self.next..self.end).map(|number| match self.slots[self.place(number)] {
            Slot::Audio(audio) => audio.end(),
            Slot::Empty | Slot::Void | Slot::Quiet => 0,
        });
        ends.max().unwrap_or(0)
    }

    /// Passes over the numbers before `number`, forgetting what waits there; how much audio that was.
    pub(super) fn pass_to(&mut self, number: u64) -> u64 {
        let mut forgotten = 0;
        for passed in self.next..number.min(self.end) {
            let at = self.place(passed);
            let slot = std::mem::take(&mut self.slots[at]);
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

    /// The samples of audio that waits.
    pub(super) fn octets(&self, audio: Audio) -> &[u8] {
        let from = usize::from(audio.block) * BLOCK;
        self.octets.get(from..from + usize::from(audio.samples)).unwrap_or(&[])
    }

    /// The joint of the head is told.
    pub(super) fn joined(&mut self) {
        let at = self.place(self.next);
        if let Slot::Audio(audio) = &mut self.slots[at] {
            audio.joint = false;
        }
    }

    /// Notes that a number came that brings no samples.
    pub(super) fn note(&mut self, number: u64, slot: Slot) {
        if (self.next..self.next + self.window()).contains(&number) {
            self.widen(number);
            let at = self.place(number);
            self.slots[at] = slot;
            self.end = self.end.max(number + 1);
        }
    }

    /// Keeps the samples of a number inside the window (`make_room`).
    pub(super) fn keep(&mut self, number: u64, at: u64, joint: bool, payload: &[u8]) -> Result<(), Discard> {
        if number < self.next {
            return Err(Discard::Late);
        }
        if number >= self.next + self.window() {
            return Err(Discard::Early);
        }
        self.widen(number);
        let index = self.place(number);
        if !matches!(self.slots[index], Slot::Empty) {
            return Err(Discard::Duplicate);
        }
        let block = match room(self.free, payload.len()) {
            Some(block) => block,
            None => self.grow().and_then(|()| room(self.free, payload.len())).ok_or(Discard::Early)?,
        };
        let slot = &mut self.slots[index];
        self.free &= !(blocks(payload.len()) << block);
        let from = usize::from(block) * BLOCK;
        self.octets[from..from + payload.len()].copy_from_slice(payload);
        self.end = self.end.max(number + 1);
        *slot = Slot::Audio(Audio { place: at, samples: payload.len() as u16, joint, block });
        Ok(())
    }

    /// Moves the window so that it holds `number`; how much audio that cost.
    pub(super) fn make_room(&mut self, number: u64) -> u64 {
        if number < self.next + self.window() { 0 } else { self.pass_to(number) }
    }

    /// Has a place for a number inside the window.
    fn widen(&mut self, number: u64) {
        if number < self.next + self.slots.len() as u64 {
            return;
        }
        let narrow = std::mem::replace(&mut self.slots, vec![Slot::Empty; self.window].into());
        for number in self.next..self.end {
            self.slots[self.place(number)] = narrow[number as usize & (narrow.len() - 1)];
        }
    }

    /// Takes all the room there may be; nothing: it is taken already.
    fn grow(&mut self) -> Option<()> {
        let there = self.octets.len() / BLOCK;
        if there == self.blocks {
            return None;
        }
        self.octets.resize(BLOCK * self.blocks, 0);
        self.free |= first(self.blocks) & !first(there);
        Some(())
    }

    fn place(&self, number: u64) -> usize {
        number as usize & (self.slots.len() - 1)
    }
}

/// So many low bits, 1 to 128.
fn first(blocks: usize) -> u128 {
    u128::MAX >> (MOST_BLOCKS as usize - blocks)
}

/// As many low bits as blocks are needed for so many octets, 1 to 20.
fn blocks(octets: usize) -> u128 {
    (1 << octets.div_ceil(BLOCK).max(1)) - 1
}

/// The first of so many free blocks in a row.
fn room(free: u128, octets: usize) -> Option<u8> {
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
        let mut store = Store::new(Duration::from_secs(1));
        store.grow().expect("it begins small");
        let all = store.free;
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
        assert_eq!(store.free, all);
    }

    #[test]
    fn a_full_store_refuses_and_stays_right() {
        let mut store = Store::new(Duration::from_millis(200));
        let (from, all) = (store.next(), first(store.blocks));
        let full = (0..).find(|&i| store.keep(from + i, 0, false, &[7; 1600]).is_err());
        assert_eq!(full, Some(2));
        assert_eq!(store.pass_to(from + 2), 2);
        assert_eq!(store.free, all);
    }

    #[test]
    fn there_is_room_for_the_longest_wait_and_no_more_memory() {
        for (max, window, octets) in [(20, 64, 2720), (200, 64, 4160), (400, 128, 5760), (1000, 128, 10_240)]
        {
            let mut store = Store::new(Duration::from_millis(max));
            assert_eq!(store.octets.len(), FIRST * BLOCK, "{max} ms");
            assert!(store.grow().is_some() && store.grow().is_none());
            assert_eq!((store.window(), store.octets.len()), (window, octets), "{max} ms");
        }
        let all = size_of::<crate::rtp::JitterBuffer>() + 64 * size_of::<Slot>() + 4160;
        assert!(all <= 6 * 1024, "{all} octets a call");
    }

    #[test]
    fn blocks_in_a_row_are_found_between_taken_ones() {
        assert_eq!(room(0b0111_0110, 240), Some(4));
        assert_eq!(room(0b0111_0110, 160), Some(1));
        assert_eq!(room(1 << 127, 81), None);
        assert_eq!(room(1 << 127, 80), Some(127));
    }
}
