//! Scenarios of one endpoint and of two, under a clock that jumps.
#![allow(clippy::disallowed_methods)] // a beginning for simulated time

mod access;
mod answering;
mod bench;
mod calling;
mod changes;
mod courses;
mod dialogs;
mod noise;
mod ours;
mod races;
mod reliable;
mod sessions;
mod vectors;
mod world;
