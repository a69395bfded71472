//! What a PBX does to us, scenario by scenario: sipp calls, and judges our answers; we judge what became of the call.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use streamkit::lab::bot::{Bot, Manners, Script, Step, Transcript};
use streamkit::lab::speech::Speech;
use streamkit::sip::Transport;

use crate::ear::recognised;
use crate::kit::{Node, Wanted, beside, bot, bot_with, over};
use crate::sipp::{Scene, scenario, spoken};

/// A number whose bot says goodbye and closes.
const LEAVES: &str = "0161";
/// A number whose bot never answers the upgrade.
const NEVER: &str = "0171";
/// A number whose bot takes a while to come up.
const LATE: &str = "0181";
const SPEECHLESS: Duration = Duration::from_secs(3600);
const A_WHILE: Duration = Duration::from_millis(800);

/// A scenario and how its calls are recorded: causes and codes; none, where there is no call.
pub(crate) type Part = (Scene, &'static [(&'static str, u16)]);

pub(crate) const BYE: &[(&str, u16)] = &[("bye", 200)];
const CANCELLED: &[(&str, u16)] = &[("cancel", 487)];
const BOT_CLOSED: &[(&str, u16)] = &[("bot_closed", 200)];
const NO_CALL: &[(&str, u16)] = &[];

/// A daemon and its four bots.
pub(crate) struct Exchange {
    node: Node,
    echo: Bot,
    _others: [Bot; 3],
}

impl Exchange {
    async fn open() -> Self {
        Self::with_trunk("").await
    }

    /// With further lines of its trunk.
    pub(crate) async fn with_trunk(trunk: &'static str) -> Self {
        let goodbye = vec![
            Step::burst(Speech::Goodbye.sound()),
            Step::Mark("said".into()),
            Step::AwaitMark("said".into()),
            Step::Close(1000, String::new()),
        ];
        let (echo, leaves) = (bot(Script::echo()).await, bot(Script::of(goodbye)).await);
        let slow = |delay| bot_with(Script::echo(), Manners { delay, ..Manners::default() });
        let (never, late) = (slow(SPEECHLESS).await, slow(A_WHILE).await);
        let route = |to: &str, bot: &Bot| {
            format!("[[route]]\ntrunk = \"pbx\"\nto = \"{to}*\"\nbot = {:?}\n", bot.url("/media"))
        };
        let routes =
            [(&LEAVES, &leaves), (&NEVER, &never), (&LATE, &late)].map(|(to, bot)| route(&to[..3], bot));
        let certificates = [&echo, &leaves, &never, &late].map(|bot| bot.certificate().expect("TLS").pem());
        let wanted = Wanted {
            trunk,
            tables: routes.concat(),
            ca: Some(certificates.concat()),
            ..Wanted::leading_to(&echo, "/media")
        };
        Self { node: Node::start_beside(&wanted).await, echo, _others: [leaves, never, late] }
    }

    /// Plays them all at once; each must go as its scenario says, and be recorded so.
    pub(crate) async fn plays(&self, parts: &[Part]) -> Vec<Value> {
        let to = |scene: &Scene| self.node.sip(if scene.tcp { Transport::Tcp } else { Transport::Udp });
        let played = join_all(parts.iter().map(|(scene, _)| scene.play(to(scene)).plays_through())).await;
        let failed = |((scene, _), how): (&Part, Result<String, String>)| {
            how.err().map(|why| format!("### {}: {why}", scene.name))
        };
        let failures: Vec<String> = parts.iter().zip(played).filter_map(failed).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        let records = self.node.cdrs(parts.iter().map(|(_, ends)| ends.len()).sum()).await;
        for (scene, ends) in parts {
            let recorded = of(&records, scene.name).map(|cdr| (&cdr["end"]["cause"], &cdr["sip"]["code"]));
            let recorded: Vec<_> = recorded.map(|(cause, code)| (cause.as_str(), code.as_u64())).collect();
            let expected: Vec<_> =
                ends.iter().map(|(cause, code)| (Some(*cause), Some(u64::from(*code)))).collect();
            assert_eq!(recorded, expected, "{}", scene.name);
        }
        self.node.is_idle().await;
        records
    }

