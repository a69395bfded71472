//! One file a command.

pub mod bot;
pub mod call;
pub mod demo;
