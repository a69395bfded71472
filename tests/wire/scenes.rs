//! What a PBX does to us, scenario by scenario: sipp calls, and judges our answers; we judge what became of the call.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use streamkit::lab::bot::{Bot, Manners, Script, Step, Transcript};
use streamkit::lab::ear::compare;
use streamkit::lab::speech::Speech;
use streamkit::sip::Transport;

use crate::kit::{Node, Wanted, beside, bot, bot_with, over};
use crate::sipp::Scene;

/// A number whose bot says goodbye and closes.
const LEAVES: &str = "0161";
/// A number whose bot never answers the upgrade.
const NEVER: &str = "0171";
/// A number whose bot takes a while to come up.
const LATE: &str = "0181";
const SPEECHLESS: Duration = Duration::from_secs(3600);
const A_WHILE: Duration = Duration::from_millis(800);

/// A daemon and its four bots.
struct Exchange {
    node: Node,
    echo: Bot,
    _others: [Bot; 3],
}

impl Exchange {
    async fn open() -> Self {
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
        let routes = [(&LEAVES, &leaves), (&NEVER, &never), (&LATE, &late)].map(|(to, bot)| route(&to[..3], bot));
        let certificates = [&echo, &leaves, &never, &late].map(|bot| bot.certificate().expect("TLS").pem());
        let wanted = Wanted {
            tables: routes.concat(),
            ca: Some(certificates.concat()),
            ..Wanted::leading_to(&echo, "/media")
        };
        Self { node: Node::start_beside(&wanted).await, echo, _others: [leaves, never, late] }
    }

    /// Plays them all at once; each must go as its scenario says, and be recorded with this cause and code.
    async fn plays(&self, scenes: &[(Scene, &str, u16)]) -> Vec<Value> {
        let to = |scene: &Scene| self.node.sip(if scene.tcp { Transport::Tcp } else { Transport::Udp });
        let played = join_all(scenes.iter().map(|(scene, ..)| scene.play(to(scene)).plays_through())).await;
        let failed = |((scene, ..), how): (&(Scene, &str, u16), Result<String, String>)| {
            how.err().map(|why| format!("### {}: {why}", scene.name))
        };
        let failures: Vec<String> = scenes.iter().zip(played).filter_map(failed).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        let records = self.node.cdrs(scenes.iter().filter(|(_, cause, _)| !cause.is_empty()).count()).await;
        for (scene, cause, code) in scenes.iter().filter(|(_, cause, _)| !cause.is_empty()) {
            let cdr = of(&records, scene.name);
            assert_eq!((&cdr["end"]["cause"], &cdr["sip"]["code"]), (&(*cause).into(), &(*code).into()), "{cdr:#}");
        }
        self.node.is_idle().await;
        records
    }

    async fn close(self) {
        self.node.stop().await;
    }
}

/// The record of the call of a scenario: its Call-ID begins with the name.
fn of<'a>(records: &'a [Value], name: &str) -> &'a Value {
    let begin = format!("{name}-1-");
    let its = |cdr: &&Value| cdr["sip"]["call_id"].as_str().is_some_and(|id| id.starts_with(&begin));
    records.iter().find(its).unwrap_or_else(|| panic!("no record of {name}: {records:#?}"))
}

/// The bot's side of the call of a scenario.
fn heard<'a>(seen: &'a [Transcript], cdr: &Value) -> &'a Transcript {
    let its = |one: &&Transcript| one.start.as_ref().is_some_and(|start| cdr["call_sid"] == *start.call_sid);
    seen.iter().find(its).unwrap_or_else(|| panic!("no bot heard {cdr:#}"))
}

#[test]
fn a_pbx_changes_its_mind_inside_a_call() {
    beside(async {
        let exchange = Exchange::open().await;
        let names = ["reinvite", "update", "timer_uac", "timer_too_small", "fax", "many_lines", "inside", "dtmf_info"];
        let mut scenes: Vec<(Scene, &str, u16)> = names.map(|name| (Scene::new(name), "bye", 200)).into();
        scenes.push((Scene { tcp: true, ..Scene::new("hold") }, "bye", 200));
        let lasts = Duration::from_secs(3);
        scenes.push((Scene { lasts, ..Scene::new("late_offer") }, "bye", 200));
        scenes.push((Scene::new("late_offer_unanswered"), "no_sdp_answer", 200));
        let records = exchange.plays(&scenes).await;

        let seen = over(&exchange.echo, scenes.len()).await;
        assert_eq!(heard(&seen, of(&records, "dtmf_info")).digits(), "5#");
        let late = of(&records, "late_offer");
        let judged = compare(&heard(&seen, late).heard, &Speech::Caller.sound()).expect("something was heard");
        assert!(judged.correlation > 0.9 || held_up(late), "{judged:#?} {late:#}");
        exchange.close().await;
    });
}

/// On a busy machine sipp itself may stop for longer than a jitter buffer waits; the record says so.
fn held_up(cdr: &Value) -> bool {
    let inward = &cdr["media"]["in"];
    let is = |name: &str, over: u64| inward[name].as_u64().expect("a figure") > over;
    is("longest_gap_ms", 60) || is("concealed_ms", 0)
}

