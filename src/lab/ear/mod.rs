//! Judges what was heard: against what was said (`compare`), by its own level (`level`), and as a
//! listener would rate the line (`mos`).

mod compare;
mod level;

pub use compare::{Judgement, Segment, compare, gaps};
pub use level::{dbfs, extremes, levels, silence_after, silences, tone};

pub use crate::audio::mos::{Line, mos};
