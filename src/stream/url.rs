//! The address of a bot (agentstream.md section 3): what is connected to, what is asked for, what is told of it.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::StreamError;
use crate::egress::Place;
use crate::units::SampleRate;

/// How much a URL may carry (agentstream.md section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlLimits {
    /// Custom parameters.
    pub parameters: usize,
    /// Characters after `?`, without the sample-rate pair.
    pub query: usize,
    /// Characters of the whole.
    pub whole: usize,
}

impl UrlLimits {
    /// What holds unless the account says otherwise.
    pub const DEFAULT: Self = Self { parameters: 25, query: 800, whole: 2048 };
    /// `dialect = "legacy"`.
    pub const LEGACY: Self = Self { parameters: 3, query: 256, whole: 2048 };
}

/// A `ws://` or `wss://` URL that can be connected to. Its user info is kept apart and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct BotUrl {
    secure: bool,
    place: Place,
    /// Path and query as written: what stands in the request line.
    target: String,
    rate: Option<SampleRate>,
    parameters: Vec<(String, String)>,
}

impl BotUrl {
    /// Reads a URL of the configuration or of an API request, where a sample rate we do not have is an error.
    ///
    /// # Errors
    /// `InvalidUrl` (3001), or `ParametersOverLimit` (3004). The reason never quotes the URL: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, StreamError> {
        let url = Self::parse_with(text, UrlLimits::DEFAULT)?;
        match url.rate {
            Some(_) => Ok(url),
            None => Err(invalid("sample-rate must be 8000, 16000 or 24000")),
        }
    }

    /// Reads a URL got at call time: a sample rate we do not have becomes 8000 (`odd_rate` tells).
    ///
    /// # Errors
    /// As `parse`.
    pub fn parse_with(text: &str, limits: UrlLimits) -> Result<Self, StreamError> {
        if text.chars().count() > limits.whole {
            return Err(StreamError::ParametersOverLimit);
        }
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(invalid("it has a blank or a control character"));
        }
        if text.contains('#') {
            return Err(invalid("it has a fragment"));
        }
        let (secure, rest) = scheme(text)?;
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (place, target) = rest.split_at(cut);
        let place = Place::parse(place, if secure { 443 } else { 80 }).map_err(invalid)?;
        let (rate, parameters) = query(target.split_once('?').map_or("", |(_, query)| query), limits)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { secure, place, target, rate, parameters })
    }

    /// Whether it keeps to these limits, too.
    pub fn fits(&self, limits: UrlLimits) -> bool {
        query(self.target.split_once('?').map_or("", |(_, query)| query), limits).is_ok()
    }

    /// `wss`.
    pub fn secure(&self) -> bool {
        self.secure
    }

    /// Name or address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.place.host()
    }

    /// Where TCP goes.
    pub fn port(&self) -> u16 {
        self.place.port()
    }

    /// Host and port as written: the `Host` header.
    pub fn authority(&self) -> &str {
        self.place.written()
    }

    /// Path and query exactly as written.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Value of the `Authorization` header, where the URL carries user info. A secret.
    pub fn authorization(&self) -> Option<&str> {
        self.place.authorization()
    }

    /// The stream's rate.
    pub fn rate(&self) -> SampleRate {
        self.rate.unwrap_or_default()
    }

    /// A rate was asked for that we do not have.
    pub fn odd_rate(&self) -> bool {
        self.rate.is_none()
    }

    /// Query parameters but the rate, decoded, each key once, its last value.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }
}

/// Without user info: fit for logs, events and CDRs.
impl fmt::Display for BotUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "wss" } else { "ws" }, self.place, self.target)
    }
}

impl fmt::Debug for BotUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BotUrl({self})")
    }
}

fn invalid(reason: &str) -> StreamError {
    StreamError::InvalidUrl(reason.to_owned())
}

