//! What StreamKit may send, read as a strict stranger reads it (agentstream.md sections 4 and 5): every
//! departure from the letter is a fault. And what a bot sends, written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::units::SampleRate;

/// A message from StreamKit.
#[derive(Clone, Debug, PartialEq)]
pub enum FromStreamKit {
    /// The socket is open.
    Connected,
    /// The stream begins.
    Start(Box<Start>),
    /// Audio.
    Media {
        /// Number of the frame, from 1.
        chunk: u64,
        /// Milliseconds from the start of the stream to the first sample.
        timestamp: u64,
        /// The samples.
        samples: Vec<i16>,
    },
    /// A key was pressed and released.
    Dtmf {
        /// Which: `0-9 * # A-D`, or `x`.
        digit: String,
        /// Milliseconds.
        duration: u64,
        /// Base64, when digits are encrypted.
        encrypted: Option<String>,
    },
    /// A mark of ours comes back.
    Mark(String),
    /// The stream ends.
    Stop {
        /// `callended` or `stopped`.
        reason: String,
    },
    /// Anything else.
    Other(String),
}

/// What `start` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// This stream.
    pub stream_sid: String,
    /// Its call.
    pub call_sid: String,
    /// Its account.
    pub account_sid: String,
    /// The caller.
    pub from: String,
    /// The number dialled.
    pub to: String,
    /// SIP custom headers and URL parameters.
    pub custom_parameters: BTreeMap<String, String>,
    /// `media_format.encoding`.
    pub encoding: String,
    /// `media_format.bit_rate`.
    pub bit_rate: String,
    /// `media_format.sample_rate`.
    pub rate: SampleRate,
}

/// A message with what is common to all.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// What it says.
    pub message: FromStreamKit,
    /// Its number; `connected` has none.
    pub sequence: Option<u64>,
    /// The stream it names at its top level.
    pub stream_sid: Option<String>,
    /// Where it departs from the protocol.
    pub faults: Vec<Cow<'static, str>>,
}

/// Reads one text message.
pub fn read(text: &str) -> Received {
    let mut reader = Reader { faults: Vec::new() };
    let value = serde_json::from_str(text).unwrap_or(Value::Null);
    let Value::Object(top) = value else {
        let fault = vec![Cow::from("not a JSON object")];
        let message = FromStreamKit::Other(text.to_owned());
        return Received { message, sequence: None, stream_sid: None, faults: fault };
    };
    let event = top.get("event").and_then(Value::as_str).unwrap_or_default();
    let message = reader.message(event, &top, text);
    let outer = !matches!(message, FromStreamKit::Connected);
    let sequence = if outer { reader.number(&top, "sequence_number") } else { None };
    let stream_sid = if outer { Some(reader.text(&top, "stream_sid")) } else { None };
    for twin in ["streamSid", "callSid", "sequenceNumber"] {
        if top.contains_key(twin) {
            reader.fault(format!("`{twin}` would take the stream for another vendor's"));
        }
    }
    Received { message, sequence, stream_sid, faults: reader.faults }
}

struct Reader {
    faults: Vec<Cow<'static, str>>,
}

impl Reader {
    fn fault(&mut self, what: impl Into<Cow<'static, str>>) {
        self.faults.push(what.into());
    }

    fn message(&mut self, event: &str, top: &Map<String, Value>, text: &str) -> FromStreamKit {
        match event {
            "connected" => {
                if top.len() != 1 {
                    self.fault("`connected` has members besides `event`");
                }
                FromStreamKit::Connected
            }
            "start" => FromStreamKit::Start(Box::new(self.start(&object(top, "start")))),
            "media" => self.media(&object(top, "media")),
            "dtmf" => {
                let dtmf = object(top, "dtmf");
                FromStreamKit::Dtmf {
                    digit: self.text(&dtmf, "digit"),
                    duration: self.number(&dtmf, "duration").unwrap_or(0),
                    encrypted: dtmf.get("encrypted").and_then(Value::as_str).map(str::to_owned),
                }
            }
            "mark" => FromStreamKit::Mark(self.text(&object(top, "mark"), "name")),
            "stop" => {
                let stop = object(top, "stop");
                self.text(&stop, "call_sid");
                self.text(&stop, "account_sid");
                FromStreamKit::Stop { reason: self.text(&stop, "reason") }
            }
            other => {
                self.fault(format!("unknown event `{other}`"));
                FromStreamKit::Other(text.to_owned())
            }
        }
    }

    fn start(&mut self, start: &Map<String, Value>) -> Start {
        let format = object(start, "media_format");
        let rate = self.number(&format, "sample_rate").and_then(|hz| SampleRate::from_hz(hz as u32));
        if rate.is_none() {
            self.fault("`media_format.sample_rate` is none of 8000, 16000, 24000");
        }
        let mut custom_parameters = BTreeMap::new();
        match start.get("custom_parameters") {
            Some(Value::Object(all)) => {
                for key in all.keys() {
                    custom_parameters.insert(key.clone(), self.text(all, key));
                }
            }
            _ => self.fault("`custom_parameters` is not an object"),
        }
        Start {
            stream_sid: self.text(start, "stream_sid"),
            call_sid: self.text(start, "call_sid"),
            account_sid: self.text(start, "account_sid"),
            from: self.text(start, "from"),
            to: self.text(start, "to"),
            custom_parameters,
            encoding: self.text(&format, "encoding"),
            bit_rate: self.text(&format, "bit_rate"),
            rate: rate.unwrap_or_default(),
        }
    }

