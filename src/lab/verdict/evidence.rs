//! What can be measured on a scene: who heard what, when, how well.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Case, TOLD};
use crate::lab::bot::{FromStreamKit, Said};
use crate::lab::caller::{Quality, Times};
use crate::lab::ear::{Judgement, compare, dbfs, gaps, silence_after};
use crate::lab::report::Span;
use crate::lab::sound::Sound;
use crate::lab::speech::Speech;

/// The part of the story that is looked for: it is interrupted after that.
const STORY_PART: Duration = Duration::from_millis(1000);
/// A silence so long is not a pause between words.
const QUIET: Duration = Duration::from_millis(300);
/// A hole in speech that a listener notices.
const HOLE: Duration = Duration::from_millis(15);

/// What was measured; absent: it did not happen.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The caller's messages.
    pub times: Times,
    /// `start` came.
    pub started: Option<Instant>,
    /// From the bot's first audio sent to the first the caller heard.
    pub first_audio: Option<Duration>,
    /// From `clear` sent to silence at the caller's ear.
    pub clear: Option<Duration>,
    /// From the caller's first word leaving to its coming to the bot.
    pub to_bot: Option<Duration>,
    /// What the bot heard of the caller's speech.
    pub bot_heard: Option<Heard>,
    /// What the caller heard of greeting, story and goodbye.
    pub caller_heard: [Option<Heard>; 3],
    /// What the caller heard of its own speech.
    pub echo: Option<Heard>,
    /// From the greeting's end at the caller's ear to its mark coming back; negative: before.
    pub mark_after_ms: Option<f64>,
    /// The line towards the caller.
    pub quality: Quality,
}

/// How something said was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When its first sample was heard.
    pub at: Instant,
    /// How long it is.
    pub long: Duration,
    /// Against what was said.
    pub judged: Judgement,
    /// Holes in it.
    pub holes: usize,
}

impl Evidence {
    pub(super) fn gather(case: &Case<'_>) -> Self {
        let heard = &case.record.audio.heard;
        // All that came, also what a listener's buffer would not have waited for: that has a check of its own.
        let (ear, bot) = (heard.sound(false), &case.transcript.heard);
        let caller_begins = heard.begins();
        let listen = |said: Sound| find(&ear, caller_begins?, &said);
        let bot_heard =
            case.transcript.begins().and_then(|begins| find(bot, begins, &Speech::Caller.sound()));
        let said = TOLD.map(|speech| match speech {
            Speech::Story => speech.sound().part(Duration::ZERO, STORY_PART),
            _ => speech.sound(),
        });
        let caller_heard = said.map(listen);
        let first_sent = case.transcript.spoken.first().map(|(at, _)| *at);
        let spoken = case.record.audio.spoken.iter().find(|s| s.name == Speech::Caller.name());
        let greeted = case.transcript.marks().first().map(|(at, _)| *at);
        let mark_after_ms = caller_heard[0].as_ref().zip(greeted).map(|(greeting, mark)| {
            let end = greeting.at + greeting.long;
            (mark.saturating_duration_since(end).as_secs_f64()
                - end.saturating_duration_since(mark).as_secs_f64())
                * 1000.0
        });
        Self {
            times: case.record.times,
            started: case.transcript.started,
            first_audio: heard
                .first_sound()
                .zip(first_sent)
                .map(|(heard, sent)| heard.saturating_duration_since(sent)),
            clear: caller_begins.and_then(|begins| clear(case, &ear, begins)),
            to_bot: spoken
                .zip(bot_heard.as_ref())
                .map(|(said, heard)| heard.at.saturating_duration_since(said.from)),
            bot_heard,
            echo: listen(Speech::Caller.sound()),
            caller_heard,
            mark_after_ms,
            quality: heard.quality(),
        }
    }

    /// INVITE to 200.
    pub fn answer(&self) -> Option<Duration> {
        Some(self.times.answered?.saturating_duration_since(self.times.invite?))
    }

    /// INVITE to `start`.
    pub fn start(&self) -> Option<Duration> {
        Some(self.started?.saturating_duration_since(self.times.invite?))
    }

    pub(super) fn bot_spans(&self, begins: Instant) -> Vec<Span> {
        let span = |(speech, heard): (Speech, &Option<Heard>)| {
            let heard = heard.as_ref()?;
            let from = heard.at.saturating_duration_since(begins).as_secs_f64();
            let to = from + heard.long.as_secs_f64();
            Some(Span { lane: 1, from, to, name: speech.name().to_owned() })
        };
        TOLD.into_iter().zip(&self.caller_heard).filter_map(span).collect()
    }

    pub(super) fn json(&self) -> Value {
        let ms = |d: Option<Duration>| d.map(|d| d.as_secs_f64() * 1000.0);
        json!({
            "answer_ms": ms(self.answer()), "start_ms": ms(self.start()),
            "first_bot_audio_ms": ms(self.first_audio), "clear_to_silence_ms": ms(self.clear),
            "caller_to_bot_ms": ms(self.to_bot), "mark_after_audio_ms": self.mark_after_ms,
        })
    }
}

fn find(heard: &Sound, begins: Instant, said: &Sound) -> Option<Heard> {
    let judged = compare(heard, said)?;
    let at = begins + Duration::try_from_secs_f64(judged.delay.max(0.0)).ok()?;
    let holes = gaps(heard, said, judged.delay, HOLE).len();
    Some(Heard { at, long: said.duration(), judged, holes })
}

/// From the moment `clear` was sent; nothing when the caller heard nothing just then, for then it cleared nothing.
fn clear(case: &Case<'_>, ear: &Sound, begins: Instant) -> Option<Duration> {
    let sent = case.transcript.sent().find(|(_, said)| **said == Said::Clear).map(|(at, _)| at)?;
    let from = sent.checked_duration_since(begins)?;
    let before = ear.part(from.saturating_sub(QUIET), from);
    if dbfs(&before.samples) < -50.0 {
        return None;
    }
    Some(silence_after(ear, from, QUIET)?.saturating_sub(from))
}

/// The reason in the `stop` the bot got.
pub(super) fn stop_reason(case: &Case<'_>) -> Option<String> {
    case.transcript.received().find_map(|(_, message)| match message {
        FromStreamKit::Stop { reason } => Some(reason.clone()),
        _ => None,
    })
}
