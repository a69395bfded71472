//! Session timers (RFC 4028).

use std::time::{Duration, Instant};

use super::super::call::{ack, described};
use super::super::case::{Case, case};
use super::super::stage::{Fault, Played, Seen, Stage};
use super::super::text::Request;

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        refresh_by_update,
        Any,
        [Avaya, Asterisk, Genesys, Cisco],
        "Session-Expires 90, we refresh by UPDATE without SDP (RFC 4028 §10, RFC 3311)"
    ),
    case!(
        refresh_by_reinvite,
        Any,
        [Cucm, Cisco, Freeswitch, Ameyo],
        "Session-Expires 90, we refresh by re-INVITE with the same SDP: same o= line (RFC 4028 §7.4)"
    ),
    case!(
        refresher_uas,
        Any,
        [Freeswitch, Kamailio],
        "refresher=uas: the daemon takes the refreshing and says so (RFC 4028 §9)"
    ),
    case!(
        refresher_left_open,
        Any,
        [Asterisk, Cucm],
        "no refresher named, timer supported: uac, and Require: timer (RFC 4028 §9)"
    ),
    case!(
        interval_too_small,
        Any,
        [Asterisk, Kamailio, Plain],
        "Session-Expires 30: 422 with Min-SE 90, and the next try is taken (RFC 4028 §9)"
    ),
    case!(
        refresh_too_small_keeps_the_call,
        Any,
        [Plain],
        "a 422 to a refresh leaves the call and its timer alone (pjproject, JsSIP, ivozprovider)"
    ),
    case!(session_expires_compact, Any, [Kamailio], "x: is Session-Expires (RFC 4028 §4)"),
];

/// `Session-Expires: 90;refresher=uac` of an answer.
fn expires(answer: &Seen, refresher: &str) -> Played {
    let wanted = format!("90;refresher={refresher}");
    let found: String = answer.header("Session-Expires").chars().filter(|c| *c != ' ').collect();
    if found.eq_ignore_ascii_case(&wanted) {
        return Ok(());
    }
    Err(Fault::new(
        format!("Session-Expires: {wanted}"),
        if found.is_empty() { "none".to_owned() } else { found },
    ))
}

/// 90 s, whatever the dialect's own timer says.
fn timed(invite: &mut Request, value: &str) {
    invite.remove("x").remove("Min-SE").set("Session-Expires", value);
    if !invite.value("Supported").contains("timer") {
        invite.set("Supported", "timer");
    }
}

async fn refresh_by_update(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    timed(&mut placing.invite, "90;refresher=uac");
    let mut up = stage.call_as(placing).await?;
    expires(&up.ok, "uac")?;
    for _ in 0..2 {
        let mut update = up.dialog.request("UPDATE");
        update.add("Supported", "timer");
        timed(&mut update, "90;refresher=uac");
        let ok = stage.asks(&update, 200).await?;
        expires(&ok, "uac")?;
    }
    stage.heard(&up, Instant::now(), Duration::from_millis(500)).await?;
    stage.hang_up(up).await
}

async fn refresh_by_reinvite(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    timed(&mut placing.invite, "90;refresher=uac");
    let mut up = stage.call_as(placing).await?;
    expires(&up.ok, "uac")?;
    for _ in 0..2 {
        let mut invite = up.dialog.invite(Some(&up.ours));
        timed(&mut invite, "90;refresher=uac");
        let ok = stage.asks(&invite, 200).await?;
        let ack = ack(&mut up.dialog, &invite, None);
        stage.send(&ack).await?;
        expires(&ok, "uac")?;
        let theirs = described(&ok)?;
        if theirs != up.theirs {
            return Err(Fault::new(format!("the same SDP:\n{}", up.theirs.text), theirs.text));
        }
    }
    stage.heard(&up, Instant::now(), Duration::from_millis(500)).await?;
    stage.hang_up(up).await
}

async fn refresher_uas(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    timed(&mut placing.invite, "90;refresher=uas");
    let up = stage.call_as(placing).await?;
    expires(&up.ok, "uas")?;
    stage.hang_up(up).await
}

async fn refresher_left_open(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    timed(&mut placing.invite, "90");
    let up = stage.call_as(placing).await?;
    expires(&up.ok, "uac")?;
    if !up.ok.message.lists("Require", "timer") {
        return Err(Fault::new("Require: timer", up.ok.header("Require")));
    }
    stage.hang_up(up).await
}

async fn interval_too_small(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    timed(&mut placing.invite, "30;refresher=uac");
    let refused = stage.asks(&placing.invite, 422).await?;
    let ack = placing.dialog.hop("ACK", &placing.invite);
    stage.send(&ack).await?;
    if refused.header("Min-SE") != "90" {
        return Err(Fault::new("Min-SE: 90", refused.header("Min-SE")));
    }
    let mut again = placing.dialog.invite(Some(&placing.ours));
    timed(&mut again, "90;refresher=uac");
    if let Some(account) = &stage.ground.account {
        again.add("X-Exotel-AccountSid", account.clone());
    }
    again.set("Min-SE", "90").arrange(stage.dialect.order);
    placing.invite = again;
    let up = stage.call_as(placing).await?;
    expires(&up.ok, "uac")?;
    stage.hang_up(up).await
}

async fn refresh_too_small_keeps_the_call(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    timed(&mut placing.invite, "90;refresher=uac");
    let mut up = stage.call_as(placing).await?;
    let mut update = up.dialog.request("UPDATE");
    update.add("Supported", "timer");
    timed(&mut update, "30;refresher=uac");
    stage.asks(&update, 422).await?;
    stage.heard(&up, Instant::now(), Duration::from_millis(500)).await?;
    let mut update = up.dialog.request("UPDATE");
    update.add("Supported", "timer");
    timed(&mut update, "90;refresher=uac");
    let ok = stage.asks(&update, 200).await?;
    expires(&ok, "uac")?;
    stage.hang_up(up).await
}

async fn session_expires_compact(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    timed(&mut placing.invite, "90");
    placing
        .invite
        .remove("Session-Expires")
        .remove("Supported")
        .add("x", "90 ; refresher = uac")
        .add("k", "timer");
    let up = stage.call_as(placing).await?;
    expires(&up.ok, "uac")?;
    stage.hang_up(up).await
}
