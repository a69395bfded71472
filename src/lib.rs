//! streamkit joins telephone calls to voice bots.

pub mod call;
pub mod config;
pub mod flow;
pub mod ids;
pub mod media;
pub mod route;
pub mod sip;
pub mod stream;
pub mod telemetry;
pub mod units;
