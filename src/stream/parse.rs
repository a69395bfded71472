//! What a bot may send (agentstream.md section 6), read without copying; strangers are tolerated here and only here.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting of a message (reliability R-62).
const MAX_DEPTH: usize = 32;
/// Longest name of a mark in octets.
const MAX_NAME: usize = 256;

/// One message of the bot.
#[derive(Debug, PartialEq)]
pub enum FromBot<'a> {
    /// Audio, as base64; absent if there was none or it was empty.
    Media(Option<Cow<'a, str>>),
    /// Asks for its name back; the inside of a JSON string. Absent if there was none, or it was too long.
    Mark(Option<Cow<'a, str>>),
    /// Drop what has not been heard yet.
    Clear,
    /// Asks for the end.
    Stop,
    /// Another event, or none: passed over, so that a newer bot does not lose its call.
    Unknown,
}

/// A message and the stream it says it is for.
#[derive(Debug, PartialEq)]
pub struct Read<'a> {
    /// What it says.
    pub message: FromBot<'a>,
    /// `stream_sid` or `streamSid`, if it is a string.
    pub stream: Option<Cow<'a, str>>,
}

/// Reads one message; `None` if it is not a JSON object of bearable depth.
pub fn read(text: &str) -> Option<Read<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if too_deep(text) {
        return None;
    }
    let Lax(envelope): Lax<Envelope<'_>> = serde_json::from_str(text).ok()?;
    let message = match envelope.event.as_deref() {
        Some("media") => FromBot::Media(envelope.media.payload.filter(|text| !text.is_empty())),
        Some("mark") => FromBot::Mark(envelope.mark.name.and_then(name)),
        Some("clear") => FromBot::Clear,
        Some("stop") => FromBot::Stop,
        _ => FromBot::Unknown,
    };
    Some(Read { message, stream: envelope.stream })
}

/// Braces and brackets outside strings; most messages have so few that they need not be looked at.
fn too_deep(text: &str) -> bool {
    if memchr::memchr2_iter(b'{', b'[', text.as_bytes()).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// A string is kept as it stands between its quotes, so that it goes back exactly as it came, whatever it escapes.
fn name(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    if let Some(inside) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        let fits = inside.len() <= MAX_NAME
            || serde_json::from_str::<Cow<'_, str>>(raw).is_ok_and(|name| name.len() <= MAX_NAME);
        return fits.then_some(Cow::Borrowed(inside));
    }
    let number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    (number && raw.len() <= MAX_NAME).then_some(Cow::Borrowed(raw))
}

/// Reads a value of any type: a member that comes twice or has another type than ours is no reason to lose a message.
struct Lax<T>(T);

/// What is made of a value of the types that are looked at; all others become the default.
trait Lenient<'de>: Default {
    fn of_text(_: Cow<'de, str>) -> Self {
        Self::default()
    }

    fn of_object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

impl<'de, T: Lenient<'de>> Deserialize<'de> for Lax<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData)).map(Self)
    }
}

struct Any<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> Visitor<'de> for Any<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::of_text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::of_text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::of_object(map)
    }
}

impl<'de> Lenient<'de> for Option<Cow<'de, str>> {
    fn of_text(text: Cow<'de, str>) -> Self {
        Some(text)
    }
}

/// The members of a message we look at.
#[derive(Default)]
struct Envelope<'a> {
    event: Option<Cow<'a, str>>,
    stream: Option<Cow<'a, str>>,
    media: Inner<'a>,
    mark: Inner<'a>,
}

impl<'de> Lenient<'de> for Envelope<'de> {
    fn of_object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut read = Self::default();
        while let Some(Lax(key)) = map.next_key::<Lax<Option<Cow<'de, str>>>>()? {
            match key.as_deref() {
                Some("event") => read.event = map.next_value::<Lax<_>>()?.0,
                Some("stream_sid" | "streamSid") => read.stream = map.next_value::<Lax<_>>()?.0,
                Some("media") => read.media = map.next_value::<Lax<_>>()?.0,
                Some("mark") => read.mark = map.next_value::<Lax<_>>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(read)
    }
}

/// The members of `media` and `mark` we look at.
#[derive(Default)]
struct Inner<'a> {
    payload: Option<Cow<'a, str>>,
    name: Option<&'a RawValue>,
}

