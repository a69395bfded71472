//! A key that is pressed takes the place of audio: the line goes on by the clock while its packets come
//! (RFC 4733; AgentStream section 7.1: one frame each interval, whatever happens).

use super::buffer::MS;

/// An event whose packets stop for so long is over.
const STOPPED: i64 = 120 * MS;

/// The telephone event that was heard last. Times are those of the line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Press {
    /// Until then silence is due without patience; none when nothing is pressed.
    until: Option<i64>,
    /// Its end has not come.
    down: bool,
    /// Audio comes beside events: then that drives the line.
    beside: bool,
    /// Place up to which silence was given so.
    given: u64,
}

impl Press {
    /// A packet of an event came, the newest of all. `follows`: the one before it was no audio either, and none is
    /// missing between. An end, and each copy of it, stands for the time until it came: audio may be next.
    pub(super) fn event(&mut self, now: i64, end: bool, follows: bool) {
        if follows {
            self.beside = false;
        }
        self.down = !end;
        self.until = (!self.beside).then_some(if end { now } else { now + STOPPED });
    }

    /// Audio came, the newest of all.
    pub(super) fn audio(&mut self, now: i64) {
        self.beside |= self.down && self.until.is_none_or(|until| now < until);
        self.over();
    }

    /// Comfort noise came, or another source.
    pub(super) fn over(&mut self) {
        (self.until, self.down) = (None, false);
    }

    /// Whether silence that is due at `at` by the clock waits for nothing more; `spread` is how far apart packets
    /// of one time arrive.
    pub(super) fn covers(&self, at: i64, spread: i64) -> bool {
        self.until.is_some_and(|until| at <= until + spread)
    }

    /// Silence was given up to this place.
    pub(super) fn gave(&mut self, line: u64) {
        if self.until.is_some() {
            self.given = line;
        }
    }

    /// Whether audio that ends here came under a key, too late to be wanted: nobody was to hear it.
    pub(super) fn muted(&self, end: i64) -> bool {
        end <= self.given as i64
    }
}
