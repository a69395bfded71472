//! A bot as a route or a flow names it: a socket, or a web server that is asked for one (agentstream.md section 3.3).

use std::fmt;

use super::breaker::Address;
use crate::fetch::HttpUrl;
use crate::stream::{BotUrl, StreamError, UrlLimits};

/// Where a bot is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bot {
    /// At a `ws://` or `wss://` URL.
    Socket(BotUrl),
    /// At the one that an `http://` or `https://` URL answers with.
    Web(HttpUrl),
}

impl Bot {
    /// Reads a URL of the configuration, where a sample rate we do not have is an error.
    ///
    /// # Errors
    /// `InvalidUrl` (3001) or `ParametersOverLimit` (3004); the URL is not quoted, for it may hold a password.
    pub fn parse(text: &str, limits: UrlLimits) -> Result<Self, StreamError> {
        if !HttpUrl::is_meant(text) {
            let url = BotUrl::parse_with(text, limits)?;
            return match url.odd_rate() {
                false => Ok(Self::Socket(url)),
                true => Err(StreamError::InvalidUrl("sample-rate must be 8000, 16000 or 24000".to_owned())),
            };
        }
        if text.len() > limits.whole {
            return Err(StreamError::ParametersOverLimit);
        }
        HttpUrl::parse(text).map(Self::Web).map_err(|why| StreamError::InvalidUrl(why.to_owned()))
    }

    /// Host, for metrics: one that stands in the configuration, whatever it answers with.
    pub fn host(&self) -> &str {
        match self {
            Self::Socket(url) => url.host(),
            Self::Web(url) => url.place().host(),
        }
    }

    /// What its breaker is kept by.
    pub fn address(&self) -> Address {
        match self {
            Self::Socket(url) => Address::of(url),
            Self::Web(url) => Address::of_web(url),
        }
    }
}

/// Without user info.
impl fmt::Display for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(url) => url.fmt(f),
            Self::Web(url) => write!(f, "that {url} answers with"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Bot, StreamError> {
        Bot::parse(text, UrlLimits::DEFAULT)
    }

    #[test]
    fn a_url_is_a_socket_or_is_asked_for_one() {
        let web = read("HTTPS://k:s3cret@Who.example/bots/1?t=t0ken").expect("a bot");
        assert_eq!(web.to_string(), "that https://Who.example/bots/1 answers with");
        assert_eq!(
            (web.host(), web.address().to_string()),
            ("Who.example", "https://who.example:443/bots/1".into())
        );
        let socket = read("wss://k:s3cret@bot.example/x?sample-rate=16000").expect("a bot");
        assert_eq!(socket.to_string(), "wss://bot.example/x?sample-rate=16000");
        assert_eq!(socket.address().to_string(), "wss://bot.example:443/x");
    }

    #[test]
    fn what_is_neither_or_too_long_is_refused() {
        let long = format!("https://h/{}", "x".repeat(2048));
        for (text, code) in [
            ("ftp://h/", "3001 "),
            ("https://", "3001 "),
            ("https://h/#x", "3001 "),
            ("wss://h/?sample-rate=11025", "3001 "),
            (long.as_str(), "3004 "),
        ] {
            assert!(read(text).expect_err(text).to_string().starts_with(code), "{text}");
        }
    }
}