#[test]
fn a_pbx_is_not_sure_whether_to_call() {
    beside(async {
        let exchange = Exchange::open().await;
        let scenes = [
            (Scene::new("cancel").to(NEVER), "cancel", 487),
            (Scene { tcp: true, ..Scene::new("cancel_at_once").to(NEVER) }, "cancel", 487),
            (Scene::new("cancel_late"), "bye", 200),
            (Scene::new("merged").to(LATE), "bye", 200),
            (Scene::new("reliable").to(LATE), "bye", 200),
            (Scene::new("bye_early").to(NEVER), "bye", 487),
            (Scene::new("bye_before_ack"), "bye", 200),
            (Scene::new("bye_crossing").to(LEAVES), "bot_closed", 200),
            (Scene::new("record_route").to(LEAVES), "bot_closed", 200),
            (Scene::new("required"), "", 0),
            (Scene::new("outside"), "", 0),
            (Scene::new("options"), "", 0),
        ];
        exchange.plays(&scenes).await;
        exchange.close().await;
    });
}

/// RFC 4028 knows no shorter session than 90 s: this takes a minute, beside the others.
#[test]
fn a_session_is_refreshed_by_us_and_ends_when_the_pbx_forgets_it() {
    beside(async {
        let exchange = Exchange::open().await;
        let scenes = [
            (Scene::new("timer_uas"), "bye", 200),
            (Scene::new("timer_expired"), "session_expired", 200),
        ];
        exchange.plays(&scenes).await;
        exchange.close().await;
    });
}

#[test]
fn keys_are_told_though_a_gateway_counts_wrong() {
    if socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(socket2::Protocol::UDP)).is_err() {
        return eprintln!("sipp plays keys by a raw socket, which is not for this user");
    }
    beside(async {
        let exchange = Exchange::open().await;
        let records = exchange.plays(&[(Scene::new("dtmf_rtp"), "bye", 200)]).await;
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
        ("user-to-user: 00FA080001002A5D8E0C1F;encoding=hex;purpose=isdn-uui", Some("00FA080001002A5D8E0C1F")),
        ("User-to-User: \"0441424344\";encoding=hex", Some("0441424344")),
        ("User-to-User: 41424344", Some("41424344")),
        ("User-to-User: 41424344;pd=04;encoding=hex", Some("41424344")),
        ("Subject: none", None),
    ];
    beside(async {
        let exchange = Exchange::open().await;
        let to = exchange.node.sip(Transport::Udp);
        for (count, (field, expected)) in SPELLED.into_iter().enumerate() {
            let scene = Scene { lasts: Duration::ZERO, ..Scene::new("header").with(&["-key", "header", field]) };
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
fn a_quarter_of_all_messages_is_lost_and_every_call_is_served() {
    const CALLS: u32 = 12;
    beside(async {
        let exchange = Exchange::open().await;
        let scene = Scene { calls: CALLS, ..Scene::new("echo").with(&["-lost", "25", "-r", "6"]) };
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
    beside(async {
        let exchange = Exchange::open().await;
        let lasts = Duration::from_millis(2500);
        let scene = Scene { calls: CALLS, lasts, ..Scene::new("load").with(&["-r", "10", "-l", "30"]) };
        scene.play(exchange.node.sip(Transport::Udp)).succeeds().await;
        let seen = over(&exchange.echo, CALLS as usize).await;
        for cdr in exchange.node.cdrs(CALLS as usize).await {
            assert_eq!((&cdr["end"]["cause"], &cdr["media"]["in"]["lost"]), (&"bye".into(), &0.into()), "{cdr:#}");
            let said = Speech::Caller.sound().part(Duration::ZERO, Duration::from_secs(2));
            let judged = compare(&heard(&seen, &cdr).heard, &said).expect("something was heard");
            assert!(judged.correlation > 0.9 || held_up(&cdr), "{judged:#?} {cdr:#}");
        }
        exchange.node.is_idle().await;
        exchange.close().await;
    });
}

/// A trunk with `digest_users` beside one without: told apart by the address.
#[test]
fn a_pbx_proves_who_it_is() {
    const SECURE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
    beside(async {
        let echo = bot(Script::echo()).await;
        let tables = format!(
            "[[trunk]]\nname = \"secure\"\npeers = [\"{SECURE}\"]\naccount = \"acme1\"\n\
             digest_users = [{{ user = \"pbx\", password = \"s3cret\" }}]\n\
             [[route]]\ntrunk = \"secure\"\nto = \"015*\"\nbot = {:?}\n",
            echo.url("/media")
        );
        let node = Node::start_beside(&Wanted { tables, ..Wanted::leading_to(&echo, "/media") }).await;
        let known = |name: &'static str, password: &str| {
            let scene = Scene { from: Some(SECURE), ..Scene::new(name) };
            scene.with(&["-au", "pbx", "-ap", password])
        };
        let to = node.sip(Transport::Udp);
        known("digest", "s3cret").play(to).succeeds().await;
        assert_eq!(over(&echo, 1).await.len(), 1);
        known("digest_wrong", "guess").play(to).succeeds().await;
        Scene { from: Some(SECURE), ..Scene::new("options") }.play(to).succeeds().await;
        assert_eq!(over(&echo, 1).await.len(), 1, "no bot is asked for a stranger's sake");
        node.cdrs(1).await;
        node.is_idle().await;
        node.stop().await;
    });
}
