//! streamkit joins telephone calls to voice bots.

pub mod flow;
pub mod ids;
pub mod media;
pub mod sdp;
pub mod sip;
pub mod stream;
pub mod telemetry;
pub mod units;
