//! What things are called, and where chance comes from. Identifiers that leave the process are 128
//! random bits (reliability R-82); those that stay in it are small numbers.

use std::fmt;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Chance: the operating system's in the daemon, a seed's in a test.
#[derive(Debug)]
pub struct Entropy(StdRng);

impl Entropy {
    /// Seeded by the operating system; a cryptographic generator.
    ///
    /// # Panics
    /// When the system has no random source: nothing unguessable could be named then.
    pub fn from_os() -> Self {
        Self(StdRng::try_from_rng(&mut rand::rngs::SysRng).expect("the operating system has a random source"))
    }

    /// The same numbers each time.
    pub fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A generator of its own, split off this one.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32]; // all of it: keys of SRTP are drawn from forks
        self.fill(&mut seed);
        Self(StdRng::from_seed(seed))
    }

    /// As many random octets as there is room for.
    pub fn fill(&mut self, octets: &mut [u8]) {
        self.0.fill_bytes(octets);
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.u32()) * u64::from(bound)) >> 32) as u32
    }

    /// 128 random bits as 32 lower-case hexadecimal characters.
    pub fn token(&mut self) -> String {
        Hex128(self.bits()).to_string()
    }

    /// What `Seed::wake` makes a generator of its own of.
    pub fn seed(&mut self) -> Seed {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        Seed(seed)
    }

    fn bits(&mut self) -> u128 {
        u128::from(self.u64()) << 64 | u128::from(self.u64())
    }
}

/// Chance kept for those who seldom need some: a tenth of what a generator takes.
pub struct Seed([u8; 32]);

impl Seed {
    /// A generator; what it begins with is the next seed, so no two are the same.
    pub fn wake(&mut self) -> Entropy {
        let mut entropy = Entropy(StdRng::from_seed(self.0));
        entropy.fill(&mut self.0);
        entropy
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Hex128(u128);

impl fmt::Display for Hex128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Hex128);

        impl $name {
            /// A new one.
            pub fn fresh(entropy: &mut Entropy) -> Self {
                Self(Hex128(entropy.bits()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotASid;
            fn from_str(text: &str) -> Result<Self, NotASid> {
                let ours = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                match u128::from_str_radix(text, 16) {
                    Ok(bits) if ours => Ok(Self(Hex128(bits))),
                    _ => Err(NotASid),
                }
            }
        }
    };
}

/// The text is not 32 lower-case hexadecimal characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of 32 lower-case hexadecimal characters")]
pub struct NotASid;

sid! {
    /// One call, as the world outside knows it.
    CallSid
}
sid! {
    /// One stream to a bot, allotted when its first attempt begins and never reused.
    StreamSid
}

/// One call inside the process: what its ports and its mailbox are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub u64);

/// Our side of one signalling relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub u64);

/// One end of audio of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    /// The call it belongs to: all ports of a call are on one media core.
    pub call: CallKey,
    /// Which of the call's ports.
    pub index: u8,
}

/// A configured trunk: its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrunkId(pub u16);

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.call, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_is_printed_and_read_as_32_characters() {
        let sid = CallSid::fresh(&mut Entropy::seeded(1));
        assert_eq!(sid.to_string().len(), 32);
        assert_eq!(sid.to_string().parse(), Ok(sid));
        assert_eq!(sid.to_string().to_uppercase().parse::<CallSid>(), Err(NotASid));
        assert_eq!("+1".parse::<CallSid>(), Err(NotASid));
    }

    #[test]
    fn a_seed_wakes_to_other_chance_each_time_and_to_the_same_for_the_same_beginning() {
        let draw = |seed: &mut Seed| seed.wake().u64();
        let (mut one, mut same) = (Entropy::seeded(3).seed(), Entropy::seeded(3).seed());
        let drawn: Vec<u64> = (0..4).map(|_| draw(&mut one)).collect();
        assert!((0..4).all(|at| drawn[at] == draw(&mut same) && !drawn[..at].contains(&drawn[at])));
    }

    #[test]
    fn chance_below_a_bound_stays_below() {
        let mut entropy = Entropy::seeded(2);
        assert!((0..1000).all(|_| entropy.below(5) < 5));
    }
}
