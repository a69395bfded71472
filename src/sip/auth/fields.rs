//! WWW-Authenticate, Proxy-Authenticate, Authorization, Proxy-Authorization: a scheme and parameters
//! separated by commas (RFC 3261 §25.1, RFC 7616 §3.3, §3.4).

use super::Algorithm;
use crate::sip::message::{IllFormed, Message};

/// Header fields of one kind that are looked at.
const MAX_FIELDS: usize = 8;
/// Parameters in one of them.
const MAX_PARAMS: usize = 32;
/// Octets of one value.
const MAX_VALUE: usize = 1024;

/// What a server asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose secret is asked for, as it stands between its quotes.
    pub realm: String,
    /// The server's.
    pub nonce: String,
    /// Goes back unchanged.
    pub opaque: Option<String>,
    /// Absent: one we have not.
    pub algorithm: Option<Algorithm>,
    /// What was answered was right but old.
    pub stale: bool,
    /// Absent: no `qop` (RFC 2617); else whether `auth` is among them.
    pub auth: Option<bool>,
}

/// What a client answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who it says it is, as it stands between its quotes.
    pub user: String,
    /// As asked.
    pub realm: String,
    /// As asked.
    pub nonce: String,
    /// Request-URI as it hashed it.
    pub uri: String,
    /// In hexadecimal.
    pub response: String,
    /// Absent: one we have not.
    pub algorithm: Option<Algorithm>,
    /// With a qop: its name, nc as it came, cnonce.
    pub counted: Option<(String, String, String)>,
}

/// The challenges of a 401 and of a 407, those that can be read; true: a proxy's.
pub(super) fn challenges(response: &Message) -> Vec<(bool, Challenge)> {
    let of = |name, proxy| {
        response
            .raw(name)
            .take(MAX_FIELDS)
            .filter_map(move |value| Some((proxy, Challenge::parse(&value).ok()?)))
    };
    of("WWW-Authenticate", false).chain(of("Proxy-Authenticate", true)).collect()
}

impl Challenge {
    /// Reads one header field.
    ///
    /// # Errors
    /// Another scheme, no realm or nonce, a parameter that is none, too many or too long, control characters.
    pub fn parse(value: &[u8]) -> Result<Self, IllFormed> {
        let params = Params::parse(value)?;
        Ok(Self {
            realm: params.must("realm")?,
            nonce: params.must("nonce")?,
            opaque: params.find("opaque"),
            algorithm: params.algorithm(),
            stale: params.find("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            auth: params
                .find("qop")
                .map(|qop| qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"))),
        })
    }
}

impl Answer {
    /// The answers in a request to what a user agent asked, those that can be read.
    pub fn of(request: &Message) -> Vec<Self> {
        request.raw("Authorization").take(MAX_FIELDS).filter_map(|value| Self::parse(&value).ok()).collect()
    }

    /// Reads one header field.
    ///
    /// # Errors
    /// Another scheme, something missing, `qop` without nc or cnonce, a parameter that is none, too many or too
    /// long, control characters.
    pub fn parse(value: &[u8]) -> Result<Self, IllFormed> {
        let params = Params::parse(value)?;
        let counted = match params.find("qop") {
            Some(qop) => Some((qop, params.must("nc")?, params.must("cnonce")?)),
            None => None,
        };
        Ok(Self {
            user: params.must("username")?,
            realm: params.must("realm")?,
            nonce: params.must("nonce")?,
            uri: params.must("uri")?,
            response: params.must("response")?,
            algorithm: params.algorithm(),
            counted,
        })
    }
}

/// Names and values, quotes taken off, backslashes left.
struct Params(Vec<(String, String)>);

impl Params {
    fn parse(value: &[u8]) -> Result<Self, IllFormed> {
        let text = std::str::from_utf8(value).map_err(|_| IllFormed)?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(IllFormed);
        }
        let (scheme, mut rest) = text.trim().split_once([' ', '\t']).ok_or(IllFormed)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(IllFormed);
        }
        let mut params: Vec<(String, String)> = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Ok(Self(params));
            }
            let (name, after) = rest.split_once('=').ok_or(IllFormed)?;
            let (value, after) = read_value(after.trim_start())?;
            let name = name.trim().to_ascii_lowercase();
            let named = !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            let twice = params.iter().any(|(have, _)| *have == name);
            if !named || twice || params.len() == MAX_PARAMS || value.len() > MAX_VALUE {
                return Err(IllFormed);
            }
            params.push((name, value.to_owned()));
            rest = after;
        }
    }

    fn find(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone())
    }

    fn must(&self, name: &str) -> Result<String, IllFormed> {
        self.find(name).ok_or(IllFormed)
    }

    fn algorithm(&self) -> Option<Algorithm> {
        self.find("algorithm").map_or(Some(Algorithm::Md5), |name| Algorithm::of_name(&name))
    }
}

