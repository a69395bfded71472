//! Messages of a stream: a frame of the caller out, audio of the bot in.
#![allow(clippy::disallowed_methods)] // a clock is what a benchmark is for

use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use streamkit::ids::{CallSid, Entropy, StreamSid};
use streamkit::stream::session::Input;
use streamkit::stream::{BotUrl, Config, Session, Settings, Start, message, parse};
use streamkit::units::SampleRate;

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn up(now: Instant, rate: u32) -> Session {
    let mut entropy = Entropy::seeded(1);
    let start = Start {
        stream_sid: StreamSid::fresh(&mut entropy),
        call_sid: CallSid::fresh(&mut entropy),
        account_sid: "acme1".into(),
        from: "sip:08061234509".into(),
        to: "01512340321".into(),
        custom_parameters: vec![],
        rate: SampleRate::Hz8000,
    };
    let url = BotUrl::parse(&format!("wss://bot.example.com/?sample-rate={rate}")).expect("a URL");
    let mut session =
        Session::new(Arc::new(Config::default()), start, &url, &Settings::of(&Config::default()), now);
    session.handle(now, Input::Up { connect: Duration::ZERO });
    let mut text = String::new();
    while session.poll_transmit(now, &mut text).is_some() {}
    session
}

fn said(octets: usize) -> String {
    let payload = base64_simd::STANDARD.encode_to_string((0..octets).map(|i| i as u8).collect::<Vec<_>>());
    format!(
        r#"{{"event":"media","stream_sid":"b6c581d0aa11bb22cc33dd44ee55ff66","media":{{"payload":"{payload}"}}}}"#
    )
}

/// Writing the text alone.
#[divan::bench(args = [320, 640, 960])]
fn write(bencher: Bencher<'_, '_>, octets: usize) {
    let (pcm, mut text) = (vec![7; octets], String::with_capacity(4096));
    bencher.bench_local(|| {
        text.clear();
        let sid = "b6c581d0aa11bb22cc33dd44ee55ff66";
        message::media(&mut text, black_box(4711), sid, 4700, 94_000, black_box(&pcm));
        text.len()
    });
}

/// A frame heard, queued and written by a session.
#[divan::bench(args = [8000, 16000, 24000])]
fn frame_out(bencher: Bencher<'_, '_>, rate: u32) {
    let now = Instant::now();
    let (mut session, mut text) = (up(now, rate), String::with_capacity(4096));
    let samples = vec![7; rate as usize / 50];
    bencher.bench_local(|| {
        session.handle(now, Input::Heard(black_box(&samples)));
        session.poll_transmit(now, &mut text)
    });
}

/// Reading the text alone.
#[divan::bench(args = [320, 3200, 100_000])]
fn read(bencher: Bencher<'_, '_>, octets: usize) {
    let text = said(octets);
    bencher.bench_local(|| parse::read(black_box(&text)).is_some());
}

/// Audio read, decoded and ordered by a session.
#[divan::bench(args = [320, 3200, 100_000])]
fn audio_in(bencher: Bencher<'_, '_>, octets: usize) {
    let now = Instant::now();
    let (mut session, text) = (up(now, 8000), said(octets));
    let mut taken = 0;
    bencher.bench_local(|| {
        session.taken(taken);
        session.handle(now, Input::Text(black_box(&text)));
        taken += octets as u64 / 2;
        session.poll_play()
    });
}
