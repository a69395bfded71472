//! The caller of `streamkit call` against the daemon: late offer, hold, keys told in three ways, packet times, reports.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use streamkit::config::{Config, Surroundings};
use streamkit::daemon::{self, Onlookers, Running};
use streamkit::lab::bot::{Bot, Certificate, Script};
use streamkit::lab::caller::{self, Call, Caller, Dial, Record};
use streamkit::lab::speech::Speech;
use streamkit::sip::io::{Tls, TlsFiles};
use streamkit::sip::{Credentials, Ended, Transport};
use streamkit::units::SampleRate;

use crate::kit::{Node, PATIENCE, Wanted, alone, bot, caller, eventually, until};

/// A call to a bot with this script, what is done in it, and what is known of it then.
async fn call(script: Script, dial: impl Fn(Dial) -> Dial, talk: impl AsyncFn(&Call, &Bot)) -> (Record, Bot) {
    let bot = bot(script).await;
    let node = Node::start(&Wanted::leading_to(&bot, "/media")).await;
    let caller = caller().await;
    let call = caller.dial(dial(node.dial())).await.expect("dialled");
    call.answered().await.expect("answered");
    talk(&call, &bot).await;
    let record = call.finish().await;
    node.is_idle().await;
    node.stop().await;
    (record, bot)
}

/// Requests of that method, what was repeated left out.
fn sent<'a>(record: &'a Record, method: &str) -> Vec<&'a str> {
    let of = record.sip.iter().filter(|seen| seen.sent && seen.line.starts_with(method));
    let mut texts: Vec<&str> = of.map(|seen| seen.text.as_str()).collect();
    texts.dedup();
    texts
}

#[test]
fn an_offer_may_come_late_and_the_answer_goes_with_the_ack() {
    alone(async {
        let dial = |dial| Dial { late_offer: true, ..dial };
        let heard = async |call: &Call, _: &Bot| {
            drop(call.say("barge", &Speech::Barge.sound()));
            tokio::time::timeout(PATIENCE, call.until_voiced(10)).await.expect("the echo is heard");
        };
        let (record, _) = call(Script::echo(), dial, heard).await;
        assert!(!sent(&record, "INVITE")[0].contains("m=audio"));
        assert!(sent(&record, "ACK")[0].contains("m=audio"), "{:?}", sent(&record, "ACK"));
        assert_eq!((record.trouble.as_deref(), record.agreed.is_some()), (None, true));
    });
}

#[test]
fn a_hold_silences_the_bot_and_a_resume_brings_it_back() {
    alone(async {
        let talk = async |call: &Call, _: &Bot| {
            tokio::time::timeout(PATIENCE, call.until_voiced(5)).await.expect("the tone is heard");
            call.hold(true).await.expect("held");
            let (mut voiced, mut since) = (call.voiced(), Instant::now());
            eventually("nothing is heard while it holds", || {
                if call.voiced() != voiced {
                    (voiced, since) = (call.voiced(), Instant::now());
                }
                since.elapsed() > Duration::from_millis(400)
            })
            .await;
            call.hold(false).await.expect("resumed");
            tokio::time::timeout(PATIENCE, call.until_voiced(5)).await.expect("the tone is back");
        };
        let (record, _) = call(Script::tone(SampleRate::Hz8000), |dial| dial, talk).await;
        let invites = sent(&record, "INVITE");
        let direction = |n: usize, a: &str| assert!(invites[n].contains(a), "{}", invites[n]);
        direction(1, "a=sendonly");
        direction(2, "a=sendrecv");
        assert_eq!(invites.len(), 3);
    });
}

#[test]
fn keys_reach_the_bot_by_rfc_4733_and_by_info() {
    alone(async {
        for keys_by_info in [false, true] {
            let dial = |dial| Dial { keys_by_info, telephone_event: !keys_by_info, ..dial };
            let press = async |call: &Call, bot: &Bot| {
                call.press("15#").await;
                until(bot, |all| all.iter().any(|one| one.digits() == "15#")).await;
            };
            let (record, _) = call(Script::default(), dial, press).await;
            assert_eq!(sent(&record, "INFO").len(), if keys_by_info { 3 } else { 0 });
        }
    });
}

