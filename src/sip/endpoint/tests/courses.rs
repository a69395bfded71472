//! Courses of whole calls between two endpoints: 2,500 seeds, and nothing left behind by any.

use super::world::{FAIR, FOUL, Plot, bye_with, worlds};

#[test]
fn over_a_network_that_loses_nothing_every_call_goes_as_it_should() {
    let bye = bye_with(Some("Q.850;cause=16"));
    for (seed, world) in worlds(200, FAIR, Plot::CallerEnds) {
        assert_eq!(world.told[0], ["Answered", "ByUs"], "seed {seed}");
        assert_eq!(world.told[1], ["Incoming", "Confirmed", bye.as_str()], "seed {seed}");
    }
    for (seed, world) in worlds(200, FAIR, Plot::CalleeEnds) {
        assert_eq!(world.told[0], ["Answered", bye.as_str()], "seed {seed}");
        assert_eq!(world.told[1], ["Incoming", "Confirmed", "ByUs"], "seed {seed}");
    }
    for (seed, world) in worlds(200, FAIR, Plot::Refused) {
        assert_eq!(world.told[0].len(), 1, "seed {seed}");
        assert!(world.told[0][0].starts_with("Refused { status: 486"), "seed {seed}: {:?}", world.told);
        assert_eq!(world.told[1], ["Incoming", "ByUs"], "seed {seed}");
    }
}

#[test]
fn over_a_network_that_loses_a_fifth_every_call_is_set_up_and_ended_at_both_ends() {
    for plot in [Plot::CallerEnds, Plot::CalleeEnds, Plot::BothEnd] {
        let mut up = 0;
        for (_, world) in worlds(200, FOUL, plot) {
            up += usize::from(world.told[0].first().is_some_and(|told| told == "Answered"));
        }
        assert!(up >= 199, "{plot:?}: {up} of 200 calls came up"); // seven INVITEs lost in a row are rare
    }
}

#[test]
fn a_call_given_up_at_any_moment_leaves_nothing_at_either_end() {
    for weather in [FAIR, FOUL] {
        for (seed, world) in worlds(200, weather, Plot::GivenUp) {
            assert!(world.told[0].contains(&"ByUs".to_owned()), "seed {seed}: {:?}", world.told);
        }
    }
}

#[test]
fn reliable_ringing_is_acknowledged_answered_refused_and_cancelled_in_any_weather() {
    for weather in [FAIR, FOUL] {
        let (mut up, mut pracks) = (0, 0);
        for (seed, world) in worlds(200, weather, Plot::Reliable) {
            assert!(!world.told[1].contains(&"PrackTimeout".to_owned()), "seed {seed}: {:?}", world.told);
            up += usize::from(world.told[0].contains(&"Answered".to_owned()));
            pracks += world.methods.get("PRACK").copied().unwrap_or(0);
        }
        assert!((80..160).contains(&up) && pracks >= 200, "{up} of 200 came up with {pracks} PRACKs");
    }
}

#[test]
fn changes_from_both_ends_meet_each_other_and_the_hangup_in_any_weather() {
    for weather in [FAIR, FOUL] {
        let (mut invites, mut updates, mut done) = (0, 0, 0);
        for (_, world) in worlds(250, weather, Plot::Changes) {
            invites += world.methods["INVITE"] - 1;
            updates += world.methods.get("UPDATE").copied().unwrap_or(0);
            done += world.told.iter().flatten().filter(|told| *told == "Modified").count();
        }
        assert!(
            invites > 500 && updates > 100 && done > 500,
            "{invites} INVITE, {updates} UPDATE, {done} done"
        );
    }
}

#[test]
fn a_refreshed_call_lives_on_in_any_weather() {
    for weather in [FAIR, FOUL] {
        for (seed, world) in worlds(40, weather, Plot::Sessions) {
            let ended = world.told.iter().flatten().any(|told| told == "SessionExpired" || told == "Lost");
            assert!(!ended, "seed {seed}: {:?}", world.told);
            let of = |method: &str| world.methods.get(method).copied().unwrap_or(0);
            assert!(of("INVITE") + of("UPDATE") > 13, "seed {seed}: {:?}", world.methods);
        }
    }
}

#[test]
fn both_ends_notice_when_nothing_gets_through_any_more() {
    for (seed, world) in worlds(200, FAIR, Plot::Cut) {
        for told in &world.told {
            let last = told.last().map(String::as_str);
            assert!(matches!(last, Some("SessionExpired" | "AckTimeout")), "seed {seed}: {:?}", world.told);
        }
    }
}
