//! Calls of a stage: placed, changed and ended as PBXs do it, with what is asked of every answer.

use std::time::{Duration, Instant};

use super::dialog::Dialog;
use super::rtp::Line;
use super::sdp::{Ours, Theirs};
use super::stage::{Fault, Played, Seen, Stage};
use super::text::Request;

/// A call that is up.
pub(super) struct Up {
    /// Its dialog.
    pub(super) dialog: Dialog,
    /// Its INVITE.
    pub(super) invite: Request,
    /// What we described last.
    pub(super) ours: Ours,
    /// What the daemon described last.
    pub(super) theirs: Theirs,
    /// Our audio.
    pub(super) line: Line,
    /// The 200.
    pub(super) ok: Seen,
}

/// A call that is being placed.
pub(super) struct Placing {
    /// Its dialog.
    pub(super) dialog: Dialog,
    /// Its INVITE.
    pub(super) invite: Request,
    /// What we describe.
    pub(super) ours: Ours,
    /// Our audio.
    pub(super) line: Line,
}

impl Stage {
    /// A call as this PBX makes it; nothing is sent yet.
    pub(super) async fn prepare(&mut self) -> Result<Placing, Fault> {
        let mut dialog = self.dialog();
        let line = Line::open(self.ground.ip, self.seed).await?;
        let id = self.seed & 0x3fff_ffff;
        let ours = Ours::of(&self.dialect, self.ground.ip, line.port(), id);
        let mut invite = dialog.invite(Some(&ours));
        if let Some(account) = &self.ground.account {
            invite.add("X-Exotel-AccountSid", account.clone()).arrange(self.dialect.order);
        }
        Ok(Placing { dialog, invite, ours, line })
    }

    /// A call that rings for a while, when there is a number for that; else it may be answered at any time.
    pub(super) async fn prepare_ringing(&mut self) -> Result<Placing, Fault> {
        if let Some(slow) = &self.ground.slow {
            self.number = format!("{slow}{:06}", self.seed % 1_000_000);
        }
        self.prepare().await
    }

    /// The same without a session description.
    pub(super) async fn prepare_late(&mut self) -> Result<Placing, Fault> {
        let mut placing = self.prepare().await?;
        placing.invite.body.clear();
        placing.invite.remove("Content-Type").remove("Content-Disposition").set("Content-Length", "0");
        Ok(placing)
    }

    /// Sends the INVITE and waits for the 200, which is looked at.
    pub(super) async fn place(&mut self, placing: &mut Placing) -> Result<Seen, Fault> {
        self.clears(&placing.dialog, &placing.invite);
        self.send(&placing.invite).await?;
        self.accepted(placing).await
    }

    /// Waits for the 200 to an INVITE that went out, and looks at it.
    pub(super) async fn accepted(&mut self, placing: &mut Placing) -> Result<Seen, Fault> {
        let ok = self.answer(&placing.invite, 200).await?;
        placing.dialog.learn(&ok.message);
        self.clears(&placing.dialog, &placing.invite);
        well_mannered(&placing.invite, &ok)?;
        Ok(ok)
    }

    /// A call with early offer, up, with audio both ways.
    pub(super) async fn call(&mut self) -> Result<Up, Fault> {
        let placing = self.prepare().await?;
        self.call_as(placing).await
    }

    /// The same with what was prepared.
    pub(super) async fn call_as(&mut self, mut placing: Placing) -> Result<Up, Fault> {
        let ok = self.place(&mut placing).await?;
        let theirs = described(&ok)?;
        let up = self.acknowledge(placing, ok, theirs, None).await?;
        Ok(up)
    }

    /// Sends the ACK, with this body if it is late offer, and speaks.
    pub(super) async fn acknowledge(
        &mut self,
        placing: Placing,
        ok: Seen,
        theirs: Theirs,
        answer: Option<String>,
    ) -> Result<Up, Fault> {
        let Placing { mut dialog, invite, ours, line } = placing;
        let ack = ack(&mut dialog, &invite, answer);
        self.send(&ack).await?;
        line.talk(theirs.target(), theirs.codec().unwrap_or(0));
        Ok(Up { dialog, invite, ours, theirs, line, ok })
    }