    pub(crate) async fn close(self) {
        self.node.stop().await;
    }
}

/// The records of the calls of a scenario: their Call-ID begins with its name.
fn of<'a>(records: &'a [Value], name: &str) -> impl Iterator<Item = &'a Value> {
    let begin = format!("{name}-1-");
    records.iter().filter(move |cdr| cdr["sip"]["call_id"].as_str().is_some_and(|id| id.starts_with(&begin)))
}

/// The last of them.
fn last<'a>(records: &'a [Value], name: &str) -> &'a Value {
    of(records, name).last().unwrap_or_else(|| panic!("no record of {name}: {records:#?}"))
}

/// The bot's side of the call of a scenario.
fn heard<'a>(seen: &'a [Transcript], cdr: &Value) -> &'a Transcript {
    let its = |one: &&Transcript| one.start.as_ref().is_some_and(|start| cdr["call_sid"] == *start.call_sid);
    seen.iter().find(its).unwrap_or_else(|| panic!("no bot heard {cdr:#}"))
}

#[test]
fn a_pbx_changes_its_mind_inside_a_call() {
    beside(&["sipp"], async {
        let exchange = Exchange::open().await;
        let names = ["reinvite", "update", "timer_uac", "fax", "many_lines", "inside", "dtmf_info"];
        let mut parts: Vec<Part> = names.map(|name| (Scene::new(name), BYE)).into();
        parts.push((Scene { tcp: true, ..Scene::new("hold") }, BYE));
        parts.push((Scene { lasts: Duration::from_secs(3), ..Scene::new("late_offer") }, BYE));
        parts.push((Scene::new("late_offer_unanswered"), &[("no_sdp_answer", 200)]));
        parts.push((Scene::new("timer_too_small"), &[("session_interval", 422), ("bye", 200)]));
        let records = exchange.plays(&parts).await;

        let seen = over(&exchange.echo, parts.len()).await;
        assert_eq!(heard(&seen, last(&records, "dtmf_info")).digits(), "5#");
        let late = last(&records, "late_offer");
        recognised("the bot", &heard(&seen, late).heard, Duration::ZERO, &Speech::Caller.sound(), late);
        exchange.close().await;
    });
}

#[test]
fn a_pbx_is_not_sure_whether_to_call() {
    beside(&["sipp"], async {
        let exchange = Exchange::open().await;
        let parts = [
            (Scene::new("cancel").to(NEVER), CANCELLED),
            (Scene { tcp: true, ..Scene::new("cancel_at_once").to(NEVER) }, CANCELLED),
            (Scene::new("cancel_late"), BYE),
            (Scene::new("merged").to(LATE), BYE),
            (Scene::new("reliable").to(LATE), BYE),
            (Scene::new("bye_early").to(NEVER), CANCELLED),
            (Scene::new("bye_before_ack"), BYE),
            (Scene::new("bye_crossing").to(LEAVES), BOT_CLOSED),
            (Scene::new("record_route").to(LEAVES), BOT_CLOSED),
            (Scene::new("required"), NO_CALL),
            (Scene::new("outside"), NO_CALL),
            (Scene::new("options"), NO_CALL),
        ];
        exchange.plays(&parts).await;
        exchange.close().await;
    });
}

#[test]
fn keys_are_told_though_a_gateway_counts_wrong() {
    if socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(socket2::Protocol::UDP)).is_err()
    {
        return eprintln!("sipp plays keys by a raw socket, which is not for this user");
    }
    beside(&["sipp"], async {
        let exchange = Exchange::open().await;
        let records = exchange.plays(&[(Scene::new("dtmf_rtp"), BYE)]).await;
        let seen = over(&exchange.echo, 1).await;
        assert_eq!(heard(&seen, &records[0]).digits(), "159#");
        exchange.close().await;
    });
}

