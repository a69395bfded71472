//! Calls that are not served, and what they are told (sip-trunk.md 7.1).

use serde_json::Value;
use streamkit::route::{MissingAccount, Pattern, Route, Target};

use crate::world::caller::{field, sdp};
use crate::world::{Setup, World, to, to_bots};

/// One call that is refused: its ladder, the refusal's text, its record.
fn refused(setup: Setup, change: impl Fn(&mut crate::world::caller::Caller)) -> (String, String, Value) {
    let mut world = World::new(setup);
    change(world.caller());
    world.caller().dial();
    let cdr = world.finish();
    assert!(world.bots.is_empty(), "no bot is asked");
    assert_eq!(cdr.get("media"), None);
    let refusal =
        world.wire.iter().find(|(_, up, text)| !up && !text.starts_with("SIP/2.0 1")).expect("a refusal");
    (world.ladder(), refusal.2.clone(), cdr)
}

fn with_account(sid: &str) -> impl Fn(&mut crate::world::caller::Caller) {
    let header = ("X-Exotel-AccountSid".to_owned(), sid.to_owned());
    move |caller| caller.headers.push(header.clone())
}

#[test]
fn an_account_that_is_not_the_trunks_is_a_403() {
    let mut strict = Setup::default();
    strict.trunk.access.missing = MissingAccount::Reject;
    let cases = [
        (refused(Setup::default(), with_account("stranger")), "account_unknown"),
        (refused(Setup::default(), with_account("ac me/1")), "account_ill_formed"),
        (refused(strict, |_| {}), "account_missing"),
    ];
    for ((ladder, refusal, cdr), cause) in cases {
        assert_eq!(ladder, "INVITE <100 <403 ACK");
        assert_eq!(field(&refusal, "Reason"), "Q.850;cause=21");
        assert_eq!(cdr["end"]["cause"], cause);
        assert_eq!(cdr["sip"]["code"], 403);
    }
}

#[test]
fn a_number_that_leads_nowhere_is_a_404() {
    let nowhere = Route { to: Some(Pattern::new("0800*")), ..to_bots(&["ws://10.0.0.9/"]) };
    let (ladder, refusal, cdr) = refused(Setup { routes: vec![nowhere], ..Setup::default() }, |_| {});
    assert_eq!(ladder, "INVITE <100 <404 ACK");
    assert_eq!(field(&refusal, "Reason"), "Q.850;cause=1");
    assert_eq!((&cdr["end"]["cause"], &cdr["account_sid"]), (&"no_route".into(), &"acme1".into()));
}

#[test]
fn a_route_may_say_busy_or_closed() {
    for (status, reason) in [(486, "Q.850;cause=17"), (480, "Q.850;cause=18"), (603, "Q.850;cause=21")] {
        let setup = Setup { routes: vec![to(Target::Reject(status))], ..Setup::default() };
        let (ladder, refusal, cdr) = refused(setup, |_| {});
        assert_eq!(ladder, format!("INVITE <100 <{status} ACK"));
        assert_eq!(field(&refusal, "Reason"), reason);
        assert_eq!((&cdr["end"]["cause"], &cdr["route"]), (&"route_rejects".into(), &1.into()));
    }
}

#[test]
fn without_a_codec_in_common_there_is_a_488_with_its_warning() {
    let (ladder, refusal, cdr) = refused(Setup::default(), |caller| {
        caller.offer = Some(sdp(caller.mouth.from, "18 101", "sendrecv"));
    });
    assert_eq!(ladder, "INVITE <100 <488 ACK");
    assert_eq!(field(&refusal, "Reason"), "Q.850;cause=65");
    let warning = field(&refusal, "Warning");
    assert!(
        warning.starts_with("304 192.0.2.1:5060 ") || warning.starts_with("305 192.0.2.1:5060 "),
        "{warning}"
    );
    assert_eq!(cdr["sip"]["code"], 488);
}

#[test]
fn a_description_that_is_none_is_a_400() {
    let (ladder, _, cdr) = refused(Setup::default(), |caller| caller.offer = Some("hello".to_owned()));
    assert_eq!(ladder, "INVITE <100 <400 ACK");
    assert_eq!(cdr["sip"]["code"], 400);
}

#[test]
fn a_session_timer_under_90_s_is_a_422_before_any_bot_is_asked() {
    let (ladder, refusal, cdr) = refused(Setup::default(), |caller| {
        caller.headers.push(("Supported".to_owned(), "timer".to_owned()));
        caller.headers.push(("Session-Expires".to_owned(), "60".to_owned()));
    });
    assert_eq!(ladder, "INVITE <100 <422 ACK");
    assert_eq!(field(&refusal, "Min-SE"), "90");
    assert_eq!((&cdr["end"]["cause"], &cdr["sip"]["code"]), (&"session_interval".into(), &422.into()));
}