    /// A re-INVITE with this description, its 200 and ACK; what the 200 described.
    pub(super) async fn reinvite(&mut self, up: &mut Up, ours: Ours) -> Result<Theirs, Fault> {
        let invite = up.dialog.invite(Some(&ours));
        self.send(&invite).await?;
        let ok = self.answer(&invite, 200).await?;
        up.dialog.learn(&ok.message);
        let ack = ack(&mut up.dialog, &invite, None);
        self.send(&ack).await?;
        (up.theirs, up.ours) = (described(&ok)?, ours);
        Ok(up.theirs.clone())
    }

    /// A request in the dialog, and the answer it must get.
    pub(super) async fn asks(&mut self, request: &Request, status: u16) -> Result<Seen, Fault> {
        self.send(request).await?;
        self.answer(request, status).await
    }

    /// BYE, and its 200.
    pub(super) async fn hang_up(&mut self, mut up: Up) -> Played {
        self.hang_up_dialog(&mut up.dialog).await
    }

    /// The same for a dialog alone.
    pub(super) async fn hang_up_dialog(&mut self, dialog: &mut Dialog) -> Played {
        let bye = dialog.request("BYE");
        self.cleared(&dialog.call_id);
        self.asks(&bye, 200).await.map(drop)
    }

    /// Waits for the final answer with this status; provisional ones are passed over, another final one is a fault.
    pub(super) async fn answer(&mut self, request: &Request, status: u16) -> Result<Seen, Fault> {
        let seen = self.final_answer(request, &status.to_string()).await?;
        if seen.message.status() == Some(status) {
            return Ok(seen);
        }
        let phrase = seen.message.reason_phrase().map(|phrase| phrase.into_owned()).unwrap_or_default();
        let why = ["Reason", "Warning", "Unsupported"].map(|name| seen.header(name)).join(" ");
        Err(Fault::new(format!("{status} to {}", request.method), format!("{} {phrase} {why}", seen.what())))
    }

    /// Waits for the final answer.
    pub(super) async fn final_answer(&mut self, request: &Request, what: &str) -> Result<Seen, Fault> {
        let key = key(request);
        let what = format!("{what} to {}", request.method);
        let fits = |seen: &Seen| matches(seen, &key) && seen.message.status() >= Some(200);
        let within = self.ground.patience;
        self.waits(&what, within, fits).await
    }

    /// Waits for a provisional answer beyond 100; a final one in its place is a fault.
    pub(super) async fn provisional(&mut self, request: &Request) -> Result<Seen, Fault> {
        let key = key(request);
        let fits = |seen: &Seen| matches(seen, &key) && seen.message.status() > Some(100);
        let within = self.ground.patience;
        let seen = self.waits("18x to INVITE", within, fits).await?;
        if seen.message.status() < Some(200) {
            Ok(seen)
        } else {
            Err(Fault::new("18x to INVITE", seen.what()))
        }
    }

    /// Waits for a request of the daemon's.
    pub(super) async fn asked(&mut self, method: &str, call_id: &str) -> Result<Seen, Fault> {
        let fits = |seen: &Seen| {
            let of = seen.message.method().as_str() == method && seen.message.call_id() == call_id;
            seen.message.is_request() && of
        };
        let within = self.ground.patience;
        self.waits(method, within, fits).await
    }