/// Every way to write user-to-user information that equipment is known for (sip-trunk.md section 9.2).
#[test]
fn information_of_the_user_reaches_the_bot_however_it_is_spelled() {
    const SPELLED: [(&str, Option<&str>); 8] = [
        ("X-UUI: A1B2C3", Some("A1B2C3")),
        ("x-uui:A1B2C3", Some("A1B2C3")),
        ("User-to-User: 0441424344;encoding=hex", Some("0441424344")),
        (
            "user-to-user: 00FA080001002A5D8E0C1F;encoding=hex;purpose=isdn-uui",
            Some("00FA080001002A5D8E0C1F"),
        ),
        ("User-to-User: \"0441424344\";encoding=hex", Some("0441424344")),
        ("User-to-User: 41424344", Some("41424344")),
        ("User-to-User: 41424344;pd=04;encoding=hex", Some("41424344")),
        ("Subject: none", None),
    ];
    beside(&["sipp"], async {
        let exchange = Exchange::open().await;
        let to = exchange.node.sip(Transport::Udp);
        for (count, (field, expected)) in SPELLED.into_iter().enumerate() {
            let scene =
                Scene { lasts: Duration::ZERO, ..Scene::new("header").with(&["-key", "header", field]) };
            scene.play(to).succeeds().await;
            let seen = over(&exchange.echo, count + 1).await;
            let start = seen[count].start.as_ref().expect("a start");
            assert_eq!(start.custom_parameters.get("UUI").map(String::as_str), expected, "{field}");
        }
        exchange.node.cdrs(SPELLED.len()).await;
        exchange.close().await;
    });
}

#[test]
fn a_fifth_of_all_messages_is_lost_and_every_call_is_served() {
    const CALLS: u32 = 8;
    beside(&["sipp"], async {
        let exchange = Exchange::open().await;
        let patient =
            ["-lost", "20", "-r", "4", "-max_invite_retrans", "10", "-max_non_invite_retrans", "10"];
        let scene = Scene { calls: CALLS, ..Scene::new("echo").with(&patient) };
        scene.play(exchange.node.sip(Transport::Udp)).succeeds().await;
        exchange.node.is_idle().await;
        assert_eq!(over(&exchange.echo, CALLS as usize).await.len(), CALLS as usize, "one stream a call");
        for cdr in exchange.node.cdrs(CALLS as usize).await {
            assert_eq!(cdr["sip"]["code"], 200, "{cdr:#}");
        }
        exchange.close().await;
    });
}

#[test]
fn calls_come_ten_a_second_and_each_is_heard() {
    const CALLS: u32 = 20;
    beside(&["sipp"], async {
        let exchange = Exchange::open().await;
        let lasts = Duration::from_millis(2500);
        let scene = Scene { calls: CALLS, lasts, ..Scene::new("load").with(&["-r", "10", "-l", "30"]) };
        scene.play(exchange.node.sip(Transport::Udp)).succeeds().await;
        let seen = over(&exchange.echo, CALLS as usize).await;
        for cdr in exchange.node.cdrs(CALLS as usize).await {
            assert_eq!(
                (&cdr["end"]["cause"], &cdr["media"]["in"]["lost"]),
                (&"bye".into(), &0.into()),
                "{cdr:#}"
            );
            let said = Speech::Caller.sound().part(Duration::ZERO, Duration::from_secs(2));
            recognised("the bot", &heard(&seen, &cdr).heard, Duration::ZERO, &said, &cdr);
        }
        exchange.node.is_idle().await;
        exchange.close().await;
    });
}

#[test]
fn the_speech_that_is_installed_is_the_laboratory_s() {
    let installed = std::fs::read(scenario("call").with_file_name("speech.ulaw")).expect("speech.ulaw");
    assert!(installed == spoken(&Speech::Caller.sound()), "as a test plays it");
}
