//! Reliable provisional answers (RFC 3262).

use super::super::call::{Placing, ack, described, well_mannered};
use super::super::case::{Case, case};
use super::super::dialog::Dialog;
use super::super::stage::{Fault, Played, Seen, Stage};
use super::super::text::Request;

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(
        prack_required,
        Any,
        [Cucm, Cisco, Avaya],
        "Require: 100rel: the 18x carries RSeq and is acknowledged by PRACK (CUCM \"Send PRACK\", Cisco gateways)"
    ),
    case!(
        prack_late_offer,
        Any,
        [Cucm],
        "Require: 100rel without SDP: an offer may stand in the reliable 18x, its answer in the PRACK"
    ),
    case!(
        prack_astray,
        Any,
        [Kamailio, Plain],
        "a PRACK of another fork (RAck of a stranger): 481; the right one: 200; the call comes up"
    ),
    case!(
        prack_withheld,
        Udp,
        [Plain],
        "a PRACK that is late: the 18x is repeated octet for octet (RFC 3262 §3)"
    ),
];

fn rack(provisional: &Seen, invite: &Request) -> Result<String, Fault> {
    let rseq = provisional.header("RSeq");
    if rseq.is_empty() || !provisional.message.lists("Require", "100rel") {
        let found = format!("RSeq {rseq:?}, Require {:?}", provisional.header("Require"));
        return Err(Fault::new("a reliable 18x: RSeq and Require: 100rel", found));
    }
    Ok(format!("{rseq} {}", invite.value("CSeq")))
}

fn require(invite: &mut Request, order: &[&str]) {
    invite.set("Require", "100rel");
    if !invite.value("Supported").contains("100rel") {
        let supported = format!("{}, 100rel", invite.value("Supported"));
        invite.set("Supported", supported.trim_start_matches(", "));
    }
    invite.arrange(order);
}

/// A reliable answer, what acknowledges it, and the early dialog it makes.
struct Reliable {
    ringing: Seen,
    rack: String,
    early: Dialog,
}

/// Sends the INVITE with `Require: 100rel`, and waits for its first reliable answer.
async fn ring(stage: &mut Stage, placing: &mut Placing) -> Result<Reliable, Fault> {
    require(&mut placing.invite, stage.dialect.order);
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    let ringing = stage.provisional(&placing.invite).await?;
    let rack = rack(&ringing, &placing.invite)?;
    let mut early = placing.dialog.clone();
    early.learn(&ringing.message);
    Ok(Reliable { ringing, rack, early })
}

async fn prack_required(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let Reliable { ringing, rack, mut early } = ring(stage, &mut placing).await?;
    well_mannered(&placing.invite, &ringing)?;
    let mut prack = early.request("PRACK");
    stage.asks(prack.add("RAck", rack), 200).await?;
    placing.dialog.cseq = early.cseq;
    let ok = stage.accepted(&mut placing).await?;
    if ok.message.to().tag() != ringing.message.to().tag() {
        return Err(Fault::new("the same To tag in 18x and 200", ok.header("To")));
    }
    let theirs = described(&ok)?;
    let up = stage.acknowledge(placing, ok, theirs, None).await?;
    stage.hang_up(up).await
}

async fn prack_late_offer(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_late().await?;
    let Reliable { ringing, rack, mut early } = ring(stage, &mut placing).await?;
    let mut prack = early.request("PRACK");
    prack.add("RAck", rack);
    let offered = described(&ringing).ok();
    if let Some(offer) = &offered {
        prack.describe(placing.ours.answering(offer).text());
    }
    stage.asks(&prack, 200).await?;
    placing.dialog.cseq = early.cseq;
    let ok = stage.accepted(&mut placing).await?;
    let (theirs, answer) = match offered {
        Some(offer) => (offer, None),
        None => {
            let offer = described(&ok)?;
            let answer = placing.ours.answering(&offer).text();
            (offer, Some(answer))
        }
    };
    let since = std::time::Instant::now();
    let up = stage.acknowledge(placing, ok, theirs, answer).await?;
    stage.heard(&up, since, stage.ground.patience).await?;
    stage.hang_up(up).await
}

async fn prack_astray(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let Reliable { rack, mut early, .. } = ring(stage, &mut placing).await?;
    let mut astray = early.request("PRACK");
    let stranger = format!("4711 {}", placing.invite.value("CSeq"));
    stage.asks(astray.add("RAck", stranger), 481).await?;
    let mut prack = early.request("PRACK");
    stage.asks(prack.add("RAck", rack), 200).await?;
    placing.dialog.cseq = early.cseq;
    let ok = stage.accepted(&mut placing).await?;
    let ack = ack(&mut placing.dialog, &placing.invite, None);
    stage.send(&ack).await?;
    drop(ok);
    stage.hang_up_dialog(&mut placing.dialog).await
}

async fn prack_withheld(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_ringing().await?;
    let Reliable { ringing, rack, mut early } = ring(stage, &mut placing).await?;
    // T1 is 500 ms: two repetitions within 1.5 s.
    stage.listen(std::time::Duration::from_millis(1800)).await?;
    let copies = stage.copies(&ringing);
    // A final answer ends the repetition (RFC 3262 §3).
    let answered = stage.came.iter().any(|(_, bytes)| bytes.starts_with(b"SIP/2.0 200"));
    if answered {
        stage.notes.push("the call was answered at once: repetition of the 18x was not seen");
    }
    if copies < 3 && !answered {
        return Err(Fault::new("the 18x three times within 1.8 s", format!("{copies} times")));
    }
    let mut prack = early.request("PRACK");
    stage.asks(prack.add("RAck", rack), 200).await?;
    placing.dialog.cseq = early.cseq;
    stage.accepted(&mut placing).await?;
    let ack = ack(&mut placing.dialog, &placing.invite, None);
    stage.send(&ack).await?;
    let before = stage.copies(&ringing);
    stage.listen(std::time::Duration::from_millis(300)).await?;
    if stage.copies(&ringing) > before {
        return Err(Fault::new("no repetition after the PRACK", "one more"));
    }
    stage.hang_up_dialog(&mut placing.dialog).await
}
