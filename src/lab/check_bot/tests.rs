//! The check against the laboratory's own bots: a well-behaved one, and one for each bad habit.

use std::sync::Arc;

use futures_util::StreamExt;

use super::*;
use crate::lab::bot::{self, Bot, Manners, Script, Step};
use crate::lab::sound::Sound;

const RATE: SampleRate = SampleRate::Hz8000;
/// A machine that stands still so long keeps the bot from hearing who interrupts it, or from saying its part.
const LATE: Duration = Duration::from_millis(300);
/// So often more is looked: a machine that is busy is late now and then.
const LOOKS: usize = 5;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A call of 5 s.
fn plan() -> Plan {
    let speech = |long| Sound::tone(RATE, 440.0, 8000, ms(long));
    Plan {
        greeting: ms(500),
        answer: ms(1000),
        pause: ms(400),
        stall: ms(200),
        leave: ms(700),
        close: ms(800),
        ..Plan::new(speech(400), speech(600))
    }
}

async fn bot(script: Script, manners: Manners) -> Bot {
    Bot::start(bot::Config { script, manners, ..bot::Config::default() }).await.expect("a bot")
}

/// Plays each, a few at a time, and again what this machine was late with itself; what was not found.
async fn missed(cases: Vec<(Fault, Script, Manners)>) -> String {
    let played = cases.into_iter().map(|(fault, script, manners)| async move {
        let mut call = tokio::spawn(called(script.clone(), manners.clone())).await.expect("called");
        for _ in 0..LOOKS {
            if call.has(fault) || call.figures.late < LATE {
                break;
            }
            call = tokio::spawn(called(script.clone(), manners.clone())).await.expect("called");
        }
        if call.has(fault) { String::new() } else { format!("{fault:?} was not found in {call:#?}\n") }
    });
    futures_util::stream::iter(played).buffer_unordered(6).collect().await
}

async fn called(script: Script, manners: Manners) -> Checked {
    let bot = bot(script, manners).await;
    let target = Target { url: bot.url("/media?a=b"), tls: None };
    let mut report = check(&target, &[RATE], &plan(), |_| {}).await.expect("checked");
    report.calls.pop().expect("a call")
}

fn quiet(long: u64) -> Step {
    Step::burst(Sound::silence(RATE, ms(long)))
}

fn mark(name: &str) -> Step {
    Step::Mark(name.to_owned())
}

/// Greets, answers, is silent when interrupted, says when it is done.
fn well_behaved() -> Script {
    Script::of(vec![
        quiet(300),
        mark("greeting"),
        Step::AwaitVoice,
        quiet(2500),
        mark("answer"),
        Step::Wait(ms(900)), // the question is not the interruption
        Step::AwaitVoice,
        Step::Clear,
        quiet(300),
        mark("goodbye"),
    ])
}

