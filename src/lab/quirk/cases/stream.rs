//! Framing on streams: Content-Length and nothing else (RFC 3261 §18.3).

use std::time::{Duration, Instant};

use super::super::case::{Case, case};
use super::super::stage::{Fault, Played, Stage};

/// The cases of this file.
pub(super) const CASES: &[Case] = &[
    case!(byte_by_byte, Stream, [Cucm, Avaya], "an INVITE that comes one octet at a time"),
    case!(
        pipelined,
        Stream,
        [Avaya, Genesys],
        "several messages in one segment, blank lines between them, padded Content-Length (Ribbon)"
    ),
    case!(
        keep_alive_pong,
        Stream,
        [Kamailio, Asterisk],
        "a double CRLF alone is answered with one CRLF (RFC 5626 §4.4.1)"
    ),
    case!(
        many_calls_one_connection,
        Stream,
        [Cucm, Avaya, Genesys],
        "one connection carries many calls, both ways (RFC 3261 §18.2.2)"
    ),
];

async fn byte_by_byte(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    stage.clears(&placing.dialog, &placing.invite);
    let text = placing.invite.text();
    stage.tell(Instant::now(), true, &text);
    for (n, octet) in text.bytes().enumerate() {
        stage.send_part(&[octet]).await?;
        if n % 64 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let ok = stage.accepted(&mut placing).await?;
    let theirs = super::super::call::described(&ok)?;
    let up = stage.acknowledge(placing, ok, theirs, None).await?;
    stage.hang_up(up).await
}

async fn pipelined(stage: &mut Stage) -> Played {
    let mut placing = stage.prepare().await?;
    let first = stage.dialog().request("OPTIONS");
    let second = stage.dialog().request("OPTIONS");
    stage.clears(&placing.dialog, &placing.invite);
    let padded = placing.invite.text().replace("Content-Length: ", "Content-Length:      ");
    let all = format!("{}\r\n\r\n{}\r\n{padded}", first.text(), second.text());
    stage.send_bytes(all.as_bytes()).await?;
    stage.answer(&first, 200).await?;
    stage.answer(&second, 200).await?;
    let ok = stage.accepted(&mut placing).await?;
    let theirs = super::super::call::described(&ok)?;
    let up = stage.acknowledge(placing, ok, theirs, None).await?;
    stage.hang_up(up).await
}

async fn keep_alive_pong(stage: &mut Stage) -> Played {
    let options = stage.dialog().request("OPTIONS");
    stage.asks(&options, 200).await?;
    stage.send_part(b"\r\n\r\n").await?;
    let until = Instant::now() + stage.ground.patience;
    while stage.pongs == 0 && Instant::now() < until {
        stage.listen(Duration::from_millis(10)).await?;
    }
    stage.listen(Duration::from_millis(300)).await?; // and no other
    match stage.pongs {
        1 => Ok(()),
        pongs => Err(Fault::new("one CRLF", format!("{pongs} of them"))),
    }
}

async fn many_calls_one_connection(stage: &mut Stage) -> Played {
    let mut ups = Vec::new();
    for _ in 0..5 {
        ups.push(stage.call().await?);
    }
    for up in &ups {
        stage.heard(up, Instant::now(), stage.ground.patience).await?;
    }
    for up in ups {
        stage.hang_up(up).await?;
    }
    match stage.closed {
        false => Ok(()),
        true => Err(Fault::new("one connection to the end", "it was closed")),
    }
}
