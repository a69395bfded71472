//! Header fields of a SIP message that is known to be well written: the rig's own peers write it.

/// The first of this name.
pub fn first<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    all(message, name).next()
}

/// All of this name, in order.
pub fn all<'a>(message: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = message.split("\r\n").skip(1).take_while(|line| !line.is_empty());
    lines.filter_map(move |line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The port of the audio line of its body.
pub fn audio_port(message: &str) -> Option<u16> {
    let line = message.split("\r\n").find_map(|line| line.strip_prefix("m=audio "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_where_the_body_begins() {
        let message = "SIP/2.0 200 OK\r\nVia: a\r\nvia: b\r\n\r\nm=audio 4000 RTP/AVP 0\r\nTo: no\r\n";
        assert_eq!(all(message, "Via").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((first(message, "To"), audio_port(message)), (None, Some(4000)));
    }
}
