//! The rig: what streamkit is measured with.
//!
//! ```text
//!   sipload ── SIP, RTP ──► floor or streamkit ── wss ──► echobot
//!      ▲                          ▲                          ▲
//!      └─────── started, stopped and read by capacity, soak ─┘
//! ```
//!
//! - `floor` does only what a SIP/RTP <-> WebSocket edge cannot leave out: the yardstick.
//! - `sipload` places calls with paced RTP and measures; `echobot` is a bot as cheap as it can be made.
//! - `capacity` runs them in turn and judges; `soak` keeps calls coming and going and watches what stays.
//!
//! Everything is bound to 127.0.0.1. One thread a program, and system calls by hand: what measures must cost less
//! than what is measured.

pub mod args;
pub mod field;
pub mod g711;
pub mod histogram;
pub mod machine;
pub mod net;
pub mod process;
pub mod programs;
pub mod stamp;
pub mod ws;
