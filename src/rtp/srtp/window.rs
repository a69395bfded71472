//! Which packets have come: the 48-bit index of a packet and the replay list (RFC 3711 §3.3.1, §3.3.2).

/// Indices behind the highest of which we know whether they came; 64 is the least (§3.3.2).
const WIDTH: u64 = 128;

/// The highest index that was authentic, and those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    highest: u64,
    /// A bit for each index from the highest down: it came.
    seen: u128,
}

impl Window {
    /// Begins with an authentic packet.
    pub(super) fn begin(index: u64) -> Self {
        Self { highest: index, seen: 1 }
    }

    /// The highest index.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// The index nearest to the highest whose low 16 bits are `seq`; none lies before the first turn.
    pub(super) fn index(&self, seq: u16) -> u64 {
        let step = i64::from(seq.wrapping_sub(self.highest as u16) as i16);
        // Half a turn is as far ahead as behind; the pseudo-code of appendix A calls it behind, unless nothing is there.
        let index = self.highest.checked_add_signed(step);
        index.unwrap_or(u64::from(seq))
    }

    /// The lowest index above the highest whose low 16 bits are `seq`.
    pub(super) fn next(&self, seq: u16) -> u64 {
        let ahead = seq.wrapping_sub(self.highest as u16);
        self.highest + if ahead == 0 { 0x1_0000 } else { u64::from(ahead) }
    }

    /// Whether a packet of this index has come, or is too old to say.
    pub(super) fn knows(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            Some(behind) => behind >= WIDTH || self.seen >> behind & 1 == 1,
            None => false,
        }
    }

    /// A packet of this index was authentic.
    pub(super) fn add(&mut self, index: u64) {
        if let Some(ahead) = index.checked_sub(self.highest).filter(|&ahead| ahead > 0) {
            self.seen = if ahead < WIDTH { self.seen << ahead } else { 0 };
            self.highest = index;
        }
        let behind = self.highest - index;
        if behind < WIDTH {
            self.seen |= 1 << behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_index_follows_the_turn_of_the_counter_both_ways() {
        let mut window = Window::begin(0xFFFE);
        assert_eq!(window.index(1), 0x1_0001);
        window.add(0x1_0001);
        assert_eq!((window.index(0xFFFF), window.index(2)), (0xFFFF, 0x1_0002));
        assert!(window.knows(0xFFFE) && !window.knows(0xFFFF) && !window.knows(0x1_0002));
        assert_eq!(Window::begin(3).index(0xFFFF), 0xFFFF, "before the first turn is nothing");
    }

    #[test]
    fn what_is_older_than_the_window_counts_as_known() {
        let mut window = Window::begin(1000);
        window.add(1000 + 127);
        assert!(window.knows(1000) && !window.knows(1001) && window.knows(999));
        window.add(1_000_000);
        assert!(window.knows(1001) && !window.knows(999_999));
    }

    proptest! {
        /// Any order within the window: each packet once.
        #[test]
        fn each_packet_is_new_once(
            start in prop_oneof![0..300_u64, 0xFF00..0x1_0100_u64, Just(0xFFFF_FF00)],
            steps in proptest::collection::vec((0..40_u64, 0..100_u64), 1..400)
        ) {
            let mut window = Window::begin(start + 100);
            let mut came = HashSet::from([start + 100]);
            let mut front = start + 100;
            for (ahead, behind) in steps {
                front += ahead;
                let index = front.saturating_sub(behind).max(start);
                if index + WIDTH <= window.highest() {
                    continue;
                }
                prop_assert_eq!(window.index(index as u16), index);
                prop_assert_eq!(window.knows(index), !came.insert(index));
                window.add(index);
            }
        }
    }
}