/// A quoted string or a token, and what stands behind it up to the next comma.
fn read_value(text: &str) -> Result<(&str, &str), IllFormed> {
    let (value, rest) = match text.strip_prefix('"') {
        Some(inside) => {
            let mut escaped = false;
            let end = inside.bytes().position(|octet| {
                let closes = octet == b'"' && !escaped;
                escaped = octet == b'\\' && !escaped;
                closes
            });
            let end = end.ok_or(IllFormed)?;
            (inside.get(..end).ok_or(IllFormed)?, inside.get(end + 1..).ok_or(IllFormed)?)
        }
        None => {
            let end = text.find(',').unwrap_or(text.len());
            let (value, rest) = text.split_at(end);
            (value.trim_end(), rest)
        }
    };
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with(',') || value.contains('"') && !text.starts_with('"') {
        return Err(IllFormed);
    }
    Ok((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_in_any_order_case_and_spacing() {
        let text = br#"digest  Nonce = "a\"b" ,realm="x, y",QOP="auth-int , auth",algorithm=sha-256,stale=TRUE,opaque="",new="1""#;
        let challenge = Challenge::parse(text).unwrap();
        assert_eq!((challenge.realm.as_str(), challenge.nonce.as_str()), ("x, y", "a\\\"b"));
        assert_eq!((challenge.auth, challenge.stale), (Some(true), true));
        assert_eq!((challenge.algorithm, challenge.opaque.as_deref()), (Some(Algorithm::Sha256), Some("")));
        let plain = Challenge::parse(b"Digest realm=\"r\", nonce=n, algorithm=MD5-sess").unwrap();
        assert_eq!((plain.auth, plain.algorithm, plain.stale), (None, None, false));
    }

    #[test]
    fn what_is_no_challenge_of_ours_is_not_read() {
        let many =
            format!("Digest realm=r,nonce=n{}", (0..31).map(|n| format!(",p{n}=1")).collect::<String>());
        let long = format!("Digest realm=r,nonce=\"{}\"", "n".repeat(1025));
        for bad in [
            "",
            "Digest",
            "Basic realm=\"r\"",
            "Digest realm=\"r\"",
            "Digest realm=\"r, nonce=n",
            "Digest realm=\"r\" nonce=\"n\"",
            "Digest realm=r,nonce=n,nonce=m",
            "Digest realm=r,nonce=n,=x",
            "Digest realm=r,nonce=n,x",
            "Digest realm=r,nonce=n\x01",
            "Digest realm=r,nonce=n\"m",
            many.as_str(),
            long.as_str(),
        ] {
            assert!(Challenge::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Challenge::parse(b"Digest realm=\"\xFF\",nonce=n").is_err());
    }

    #[test]
    fn an_answer_with_a_qop_has_a_count() {
        let text = "Digest username=\"u\",realm=\"r\",nonce=\"n\",uri=\"sip:h\",response=\"00\"";
        assert_eq!(Answer::parse(text.as_bytes()).unwrap().counted, None);
        let counted = Answer::parse(format!("{text},qop=auth,nc=00000001,cnonce=\"c\"").as_bytes()).unwrap();
        assert_eq!(counted.counted, Some(("auth".to_owned(), "00000001".to_owned(), "c".to_owned())));
        assert!(Answer::parse(format!("{text},qop=auth,cnonce=\"c\"").as_bytes()).is_err());
    }
}