async fn check_every_rate(bot: &Bot) -> Report {
    let target = Target { url: bot.url("/media?sample-rate=16000&a=b"), tls: None };
    check(&target, &SampleRate::ALL, &plan(), |_| {}).await.expect("checked")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_well_behaved_bot_has_no_fault_at_any_rate() {
    let mut bot = bot(well_behaved(), Manners::default()).await;
    let mut report = check_every_rate(&bot).await;
    for _ in 0..LOOKS {
        if report.calls.iter().all(|call| call.figures.late < LATE) {
            break;
        }
        bot = self::bot(well_behaved(), Manners::default()).await;
        report = check_every_rate(&bot).await;
    }
    let found: Vec<_> = report.calls.iter().flat_map(|call| &call.findings).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(report.calls.iter().map(|call| call.rate).collect::<Vec<_>>(), SampleRate::ALL);
    let figures = &report.calls[2].figures;
    assert_eq!((figures.marks, figures.clears), (3, 1));
    let seen = bot.transcripts();
    assert_eq!(
        seen.iter().map(|call| call.faults.len()).sum::<usize>(),
        0,
        "we keep to the protocol ourselves"
    );
    assert_eq!(seen[0].digits(), "5");
    assert_eq!(
        seen[2].marks().iter().map(|(_, name)| *name).collect::<Vec<_>>(),
        ["greeting", "answer", "goodbye"]
    );
    assert_eq!(seen[1].upgrade.as_ref().expect("upgraded").target, "/media?a=b&sample-rate=16000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_bad_habit_is_found() {
    let text = |text: &str| vec![Step::Text(text.to_owned())];
    let payload = base64_simd::STANDARD.encode_to_string([0; 3200]);
    let media = |sid: &str| format!(r#"{{"event":"media",{sid}"media":{{"payload":"{payload}"}}}}"#);
    let say = |sound, chunk, every| vec![Step::Say { sound, chunk, every: ms(every) }];
    let long = |n| Sound::silence(RATE, ms(n));
    let cases: Vec<(Fault, Vec<Step>)> = vec![
        (Fault::NotJson, text("hello")),
        (Fault::Binary, vec![Step::Binary(vec![0; 320])]),
        (Fault::EventCase, text(r#"{"event":"Clear"}"#)),
        (Fault::PlatformEvent, text(r#"{"event":"start"}"#)),
        (Fault::UnknownEvent, text(r#"{"event":"say"}"#)),
        (Fault::NoPayload, text(r#"{"event":"media","media":{}}"#)),
        (Fault::BadPayload, text(r#"{"event":"media","media":{"payload":"~"}}"#)),
        (Fault::NoMarkName, text(r#"{"event":"mark"}"#)),
        (Fault::NoStream, text(&media(""))),
        (Fault::WrongStream, text(&media(r#""stream_sid":"x","#))),
        (Fault::TooBig, text(&format!(r#"{{"event":"clear","x":"{}"}}"#, "x".repeat(1 << 20)))),
        (Fault::Nonsense, (0..201).map(|_| Step::Binary(vec![0])).collect()),
        (Fault::HalfSample, say(long(400), 801, 0)),
        (Fault::Unaligned, say(long(400), 400, 0)),
        (Fault::SmallChunk, say(long(400), 640, 0)),
        (Fault::LargeChunk, say(long(15_000), 200_000, 0)),
        (Fault::QueueOver, say(long(130_000), 80_000, 0)),
        (Fault::Starved, say(long(4000), 640, 80)),
        (Fault::Slow, say(long(4000), 640, 80)),
        (Fault::NoAudio, vec![mark("a")]),
        (Fault::NoMarks, vec![quiet(400)]),
        (Fault::MarkTwice, vec![quiet(400), mark("a"), mark("a")]),
        (Fault::NoBargeIn, vec![quiet(20_000)]),
        (Fault::NoPong, vec![Step::Deaf(ms(8000))]),
        (Fault::EndsCall, vec![Step::Wait(ms(200)), Step::Close(1000, String::new())]),
        (Fault::EndsCall, vec![Step::Stop]),
        (Fault::OddCode, vec![Step::Close(4400, "no".to_owned())]),
        (Fault::Lost, vec![Step::Wait(ms(200)), Step::Reset]),
    ];
    let cases = cases.into_iter().map(|(fault, steps)| (fault, Script::of(steps), Manners::default()));
    let missed = missed(cases.collect()).await;
    assert!(missed.is_empty(), "{missed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn bad_manners_are_found() {
    let tone = || Script::tone(RATE);
    let said = || Script::of(vec![mark("a")]);
    let cases = [
        (Fault::AfterStop, tone(), Manners::default()),
        (Fault::NoClose, well_behaved(), Manners { ignore_stop: true, ..Manners::default() }),
        (Fault::MarkLoop, said(), Manners { echo_marks: true, ..Manners::default() }),
        (Fault::NoConnection, tone(), Manners { refuse: vec![403], ..Manners::default() }),
        (Fault::NoConnection, tone(), Manners { hang_up: true, ..Manners::default() }),
        (Fault::SlowConnect, tone(), Manners { delay: ms(1100), ..Manners::default() }),
    ];
    let missed = missed(cases.into()).await;
    assert!(missed.is_empty(), "{missed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_echo_is_fit_but_is_given_advice() {
    let call = called(Script::echo(), Manners::default()).await;
    let serious: Vec<_> =
        call.findings.iter().filter(|finding| finding.fault.severity() == Severity::Error).collect();
    assert!(serious.is_empty(), "{serious:#?}");
    assert!(call.has(Fault::SmallChunk) && call.has(Fault::NoMarks), "{call:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_same_bytes_at_another_rate_are_told() {
    let payload = base64_simd::STANDARD.encode_to_string([0; 16_000]);
    let text = format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#);
    let bot = bot(Script::of(vec![Step::Text(text)]), Manners::default()).await;
    let target = Target { url: bot.url("/"), tls: None };
    let rates = [SampleRate::Hz8000, SampleRate::Hz24000];
    let report = check(&target, &rates, &plan(), |_| {}).await.expect("checked");
    assert_eq!(
        report.calls.iter().map(|call| call.has(Fault::RateIgnored)).collect::<Vec<_>>(),
        [false, true]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn over_tls_only_who_is_trusted_is_talked_to() {
    let config = bot::Config { tls: true, script: well_behaved(), ..bot::Config::default() };
    let bot = Bot::start(config).await.expect("a bot");
    let (own, _) = bot.certificate().expect("a certificate").pair();
    let mut roots = rustls::RootCertStore::empty();
    own.iter().for_each(|certificate| roots.add(certificate.clone()).expect("a root"));
    let connector = |verifier| {
        let builder = rustls::ClientConfig::builder_with_provider(crate::tls::provider());
        let builder = builder.with_safe_default_protocol_versions().expect("versions").dangerous();
        let config = builder.with_custom_certificate_verifier(verifier).with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        Target { url: bot.url("/"), tls: Some((TlsConnector::from(Arc::new(config)), name)) }
    };
    let trusting = connector(crate::tls::servers(roots.clone(), own).expect("a verifier"));
    let other = bot::Certificate::for_address([127, 0, 0, 1].into()).expect("a certificate").pair().0;
    let mut strange = rustls::RootCertStore::empty();
    other.iter().for_each(|certificate| strange.add(certificate.clone()).expect("a root"));
    let doubting = connector(crate::tls::servers(strange, other).expect("a verifier"));
    for (target, refused) in [(trusting, false), (doubting, true)] {
        let report = check(&target, &[RATE], &plan(), |_| {}).await.expect("checked");
        assert_eq!(report.calls[0].has(Fault::NoConnection), refused, "{report:#?}");
    }
}

#[test]
fn the_rate_is_replaced_and_nothing_else() {
    assert_eq!(at_rate("ws://h/p", SampleRate::Hz16000), "ws://h/p?sample-rate=16000");
    assert_eq!(
        at_rate("ws://h/?a=1&sample-rate=8000&b", SampleRate::Hz24000),
        "ws://h/?a=1&b&sample-rate=24000"
    );
}
