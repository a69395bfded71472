//! The address of a web server (reliability R-70): what is connected to, what is asked for, what is told of it.

use std::fmt;

use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::egress::Place;

/// Characters of a URL with all that is appended to it.
pub const MAX_URL: usize = 4096;

/// What stands as it is in a part of a URL (RFC 3986 §2.3); all else is percent-encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An `http://` or `https://` URL that can be asked for. Its user info is kept apart and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    secure: bool,
    place: Place,
    /// Path and query as written.
    target: String,
}

impl HttpUrl {
    /// Whether a text means to be one.
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| secure(scheme).is_some())
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it; the URL is never quoted, for it may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_URL {
            return Err("it is longer than 4096 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a blank or a character that is not ASCII stands in it");
        }
        if text.contains('#') {
            return Err("it has a fragment");
        }
        let begins = "it does not begin with http:// or https://";
        let (scheme, rest) = text.split_once("://").ok_or(begins)?;
        let secure = secure(scheme).ok_or(begins)?;
        let (place, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let place = Place::parse(place, if secure { 443 } else { 80 })?;
        Self { secure, place, target: String::new() }.at(target)
    }

    /// This path and query on the same server.
    fn at(&self, target: &str) -> Result<Self, &'static str> {
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if target.len() > MAX_URL {
            return Err("it is longer than 4096 characters");
        }
        let is_plain = target.bytes().all(|b| b.is_ascii_graphic());
        match target.parse::<PathAndQuery>() {
            Ok(read) if is_plain && read.as_str() == target => Ok(Self { target, ..self.clone() }),
            _ => Err("a character stands in its path or query that must be percent-encoded"),
        }
    }

    /// With these parameters behind those it has, in order, each part percent-encoded.
    ///
    /// # Errors
    /// It becomes longer than 4 KiB: it is not cut.
    pub fn with(&self, parameters: &[(&str, &str)]) -> Result<Self, &'static str> {
        let mut target = self.target.clone();
        for (key, value) in parameters {
            let glue = match target.split_once('?') {
                None => "?",
                Some((_, "")) => "",
                Some((_, query)) if query.ends_with('&') => "",
                Some(_) => "&",
            };
            let encoded = |text| utf8_percent_encode(text, UNRESERVED);
            target.push_str(&format!("{glue}{}={}", encoded(key), encoded(value)));
            if target.len() + self.place.written().len() > MAX_URL {
                return Err("it is longer than 4096 characters with what is appended");
            }
        }
        Ok(Self { target, ..self.clone() })
    }

    /// Where a redirect from here leads (RFC 3986 §5.2). User info goes along to the same server only.
    ///
    /// # Errors
    /// What is wrong with it: also where it leads from `https` to `http`.
    pub fn follow(&self, location: &str) -> Result<Self, &'static str> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.secure { "https" } else { "http" };
        let elsewhere = match location {
            other if HttpUrl::is_meant(other) => Self::parse(other)?,
            other if other.starts_with("//") => Self::parse(&format!("{scheme}:{other}"))?,
            other if other.contains("://") && !other.starts_with(['/', '?']) => {
                return Err("it leads to another scheme");
            }
            other => return self.at(&self.beside(other)),
        };
        if self.secure && !elsewhere.secure {
            return Err("it leads from https to http");
        }
        if self.is_same_origin(&elsewhere) {
            return Ok(Self { place: self.place.clone(), ..elsewhere });
        }
        Ok(Self { place: elsewhere.place.anonymous(), ..elsewhere })
    }

    /// A relative reference as a path and query of this server.
    fn beside(&self, reference: &str) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        match reference {
            "" => self.target.clone(),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            query if query.starts_with('?') => format!("{path}{query}"),
            relative => {
                let (relative, query) = relative.split_at(relative.find('?').unwrap_or(relative.len()));
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{}{query}", without_dots(&format!("{folder}/{relative}")))
            }
        }
    }

    /// `https`.
    pub fn secure(&self) -> bool {
        self.secure
    }

    /// Host and port.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Path alone.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn is_same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure && self.place.is_same(&other.place)
    }
}

/// Without user info and without the query, which tells who calls whom: fit for logs.
impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.place, self.path())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

