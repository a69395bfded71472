//! What a dynamic URL answers with (agentstream.md section 3.3).

use serde_json::Value;

use super::{BotUrl, StreamError, UrlLimits};

/// The bot an answer names: a JSON object whose `url` is a `ws://` or `wss://` URL; its other members are passed over.
/// Beside an error stands its word of `telemetry::table::ANSWER_CAUSES`.
///
/// # Errors
/// `Answer` (3003) or `ParametersOverLimit` (3004). The URL is not quoted: it may hold a password.
pub fn answered(body: &[u8], limits: UrlLimits) -> Result<BotUrl, (StreamError, &'static str)> {
    let refuse = |why: &str, cause| (StreamError::Answer(why.to_owned()), cause);
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return Err(refuse("it is no JSON object", "not_json"));
    };
    let Some(url) = members.get("url").and_then(Value::as_str) else {
        return Err(refuse("it has no text \"url\"", "no_url"));
    };
    match BotUrl::parse_with(url.trim(), limits) {
        Ok(url) => Ok(url),
        Err(StreamError::InvalidUrl(why)) => Err(refuse(&why, "bad_url")),
        Err(over) => Err((over, "over_limit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, (String, &'static str)> {
        let url = answered(text.as_bytes(), UrlLimits::DEFAULT);
        url.map(|url| url.to_string()).map_err(|(error, cause)| (error.to_string(), cause))
    }

    #[test]
    fn the_url_of_an_object_is_the_bot() {
        for text in [
            r#"{"url":"wss://k:s@bot.example.com/x?a=1"}"#,
            r#" {"other":[1,{"url":"ws://no/"}],"url":"\u0077ss:\/\/k:s@bot.example.com/x?a=1","more":null}  "#,
            "\u{feff}{\"url\":\"wss://bot.example.com/x?a=1\\n\"}",
        ] {
            assert_eq!(read(text), Ok("wss://bot.example.com/x?a=1".into()), "{text}");
        }
    }

    #[test]
    fn whatever_else_comes_is_refused_with_its_code() {
        let none = "3003 invalid response from stream url endpoint: ";
        for (text, cause) in [
            ("", "not_json"),
            ("wss://bot.example.com/", "not_json"),
            (r#""wss://bot.example.com/""#, "not_json"),
            (r#"[{"url":"wss://bot.example.com/"}]"#, "not_json"),
            (r#"{"url":"wss://bot.example.com/"}x"#, "not_json"),
            (r#"{"url":"wss://bot.example.com/""#, "not_json"),
            ("null", "not_json"),
            ("{}", "no_url"),
            (r#"{"URL":"wss://bot.example.com/"}"#, "no_url"),
            (r#"{"url":null}"#, "no_url"),
            (r#"{"url":["wss://bot.example.com/"]}"#, "no_url"),
            (r#"{"url":""}"#, "bad_url"),
            (r#"{"url":"https://bot.example.com/"}"#, "bad_url"),
            (r#"{"url":"wss://s3cret@/"}"#, "bad_url"),
            ("{\"url\":\"ws://h/\\r\\nX: y\"}", "bad_url"),
        ] {
            let (error, told) = read(text).expect_err(text);
            assert!(error.starts_with(none) && !error.contains("s3cret"), "{error}");
            assert_eq!(told, cause, "{text}");
        }
        let many: String = (0..26).map(|n| format!("&k{n}=v")).collect();
        let over = read(&format!(r#"{{"url":"wss://h/?{many}"}}"#)).expect_err("26 parameters");
        assert_eq!(over, ("3004 custom parameters over limit".into(), "over_limit"));
        let deep = "[".repeat(60_000);
        assert_eq!(read(&deep).expect_err("too deep").1, "not_json");
    }

    #[test]
    fn a_rate_we_have_not_is_8000() {
        let url = answered(br#"{"url":"wss://h/?sample-rate=11025"}"#, UrlLimits::DEFAULT).expect("a bot");
        assert!(url.odd_rate() && url.rate().hz() == 8000);
    }
}
