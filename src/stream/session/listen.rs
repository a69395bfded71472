//! What the bot says to a session (agentstream.md section 6), and how much of it is borne (reliability ).

use std::time::Instant;

use super::super::Event;
use super::super::outcome::Violation;
use super::super::parse::{self, FromBot};
use super::super::tally::{Drop, Heard};
use super::{LEAVE, Session, State};

impl Session {
    pub(super) fn text(&mut self, now: Instant, text: &str) {
        if !self.heard_of(now) {
            return;
        }
        self.figures.messages_in += 1;
        if text.len() > self.config.max_message_bytes {
            return self.violation(now, Violation::new(1009, "message too big"));
        }
        if self.one_way {
            self.figures.ignored += 1;
            return self.tally.heard(Heard::Other); // whatever it says (agentstream.md section 14)
        }
        let Some(read) = parse::read(text) else { return self.nonsense(now) };
        if read.stream.is_some_and(|stream| stream != self.sid) {
            self.tally.dropped(Drop::WrongStream, 1);
        }
        match read.message {
            FromBot::Media(payload) => {
                self.tally.heard(Heard::Media);
                match payload {
                    Some(payload) => self.audio(now, &payload),
                    None => self.pass_over(Drop::NoPayload),
                }
            }
            FromBot::Mark(name) => {
                self.tally.heard(Heard::Mark);
                match name {
                    Some(name) => self.mark(&name),
                    None => self.pass_over(Drop::NamelessMark),
                }
            }
            FromBot::Clear => {
                self.tally.heard(Heard::Clear);
                self.clear(now);
            }
            FromBot::Stop => {
                self.tally.heard(Heard::Stop);
                if self.state == State::Up {
                    self.state = State::Leaving { until: now + LEAVE };
                }
            }
            FromBot::Unknown => self.nonsense(now),
        }
    }

    pub(super) fn binary(&mut self, now: Instant) {
        if self.heard_of(now) {
            self.figures.messages_in += 1;
            match self.one_way {
                true => self.figures.ignored += 1,
                false => self.nonsense(now),
            }
        }
    }

    pub(super) fn control(&mut self, now: Instant) {
        if self.heard_of(now) && !self.controls.take(now) {
            self.violation(now, Violation::new(1008, "more than 100 control frames a second"));
        }
    }

    /// Marks whose turn has come go back.
    pub(super) fn echo(&mut self, now: Instant) {
        while let Some(name) = self.marks.next(now) {
            self.outbox.mark(name);
        }
    }

    /// The bot lives; false if it is not listened to any more.
    fn heard_of(&mut self, now: Instant) -> bool {
        self.timers.heard = now;
        self.listens()
    }

    fn audio(&mut self, now: Instant, payload: &str) {
        self.said = true;
        let Ok(taken) = self.speech.audio(now, payload) else {
            self.tally.dropped(Drop::BadPayload, 1);
            return self.nonsense_of(now);
        };
        if taken.queued > 0 && self.figures.first_audio.is_none() {
            let began = self.timers.began.unwrap_or(now);
            self.figures.first_audio = Some(now.saturating_duration_since(began));
            self.events.push_back(Event::FirstAudio);
        }
        if taken.refused > 0 {
            self.tally.dropped(Drop::PlayoutFull, 1);
            if !std::mem::replace(&mut self.full, true) {
                self.events.push_back(Event::QueueFull);
            }
        }
    }

    fn mark(&mut self, name: &str) {
        if self.marks.len() + self.outbox.marks() >= self.config.max_pending_marks {
            return self.tally.dropped(Drop::TooManyMarks, 1);
        }
        (self.said, self.figures.marks_received) = (true, self.figures.marks_received + 1);
        let number = self.marks.accept(name, self.speech.queued() > 0);
        self.speech.mark(number);
    }

    /// Nothing of what waits is to be heard: the bot says so, or its caller speaks.
    /// No clear is dropped for its rate: one with nothing new before it costs nothing.
    pub(super) fn clear(&mut self, now: Instant) {
        if !std::mem::take(&mut self.said) {
            return;
        }
        self.speech.clear(Some(now));
        self.marks.clear();
    }

    fn pass_over(&mut self, why: Drop) {
        self.tally.dropped(why, 1);
        self.figures.ignored += 1;
    }

    fn nonsense(&mut self, now: Instant) {
        self.tally.heard(Heard::Other);
        self.tally.dropped(Drop::Nonsense, 1);
        self.nonsense_of(now);
    }

    fn nonsense_of(&mut self, now: Instant) {
        self.figures.ignored += 1;
        if self.nonsense.add(now) {
            self.violation(now, Violation::new(1008, "more than 200 meaningless messages in 10s"));
        }
    }
}