    fn media(&mut self, media: &Map<String, Value>) -> FromStreamKit {
        let payload = self.text(media, "payload");
        let bytes = base64_simd::STANDARD.decode_to_vec(payload.as_bytes()).unwrap_or_else(|_| {
            self.fault("`payload` is not standard base64");
            Vec::new()
        });
        if !bytes.len().is_multiple_of(2) {
            self.fault("`payload` is not whole samples");
        }
        FromStreamKit::Media {
            chunk: self.number(media, "chunk").unwrap_or(0),
            timestamp: self.number(media, "timestamp").unwrap_or(0),
            samples: bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect(),
        }
    }

    fn text(&mut self, object: &Map<String, Value>, key: &str) -> String {
        match object.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(_) => {
                self.fault(format!("`{key}` is not a string"));
                String::new()
            }
            None => {
                self.fault(format!("`{key}` is missing"));
                String::new()
            }
        }
    }

    /// A decimal integer in a string: no sign, no leading zeros, no fraction.
    fn number(&mut self, object: &Map<String, Value>, key: &str) -> Option<u64> {
        let text = self.text(object, key);
        let number = text.parse().ok().filter(|n: &u64| n.to_string() == text);
        if number.is_none() && !text.is_empty() {
            self.fault(format!("`{key}` is \"{text}\", not a decimal integer"));
        }
        number
    }
}

/// The object of that name, or an empty one: its members are then missed one by one.
fn object(within: &Map<String, Value>, key: &str) -> Map<String, Value> {
    within.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// `media` of a bot, from octets of 16-bit little-endian PCM (cut anywhere).
pub fn media(stream_sid: &str, pcm: &[u8]) -> String {
    let payload = base64_simd::STANDARD.encode_to_string(pcm);
    format!(r#"{{"event":"media","stream_sid":"{stream_sid}","media":{{"payload":"{payload}"}}}}"#)
}

/// `mark` of a bot.
pub fn mark(stream_sid: &str, name: &str) -> String {
    serde_json::json!({"event": "mark", "stream_sid": stream_sid, "mark": {"name": name}}).to_string()
}

/// `clear` or `stop` of a bot.
pub fn bare(stream_sid: &str, event: &str) -> String {
    serde_json::json!({"event": event, "stream_sid": stream_sid}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_of_the_protocol_are_read_without_fault() {
        let start = r#"{"event":"start","sequence_number":"1","stream_sid":"b6","start":{"stream_sid":"b6",
            "call_sid":"24","account_sid":"acme1","from":"sip:080","to":"015","custom_parameters":{"UUI":"A1"},
            "media_format":{"encoding":"base64","sample_rate":"16000","bit_rate":"256kbps"}}}"#;
        let got = read(start);
        assert_eq!(got.faults, Vec::<String>::new());
        let FromStreamKit::Start(start) = got.message else { panic!("{got:?}") };
        assert_eq!((start.rate, start.custom_parameters["UUI"].as_str()), (SampleRate::Hz16000, "A1"));
        assert_eq!(read(r#"{"event":"connected"}"#).faults, Vec::<String>::new());
        let media = r#"{"event":"media","sequence_number":"3","stream_sid":"b6","media":{"chunk":"2","timestamp":"20","payload":"AQD//w=="}}"#;
        let got = read(media);
        let samples = vec![1, -1];
        assert_eq!(got.message, FromStreamKit::Media { chunk: 2, timestamp: 20, samples });
        assert_eq!((got.sequence, got.faults.len()), (Some(3), 0));
    }

    #[test]
    fn departures_from_the_letter_are_faults() {
        let faults = |text: &str| read(text).faults.join("; ");
        assert_eq!(faults("[]"), "not a JSON object");
        let mark = r#"{"event":"mark","sequence_number":7,"stream_sid":"b","mark":{"name":"a"}}"#;
        assert_eq!(faults(mark), "`sequence_number` is not a string");
        let mark = r#"{"event":"mark","sequence_number":"07","streamSid":"b","mark":{"name":"a"}}"#;
        let wanted = "`sequence_number` is \"07\", not a decimal integer; `stream_sid` is missing; \
                      `streamSid` would take the stream for another vendor's";
        assert_eq!(faults(mark), wanted);
        assert!(
            faults(r#"{"event":"clear","sequence_number":"2","stream_sid":"b"}"#).contains("unknown event")
        );
    }

    #[test]
    fn what_a_bot_writes_is_json_whatever_the_name() {
        let text = mark("b6", "quote\" and \\");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["mark"]["name"], "quote\" and \\");
        assert!(media("b6", &[0, 0]).contains(r#""payload":"AAA=""#));
    }
}
