//! The upgrade to WebSocket (RFC 6455 §4.1), as text: what is asked and what the answer means.
//!
//! Written here and not by the library, which rebuilds the request target from its parts, takes 64 KiB of
//! header, and refuses an answer whose `Connection` lists more than `Upgrade`.

use super::BotUrl;
use super::connect::Failure;

/// Longest header of the answer (reliability R-60).
pub const MAX_HEADER: usize = 16 * 1024;

/// The request; `key` is the base64 text of 16 random octets.
pub fn request(url: &BotUrl, user_agent: &str, key: &str) -> String {
    let authorization =
        url.authorization().map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n{authorization}User-Agent: {user_agent}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
        url.target(),
        url.authority(),
    )
}

/// What has come of the answer so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its header is not complete.
    Partial,
    /// We are connected; frames begin at this octet.
    Switched(usize),
}

/// Reads the answer; `accept` is what the key must have become.
///
/// # Errors
/// Any status but 101, a wrong accept value, an extension nobody offered, a header that is too long.
pub fn answer(bytes: &[u8], accept: &str) -> Result<Answer, Failure> {
    let Some(end) = header_end(bytes) else {
        return match bytes.len() > MAX_HEADER {
            true => Err(bad("header too long")),
            false => Ok(Answer::Partial),
        };
    };
    if end > MAX_HEADER {
        return Err(bad("header too long"));
    }
    let header = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = header.lines();
    let status = status(lines.next().unwrap_or_default()).ok_or_else(|| bad("no HTTP answer"))?;
    if status != 101 {
        return Err(Failure::Status(status));
    }
    check(lines.filter_map(|line| line.split_once(':')), accept)?;
    Ok(Answer::Switched(end))
}

fn check<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>, accept: &str) -> Result<(), Failure> {
    let (mut upgrade, mut connection, mut accepted) = (false, false, false);
    for (name, value) in fields {
        let lists = |token: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token));
        match name.trim().to_ascii_lowercase().as_str() {
            "upgrade" => upgrade |= lists("websocket"),
            "connection" => connection |= lists("upgrade"),
            "sec-websocket-accept" => accepted |= value.trim() == accept,
            "sec-websocket-extensions" if !value.trim().is_empty() => {
                return Err(bad("extension not offered"));
            }
            _ => {}
        }
    }
    match (upgrade, connection, accepted) {
        (true, true, true) => Ok(()),
        (true, true, false) => Err(bad("wrong Sec-WebSocket-Accept")),
        _ => Err(bad("no upgrade to websocket")),
    }
}

fn bad(reason: &str) -> Failure {
    Failure::Handshake(reason.to_owned())
}

/// Behind the empty line; line feeds alone are taken too (RFC 9112 §2.2).
fn header_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes.get(at + 1..) {
        Some([b'\n', ..]) => Some(at + 2),
        Some([b'\r', b'\n', ..]) => Some(at + 3),
        _ => None,
    })
}

fn status(line: &str) -> Option<u16> {
    let mut words = line.split_ascii_whitespace();
    let version = words.next()?;
    let code = words.next().filter(|code| code.len() == 3)?;
    version.starts_with("HTTP/1.").then(|| code.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn switched(connection: &str, more: &str) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: {connection}\r\n\
             sec-websocket-accept: {ACCEPT}\r\n{more}\r\n"
        )
    }

    #[test]
    fn the_request_holds_what_is_asked_for_and_no_offer() {
        let url = BotUrl::parse("wss://k:t@bot.example.com/p?b=%20&a=1").expect("a URL");
        let text = request(&url, "StreamKit/1", "dGhlIHNhbXBsZSBub25jZQ==");
        assert!(text.starts_with(
            "GET /p?b=%20&a=1 HTTP/1.1\r\nHost: bot.example.com\r\nAuthorization: Basic azp0\r\n"
        ));
        assert!(text.contains("\r\nUser-Agent: StreamKit/1\r\n") && text.ends_with("\r\n\r\n"));
        assert!(!text.contains("Extensions") && !text.contains("Protocol"));
    }

    #[test]
    fn an_answer_may_come_in_pieces_and_with_frames_behind_it() {
        let text = switched("keep-alive, Upgrade", "") + "\u{1}";
        let (end, bytes) = (text.len() - 1, text.as_bytes());
        assert!((0..end).all(|cut| answer(&bytes[..cut], ACCEPT) == Ok(Answer::Partial)));
        assert_eq!(answer(bytes, ACCEPT), Ok(Answer::Switched(end)));
    }

    #[test]
    fn every_status_but_101_is_a_failure_and_a_redirect_is_one_too() {
        let of =
            |line: &str| answer(format!("{line}\r\nLocation: wss://elsewhere/\r\n\r\n").as_bytes(), ACCEPT);
        assert_eq!(of("HTTP/1.1 302 Found"), Err(Failure::Status(302)));
        assert_eq!(of("HTTP/1.1 200 OK"), Err(Failure::Status(200)));
        assert_eq!(of("HTTP/1.0 503 no"), Err(Failure::Status(503)));
        assert!(matches!(of("ICY 101 OK"), Err(Failure::Handshake(_))));
    }

    #[test]
    fn a_wrong_accept_value_or_an_extension_is_refused() {
        let wrong = answer(switched("Upgrade", "").as_bytes(), "another");
        assert_eq!(wrong, Err(bad("wrong Sec-WebSocket-Accept")));
        let deflate = switched("Upgrade", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        assert_eq!(answer(deflate.as_bytes(), ACCEPT), Err(bad("extension not offered")));
        assert_eq!(answer(switched("close", "").as_bytes(), ACCEPT), Err(bad("no upgrade to websocket")));
    }

    #[test]
    fn a_header_over_16_kib_is_refused() {
        let long = switched("Upgrade", &format!("X: {}\r\n", "y".repeat(MAX_HEADER)));
        assert!(matches!(answer(long.as_bytes(), ACCEPT), Err(Failure::Handshake(_))));
        assert!(matches!(answer(&[b'x'; MAX_HEADER + 1], ACCEPT), Err(Failure::Handshake(_))));
    }
}
