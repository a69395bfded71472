//! Whatever a bot sends: lines of arbitrary text go into a session that is up, its octets past the framing and the
//! answer to the upgrade. The session must end in one outcome, and every mark it took must have come back.
#![no_main]
#![allow(clippy::disallowed_methods)] // any beginning will do: the clock jumps

use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use streamkit::ids::{CallSid, Entropy, StreamSid};
use streamkit::media::{Play, Reached, Told};
use streamkit::stream::framing::Reader;
use streamkit::stream::session::{Input, Transmit};
use streamkit::stream::{BotUrl, Config, Event, Session, Settings, Start, Stop, upgrade};
use streamkit::units::SampleRate;

fn session(now: Instant) -> Session {
    let mut entropy = Entropy::seeded(1);
    let start = Start {
        stream_sid: StreamSid::fresh(&mut entropy),
        call_sid: CallSid::fresh(&mut entropy),
        account_sid: "a".into(),
        from: "f".into(),
        to: "t".into(),
        custom_parameters: vec![],
        rate: SampleRate::Hz8000,
    };
    let url = BotUrl::parse("ws://bot/?k=v").expect("a URL");
    Session::new(Arc::new(Config::default()), start, &url, &Settings::of(&Config::default()), now)
}

fuzz_target!(|data: &[u8]| {
    for piece in [1, 7, data.len().max(1)] {
        let mut reader = Reader::new(1 << 16);
        'wire: for mut octets in data.chunks(piece) {
            loop {
                match reader.next(&mut octets) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'wire,
                }
            }
        }
    }
    let _ = upgrade::answer(data, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let text = String::from_utf8_lossy(data);
    let _ = BotUrl::parse(&text);

    let mut now = Instant::now();
    let mut session = session(now);
    let (mut out, mut back, mut outcomes) = (String::new(), 0u64, Vec::new());
    let mut turn = |session: &mut Session, now: Instant| {
        while let Some(order) = session.poll_play() {
            if let Play::Mark(mark) = order {
                session.handle(now, Input::Told(Told::Mark { mark, how: Reached::Idle }));
            }
        }
        while let Some(transmit) = session.poll_transmit(now, &mut out) {
            if transmit == Transmit::Text {
                let value: serde_json::Value = serde_json::from_str(&out).expect("what we send is JSON");
                back += u64::from(value["event"] == "mark");
            }
        }
        while let Some(event) = session.poll_event() {
            if let Event::Ended(outcome) = event {
                outcomes.push(outcome);
            }
        }
    };
    session.handle(now, Input::Up { connect: Duration::ZERO });
    turn(&mut session, now);
    for line in text.split('\n') {
        session.handle(now, Input::Text(line));
        turn(&mut session, now);
        now += Duration::from_millis(1);
    }
    session.handle(now, Input::Stop(Stop::CallEnded));
    turn(&mut session, now);
    let [outcome] = &outcomes[..] else { panic!("{} outcomes", outcomes.len()) };
    let broke = outcome.disposition == streamkit::stream::Disposition::ProtocolError;
    assert!(broke || back == outcome.figures.marks_received, "{back} of {}", outcome.figures.marks_received);
});