    /// Answers a request of the daemon's with 200.
    pub(super) async fn agree(&mut self, request: &Seen) -> Played {
        let mut text = "SIP/2.0 200 OK\r\n".to_owned();
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in request.message.headers(name) {
                text += &format!("{name}: {value}\r\n");
            }
        }
        text += "Content-Length: 0\r\n\r\n";
        self.send_over(request.wire, text.as_bytes()).await
    }

    /// Audio of the daemon's flows to our first socket.
    pub(super) async fn heard(&mut self, up: &Up, since: Instant, within: Duration) -> Played {
        if up.line.hears(since, 3, within, |came| came.to == 0).await {
            return Ok(());
        }
        let found = format!("{} packets", up.line.since(since).len());
        Err(Fault::new(format!("RTP to port {} within {} ms", up.line.port(), within.as_millis()), found))
    }

    /// Clears away whatever a case left: CANCEL what rings, BYE what is up. What goes wrong here is no fault of
    /// the case.
    pub(super) async fn clear_away(&mut self) {
        for (mut dialog, invite) in self.left_open() {
            dialog.cseq += 100; // the case may have gone on from here
            if dialog.target.is_some() {
                let bye = dialog.request("BYE");
                drop(self.asks(&bye, 200).await);
                continue;
            }
            let cancel = dialog.hop("CANCEL", &invite);
            drop(self.send(&cancel).await);
            let Ok(last) = self.final_answer(&invite, "an end").await else { continue };
            dialog.learn(&last.message);
            if last.message.status().is_some_and(|status| status < 300) {
                let ack = ack(&mut dialog, &invite, None);
                drop(self.send(&ack).await);
                let bye = dialog.request("BYE");
                drop(self.asks(&bye, 200).await);
            } else {
                let ack = dialog.hop("ACK", &invite);
                drop(self.send(&ack).await);
            }
        }
    }
}

/// The ACK to a 2xx.
pub(super) fn ack(dialog: &mut Dialog, invite: &Request, answer: Option<String>) -> Request {
    let cseq = invite.value("CSeq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut ack = dialog.numbered("ACK", cseq);
    if let Some(answer) = answer {
        ack.describe(answer);
    }
    ack
}

/// The session description of a message.
pub(super) fn described(seen: &Seen) -> Result<Theirs, Fault> {
    if seen.message.content_type().as_deref() != Some("application/sdp") {
        return Err(Fault::new("a session description", format!("{} without one", seen.what())));
    }
    let read = Theirs::read(seen.message.body());
    let theirs = read.map_err(|why| Fault::new("a session description that can be read", why))?;
    let unusable = theirs.audio().filter(|audio| ["0.0.0.0", "::"].contains(&audio.connection.as_str()));
    match unusable {
        Some(audio) => Err(Fault::new("a real address in c=", audio.connection.clone())),
        None => Ok(theirs),
    }
}

fn key(request: &Request) -> (String, String) {
    let via = [request.value("Via"), request.value("v")].concat();
    let branch = via.split("branch=").nth(1).unwrap_or_default();
    let end = branch.find([';', ',', ' ', '\r']).unwrap_or(branch.len());
    (branch[..end].to_owned(), request.method.clone())
}

fn matches(seen: &Seen, (branch, method): &(String, String)) -> bool {
    let of = seen.message.via().branch() == Some(branch) && seen.message.method().as_str() == method;
    !seen.message.is_request() && of
}

/// What is asked of every answer above 100 to an INVITE (RFC 3261 §12.1.1, sip-trunk.md section 6).
pub(super) fn well_mannered(invite: &Request, answer: &Seen) -> Played {
    let of = |name: &str| {
        let all = invite.fields.iter().filter(|(its, _)| its.eq_ignore_ascii_case(name));
        all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let routes: Vec<String> = answer.message.headers("Record-Route").map(|r| r.into_owned()).collect();
    let routes_wanted = of("Record-Route");
    if routes != routes_wanted {
        return Err(Fault::new(format!("Record-Route copied: {routes_wanted:?}"), format!("{routes:?}")));
    }
    let below: Vec<String> = answer.message.list("Via").into_iter().skip(1).map(|v| v.into_owned()).collect();
    let vias = of("Via");
    if !vias.is_empty() && below != vias[1..] {
        return Err(Fault::new(
            format!("the Vias below ours as they came: {:?}", &vias[1..]),
            format!("{below:?}"),
        ));
    }
    if answer.message.list("Contact").len() != 1 {
        let found = answer.message.list("Contact").join(", ");
        return Err(Fault::new(
            "exactly one Contact",
            if found.is_empty() { "none".to_owned() } else { found },
        ));
    }
    if answer.header("Contact").contains("0.0.0.0") {
        return Err(Fault::new("a Contact that can be reached", answer.header("Contact")));
    }
    match answer.message.to().tag() {
        Some(_) => Ok(()),
        None => Err(Fault::new("a tag in To", answer.header("To"))),
    }
}