fn secure(scheme: &str) -> Option<bool> {
    match scheme {
        scheme if scheme.eq_ignore_ascii_case("http") => Some(false),
        scheme if scheme.eq_ignore_ascii_case("https") => Some(true),
        _ => None,
    }
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let open = path.ends_with("/.") || path.ends_with("/..");
    format!("/{}{}", kept.join("/"), if open && !kept.is_empty() { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).expect("a URL")
    }

    /// Everything of it, user info too.
    fn whole(url: &HttpUrl) -> String {
        let user = url.place().authorization().map_or(String::new(), |user| format!("[{user}]"));
        let scheme = if url.secure() { "https" } else { "http" };
        format!("{scheme}://{user}{}{}", url.place().written(), url.target())
    }

    #[test]
    fn parameters_are_appended_and_each_part_is_encoded() {
        let pairs = [("From", "sip:+1&a=b"), ("Custom Field", "é/?#\r\n")];
        let encoded = "From=sip%3A%2B1%26a%3Db&Custom%20Field=%C3%A9%2F%3F%23%0D%0A";
        for (before, after) in [
            ("https://h/p", "/p?"),
            ("https://h", "/?"),
            ("https://h?", "/?"),
            ("https://h/p?x=1", "/p?x=1&"),
            ("https://h/p?x=1&", "/p?x=1&"),
        ] {
            assert_eq!(url(before).with(&pairs).expect("short").target(), format!("{after}{encoded}"));
        }
    }

    #[test]
    fn what_becomes_too_long_is_an_error_and_not_cut() {
        let room = MAX_URL - "h".len() - "/?k=".len();
        assert!(url("https://h/").with(&[("k", &"x".repeat(room))]).is_ok());
        assert!(url("https://h/").with(&[("k", &"x".repeat(room + 1))]).is_err());
        assert!(url("https://h/").with(&[("k", &" ".repeat(room / 3 + 1))]).is_err());
        assert!(HttpUrl::parse(&format!("https://h/{}", "x".repeat(MAX_URL))).is_err());
    }

    #[test]
    fn a_redirect_is_followed_as_rfc_3986_says_and_user_info_stays_with_its_server() {
        let from = url("https://k:s@h.example/a/b?q=1");
        let user = "[Basic azpz]";
        for (location, leads) in [
            ("/c", format!("https://{user}h.example/c")),
            ("c?x=2#part", format!("https://{user}h.example/a/c?x=2")),
            ("../c/./d", format!("https://{user}h.example/c/d")),
            ("..", format!("https://{user}h.example/")),
            ("?x=://", format!("https://{user}h.example/a/b?x=://")),
            ("https://H.example:443/c", format!("https://{user}h.example/c")),
            ("https://o:p@other.example/c", "https://other.example/c".to_owned()),
            ("//other.example", "https://other.example/".to_owned()),
            ("https://h.example:8443/", "https://h.example:8443/".to_owned()),
        ] {
            assert_eq!(from.follow(location).map(|url| whole(&url)), Ok(leads), "{location}");
        }
        for bad in ["http://h.example/", "ftp://h/", "wss://h/", "https://", "/a b", "/\u{e9}", "http:///x"] {
            assert!(from.follow(bad).is_err(), "{bad}");
        }
        assert!(url("http://h/").follow("https://h/").is_ok());
    }

    #[test]
    fn what_is_no_url_of_a_web_server_is_refused() {
        for text in [
            "",
            "https:/h",
            "https://",
            "ws://h/",
            "https://h/ x",
            "https://h/#f",
            "https://h:0/",
            "https://bü/",
        ] {
            assert!(HttpUrl::parse(text).is_err(), "{text}");
        }
        assert!(
            HttpUrl::is_meant("HTTPS://h") && !HttpUrl::is_meant("wss://h") && !HttpUrl::is_meant("https")
        );
    }

    #[test]
    fn neither_user_info_nor_query_is_printed() {
        let url = url("https://key:s3cret@h.example:8443/p?token=t0ken");
        assert_eq!(format!("{url} {url:?}"), "https://h.example:8443/p HttpUrl(https://h.example:8443/p)");
        assert_eq!(url.place().authorization(), Some("Basic a2V5OnMzY3JldA=="));
    }
}
