//! Scenarios of one endpoint and of two, under a clock that jumps.
#![allow(clippy::disallowed_methods)] // a beginning for simulated time

mod access;
mod answering;
mod bench;
mod calling;
mod challenges;
mod changes;
mod courses;
mod dialling_targets;
mod dialogs;
mod forks;
mod noise;
mod ours;
mod oversize;
mod pings;
mod races;
mod reliable;
mod reloading;
mod sessions;
mod vectors;
mod world;
