//! Samples: what a codec makes of octets, and what is done with them. Pure; every buffer is the caller's.
//!
//! A frame goes `codec::decode` → `conceal::Concealer` → `resample::Resampler` on its way in, and the other
//! way round, without concealment, on its way out. `wav` and `tone` make audio where none was called in; `voice` says
//! whether somebody speaks.
//!
//! What it deliberately does not know: packets, sockets, clocks.

pub mod codec;
pub mod conceal;
pub mod g711;
pub mod level;
pub mod mos;
pub mod resample;
pub mod tone;
pub mod tone_detect;
pub mod tone_mute;
pub mod voice;
pub mod wav;

pub use codec::G711;
pub use conceal::Concealer;
pub use resample::Resampler;
pub use tone_mute::ToneMute;
pub use voice::Voice;
