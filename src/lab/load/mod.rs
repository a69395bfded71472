//! Bounded load from this machine: many calls at once, placed at a rate, each with real RTP both ways.
//!
//! ```text
//!   desk (one task) ── Dial, Hangup ──► sip::io::drive ◄──► UDP, TCP, TLS
//!     │  ▲                                 │ every message ──► times: INVITE to 200
//!     │  └──────────── Event ──────────────┘
//!     └── Open, Turn, Close ──► pacer (one thread) ◄──► an RTP socket a call
//!                                  └── sums: loss, jitter, lateness of all calls
//! ```
//!
//! The pacer keeps a wheel of milliseconds: one wake serves every call that is due, and nothing is allocated a packet.
//! Packets carry the kernel's time of arrival, so that looking late does not make them late.

pub mod bot;
mod desk;
mod ear;
mod line;
mod pacer;
pub mod report;
mod spread;
mod times;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

pub use report::{Report, Sums};
pub use spread::Spread;

use super::caller::dial::{check_headers, facing};
use super::caller::{self, DialError, wire};
use super::sound::Sound;
use crate::ids::Entropy;
use crate::sip::io::{Tls, drive};
use crate::sip::{Credentials, Transport};
use desk::Desk;
use pacer::Pacer;
use times::Times;

/// Events that may wait for the desk; what has no room is lost, and the call it was about ends by its deadline.
const EVENTS: usize = 16_384;

/// What load is asked for.
#[derive(Clone, Debug)]
pub struct Config {
    /// Request-URI and To of every call.
    pub uri: String,
    /// Where it is sent.
    pub to: SocketAddr,
    /// How.
    pub transport: Transport,
    /// From; absent: `sip:load@` and our address.
    pub from: Option<String>,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// For a challenge (digest).
    pub credentials: Option<Credentials>,
    /// With what TLS connections are made.
    pub tls: Option<Tls>,
    /// Names one of which the server's certificate has to be for, besides its address.
    pub tls_names: Vec<String>,
    /// Encrypted media, or no call.
    pub srtp: bool,
    /// Calls at once.
    pub calls: u32,
    /// Calls placed a second.
    pub rate: f64,
    /// From the last call that is up to the end; with `each`, all of it.
    pub long: Duration,
    /// Each call lasts so long, drawn between these two, and the next takes its place.
    pub each: Option<(Duration, Duration)>,
    /// What every caller says, over and over, each from a place of its own.
    pub sound: Sound,
}

/// Places the calls, speaks, listens, hangs up. Ends early, and properly, when `stop` becomes true.
///
/// # Errors
/// What is wrong with the header fields, or what the system says of the sockets.
pub async fn run(config: Config, stop: &AtomicBool) -> Result<Report, DialError> {
    check_headers(&config.headers)?;
    let ip = facing(IpAddr::from([0, 0, 0, 0]), config.to)?;
    let own = caller::Config {
        bind: ip,
        keep_messages: false,
        tls: config.tls.clone(),
        tls_names: config.tls_names.clone(),
        ..caller::Config::default()
    };
    let mut entropy = Entropy::from_os();
    let (sockets, port) = wire::sockets(&own)?;
    let (commands, commanded) = mpsc::channel(EVENTS);
    let (tell, events) = mpsc::channel(EVENTS);
    let endpoint = wire::endpoint(&own, entropy.fork());
    let times = Arc::new(Times::default());
    let trace = Some(times.trace());
    let told = move |event| drop(tell.try_send(event));
    let wire = tokio::spawn(async move { drive(endpoint, sockets, commanded, told, trace).await });
    let pacer = Pacer::start(&config.sound)?;
    let began = Instant::now();
    let desk = Desk::new(&config, SocketAddr::new(ip, port), commands, pacer, entropy);
    let (tally, sums) = desk.attend(events, stop).await;
    wire.abort();
    let took = began.elapsed();
    Ok(Report::new(&config, tally, times.taken(), sums, took))
}
