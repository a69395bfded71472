//! streamkit joins telephone calls to voice bots.

pub mod audio;
pub mod flow;
pub mod ids;
pub mod media;
pub mod rtp;
pub mod sip;
pub mod stream;
pub mod telemetry;
pub mod units;
