//! streamkit joins telephone calls to voice bots.

pub mod flow;
pub mod ids;
pub mod lab;
pub mod media;
pub mod sip;
pub mod stream;
pub mod telemetry;
pub mod units;
