use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use tokio::net::UdpSocket;

use super::*;
use crate::sip::message::{Framing, Message};

fn ground(door: std::net::SocketAddr) -> Arc<Ground> {
    Arc::new(Ground {
        doors: vec![(Transport::Udp, door)],
        host: door.to_string(),
        number: Number::One("1000".to_owned()),
        slow: None,
        account: Some("acme1".to_owned()),
        ip: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        bots: Vec::new(),
        tls: None,
        patience: Duration::from_millis(300),
    })
}

#[test]
fn every_case_has_a_name_of_its_own_a_reason_and_someone_who_does_it() {
    let names: BTreeSet<_> = cases::all().map(|case| case.name).collect();
    assert_eq!(names.len(), cases::all().count());
    for case in cases::all() {
        assert!(case.why.len() > 10 && !case.does.is_empty() && case.title().len() < 34, "{case:?}");
        assert!(
            case.does.iter().collect::<BTreeSet<_>>().len() == case.does.len(),
            "{case:?} names one twice"
        );
    }
}

#[test]
fn every_pbx_does_a_dozen_things_and_all_do_everything() {
    for pbx in Pbx::ALL {
        assert!(plan(&[pbx]).len() >= 9, "{pbx}: {}", plan(&[pbx]).len());
        assert_eq!(Pbx::named(&pbx.to_string().to_uppercase()), Some(pbx));
    }
    let played: BTreeSet<_> = plan(&Pbx::ALL).into_iter().map(|(_, case)| case.name).collect();
    assert_eq!(played.len(), cases::all().count());
}

#[tokio::test]
async fn every_dialect_writes_an_invite_the_product_reads_with_its_own_order_of_fields() {
    let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ground = ground(far.local_addr().unwrap());
    for pbx in Pbx::ALL {
        let door = ground.doors[0];
        let mut stage = Stage::open(ground.clone(), Dialect::of(pbx), door, 7).await.unwrap();
        let placing = stage.prepare().await.unwrap();
        let text = placing.invite.text();
        assert!(!text.contains('{') && !text.contains('}'), "{pbx} leaves something open:\n{text}");
        let message =
            Message::parse(text.as_bytes(), Framing::Stream).unwrap_or_else(|why| panic!("{why:?}\n{text}"));
        assert_eq!(message.list("Record-Route").len(), Dialect::of(pbx).routes.len(), "{text}");
        assert_eq!(message.body().len(), placing.invite.body.len());
        assert!(message.contact().is_some() && message.from().tag().is_some(), "{text}");
        let first = Dialect::of(pbx).order[0];
        assert!(text.lines().nth(1).unwrap().starts_with(first), "{pbx} begins with {first}:\n{text}");
    }
}

#[tokio::test]
async fn a_daemon_that_says_nothing_fails_every_case_and_the_report_says_what_was_expected() {
    let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ground = ground(far.local_addr().unwrap());
    let mut told = Vec::new();
    let plan: Vec<_> = plan(&[Pbx::Avaya]).into_iter().take(12).collect();
    let outcomes = run(&ground, plan, 12, |outcome| told.push(outcome.to_string())).await;
    assert!(told.iter().all(|line| line.starts_with("FAIL")), "{told:#?}");
    let report = Acceptance { outcomes, played: vec![Pbx::Avaya], ..Acceptance::default() };
    assert!(!report.accepted());
    assert_eq!(report.counts(), (0, 12, 0));
    let (text, html) = (report.text(), report.html());
    assert!(text.contains("expected 200 to OPTIONS within 0.3 s\n      found    nothing"), "{text}");
    assert!(text.contains("INVITE sip:1000@127.0.0.1:"), "the SIP that failed is in the report");
    assert!(html.contains("NOT ACCEPTED") && html.contains("&lt;sip:SM01@127.0.0.1"));
}

#[tokio::test]
async fn a_case_that_cannot_travel_is_skipped_and_nothing_played_is_nothing_accepted() {
    let ground = ground("127.0.0.1:9".parse().unwrap());
    let plan: Vec<_> = plan(&[Pbx::Cucm]).into_iter().filter(|(_, case)| case.over == Over::Stream).collect();
    let outcomes = run(&ground, plan, 1, |_| {}).await;
    assert!(outcomes.iter().all(|one| one.verdict == Verdict::Skipped("needs TCP or TLS".to_owned())));
    assert!(!Acceptance { outcomes, ..Acceptance::default() }.accepted());
}
