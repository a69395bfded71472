//! On the wire: the daemon on real sockets, called by sipp and by callers of our own, with a bot on `wss://`.
//!
//! One test at a time, each on a runtime of its own: what a test leaves open is found when it ends.

#![allow(clippy::disallowed_methods)] // real sockets, real time

mod audio;
mod binary;
mod caller;
mod drain;
mod dynamic;
#[allow(dead_code)]
mod kit;
mod line;
mod load;
mod many;
mod pbx;
#[allow(dead_code)] // each of the two binaries uses its part
mod ports;
#[allow(dead_code)]
mod programs;
mod raw;
mod refusals;
mod reload;
mod selftest;
#[allow(dead_code)]
mod sipp;
mod vectors;
