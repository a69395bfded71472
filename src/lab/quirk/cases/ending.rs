//! How calls end, and how they do not begin.

use std::time::Duration;

use super::super::call::{Placing, ack, described};
use super::super::case::{Case, case};
use super::super::stage::{Fault, Played, Seen, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(late_bye, Any, [Cisco, Asterisk, Kamailio], "BYE for a call that is over: 481 (RFC 3261 §15.1.2)"),
    case!(
        bye_before_ack,
        Any,
        [Genesys, Freeswitch],
        "BYE while the ACK is missing: 200, and the 200 to the INVITE is not repeated any more"
    ),
    case!(
        reinvite_before_ack,
        Any,
        [Avaya, Plain],
        "a re-INVITE that overtakes the ACK: 491, and the call comes up"
    ),
    case!(
        cancel_at_once,
        Any,
        [Cucm, Genesys, Freeswitch],
        "CANCEL in the same breath as the INVITE: 200 and 487, or a call that is answered (RFC 3261 §9.2)"
    ),
    case!(
        cancel_while_ringing,
        Any,
        [Avaya, Cucm, Cisco, Asterisk, Freeswitch, Ameyo],
        "CANCEL after 18x: 200 with the tag of the 18x, 487, ACK"
    ),
    case!(
        cancel_crosses_200,
        Any,
        [Asterisk, Kamailio],
        "CANCEL after the 200: 200 without effect; ACK and BYE follow (RFC 3261 §9.2)"
    ),
    case!(cancel_of_nothing, Any, [Plain], "CANCEL that matches nothing: 481"),
    case!(
        refusal_until_its_ack,
        Udp,
        [Cisco, Plain],
        "487 is repeated until its ACK and not after it (RFC 3261 §17.2.1)"
    ),
    case!(
        invite_repeated,
        Udp,
        [Cisco, Asterisk, Genesys],
        "an INVITE sent three times is one call, answered with the same octets (RFC 3261 §17.2.1)"
    ),
    case!(
        answer_until_its_ack,
        Udp,
        [Cucm, Freeswitch],
        "the 200 is repeated until the ACK and not after it (RFC 3261 §13.3.1.4)"
    ),
    case!(
        bye_repeated,
        Udp,
        [Asterisk, Cisco],
        "a BYE that is repeated gets the same 200 again (RFC 3261 §17.2.2)"
    ),
    case!(
        merged_invite,
        Any,
        [Kamailio, Avaya],
        "the same INVITE by another branch of a fork: 482 (RFC 3261 §8.2.2.2)"
    ),
];

async fn late_bye(stage: &mut Stage) -> Played {
    let up = stage.call().await?;
    let mut dialog = up.dialog.clone();
    stage.hang_up(up).await?;
    drop(dialog.request("BYE")); // the one that went out
    let late = dialog.request("BYE");
    stage.asks(&late, 481).await.map(drop)
}

async fn bye_before_ack(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let ok = stage.place(&mut placing).await?;
    stage.hang_up_dialog(&mut placing.dialog).await?;
    let copies = stage.copies(&ok);
    stage.listen(Duration::from_millis(1200)).await?;
    if stage.copies(&ok) > copies {
        return Err(Fault::new(
            "no repetition of the 200 after the BYE",
            format!("{} more", stage.copies(&ok) - copies),
        ));
    }
    Ok(())
}

async fn reinvite_before_ack(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let ok = stage.place(&mut placing).await?;
    let early = placing.dialog.invite(Some(&placing.ours));
    stage.asks(&early, 491).await?;
    let refused = placing.dialog.hop("ACK", &early);
    stage.send(&refused).await?;
    let theirs = described(&ok)?;
    let mut up = stage.acknowledge(placing, ok, theirs, None).await?;
    let held = up.ours.turned("sendrecv");
    stage.reinvite(&mut up, held).await?;
    stage.hang_up(up).await
}

/// After a CANCEL: 487, or a 200 that won, which is acknowledged and ended.
async fn over(stage: &mut Stage, placing: &mut Placing) -> Result<Seen, Fault> {
    let last = stage.final_answer(&placing.invite, "487 or 200").await?;
    placing.dialog.learn(&last.message);
    stage.cleared(&placing.dialog.call_id);
    match last.message.status() {
        Some(487) => {
            let ack = placing.dialog.hop("ACK", &placing.invite);
            stage.send(&ack).await?;
        }
        Some(200) => {
            stage.notes.push("the 200 was faster than the CANCEL");
            let ack = ack(&mut placing.dialog, &placing.invite, None);
            stage.send(&ack).await?;
            stage.hang_up_dialog(&mut placing.dialog).await?;
        }
        _ => return Err(Fault::new("487 or 200 to INVITE", last.what())),
    }
    Ok(last)
}

async fn cancel_at_once(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_ringing().await?;
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    let cancel = placing.dialog.hop("CANCEL", &placing.invite);
    stage.asks(&cancel, 200).await?;
    over(stage, &mut placing).await.map(drop)
}

async fn cancel_while_ringing(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_ringing().await?;
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    let rings = stage.provisional(&placing.invite).await?;
    let cancel = placing.dialog.hop("CANCEL", &placing.invite);
    let ok = stage.asks(&cancel, 200).await?;
    let last = over(stage, &mut placing).await?;
    for seen in [ok, last] {
        if seen.message.to().tag() != rings.message.to().tag() {
            return Err(Fault::new(format!("the To tag of the 18x in {}", seen.what()), seen.header("To")));
        }
    }
    Ok(())
}

