//! streamkit joins telephone calls to voice bots: SIP and RTP on one side, a WebSocket on the other, a call flow
//! between.
//!
//! ```text
//!      main · cli          daemon  start order, signals, drain: knows everyone, decides no call
//!  ┌────────────────────────────────────────────────────────────────────────────────────┐
//!  │ config   what was written → what is meant      │   api   health · metrics          │  edge
//!  ├────────────────────────────────────────────────┴───────────────────────────────────┤
//!  │ call   legs · ports · wiring · verbs · admission · switchboard · cdr               │  orchestration
//!  ├──────────────────────────────── Fact ▼  Verb ▲ ────────────────────────────────────┤
//!  │ flow   program · cursor · applets               route   number → account, target   │  decisions
//!  ├────────────────┬────────────────┬────────────────┬─────────────────────────────────┤
//!  │ sip            │ media          │ stream         │ notify                          │  capabilities
//!  │ signalling     │ ports, links   │ the voice bot  │ call records                    │
//!  ├────────────────┼────────────────┴────────────────┴─────────────────────────────────┤
//!  │ sdp            │ rtp              audio                                            │  formats
//!  ├────────────────┴───────────────────────────────────────────────────────────────────┤
//!  │ units            ids            telemetry            tls                           │  words
//!  └────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Imports point down only; `tests/layers.rs` keeps it so. Begin with `call` and `call::wiring`, then a scenario of
//! `tests/calls/`, then the front door of the folder the work is in. `docs/architecture.md` tells the rest.

pub mod api;
pub mod audio;
pub mod call;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod egress;
pub mod fetch;
pub mod flow;
pub mod ids;
pub mod lab;
pub mod media;
pub mod notify;
pub mod prompt;
pub mod route;
pub mod rtp;
pub mod sdp;
pub mod sip;
pub mod stream;
pub mod telemetry;
pub mod tls;
pub mod units;
