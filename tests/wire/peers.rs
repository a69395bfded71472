//! The daemon among programs that are not ours: sipp on either side, baresip, Kamailio with rtpengine, pipecat.
//!
//! Tests run beside one another, each with a daemon and ports of its own; that nothing is left in descriptors
//! and threads is looked at where one test runs at a time (`main.rs`).

#![allow(clippy::disallowed_methods)] // real sockets, real time

mod a_minute;
mod answers;
mod baresip;
mod digest;
mod ear;
mod examples;
mod kamailio;
#[allow(dead_code)] // each of the two binaries uses its part
mod kit;
mod pipecat;
mod ports;
mod programs;
#[allow(dead_code)]
mod raw;
mod scenes;
#[allow(dead_code)]
mod sipp;
