//! The session timer (RFC 4028): a long call is refreshed from either side and by either method, and one whose far end
//! is gone is noticed.

use crate::tone;
use crate::world::clock::{ms, secs};
use crate::world::{Setup, World};

/// A call with `Session-Expires: 90` and this refresher that is up.
fn refreshed_by(refresher: &str, no_update: bool) -> World {
    let mut world = World::new(Setup::default());
    let caller = world.caller();
    caller.headers.push(("Session-Expires".to_owned(), format!("90;refresher={refresher}")));
    caller.no_update = no_update;
    world.call();
    world
}

/// Ten minutes; the refreshes on the wire, `<` before those of streamkit, and that the call is as good as new.
fn ten_minutes(mut world: World) -> Vec<String> {
    world.run(secs(600));
    let words = tone(1000.0, 500);
    world.bot().say(&words);
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["end"]["cause"], "bye");
    assert!(cdr["times"]["duration_ms"].as_u64().expect("a duration") > 600_000);
    world.callers[0].ear.assert_steady();
    let (ladder, call) = (world.ladder(), "INVITE <100 <180 <200 ACK ");
    let refreshes = ladder.strip_prefix(call).and_then(|rest| rest.strip_suffix(" BYE <200")).expect(&ladder);
    refreshes.split(' ').map(str::to_owned).collect()
}

#[test]
fn a_long_call_is_refreshed_each_half_interval_from_either_side_and_by_either_method() {
    // 600 s are 13 times 45 s and a rest.
    for (refresher, no_update, each) in [
        ("uac", false, &["UPDATE", "<200"][..]),
        ("uas", false, &["<UPDATE", "200"]),
        ("uac", true, &["INVITE", "<200", "ACK"]),
        ("uas", true, &["<INVITE", "200", "<ACK"]),
    ] {
        let refreshes = ten_minutes(refreshed_by(refresher, no_update));
        assert_eq!(refreshes, each.repeat(13), "{refresher}, UPDATE: {}", !no_update);
    }
}

#[test]
fn a_call_that_its_peer_refreshes_no_more_ends() {
    let mut world = refreshed_by("uac", false);
    world.run(secs(100));
    world.caller().no_refreshes = true;
    let cdr = world.finish();
    assert!(world.said("<BYE").contains("Reason: SIP;cause=408;text=\"session timer expired\"\r\n"));
    assert_eq!(cdr["end"]["cause"], "session_expired");
    // The last refresh was at 90 s, 60 s before.
    let duration = cdr["times"]["duration_ms"].as_u64().expect("a duration");
    assert!((149_900..150_200).contains(&duration), "{duration}");
    assert_eq!(world.bot().told(), "connected start stop:callended close:1000");
}

#[test]
fn a_call_whose_peer_answers_no_refresh_ends() {
    for no_update in [false, true] {
        let mut world = refreshed_by("uas", no_update);
        world.run(ms(100));
        world.caller().dead = true;
        let cdr = world.finish();
        assert_eq!(cdr["end"]["cause"], "session_expired", "{}", world.ladder());
        let duration = cdr["times"]["duration_ms"].as_u64().expect("a duration");
        assert!((76_900..77_200).contains(&duration), "45 s and 64*T1: {duration}");
    }
}
