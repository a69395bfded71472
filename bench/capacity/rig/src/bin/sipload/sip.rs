//! Signalling of all calls.

use rig::field;
use rig::net::{LO, recvfrom, sendto};
use rig::process::now_us;

use crate::call::{GIVEN_UP_US, State};
use crate::{Load, Phase};

impl Load {
    pub fn read_sip(&mut self) {
        let mut buffer = vec![0; 65536];
        while let Some((length, from)) = recvfrom(self.sip, &mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let found = field::first(&message, "Call-ID").and_then(|id| self.ids.get(id));
            let Some(&i) = found else { continue };
            match message.strip_prefix("SIP/2.0 ") {
                Some(rest) => {
                    let status = rest.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
                    self.answer(i, &message, status);
                }
                None => self.request(i, &message, from),
            }
        }
    }

    fn request(&mut self, i: usize, message: &str, from: u16) {
        let method = message.split(' ').next().unwrap_or_default();
        if method == "ACK" {
            return;
        }
        let mut answer = String::from("SIP/2.0 200 OK\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in field::all(message, name) {
                answer += &format!("{name}: {value}\r\n");
            }
        }
        sendto(self.sip, (answer + "Content-Length: 0\r\n\r\n").as_bytes(), LO, from);
        let call = &mut self.calls[i];
        if method == "BYE" && call.state != State::Done {
            if call.state == State::Up {
                self.early_bye += 1;
                call.why = "BYE from the other side".into();
            }
            call.state = State::Done;
        }
    }

    fn answer(&mut self, i: usize, message: &str, status: u32) {
        let cseq = field::first(message, "CSeq").unwrap_or_default();
        let call = &mut self.calls[i];
        if cseq.ends_with("BYE") {
            if status >= 200 && call.state == State::Leaving {
                self.bye.add((now_us() - call.bye_us) as i64);
                call.state = State::Done;
            }
            return;
        }
        if !cseq.ends_with("INVITE") {
            return;
        }
        if status < 200 {
            call.provisional = true;
            return;
        }
        let now = now_us();
        sendto(self.sip, self.names.ack(i, message, status).as_bytes(), LO, self.names.target);
        if call.state != State::Inviting {
            return;
        }
        if status >= 300 {
            return call.fail(status.to_string());
        }
        self.setup.add((now - call.invited_us) as i64);
        call.answered(now, message);
        if !self.options.no_rtp {
            self.wheel[(i * 7 + i / 20) % 20].push(i);
        }
    }

    /// Sends again what was not answered, and hangs up whoever is to end.
    pub fn repeat_and_end(&mut self, now: u64) {
        let hold = self.options.hold_us;
        let ending = self.phase == Phase::Ending;
        for i in 0..self.calls.len() {
            let call = &mut self.calls[i];
            match call.state {
                State::Inviting if now > call.resend_us => {
                    if now - call.invited_us > GIVEN_UP_US {
                        call.fail("timeout");
                    } else if !call.provisional {
                        call.again(now);
                        self.repeated += 1;
                        self.send(self.calls[i].invite.as_bytes());
                    }
                }
                State::Leaving if now > call.resend_us => {
                    call.again(now);
                    if call.tries > 6 {
                        call.fail("no answer to BYE");
                    } else {
                        self.repeated += 1;
                        self.send(self.calls[i].bye.as_bytes());
                    }
                }
                State::Up if ending || (self.options.setup_only && now > call.up_us + hold) => {
                    call.leave(now_us(), &self.names, i);
                    self.send(self.calls[i].bye.as_bytes());
                }
                _ => {}
            }
        }
    }
}
