//! Finds fault with the order of StreamKit's messages (agentstream.md sections 2, 4, 5.3 and 7.1): which
//! come first, how numbers run, how long frames are.

use std::borrow::Cow;

use super::message::{FromStreamKit, Received};
use crate::units::SampleRate;

/// What is expected next.
#[derive(Debug, Default)]
pub struct Order {
    seen: u64,
    sid: Option<String>,
    rate: Option<SampleRate>,
    sequence: u64,
    chunk: u64,
    timestamp: u64,
    frame_ms: u64,
    stopped: bool,
    missing: u64,
}

impl Order {
    /// Judges one more message; what is wrong with it, in words.
    pub fn judge(&mut self, received: &Received) -> Vec<Cow<'static, str>> {
        let mut faults = received.faults.clone();
        let mut fault = |what: String| faults.push(what.into());
        self.seen += 1;
        match (self.seen, &received.message) {
            (1, FromStreamKit::Connected) | (2, FromStreamKit::Start(_)) => {}
            (1, _) => fault("the first message is not `connected`".into()),
            (2, _) => fault("the second message is not `start`".into()),
            (_, FromStreamKit::Connected | FromStreamKit::Start(_)) => {
                fault("the stream begins twice".into());
            }
            _ => {}
        }
        if self.stopped {
            fault("a message after `stop`".into());
        }
        if let Some(number) = received.sequence {
            if number != self.sequence + 1 {
                self.missing += number.saturating_sub(self.sequence + 1);
                fault(format!("sequence_number {number} after {}", self.sequence));
            }
            self.sequence = number;
        }
        match &received.message {
            FromStreamKit::Start(start) => {
                if received.stream_sid.as_ref() != Some(&start.stream_sid) {
                    fault("`stream_sid` differs inside and outside `start`".into());
                }
                self.sid = Some(start.stream_sid.clone());
                self.rate = Some(start.rate);
            }
            FromStreamKit::Media { chunk, timestamp, samples } => {
                self.frame(*chunk, *timestamp, samples.len(), &mut fault);
            }
            FromStreamKit::Stop { .. } => self.stopped = true,
            FromStreamKit::Connected
            | FromStreamKit::Dtmf { .. }
            | FromStreamKit::Mark(_)
            | FromStreamKit::Other(_) => {}
        }
        if received.stream_sid.is_some() && self.sid.is_some() && received.stream_sid != self.sid {
            fault("`stream_sid` is not that of `start`".into());
        }
        faults
    }

    /// Messages whose numbers were passed over: the bot did not read fast enough (section 7.4).
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Milliseconds a frame, once known.
    pub fn frame_ms(&self) -> u64 {
        self.frame_ms
    }

    fn frame(&mut self, chunk: u64, timestamp: u64, samples: usize, fault: &mut impl FnMut(String)) {
        let per_ms = u64::from(self.rate.unwrap_or_default().hz()) / 1000;
        let ms = samples as u64 / per_ms;
        if chunk != self.chunk + 1 {
            fault(format!("chunk {chunk} after {}", self.chunk));
        }
        if self.chunk == 0 {
            self.frame_ms = ms;
            if ![20, 40, 60, 80, 100].contains(&ms) {
                fault(format!("a frame of {ms} ms"));
            }
        }
        // A step of the timestamp that matches the step of the chunk is the same gap, told once.
        let wanted = self.timestamp + chunk.saturating_sub(self.chunk) * self.frame_ms;
        let wanted = if self.chunk == 0 { 0 } else { wanted };
        if timestamp != wanted {
            fault(format!("timestamp {timestamp} where {wanted} is due"));
        }
        if samples as u64 != self.frame_ms * per_ms {
            fault(format!("a frame of {samples} samples among frames of {}", self.frame_ms * per_ms));
        }
        (self.chunk, self.timestamp) = (chunk, timestamp);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::read;
    use super::*;

    const START: &str = r#"{"event":"start","sequence_number":"1","stream_sid":"b","start":{"stream_sid":"b","call_sid":"c","account_sid":"a","from":"f","to":"t","custom_parameters":{},"media_format":{"encoding":"base64","sample_rate":"8000","bit_rate":"128kbps"}}}"#;

    fn frame(sequence: u64, chunk: u64, timestamp: u64, samples: usize) -> String {
        let payload = base64_simd::STANDARD.encode_to_string(vec![0u8; 2 * samples]);
        format!(
            r#"{{"event":"media","sequence_number":"{sequence}","stream_sid":"b","media":{{"chunk":"{chunk}","timestamp":"{timestamp}","payload":"{payload}"}}}}"#
        )
    }

    fn faults(messages: &[String]) -> Vec<String> {
        let mut order = Order::default();
        let all =
            [r#"{"event":"connected"}"#.to_owned(), START.to_owned()].into_iter().chain(messages.to_vec());
        all.flat_map(|text| order.judge(&read(&text))).map(Cow::into_owned).collect()
    }

    #[test]
    fn a_stream_as_it_should_be_has_no_fault() {
        assert_eq!(faults(&[frame(2, 1, 0, 160), frame(3, 2, 20, 160), frame(4, 3, 40, 160)]), [""; 0]);
    }

    #[test]
    fn a_dropped_frame_is_told_by_both_numbers_and_not_by_the_time() {
        let told = faults(&[frame(2, 1, 0, 160), frame(4, 3, 40, 160), frame(5, 4, 60, 160)]);
        assert_eq!(told, ["sequence_number 4 after 2", "chunk 3 after 1"]);
    }

    #[test]
    fn frames_of_other_length_or_time_are_told() {
        let told = faults(&[frame(2, 1, 0, 160), frame(3, 2, 25, 159)]);
        assert_eq!(told, ["timestamp 25 where 20 is due", "a frame of 159 samples among frames of 160"]);
    }

    #[test]
    fn the_first_two_messages_are_connected_and_start() {
        let mut order = Order::default();
        assert_eq!(order.judge(&read(START))[0], "the first message is not `connected`");
        assert_eq!(order.judge(&read(r#"{"event":"connected"}"#))[0], "the second message is not `start`");
    }
}
