//! One text of a bot, read as strictly as the protocol is written (agentstream.md section 6): what it means to the
//! platform, and every departure from the letter.

use serde_json::{Map, Value};

use super::fault::Fault;

/// Longest name of a mark in octets.
const NAME: usize = 256;
/// Events that the platform alone sends.
const PLATFORM: [&str; 3] = ["connected", "start", "dtmf"];
/// Events that a bot sends.
const BOT: [&str; 4] = ["media", "mark", "clear", "stop"];

/// What a message is to the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// So many octets of audio.
    Audio(usize),
    /// A mark's name.
    Mark(String),
    /// Drop what waits.
    Clear,
    /// The bot asks for the end.
    Stop,
    /// Nothing at all: ignored and counted.
    Nothing,
}

/// Reads one text; `sid` is the stream's own.
pub(super) fn read(text: &str, sid: &str) -> (Meaning, Vec<(Fault, String)>) {
    let mut faults = Vec::new();
    let Ok(Value::Object(top)) = serde_json::from_str::<Value>(text) else {
        return (Meaning::Nothing, vec![(Fault::NotJson, text.to_owned())]);
    };
    let event = top.get("event").and_then(Value::as_str).unwrap_or_default();
    let meaning = match event {
        "media" => audio(&top, text, &mut faults),
        "mark" => mark(&top, text, &mut faults),
        "clear" => Meaning::Clear,
        "stop" => Meaning::Stop,
        _ => {
            faults.push((stranger(event), text.to_owned()));
            Meaning::Nothing
        }
    };
    if BOT.contains(&event) {
        faults.extend(stream(&top, sid));
    }
    (meaning, faults)
}

fn stranger(event: &str) -> Fault {
    let lower = event.to_ascii_lowercase();
    match () {
        () if PLATFORM.contains(&event) => Fault::PlatformEvent,
        () if BOT.contains(&lower.as_str()) => Fault::EventCase,
        () => Fault::UnknownEvent,
    }
}

fn stream(top: &Map<String, Value>, sid: &str) -> Option<(Fault, String)> {
    let named = |key: &str| top.get(key).map(|value| value.as_str().unwrap_or_default().to_owned());
    let (fault, name) = match (named("stream_sid"), named("streamSid")) {
        (Some(name), _) if name == sid => return None,
        (None, Some(name)) if name == sid => (Fault::CamelCase, name),
        (None, None) => (Fault::NoStream, String::new()),
        (Some(name), _) | (None, Some(name)) => (Fault::WrongStream, format!("{name:?} for {sid:?}")),
    };
    Some((fault, name))
}

fn audio(top: &Map<String, Value>, text: &str, faults: &mut Vec<(Fault, String)>) -> Meaning {
    let payload = top.get("media").and_then(|media| media.get("payload")).and_then(Value::as_str);
    let Some(payload) = payload.filter(|payload| !payload.is_empty()) else {
        faults.push((Fault::NoPayload, text.to_owned()));
        return Meaning::Nothing;
    };
    let Some(octets) = decoded(payload).filter(|octets| *octets > 0) else {
        faults.push((Fault::BadPayload, payload.to_owned()));
        return Meaning::Nothing;
    };
    let mut size = |fault| faults.push((fault, format!("{octets} bytes")));
    match octets {
        odd if !odd.is_multiple_of(2) => size(Fault::HalfSample),
        odd if !odd.is_multiple_of(320) => size(Fault::Unaligned),
        _ => {}
    }
    match octets {
        0..3200 => size(Fault::SmallChunk),
        3200..=100_000 => {}
        _ => size(Fault::LargeChunk),
    }
    Meaning::Audio(octets)
}

/// Octets in it, of either alphabet, with padding or without.
fn decoded(payload: &str) -> Option<usize> {
    let plain = payload.trim_end_matches('=').replace('-', "+").replace('_', "/");
    base64_simd::STANDARD_NO_PAD.decode_to_vec(plain.as_bytes()).ok().map(|octets| octets.len())
}

fn mark(top: &Map<String, Value>, text: &str, faults: &mut Vec<(Fault, String)>) -> Meaning {
    let name = match top.get("mark").and_then(|mark| mark.get("name")) {
        Some(Value::String(name)) if name.len() <= NAME => Some(name.clone()),
        Some(Value::Number(name)) => Some(name.to_string()),
        _ => None,
    };
    name.map_or_else(
        || {
            faults.push((Fault::NoMarkName, text.to_owned()));
            Meaning::Nothing
        },
        Meaning::Mark,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Meaning, Vec<Fault>) {
        let (meaning, faults) = read(text, "b6");
        (meaning, faults.into_iter().map(|(fault, _)| fault).collect())
    }

    fn media(octets: usize) -> String {
        let payload = base64_simd::STANDARD.encode_to_string(vec![1; octets]);
        format!(r#"{{"event":"media","stream_sid":"b6","media":{{"payload":"{payload}"}}}}"#)
    }

    #[test]
    fn what_is_as_recommended_has_no_fault() {
        assert_eq!(of(&media(3200)), (Meaning::Audio(3200), vec![]));
        assert_eq!(of(r#"{"event":"clear","stream_sid":"b6","more":1}"#), (Meaning::Clear, vec![]));
        let mark = r#"{"event":"mark","stream_sid":"b6","mark":{"name":"a\"b"}}"#;
        assert_eq!(of(mark), (Meaning::Mark("a\"b".into()), vec![]));
    }

    #[test]
    fn sizes_are_judged() {
        assert_eq!(of(&media(3201)).1, [Fault::HalfSample]);
        assert_eq!(of(&media(4096)).1, [Fault::Unaligned]);
        assert_eq!(of(&media(320)).1, [Fault::SmallChunk]);
        assert_eq!(of(&media(102_400)).1, [Fault::LargeChunk]);
    }

    #[test]
    fn what_would_be_ignored_means_nothing() {
        for (text, fault) in [
            ("hello", Fault::NotJson),
            ("[1]", Fault::NotJson),
            (r#"{"event":"Media","media":{"payload":"AAA="}}"#, Fault::EventCase),
            (r#"{"event":"start"}"#, Fault::PlatformEvent),
            (r#"{"event":"speak"}"#, Fault::UnknownEvent),
            (r#"{"type":"media"}"#, Fault::UnknownEvent),
            (r#"{"event":"media","stream_sid":"b6","media":{"payload":""}}"#, Fault::NoPayload),
            (r#"{"event":"media","stream_sid":"b6","payload":"AAA="}"#, Fault::NoPayload),
            (r#"{"event":"media","stream_sid":"b6","media":{"payload":"AA A="}}"#, Fault::BadPayload),
            (r#"{"event":"mark","stream_sid":"b6","name":"a"}"#, Fault::NoMarkName),
        ] {
            assert_eq!(of(text), (Meaning::Nothing, vec![fault]), "{text}");
        }
    }

    #[test]
    fn the_stream_may_be_named_otherwise_and_that_is_told() {
        for (text, fault) in [
            (r#"{"event":"clear"}"#, Fault::NoStream),
            (r#"{"event":"clear","streamSid":"b6"}"#, Fault::CamelCase),
            (r#"{"event":"clear","stream_sid":"b7"}"#, Fault::WrongStream),
            (r#"{"event":"clear","stream_sid":6}"#, Fault::WrongStream),
        ] {
            assert_eq!(of(text), (Meaning::Clear, vec![fault]), "{text}");
        }
    }

    #[test]
    fn both_alphabets_are_audio() {
        assert_eq!(decoded("-_8="), decoded("+/8"));
        assert_eq!((decoded("-_8="), decoded("A")), (Some(2), None));
    }
}
