//! A case: its name, why it exists, who does it, and how it is played.

use std::pin::Pin;

use super::ground::Over;
use super::pbx::Pbx;
use super::stage::{Played, Stage};

/// One quirk, played and judged.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The RFC or the vendor that makes it necessary, in one line.
    pub why: &'static str,
    /// Who does it.
    pub does: &'static [Pbx],
    /// What it must travel over.
    pub over: Over,
    pub(super) play: Play,
}

/// How a case is played.
pub(super) type Play = for<'a> fn(&'a mut Stage) -> Playing<'a>;

/// A case that is being played.
pub(super) type Playing<'a> = Pin<Box<dyn Future<Output = Played> + Send + 'a>>;

impl Case {
    /// Its name as it is printed: words joined by hyphens.
    pub fn title(&self) -> String {
        self.name.replace('_', "-")
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Writes a case down.
macro_rules! case {
    ($play:ident, $over:ident, [$($pbx:ident),+], $why:literal) => {
        $crate::lab::quirk::case::Case {
            name: stringify!($play),
            why: $why,
            does: &[$($crate::lab::quirk::Pbx::$pbx),+],
            over: $crate::lab::quirk::Over::$over,
            play: |stage| Box::pin($play(stage)),
        }
    };
}
pub(super) use case;
