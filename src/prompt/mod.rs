//! What a caller may hear besides people and bots: audio of files, made playable. The front door.
//!
//! What it deliberately does not know: files, calls, who hears it.

mod wav;

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

pub use wav::WavFault;

use crate::units::SampleRate;

/// Octets of a file at most (control-apis.md section 11).
pub const MAX_FILE: u64 = 5_000_000;

/// Audio at 8000 Hz, shared by all who play it.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt(Arc<[i16]>);

impl Prompt {
    /// A WAV file as telephones have them: 8000 Hz, one channel, 16-bit PCM or G.711.
    ///
    /// # Errors
    /// What of that it is not, or that nothing is in it.
    pub fn from_wav(file: &[u8]) -> Result<Self, WavFault> {
        wav::read(file).map(|samples| Self(samples.into()))
    }

    /// What is played.
    pub fn samples(&self) -> Arc<[i16]> {
        Arc::clone(&self.0)
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        SampleRate::Hz8000.duration(self.0.len() as u64)
    }
}

/// Its length and what tells it from others, not its samples.
impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        write!(f, "Prompt({:?}, {:016x})", self.length(), hasher.finish())
    }
}

impl From<Vec<i16>> for Prompt {
    fn from(samples: Vec<i16>) -> Self {
        Self(samples.into())
    }
}
