//! A telephone world of our own: what `demo`, `call`, `bot`, `load` and the wire tests are made of.
//!
//! ```text
//!   caller ──── SIP, RTP ────► [path] ────► streamkit ────► bot
//!     │                                        ▲             │
//!     └── what it heard ──► ear ◄── what it heard ───────────┘
//!                            └──► report, beside the ladder
//! ```
//!
//! - [`caller`] dials, speaks, presses keys and keeps what it heard with the times it came.
//! - [`bot`] is a voice bot that plays a script, keeps what it heard and finds fault with the order of things.
//! - [`path`] is a stretch of network that loses, delays, repeats and reorders as its seed says.
//! - [`ear`] judges what was heard against what was said.
//! - [`load`] places many calls, speaks in all of them from one thread, and counts what comes back.
//! - [`ladder`] is what happened, in order; [`report`] is the page that shows it.
//! - [`quirk`] plays what each make of PBX really does, and judges what it gets.
//! - [`check_bot`] plays the platform against a bot and says what it does wrong, or slowly.
//! - [`scene`] is a call worth showing; [`verdict`] says whether it was as it should be.
//!
//! Everything here owns sockets, tasks and clocks: it stands outside the product and looks at it as a
//! stranger would. It reads the bot's protocol with its own eyes (`bot::message`), not with the product's.

// The laboratory is the world around the product: its clock is the real one.
#![allow(clippy::disallowed_methods)]

pub mod bot;
pub mod caller;
pub mod check_bot;
pub mod ear;
pub mod ladder;
pub mod load;
pub mod path;
pub mod quirk;
pub mod report;
pub mod scene;
pub mod sound;
pub mod speech;
pub mod verdict;
