//! What we write to the bot (agentstream.md sections 4 and 5), by hand into a buffer that is used again.
//!
//! Keys are exactly those of the protocol, every scalar is a string.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::{Start, StartStyle, Stop};
use crate::units::Digit;

/// `connected`, the first message.
pub const CONNECTED: &str = r#"{"event":"connected"}"#;

/// `start`, the second. `parameters` are those of the URL, which win over the call's.
pub fn start(out: &mut String, start: &Start, parameters: &[(String, String)], style: &StartStyle) {
    let sid = start.stream_sid;
    put(out, format_args!(r#"{{"event":"start","sequence_number":"1","stream_sid":"{sid}","start":{{"#));
    put(out, format_args!(r#""stream_sid":"{sid}","call_sid":"{}","account_sid":"#, start.call_sid));
    string(out, &start.account_sid);
    member(out, "from", &start.from);
    member(out, "to", &start.to);
    out.push_str(r#","custom_parameters":{"#);
    for (i, (key, value)) in merged(&start.custom_parameters, parameters).enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(out, key);
        out.push(':');
        string(out, value);
    }
    let (encoding, depth) = match style.raw {
        true => ("audio/x-raw", "16".to_owned()),
        false => ("base64", format!("{}kbps", start.rate.hz() * 16 / 1000)),
    };
    put(
        out,
        format_args!(
            r#"}},"media_format":{{"encoding":"{encoding}","sample_rate":"{}","bit_rate":"{depth}"}}"#,
            start.rate
        ),
    );
    if let Some(extras) = &style.extras {
        member(out, "direction", &extras.direction);
        member(out, "stream_name", &extras.stream_name);
        member(out, "custom_field", &extras.custom_field);
    }
    if let Some(lost) = style.continues {
        put(out, format_args!(r#","continues":"{lost}""#));
    }
    out.push_str("}}");
}

/// The call's parameters with the URL's over them, each key once.
fn merged<'a>(
    call: &'a [(String, String)],
    url: &'a [(String, String)],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let last = |i: usize, key: &str| call[i + 1..].iter().all(|(later, _)| later != key);
    let kept = call
        .iter()
        .enumerate()
        .filter(move |(i, (key, _))| last(*i, key) && url.iter().all(|(over, _)| over != key));
    kept.map(|(_, pair)| pair).chain(url).map(|(key, value)| (key.as_str(), value.as_str()))
}

/// One frame of the caller: `pcm` is little-endian 16-bit samples.
pub fn media(out: &mut String, sequence: u64, sid: &str, chunk: u64, timestamp: u64, pcm: &[u8]) {
    head(out, "media", sequence, sid);
    put(out, format_args!(r#","media":{{"chunk":"{chunk}","timestamp":"{timestamp}","payload":""#));
    base64_simd::STANDARD.encode_append(pcm, out);
    out.push_str(r#""}}"#);
}

/// One key press.
pub fn dtmf(out: &mut String, sequence: u64, sid: &str, digit: Digit, held: Duration) {
    head(out, "dtmf", sequence, sid);
    put(out, format_args!(r#","dtmf":{{"duration":"{}","digit":"{digit}"}}}}"#, held.as_millis()));
}

/// One key press of which nobody may know (agentstream.md section 5.4): `sealed` is base64.
pub fn dtmf_sealed(out: &mut String, sequence: u64, sid: &str, sealed: &str, held: Duration) {
    head(out, "dtmf", sequence, sid);
    let held = held.as_millis();
    put(out, format_args!(r#","dtmf":{{"duration":"{held}","digit":"x","encrypted":"{sealed}"}}}}"#));
}

/// A mark comes back; `name` is the inside of a JSON string, as the bot wrote it.
pub fn mark(out: &mut String, sequence: u64, sid: &str, name: &str) {
    head(out, "mark", sequence, sid);
    out.push_str(r#","mark":{"name":""#);
    out.push_str(name);
    out.push_str(r#""}}"#);
}

/// The last message.
pub fn stop(out: &mut String, sequence: u64, start: &Start, sid: &str, why: Stop) {
    head(out, "stop", sequence, sid);
    put(out, format_args!(r#","stop":{{"call_sid":"{}","account_sid":"#, start.call_sid));
    string(out, &start.account_sid);
    let reason = match why {
        Stop::CallEnded => "callended",
        Stop::Stopped | Stop::Shutdown => "stopped",
    };
    put(out, format_args!(r#","reason":"{reason}"}}}}"#));
}

fn head(out: &mut String, event: &str, sequence: u64, sid: &str) {
    put(out, format_args!(r#"{{"event":"{event}","sequence_number":"{sequence}","stream_sid":"{sid}""#));
}

fn member(out: &mut String, key: &str, value: &str) {
    put(out, format_args!(r#","{key}":"#));
    string(out, value);
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

/// A JSON string with its quotes (RFC 8259 §7).
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => put(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CallSid, Entropy, StreamSid};
    use crate::stream::StartExtras;
    use crate::units::SampleRate;
    use serde_json::{Value, json};

    fn of_call() -> Start {
        let mut entropy = Entropy::seeded(3);
        Start {
            stream_sid: StreamSid::fresh(&mut entropy),
            call_sid: CallSid::fresh(&mut entropy),
            account_sid: "acme1".into(),
            from: "sip:08061234509".into(),
            to: "01512340321".into(),
            custom_parameters: vec![],
            rate: SampleRate::Hz8000,
        }
    }

    fn read(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    fn started(call: &Start, parameters: &[(String, String)], style: &StartStyle) -> Value {
        let mut out = String::new();
        start(&mut out, call, parameters, style);
        read(&out)
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn start_has_its_seven_members_and_nothing_of_other_vendors() {
        let call = of_call();
        let said = started(&call, &[], &StartStyle::default());
        assert_eq!(
            said,
            json!({"event": "start", "sequence_number": "1", "stream_sid": call.stream_sid.to_string(), "start": {
                "stream_sid": call.stream_sid.to_string(), "call_sid": call.call_sid.to_string(), "account_sid": "acme1",
                "from": "sip:08061234509", "to": "01512340321", "custom_parameters": {},
                "media_format": {"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"}}})
        );
        assert!(said["start"].get("streamSid").is_none() && said["start"].get("callSid").is_none());
    }

    #[test]
    fn bit_rate_follows_the_rate_and_the_style() {
        let mut call = of_call();
        call.rate = SampleRate::Hz24000;
        let format = started(&call, &[], &StartStyle::default())["start"]["media_format"].take();
        assert_eq!(format, json!({"encoding": "base64", "sample_rate": "24000", "bit_rate": "384kbps"}));
        let raw = StartStyle { raw: true, ..StartStyle::default() };
        let format = started(&call, &[], &raw)["start"]["media_format"].take();
        assert_eq!(format, json!({"encoding": "audio/x-raw", "sample_rate": "24000", "bit_rate": "16"}));
    }

    #[test]
    fn a_parameter_of_the_url_wins_over_the_calls() {
        let mut call = of_call();
        call.custom_parameters = vec![pair("UUI", "A1"), pair("k", "sip"), pair("UUI", "B2")];
        let said = started(&call, &[pair("k", "url"), pair("z", "")], &StartStyle::default());
        assert_eq!(said["start"]["custom_parameters"], json!({"UUI": "B2", "k": "url", "z": ""}));
    }

    #[test]
    fn any_parameter_is_escaped_so_that_it_comes_out_as_it_went_in() {
        let all: String = (0..0x80u8).map(char::from).chain("ü€😀\u{2028}".chars()).collect();
        let said = started(&of_call(), &[pair(&all, &all)], &StartStyle::default());
        assert_eq!(said["start"]["custom_parameters"][&all], json!(all));
    }

    #[test]
    fn extras_stand_in_start_when_asked_for() {
        let extras = StartExtras {
            direction: "inbound".into(),
            stream_name: "s\"".into(),
            custom_field: String::new(),
        };
        let said = started(&of_call(), &[], &StartStyle { extras: Some(extras), ..StartStyle::default() });
        assert_eq!(said["start"]["direction"], "inbound");
        assert_eq!(said["start"]["stream_name"], "s\"");
        assert_eq!(said["start"]["custom_field"], "");
    }

    #[test]
    fn every_later_message_reads_as_section_5_shows_it() {
        let (call, mut out) = (of_call(), String::new());
        media(&mut out, 3, "b6", 2, 20, &[1, 0, 255, 255]);
        let shown = r#"{"event":"media","sequence_number":"3","stream_sid":"b6","media":{"chunk":"2","timestamp":"20","payload":"AQD//w=="}}"#;
        assert_eq!(out, shown);
        out.clear();
        let five = Digit::from_char('5').expect("a key");
        dtmf(&mut out, 57, "b6", five, Duration::from_millis(160));
        let shown = r#"{"event":"dtmf","sequence_number":"57","stream_sid":"b6","dtmf":{"duration":"160","digit":"5"}}"#;
        assert_eq!(out, shown);
        out.clear();
        dtmf_sealed(&mut out, 58, "b6", "AAAA", Duration::from_millis(160));
        let shown = r#"{"event":"dtmf","sequence_number":"58","stream_sid":"b6","dtmf":{"duration":"160","digit":"x","encrypted":"AAAA"}}"#;
        assert_eq!(out, shown);
        out.clear();
        mark(&mut out, 91, "b6", r"turn-3-\u00e9nd");
        let shown =
            r#"{"event":"mark","sequence_number":"91","stream_sid":"b6","mark":{"name":"turn-3-\u00e9nd"}}"#;
        assert_eq!(out, shown);
        out.clear();
        stop(&mut out, 4711, &call, "b6", Stop::CallEnded);
        let said = read(&out);
        assert_eq!(said["sequence_number"], "4711");
        let sid = call.call_sid.to_string();
        assert_eq!(said["stop"], json!({"call_sid": sid, "account_sid": "acme1", "reason": "callended"}));
    }
}