impl<'de> Lenient<'de> for Inner<'de> {
    fn of_object<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut read = Self::default();
        while let Some(Lax(key)) = map.next_key::<Lax<Option<Cow<'de, str>>>>()? {
            match key.as_deref() {
                Some("payload") => read.payload = map.next_value::<Lax<_>>()?.0,
                Some("name") => read.name = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(text: &str) -> Option<FromBot<'_>> {
        read(text).map(|read| read.message)
    }

    fn audio(text: &str) -> Option<FromBot<'_>> {
        Some(FromBot::Media(Some(text.into())))
    }

    fn mark(name: &str) -> Option<FromBot<'_>> {
        Some(FromBot::Mark(Some(name.into())))
    }

    #[test]
    fn ids_and_numbers_of_any_kind_are_accepted() {
        for text in [
            r#"{"event":"media","stream_sid":"b6","media":{"payload":"AAA="}}"#,
            r#"{"event":"media","streamSid":"x","sequenceNumber":"4","media":{"chunk":2,"timestamp":20.5,"payload":"AAA="}}"#,
            r#"{"event":"media","media":{"payload":"AAA="}}"#,
            r#"{"media":{"payload":"AAA=","track":null},"stream_sid":7,"sequence_number":1,"event":"media","x":[{"y":[]}]}"#,
            " {\"event\" : \"media\",\r\n\"media\": {\"payload\":\"AAA=\"} }\n",
            r#"{"event":"dtmf","event":"media","media":[1],"media":{"payload":1,"payload":"AAA="}}"#,
            "\u{feff}{\"event\":\"media\",\"media\":{\"payload\":\"AAA=\"}}",
        ] {
            assert_eq!(message(text), audio("AAA="), "{text}");
        }
    }

    #[test]
    fn a_payload_may_be_escaped_as_php_does() {
        assert_eq!(message(r#"{"event":"media","media":{"payload":"\/+\/\u0041"}}"#), audio("/+/A"));
    }

    #[test]
    fn media_without_audio_is_media_all_the_same() {
        for text in [
            r#"{"event":"media"}"#,
            r#"{"event":"media","media":null}"#,
            r#"{"event":"media","media":{}}"#,
            r#"{"event":"media","media":"AAA="}"#,
            r#"{"event":"media","media":{"payload":""}}"#,
            r#"{"event":"media","media":{"payload":false}}"#,
        ] {
            assert_eq!(message(text), Some(FromBot::Media(None)), "{text}");
        }
    }

    #[test]
    fn a_marks_name_is_kept_as_it_was_written() {
        assert_eq!(message(r#"{"event":"mark","mark":{"name":"turn-3-end"}}"#), mark("turn-3-end"));
        assert_eq!(
            message(r#"{"event":"mark","mark":{"name":"a\"\u00e9\ud83d"}}"#),
            mark(r#"a\"\u00e9\ud83d"#)
        );
        assert_eq!(message(r#"{"event":"mark","mark":{"name":-1.50e3}}"#), mark("-1.50e3"));
        assert_eq!(message(r#"{"event":"mark","mark":{"name":""}}"#), mark(""));
    }

    #[test]
    fn a_mark_without_a_fitting_name_has_none() {
        let long = format!(r#"{{"event":"mark","mark":{{"name":"{}"}}}}"#, "x".repeat(257));
        assert_eq!(message(&long), Some(FromBot::Mark(None)));
        let escaped = format!(r#"{{"event":"mark","mark":{{"name":"{}"}}}}"#, r"\u0041".repeat(256));
        assert!(matches!(message(&escaped), Some(FromBot::Mark(Some(_)))));
        for text in [
            r#"{"event":"mark"}"#,
            r#"{"event":"mark","mark":{"name":null}}"#,
            r#"{"event":"mark","mark":{"name":[]}}"#,
        ] {
            assert_eq!(message(text), Some(FromBot::Mark(None)), "{text}");
        }
    }

    #[test]
    fn event_names_are_matched_in_lower_case() {
        assert_eq!(message(r#"{"event":"clear"}"#), Some(FromBot::Clear));
        assert_eq!(message(r#"{"event":"stop","stop":{}}"#), Some(FromBot::Stop));
        for text in [r#"{"event":"Clear"}"#, r#"{"event":"start"}"#, r#"{"event":1}"#, "{}"] {
            assert_eq!(message(text), Some(FromBot::Unknown), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_nothing() {
        for text in
            ["", "hello", "{", r#"{"event":"clear"}x"#, r#"{"event":"clear",}"#, "{\"event\":\"clear\"}\0"]
        {
            assert_eq!(message(text), None, "{text}");
        }
        assert!(matches!(message("[1]"), None | Some(FromBot::Unknown)));
    }

    #[test]
    fn nesting_is_bounded_and_braces_in_strings_are_not_nesting() {
        let nested = |n: usize| format!(r#"{{"event":"clear","x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert_eq!(message(&nested(31)), Some(FromBot::Clear));
        assert_eq!(message(&nested(32)), None);
        assert_eq!(message(&nested(200_000)), None);
        let quoted = format!(r#"{{"event":"clear","x":"\"{}"}}"#, "[{".repeat(100));
        assert_eq!(message(&quoted), Some(FromBot::Clear));
    }

    #[test]
    fn the_stream_it_is_for_is_told() {
        assert_eq!(
            read(r#"{"event":"clear","streamSid":"b6"}"#).and_then(|read| read.stream),
            Some("b6".into())
        );
        assert_eq!(read(r#"{"event":"clear","stream_sid":6}"#).and_then(|read| read.stream), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,200}") {
            let _ = read(&text);
        }
    }
}
