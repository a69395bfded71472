//! A call worth showing: the bot greets, echoes the caller, tells a story, is interrupted, takes leave. About
//! 13 seconds in which every message of the protocol occurs.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::bot::{Script, Step, Until};
use super::caller::Call;
use super::speech::Speech;
use crate::units::Digit;

/// Keys the caller presses; the last ends the echo.
pub const KEYS: &str = "12#";
/// Marks the bot sets, in order.
pub const MARKS: [&str; 3] = ["greeting", "story", "goodbye"];
/// Custom header fields of the call: as sent, and the name the bot gets them by.
pub const HEADERS: [(&str, &str, &str); 2] =
    [("X-UUI", "UUI", "A1B2C3"), ("X-Custom-Header", "Custom-Header", "Parcel desk")];

/// How long the caller listens to the story before it interrupts, in packets of 20 ms.
const PATIENCE: u64 = 60;
/// Nobody waits longer than this for the other to speak.
const SPEAKS_WITHIN: Duration = Duration::from_secs(4);

/// The bot's part.
pub fn bot() -> Script {
    let mark = |n: usize| Step::Mark(MARKS[n].to_owned());
    Script::of(vec![
        Step::burst(Speech::Greeting.sound()),
        mark(0),
        Step::AwaitMark(MARKS[0].to_owned()),
        Step::Echo(KEYS.chars().last().and_then(Digit::from_char).map_or(Until::Forever, Until::Digit)),
        Step::burst(Speech::Story.sound()),
        mark(1),
        Step::AwaitVoice,
        Step::Clear,
        Step::Wait(Duration::from_millis(1500)),
        Step::burst(Speech::Goodbye.sound()),
        mark(2),
    ])
}

/// The caller's part, from the answer to just before it hangs up.
pub async fn caller(call: &Call) {
    speaks(call, 5).await;
    sleep(Speech::Greeting.sound().duration() + Duration::from_millis(300)).await;
    call.say("caller", &Speech::Caller.sound()).await;
    sleep(Duration::from_millis(500)).await; // the echo dies away
    call.press(KEYS).await;
    speaks(call, PATIENCE).await;
    call.say("barge", &Speech::Barge.sound()).await;
    speaks(call, 5).await;
    sleep(Speech::Goodbye.sound().duration() + Duration::from_millis(300)).await;
}

async fn speaks(call: &Call, packets: u64) {
    drop(timeout(SPEAKS_WITHIN, call.until_voiced(packets)).await);
}