fn scheme(text: &str) -> Result<(bool, &str), StreamError> {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => Ok((false, rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => Ok((true, rest)),
        _ => Err(invalid("it does not begin with ws:// or wss://")),
    }
}

type Query = (Option<SampleRate>, Vec<(String, String)>);

fn query(text: &str, limits: UrlLimits) -> Result<Query, StreamError> {
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let (mut rate, mut parameters, mut length) = (Some(SampleRate::default()), Vec::new(), 0);
    for pair in text.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key), decoded(value));
        if key == "sample-rate" || key == "sample_rate" {
            rate = value.parse().ok().and_then(SampleRate::from_hz);
            continue;
        }
        length += pair.chars().count() + usize::from(length > 0);
        if pair.is_empty() {
            continue;
        }
        match parameters.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => parameters.push((key, value)),
        }
    }
    if parameters.len() > limits.parameters || length > limits.query {
        return Err(StreamError::ParametersOverLimit);
    }
    Ok((rate, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BotUrl {
        BotUrl::parse(text).expect("a URL")
    }

    #[test]
    fn path_and_query_go_to_the_bot_as_they_were_written() {
        let url =
            url("wss://bot.example.com/a%2Fb//c?key1=v%201&sample-rate=16000&x=+&{json}=\"1\"&key1=last");
        assert_eq!(url.target(), "/a%2Fb//c?key1=v%201&sample-rate=16000&x=+&{json}=\"1\"&key1=last");
        assert_eq!((url.host(), url.port(), url.secure()), ("bot.example.com", 443, true));
        assert_eq!(url.rate(), SampleRate::Hz16000);
    }

    #[test]
    fn parameters_are_decoded_and_the_last_value_of_a_key_wins() {
        let url = url("ws://h?a=1&b&c=%C3%BC%3D&a=2&&sample_rate=24000");
        let pairs: Vec<_> = url.parameters().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "2"), ("b", ""), ("c", "ü=")]);
        assert_eq!(
            (url.target(), url.rate()),
            ("/?a=1&b&c=%C3%BC%3D&a=2&&sample_rate=24000", SampleRate::Hz24000)
        );
    }

    #[test]
    fn user_info_is_decoded_for_the_header_and_stands_nowhere_else() {
        let url = url("wss://key:t%40ken%3A1@bot.example.com:8443/x?y=1");
        let header = format!("Basic {}", base64_simd::STANDARD.encode_to_string("key:t@ken:1"));
        assert_eq!(url.authorization(), Some(header.as_str()));
        assert_eq!(url.to_string(), "wss://bot.example.com:8443/x?y=1");
        assert!(!format!("{url:?}").contains("ken"));
        assert_eq!(url.authority(), "bot.example.com:8443");
    }

    #[test]
    fn a_password_may_be_missing() {
        let header = format!("Basic {}", base64_simd::STANDARD.encode_to_string("key:"));
        assert_eq!(url("ws://key@h/").authorization(), Some(header.as_str()));
        assert_eq!(url("ws://key:@h/").authorization(), Some(header.as_str()));
        assert_eq!(url("ws://h/").authorization(), None);
    }

    #[test]
    fn an_unknown_rate_is_refused_where_it_is_written_and_8000_at_call_time() {
        let text = "wss://h/?sample-rate=11025";
        assert!(matches!(BotUrl::parse(text), Err(StreamError::InvalidUrl(_))));
        let late = BotUrl::parse_with(text, UrlLimits::DEFAULT).expect("taken at call time");
        assert_eq!((late.rate(), late.odd_rate()), (SampleRate::Hz8000, true));
    }

    #[test]
    fn limits_count_parameters_and_characters_without_the_rate() {
        let many = |n: usize| {
            let pairs: Vec<_> = (0..n).map(|i| format!("k{i}=v")).collect();
            format!("wss://h/?sample-rate=8000&{}", pairs.join("&"))
        };
        assert!(BotUrl::parse(&many(25)).is_ok());
        assert_eq!(BotUrl::parse(&many(26)), Err(StreamError::ParametersOverLimit));
        assert_eq!(BotUrl::parse_with(&many(4), UrlLimits::LEGACY), Err(StreamError::ParametersOverLimit));
        let long = |n: usize| format!("wss://h/?a={}&sample-rate=8000", "x".repeat(n - 2));
        assert!(BotUrl::parse(&long(800)).is_ok());
        assert_eq!(BotUrl::parse(&long(801)), Err(StreamError::ParametersOverLimit));
        let path = format!("wss://h/{}", "x".repeat(2048));
        assert_eq!(BotUrl::parse(&path), Err(StreamError::ParametersOverLimit));
    }

    #[test]
    fn what_is_no_bot_url_is_refused() {
        for text in [
            "",
            "http://h/",
            "wss:/h",
            "wss://",
            "wss://:80/",
            "wss://h:0/",
            "wss://h:65536/",
            "wss://h:+1/",
            "ws://h /",
            "ws://h/\r\nX: y",
            "ws://[::1/",
            "ws://[h]/",
            "ws://[::1]x/",
            "ws://h/#f",
            "ws://bücher.example/",
        ] {
            assert!(matches!(BotUrl::parse(text), Err(StreamError::InvalidUrl(_))), "{text:?}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_hosts() {
        assert_eq!(url("ws://[::1]:9000/").host(), "::1");
        assert_eq!((url("WS://127.0.0.1").host(), url("ws://127.0.0.1").port()), ("127.0.0.1", 80));
    }
}