async fn cancel_crosses_200(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let ok = stage.place(&mut placing).await?;
    let cancel = placing.dialog.hop("CANCEL", &placing.invite);
    stage.asks(&cancel, 200).await?;
    let theirs = described(&ok)?;
    let up = stage.acknowledge(placing, ok, theirs, None).await?;
    stage.heard(&up, std::time::Instant::now(), stage.ground.patience).await?;
    stage.hang_up(up).await
}

async fn cancel_of_nothing(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let cancel = placing.dialog.hop("CANCEL", &placing.invite);
    stage.asks(&cancel, 481).await.map(drop)
}

async fn refusal_until_its_ack(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_ringing().await?;
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    stage.provisional(&placing.invite).await?;
    let cancel = placing.dialog.hop("CANCEL", &placing.invite);
    stage.asks(&cancel, 200).await?;
    let last = stage.final_answer(&placing.invite, "487").await?;
    placing.dialog.learn(&last.message);
    if last.message.status() != Some(487) {
        return over_by_200(stage, &mut placing).await;
    }
    stage.cleared(&placing.dialog.call_id);
    stage.listen(Duration::from_millis(1800)).await?;
    let copies = stage.copies(&last);
    let ack = placing.dialog.hop("ACK", &placing.invite);
    stage.send(&ack).await?;
    stage.listen(Duration::from_millis(100)).await?;
    let before = stage.copies(&last);
    stage.listen(Duration::from_millis(2200)).await?;
    match (copies, stage.copies(&last) - before) {
        (3.., 0) => Ok(()),
        (copies, more) => Err(Fault::new(
            "487 three times within 1.8 s and none after the ACK",
            format!("{copies} times, and {more} after the ACK"),
        )),
    }
}

async fn over_by_200(stage: &mut Stage, placing: &mut Placing) -> Played {
    stage.notes.push("the 200 was faster than the CANCEL: repetition of the 487 was not seen");
    let ack = ack(&mut placing.dialog, &placing.invite, None);
    stage.send(&ack).await?;
    stage.hang_up_dialog(&mut placing.dialog).await
}

async fn invite_repeated(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    stage.clears(&placing.dialog, &placing.invite);
    let text = placing.invite.text();
    for _ in 0..3 {
        stage.send_bytes(text.as_bytes()).await?;
    }
    let ok = stage.accepted(&mut placing).await?;
    let ack = ack(&mut placing.dialog, &placing.invite, None);
    stage.send(&ack).await?;
    stage.listen(Duration::from_millis(400)).await?;
    let method = |seen: &Seen| seen.message.method().as_str() == "INVITE";
    let another = |seen: &Seen| method(seen) && seen.message.status() >= Some(200);
    if let Some(other) = stage.there(another) {
        return Err(Fault::new("one final answer", format!("{} besides {}", other.what(), ok.what())));
    }
    stage.hang_up_dialog(&mut placing.dialog).await
}

async fn answer_until_its_ack(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let ok = stage.place(&mut placing).await?;
    stage.listen(Duration::from_millis(1800)).await?;
    let copies = stage.copies(&ok);
    let theirs = described(&ok)?;
    let up = stage.acknowledge(placing, ok, theirs, None).await?;
    stage.listen(Duration::from_millis(100)).await?;
    let before = stage.copies(&up.ok);
    stage.listen(Duration::from_millis(2200)).await?;
    let after = stage.copies(&up.ok) - before;
    if copies < 3 || after > 0 {
        let found = format!("{copies} times, and {after} after the ACK");
        return Err(Fault::new("the 200 three times within 1.8 s and none after the ACK", found));
    }
    stage.hang_up(up).await
}

async fn bye_repeated(stage: &mut Stage) -> Played {
    let mut up = stage.call().await?;
    let bye = up.dialog.request("BYE");
    stage.cleared(&up.dialog.call_id);
    let ok = stage.asks(&bye, 200).await?;
    for _ in 0..2 {
        stage.send(&bye).await?;
    }
    stage.listen(Duration::from_millis(300)).await?;
    match stage.copies(&ok) {
        3 => Ok(()),
        copies => Err(Fault::new("the same 200 three times", format!("{copies} times"))),
    }
}

async fn merged_invite(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare_ringing().await?;
    stage.clears(&placing.dialog, &placing.invite);
    stage.send(&placing.invite).await?;
    stage.provisional(&placing.invite).await?;
    let mut fork = placing.invite.clone();
    let (old, new) = (branch_of(&placing.invite), placing.dialog.branch());
    fork.fields
        .iter_mut()
        .filter(|(name, _)| name == "Via")
        .for_each(|(_, via)| *via = via.replace(&old, &new));
    stage.asks(&fork, 482).await?;
    let refused = placing.dialog.hop("ACK", &fork);
    stage.send(&refused).await?;
    let cancel = placing.dialog.hop("CANCEL", &placing.invite);
    stage.asks(&cancel, 200).await?;
    over(stage, &mut placing).await.map(drop)
}

fn branch_of(invite: &super::super::text::Request) -> String {
    invite
        .value("Via")
        .split("branch=")
        .nth(1)
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned()
}
