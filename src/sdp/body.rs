//! The session description in a body: the body itself, or a part of multipart/mixed (RFC 2046 §5.1, RFC 5621).
//!
//! Parts other than the description are passed over, unless they say `handling=required`.

use super::Refused;

/// Octets of a body, of whatever type.
pub const MAX_BODY: usize = 32 * 1024;
/// Parts of a multipart body. A part that is itself multipart is not opened: depth is 1 (reliability R-12).
pub const MAX_PARTS: usize = 8;

/// The octets of the session description in `body`; None when there is no body or no part of it is one.
///
/// `content_type` is the header field's value with its parameters. Without a type the body is taken for SDP,
/// and a multipart body without a boundary parameter is read by the first delimiter found in it.
///
/// # Errors
/// `MediaType` (415), `TooBig` (413), or `Malformed` (400) for a multipart body without any delimiter.
pub fn extract<'a>(body: &'a [u8], content_type: &str) -> Result<Option<&'a [u8]>, Refused> {
    if body.len() > MAX_BODY {
        return Err(Refused::TooBig);
    }
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    match media_type(content_type).as_str() {
        "" | "application/sdp" => Ok(Some(body)),
        "multipart/mixed" => of_parts(body, parameter(content_type, "boundary").as_deref()),
        _ => Err(Refused::MediaType),
    }
}

fn of_parts<'a>(body: &'a [u8], boundary: Option<&str>) -> Result<Option<&'a [u8]>, Refused> {
    let mut description = None;
    for part in parts(body, boundary)? {
        let part = Part::read(part);
        if part.is_description() {
            description = description.or(Some(part.content));
        } else if part.required {
            return Err(Refused::MediaType);
        }
    }
    Ok(description)
}

/// What stands between the delimiters, without the line end that belongs to each.
fn parts<'a>(body: &'a [u8], boundary: Option<&str>) -> Result<Vec<&'a [u8]>, Refused> {
    let boundary = match boundary {
        Some(boundary) => boundary.as_bytes(),
        None => sniff(body).ok_or(Refused::Malformed("multipart without boundary"))?,
    };
    let mut parts = Vec::new();
    let mut begun = None;
    let mut at = 0;
    for line in body.split_inclusive(|&octet| octet == b'\n') {
        let after = at + line.len();
        if let Some(delimiter) = delimiter(line, boundary) {
            if let Some(from) = begun.take() {
                parts.push(without_line_end(body.get(from..at).unwrap_or_default()));
            }
            if matches!(delimiter, Delimiter::Last) {
                return Ok(parts);
            }
            if parts.len() == MAX_PARTS {
                return Err(Refused::TooBig);
            }
            begun = Some(after);
        }
        at = after;
    }
    // The closing delimiter is missing: the last part runs to the end.
    let from = begun.ok_or(Refused::Malformed("multipart without delimiter"))?;
    parts.push(body.get(from..).unwrap_or_default());
    Ok(parts)
}

enum Delimiter {
    Next,
    Last,
}

fn delimiter(line: &[u8], boundary: &[u8]) -> Option<Delimiter> {
    match line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii_end() {
        b"" => Some(Delimiter::Next),
        b"--" => Some(Delimiter::Last),
        _ => None,
    }
}

fn sniff(body: &[u8]) -> Option<&[u8]> {
    body.split(|&octet| octet == b'\n').find_map(|line| line.trim_ascii_end().strip_prefix(b"--"))
}

fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

struct Part<'a> {
    content_type: String,
    disposition: String,
    required: bool,
    encoded: bool,
    content: &'a [u8],
}

impl<'a> Part<'a> {
    fn read(part: &'a [u8]) -> Self {
        let (head, content) = split_head(part);
        let mut read = Self {
            content_type: String::new(),
            disposition: String::new(),
            required: false,
            encoded: false,
            content,
        };
        for field in unfolded(&String::from_utf8_lossy(head)) {
            let Some((name, value)) = field.split_once(':') else { continue };
            match name.trim().to_ascii_lowercase().as_str() {
                "content-type" | "c" => read.content_type = media_type(value),
                "content-disposition" => {
                    read.disposition = media_type(value);
                    read.required =
                        parameter(value, "handling").is_some_and(|how| how.eq_ignore_ascii_case("required"));
                }
                "content-transfer-encoding" | "content-encoding" | "e" => {
                    let how = media_type(value);
                    read.encoded |= !matches!(how.as_str(), "" | "7bit" | "8bit" | "binary" | "identity");
                }
                _ => {}
            }
        }
        read
    }

    /// RFC 3959: an early-session description speaks of another session.
    fn is_description(&self) -> bool {
        self.content_type == "application/sdp" && !self.encoded && self.disposition != "early-session"
    }
}

