//! Hold and resume in the spellings that are met.

use std::time::{Duration, Instant};

use super::super::call::Up;
use super::super::case::{Case, case};
use super::super::sdp::{Ours, Theirs};
use super::super::stage::{Fault, Played, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        hold_sendonly,
        Any,
        [Avaya, Asterisk, Freeswitch, Ameyo, Kamailio],
        "a=sendonly with the c= line as it was: recvonly, audio stops; resume (RFC 3264 §8.4)"
    ),
    case!(
        hold_inactive,
        Any,
        [Cucm, Avaya, Freeswitch],
        "a=inactive is answered inactive; resume (CUCM media move, music on hold elsewhere)"
    ),
    case!(
        hold_zero_address,
        Any,
        [Genesys, Cisco, Ameyo],
        "c=0.0.0.0 is a hold, is not echoed and never becomes a target (RFC 3264 §8.4; Genesys re-INVITE to 0.0.0.0)"
    ),
    case!(
        hold_zero_and_inactive,
        Any,
        [Cucm],
        "c=0.0.0.0 and a=inactive together, resumed by a late offer (CUCM)"
    ),
    case!(
        music_on_hold,
        Any,
        [Cucm, Avaya, Asterisk],
        "hold, then sendonly from another port, then back: every move is followed"
    ),
    case!(
        same_offer_same_version,
        Any,
        [Plain, Asterisk, Freeswitch],
        "an offer that changes nothing is answered with the same o= line (RFC 3264 §8)"
    ),
    case!(
        resume_elsewhere,
        Any,
        [Avaya, Cucm, Genesys],
        "after the hold audio flows to the new address, not to the one before"
    ),
];

/// After the answer to a hold so long nothing more comes.
const SETTLES: Duration = Duration::from_millis(250);
/// And then for so long.
const QUIET: Duration = Duration::from_millis(300);
/// Audio is back within this: 100 ms of the product's, and what a busy machine takes.
const RESUMES: Duration = Duration::from_millis(400);

/// A hold with this description gets this direction; then silence; the version rises by one.
async fn holds(stage: &mut Stage, up: &mut Up, ours: Ours, direction: &str) -> Played {
    let before = up.theirs.origin.clone();
    let theirs = stage.reinvite(up, ours).await?;
    turned(&theirs, direction)?;
    risen(&before, &theirs, 1)?;
    tokio::time::sleep(SETTLES + up.line.late()).await;
    let since = Instant::now();
    tokio::time::sleep(QUIET).await;
    match up.line.since(since).len() {
        0 => Ok(()),
        packets => Err(Fault::new("no RTP to a peer that holds", format!("{packets} packets"))),
    }
}

/// A resume is answered sendrecv, with the next version, and audio is back.
async fn resumes(stage: &mut Stage, up: &mut Up, ours: Ours) -> Played {
    let before = up.theirs.origin.clone();
    let since = Instant::now();
    let theirs = stage.reinvite(up, ours).await?;
    turned(&theirs, "sendrecv")?;
    risen(&before, &theirs, 1)?;
    if !up.line.hears(since, 3, RESUMES + up.line.late(), |_| true).await {
        let found = format!("{} packets", up.line.since(since).len());
        return Err(Fault::new(format!("RTP within {} ms of the resume", RESUMES.as_millis()), found));
    }
    Ok(())
}

fn turned(theirs: &Theirs, direction: &str) -> Played {
    if theirs.direction() == direction {
        return Ok(());
    }
    Err(Fault::new(format!("a={direction} in the answer"), format!("a={}", theirs.direction())))
}

fn risen(before: &(String, u64), theirs: &Theirs, by: u64) -> Played {
    let wanted = (before.0.clone(), before.1 + by);
    if theirs.origin == wanted {
        return Ok(());
    }
    Err(Fault::new(format!("o= with session and version {wanted:?}"), format!("{:?}", theirs.origin)))
}

async fn hold_sendonly(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let held = up.ours.turned("sendonly");
    let resumed = held.turned("sendrecv");
    holds(stage, &mut up, held, "recvonly").await?;
    resumes(stage, &mut up, resumed).await?;
    stage.hang_up(up).await
}

async fn hold_inactive(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let held = up.ours.turned("inactive");
    let resumed = held.turned("sendrecv");
    holds(stage, &mut up, held, "inactive").await?;
    resumes(stage, &mut up, resumed).await?;
    stage.hang_up(up).await
}

async fn hold_zero_address(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let nowhere = Some(if up.ours.ip.is_ipv4() { "0.0.0.0" } else { "::" }.to_owned());
    let held = Ours { connection: nowhere, ..up.ours.turned("sendrecv") };
    let resumed = Ours { connection: None, ..held.turned("sendrecv") };
    holds(stage, &mut up, held, "recvonly").await?;
    resumes(stage, &mut up, resumed).await?;
    stage.hang_up(up).await
}

async fn hold_zero_and_inactive(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let held = Ours { connection: Some("0.0.0.0".to_owned()), ..up.ours.turned("inactive") };
    let held_as = if up.ours.ip.is_ipv4() { held } else { up.ours.turned("inactive") };
    holds(stage, &mut up, held_as, "inactive").await?;
    let invite = up.dialog.invite(None);
    stage.send(&invite).await?;
    let ok = stage.answer(&invite, 200).await?;
    let offer = super::super::call::described(&ok)?;
    turned(&offer, "sendrecv")?;
    let since = Instant::now();
    let answer = Ours { connection: None, ..up.ours.answering(&offer) };
    let ack = super::super::call::ack(&mut up.dialog, &invite, Some(answer.turned("sendrecv").text()));
    stage.send(&ack).await?;
    if !up.line.hears(since, 3, RESUMES + up.line.late(), |_| true).await {
        return Err(Fault::new("RTP after the ACK with our answer", "none"));
    }
    stage.hang_up(up).await
}

async fn music_on_hold(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let held = up.ours.turned("inactive");
    let music = Ours { port: up.line.other().port(), ..held.turned("sendonly") };
    let back = Ours { port: up.ours.port, ..music.turned("sendrecv") };
    holds(stage, &mut up, held, "inactive").await?;
    holds(stage, &mut up, music, "recvonly").await?;
    resumes(stage, &mut up, back).await?;
    stage.hang_up(up).await
}

async fn same_offer_same_version(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let before = up.theirs.origin.clone();
    let same = up.ours.clone();
    let theirs = stage.reinvite(&mut up, same).await?;
    risen(&before, &theirs, 0)?;
    let held = up.ours.turned("sendonly");
    let theirs = stage.reinvite(&mut up, held.clone()).await?;
    risen(&before, &theirs, 1)?;
    let theirs = stage.reinvite(&mut up, held).await?;
    risen(&before, &theirs, 1)?;
    stage.hang_up(up).await
}

async fn resume_elsewhere(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let held = up.ours.turned("sendonly");
    let resumed = Ours { port: up.line.other().port(), ..held.turned("sendrecv") };
    holds(stage, &mut up, held, "recvonly").await?;
    // Audio of ours from the old port would be learned again.
    up.line.move_away();
    let since = Instant::now();
    resumes(stage, &mut up, resumed).await?;
    let astray = up.line.since(since).iter().filter(|came| came.to == 0).count();
    if astray > 0 {
        return Err(Fault::new("RTP to the new port only", format!("{astray} packets to the old one")));
    }
    stage.hang_up(up).await
}