#[test]
fn a_packet_time_is_asked_for_and_reports_tell_what_came() {
    alone(async {
        let dial = |dial| Dial { ptime: Some(30), ..dial };
        let wait = async |call: &Call, _: &Bot| {
            // The first report of either side is out 3.75 s after the answer at the latest: 150 packets are 4.5 s.
            tokio::time::timeout(2 * PATIENCE, call.until_voiced(150)).await.expect("the tone is heard");
        };
        let (record, _) = call(Script::tone(SampleRate::Hz8000), dial, wait).await;
        assert_eq!(record.agreed.as_ref().map(|agreed| agreed.ptime_ms), Some(30));
        let usual = record.audio.heard.arrivals.iter().filter(|arrival| arrival.payload.len() == 240).count();
        assert!(usual >= 150, "{usual} packets of 30 ms");
        let told = record.audio.told.expect("a report");
        assert!(told.reports >= 1 && told.lost == 0, "{told:?}");
    });
}

/// A daemon that takes calls over TLS alone, of one user, with SRTP alone.
async fn guarded(folder: &Path, bot: &Bot) -> Running {
    let certificate = Certificate::for_address([127, 0, 0, 1].into()).expect("a certificate");
    let (own, key, ca) = (folder.join("own.pem"), folder.join("key.pem"), folder.join("bot.pem"));
    certificate.write(&own).expect("written");
    certificate.write_key(&key).expect("written");
    bot.certificate().expect("it speaks TLS").write(&ca).expect("written");
    let text = format!(
        "[node]\nstate_dir = {folder:?}\nrun_dir = {folder:?}\n\
         [sip]\nlisten = [\"tls://127.0.0.1:0\"]\n[sip.tls]\ncertificate = {own:?}\nkey = {key:?}\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n[media]\nbind = \"127.0.0.1\"\n\
         [limits]\ncalls = 5\ncpu_percent = 0\n[stream]\nca_file = {ca:?}\n\
         [[trunk]]\nname = \"pbx\"\npeers = [\"127.0.0.1\"]\naccount = \"acme1\"\ntransports = [\"tls\"]\n\
         srtp = \"required\"\ndigest_users = [{{ user = \"1001\", password = \"s3cret\" }}]\n\
         [[route]]\nbot = {:?}\n",
        bot.url("/media")
    );
    let machine = Surroundings { variables: HashMap::new(), ..Surroundings::of_this_process() };
    let config = Config::from_text("guarded", &text, &machine).expect("a configuration");
    daemon::start(config, Onlookers::default()).await.expect("started")
}

#[test]
fn a_call_over_tls_says_who_it_is_and_is_encrypted() {
    alone(async {
        let bot = bot(Script::echo()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let running = guarded(folder.path(), &bot).await;
        let (_, at) =
            *running.sip.iter().find(|(transport, _)| *transport == Transport::Tls).expect("a listener");
        let file = |name| folder.path().join(name);
        let own = Some((file("own.pem"), file("key.pem")));
        let files = TlsFiles { own, ca_file: Some(file("own.pem")), client_ca: None };
        let config = caller::Config {
            bind: [127, 0, 0, 1].into(),
            tls: Some(Tls::read(&files).expect("a certificate")),
            ..caller::Config::default()
        };
        let caller = Caller::start(config).await.expect("a caller");
        let plain = Dial { transport: Some(Transport::Tls), ..Dial::to(format!("sip:015@{at}")) };
        let named = |password: &str| {
            let (user, password) = ("1001".to_owned(), password.to_owned());
            Dial {
                credentials: Some(Credentials { user, password, realm: None }),
                srtp: true,
                ..plain.clone()
            }
        };

        let call = caller.dial(named("s3cret")).await.expect("dialled");
        let agreed = call.answered().await.expect("answered");
        assert!(agreed.crypto.is_some());
        drop(call.say("barge", &Speech::Barge.sound()));
        tokio::time::timeout(PATIENCE, call.until_voiced(10)).await.expect("the echo is heard");
        let record = call.finish().await;
        assert!(record.audio.encrypted && record.audio.unauthentic == 0, "{}", record.audio.unauthentic);
        assert_eq!(record.ended, Some(Ended::ByUs));

        for (dial, status) in [(named("wrong"), 401), (Dial { srtp: false, ..named("s3cret") }, 488)] {
            let refused = caller.dial(dial).await.expect("dialled").answered().await.expect_err("refused");
            assert!(matches!(refused, Ended::Refused { status: s, .. } if s == status), "{refused:?}");
        }
        drop(caller);
        running.stop().await;
    });
}