/// A part's header fields and what follows the empty line after them.
fn split_head(part: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in part.split_inclusive(|&octet| octet == b'\n') {
        let after = at + line.len();
        if line.trim_ascii_end().is_empty() {
            return (part.get(..at).unwrap_or_default(), part.get(after..).unwrap_or_default());
        }
        at = after;
    }
    (part, &[])
}

fn unfolded(head: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in head.lines() {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => field.push_str(line),
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

/// What stands before the parameters, lower case.
fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The value of a parameter, unquoted.
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let key = key.rsplit(';').next().unwrap_or_default().trim();
        let after = after.trim_start();
        let (found, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after.get(..end)?.trim_end(), after.get(end..)?)
            }
        };
        if key.eq_ignore_ascii_case(name) {
            return (!found.is_empty()).then(|| found.to_owned());
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\ns=-\r\n";

    fn mixed(parts: &[&str]) -> Vec<u8> {
        let mut body = String::from("preamble\r\n");
        for part in parts {
            body += &format!("--b 1\r\n{part}\r\n");
        }
        (body + "--b 1--\r\nepilogue\r\n").into_bytes()
    }

    fn read(parts: &[&str]) -> Result<Option<String>, Refused> {
        extract(&mixed(parts), "Multipart/Mixed ; x=\"a;boundary=no\"; Boundary=\"b 1\"")
            .map(|part| part.map(|octets| String::from_utf8(octets.to_vec()).unwrap()))
    }

    #[test]
    fn a_plain_body_is_the_description() {
        assert_eq!(extract(SDP.as_bytes(), "Application/SDP; charset=utf-8"), Ok(Some(SDP.as_bytes())));
        assert_eq!(extract(SDP.as_bytes(), ""), Ok(Some(SDP.as_bytes())));
        assert_eq!(extract(b"", "application/sdp"), Ok(None));
        assert_eq!(extract(b"\r\n", "application/sdp"), Ok(None));
        assert_eq!(extract(b"<a/>", "application/xml"), Err(Refused::MediaType));
        assert_eq!(extract(&vec![b'a'; MAX_BODY + 1], "application/sdp"), Err(Refused::TooBig));
    }

    #[test]
    fn the_sdp_part_is_taken_and_others_are_passed_over() {
        let sdp = format!("Content-Type: application/sdp\r\n\r\n{SDP}");
        let isup =
            "Content-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\n\x01\x02";
        assert_eq!(read(&[isup, &sdp]), Ok(Some(SDP.to_owned())));
        assert_eq!(read(&[&sdp, isup]), Ok(Some(SDP.to_owned())));
        assert_eq!(read(&[isup]), Ok(None));
        let early = "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n\r\nv=1";
        assert_eq!(read(&[early, &sdp]), Ok(Some(SDP.to_owned())));
    }

    #[test]
    fn a_part_that_must_be_understood_refuses_the_body() {
        let sdp =
            format!("c: application/sdp\r\nContent-Disposition: session; handling=required\r\n\r\n{SDP}");
        assert_eq!(read(&[&sdp]), Ok(Some(SDP.to_owned())));
        let isup = "Content-Type: application/isup\r\nContent-Disposition: signal ;\r\n Handling = \"Required\"\r\n\r\nx";
        assert_eq!(read(&[&sdp, isup]), Err(Refused::MediaType));
        let packed = "Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w";
        assert_eq!(read(&[packed]), Ok(None));
    }

    #[test]
    fn a_ninth_part_is_too_many() {
        let part = "Content-Type: text/plain\r\n\r\nx";
        assert_eq!(read(&[part; 8]), Ok(None));
        assert_eq!(read(&[part; 9]), Err(Refused::TooBig));
    }

    #[test]
    fn a_missing_boundary_or_end_is_repaired_and_missing_delimiters_are_not() {
        let body = format!("--xyz\nContent-Type: application/sdp\n\n{SDP}");
        assert_eq!(extract(body.as_bytes(), "multipart/mixed"), Ok(Some(SDP.as_bytes())));
        assert!(matches!(extract(b"v=0", "multipart/mixed"), Err(Refused::Malformed(_))));
        assert!(matches!(extract(b"--a\n\nv=0", "multipart/mixed;boundary=b"), Err(Refused::Malformed(_))));
    }

    #[test]
    fn a_part_in_a_part_is_not_opened() {
        let nested = format!(
            "Content-Type: multipart/mixed;boundary=in\r\n\r\n--in\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--in--"
        );
        assert_eq!(read(&[&nested]), Ok(None));
    }
}
