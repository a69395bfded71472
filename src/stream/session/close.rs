//! How a session ends (agentstream.md section 9): decided once, said to the bot, told to the call.

use std::time::{Duration, Instant};

use super::super::outcome::{End, Violation};
use super::super::{Event, Outcome, Stop};
use super::{CLOSE, Session, State, Transmit};

impl Session {
    pub(super) fn stop(&mut self, now: Instant, stop: Stop) {
        match self.state {
            State::Connecting => self.end(now, End::GivenUp(stop)),
            State::Up => self.end(now, End::Stopped(stop)),
            State::Leaving { .. } => self.leave(now, stop),
            State::Stopping { .. } | State::Closing { .. } | State::Over => {}
        }
    }

    /// The bot asked for the end and its close did not come: ours does.
    pub(super) fn leave(&mut self, now: Instant, why: Stop) {
        self.end(now, End::BotStop);
        if let (Stop::CallEnded, Some((verdict, _))) = (why, &mut self.verdict) {
            verdict.plays_out = false; // nobody is there to hear what is left
            self.speech.clear(None);
        }
        self.say_stop(now, why);
    }

    pub(super) fn closed(&mut self, now: Instant, code: Option<u16>, reason: &str) {
        match self.state {
            State::Leaving { .. } => self.end(now, End::BotStop),
            _ => self.end(now, End::BotClosed { code, reason: reason.to_owned() }),
        }
        if self.state != State::Over {
            self.shut(now);
        }
    }

    /// The connection is no more.
    pub(super) fn gone(&mut self, now: Instant, end: End) {
        let end = if matches!(self.state, State::Leaving { .. }) { End::BotStop } else { end };
        self.end(now, end);
        self.over();
    }

    /// The bot broke the framing, a size or a rate.
    pub(super) fn violation(&mut self, now: Instant, violation: Violation) {
        match self.verdict {
            None => self.end(now, End::Violation(violation)),
            Some(_) => self.over(), // it cannot be read any more
        }
    }

    /// Decides the end, if it is not decided: what is told to the playout, and what to the bot.
    pub(super) fn end(&mut self, now: Instant, end: End) {
        if self.verdict.is_some() {
            return;
        }
        let mut verdict = end.verdict();
        self.figures.played_ms = self.ms(self.speech.played());
        self.figures.cleared_ms = self.ms(self.speech.cleared());
        match verdict.plays_out {
            true => verdict.plays_out = self.speech.finish(self.drain_on_close),
            false => self.speech.clear(None),
        }
        let lasted = self.timers.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        self.verdict = Some((verdict, lasted));
        match end {
            End::GivenUp(_) | End::Failed(_) => self.over(),
            End::Stopped(why) => self.say_stop(now, why),
            End::DurationLimit => self.say_stop(now, Stop::Stopped),
            End::Violation(violation) => {
                self.outbox.discard();
                self.state = State::Stopping { until: now + CLOSE, code: violation.code };
            }
            // Those who found it go on from here: `leave`, `closed`, `gone`.
            End::BotStop | End::BotClosed { .. } | End::Lost(_) | End::Unresponsive => {}
        }
    }

    /// Every mark goes back before `stop` (agentstream.md section 8).
    fn say_stop(&mut self, now: Instant, why: Stop) {
        self.figures.marks_cleared += self.marks.release() as u64;
        self.echo(now);
        self.outbox.stop(why);
        let code = if why == Stop::Shutdown { 1001 } else { 1000 };
        self.state = State::Stopping { until: now + CLOSE, code };
    }

    /// All is written but the close.
    pub(super) fn close(&mut self, now: Instant) -> Option<Transmit> {
        let State::Stopping { code, .. } = self.state else { return None };
        self.shut(now);
        Some(Transmit::Close(code))
    }

    /// Nothing more is said; the peer has a while to close.
    fn shut(&mut self, now: Instant) {
        self.outbox.discard();
        self.state = State::Closing { until: now + CLOSE };
        self.tell();
    }

    pub(super) fn over(&mut self) {
        self.outbox.discard();
        self.state = State::Over;
        self.tell();
    }

    fn tell(&mut self) {
        let Some((verdict, duration)) = self.verdict.clone().filter(|_| !self.told) else { return };
        self.told = true;
        self.figures.received_ms = self.ms(self.speech.received());
        self.figures.received = self.speech.received();
        self.figures.cleared_unsent = self.speech.unsent();
        self.figures.longest_queue_ms = self.ms(self.speech.longest());
        self.figures.refused_ms = self.ms(self.speech.refused());
        self.figures.dropped_out = self.outbox.dropped();
        self.events.push_back(Event::Ended(Box::new(Outcome {
            stream_sid: Some(self.start.stream_sid),
            url: Some(self.url.clone()),
            status: verdict.status,
            disconnected_by: verdict.by,
            disposition: verdict.disposition,
            error: verdict.error,
            duration,
            playing_out: verdict.plays_out,
            figures: self.figures.clone(),
        })));
    }

    fn ms(&self, samples: u64) -> u64 {
        samples * 1000 / u64::from(self.start.rate.hz())
    }
}
