//! Scenarios of one endpoint and of two, under a clock that jumps.

mod access;
mod answering;
mod bench;
mod calling;
mod dialogs;
mod races;
mod world;
