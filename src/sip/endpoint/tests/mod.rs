//! Scenarios of one endpoint and of two, under a clock that jumps.
#![allow(clippy::disallowed_methods)] // a beginning for simulated time

mod access;
mod answering;
mod bench;
mod calling;
mod challenges;
mod dialling_targets;
mod dialogs;
mod forks;
mod pings;
mod races;
mod vectors;
mod world;
