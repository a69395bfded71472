//! Writes what StreamKit would write to a bot: with the product's own hand, so that a bot gets nothing else here.

use std::time::Duration;

use crate::ids::{CallSid, Entropy, StreamSid};
use crate::stream::{BotUrl, Start, StartStyle, Stop, message};
use crate::units::Digit;

/// How long the caller holds a key.
const HELD: Duration = Duration::from_millis(160);

pub(super) struct Pen {
    start: Start,
    parameters: Vec<(String, String)>,
    sid: String,
    sequence: u64,
    chunk: u64,
}

impl Pen {
    pub(super) fn new(url: &BotUrl) -> Self {
        let mut entropy = Entropy::from_os();
        let start = Start {
            stream_sid: StreamSid::fresh(&mut entropy),
            call_sid: CallSid::fresh(&mut entropy),
            account_sid: "check-bot".to_owned(),
            from: "sip:08061234509".to_owned(),
            to: "01512340321".to_owned(),
            custom_parameters: vec![("UUI".to_owned(), "A1B2C3".to_owned())],
            rate: url.rate(),
        };
        let sid = start.stream_sid.to_string();
        Self { start, parameters: url.parameters().to_vec(), sid, sequence: 1, chunk: 0 }
    }

    pub(super) fn sid(&self) -> &str {
        &self.sid
    }

    pub(super) fn start(&self) -> String {
        let mut out = String::new();
        message::start(&mut out, &self.start, &self.parameters, &StartStyle::default());
        out
    }

    pub(super) fn frame(&mut self, pcm: &[u8]) -> String {
        let timestamp = self.chunk * 20;
        self.chunk += 1;
        let mut out = String::with_capacity(2 * pcm.len());
        message::media(&mut out, self.next(), &self.sid, self.chunk, timestamp, pcm);
        out
    }

    pub(super) fn key(&mut self, digit: Digit) -> String {
        let mut out = String::new();
        message::dtmf(&mut out, self.next(), &self.sid, digit, HELD);
        out
    }

    /// A mark's name goes back as it came.
    pub(super) fn mark(&mut self, name: &str) -> String {
        let quoted = serde_json::Value::from(name).to_string();
        let inside = quoted.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or_default();
        let mut out = String::new();
        message::mark(&mut out, self.next(), &self.sid, inside);
        out
    }

    pub(super) fn stop(&mut self) -> String {
        let mut out = String::new();
        message::stop(&mut out, self.next(), &self.start, &self.sid, Stop::CallEnded);
        out
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::bot::Order;
    use crate::lab::bot::message::{FromStreamKit, read};

    #[test]
    fn a_strict_bot_finds_no_fault() {
        let url = BotUrl::parse("ws://h/?sample-rate=16000&a=b").expect("a URL");
        let (mut pen, mut order) = (Pen::new(&url), Order::default());
        let mark = "a\"\\\u{7}é";
        let texts = [
            message::CONNECTED.to_owned(),
            pen.start(),
            pen.frame(&[0; 640]),
            pen.frame(&[1; 640]),
            pen.mark(mark),
            pen.key(Digit::from_char('5').expect("a key")),
            pen.stop(),
        ];
        let faults: Vec<_> = texts.iter().flat_map(|text| order.judge(&read(text))).collect();
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(read(&texts[4]).message, FromStreamKit::Mark(mark.to_owned()));
    }
}
