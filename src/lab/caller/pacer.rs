//! The thread that speaks and hears for all calls of a caller: a packet each packet time on absolute
//! deadlines, and a look into the socket at each. Packets carry the kernel's time of arrival, so looking late
//! does not make them late; a thousand calls cost a few wakes a millisecond.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::line::{Agreement, Audio, Line};
use super::mouth::Utterance;

/// Orders that may wait; a caller that gives more waits.
const ORDERS: usize = 4096;

pub(super) enum Order {
    Open(u64, Box<Line>),
    Agree(u64, Box<Agreement>),
    Say(u64, String, Utterance, Option<oneshot::Sender<()>>),
    Hush(u64),
    Silence(u64, bool),
    Close(u64, oneshot::Sender<Audio>),
}

/// The way to the thread; the thread ends with it.
#[derive(Debug)]
pub(super) struct Pacer {
    orders: SyncSender<Order>,
    thread: Thread,
}

impl Pacer {
    pub(super) fn start() -> io::Result<Self> {
        let (orders, waiting) = sync_channel(ORDERS);
        let thread = thread::Builder::new().name("caller-rtp".to_owned()).spawn(move || run(&waiting))?;
        Ok(Self { orders, thread: thread.thread().clone() })
    }

    pub(super) fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            self.thread.unpark();
        }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

fn run(orders: &Receiver<Order>) {
    let mut lines: HashMap<u64, Line> = HashMap::new();
    let mut due: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    loop {
        loop {
            match orders.try_recv() {
                Ok(Order::Open(id, line)) => {
                    due.push(Reverse((line.due, id)));
                    lines.insert(id, *line);
                }
                Ok(order) => obey(&mut lines, order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let now = Instant::now();
        while let Some(&Reverse((at, id))) = due.peek().filter(|next| next.0.0 <= now) {
            debug_assert!(at <= now);
            due.pop();
            if let Some(line) = lines.get_mut(&id) {
                line.listen(now);
                due.push(Reverse((line.speak(now), id)));
            }
        }
        let rest =
            due.peek().map_or(Duration::from_millis(200), |next| next.0.0.saturating_duration_since(now));
        thread::park_timeout(rest);
    }
}

fn obey(lines: &mut HashMap<u64, Line>, order: Order) {
    let now = Instant::now();
    match order {
        Order::Open(..) => {}
        Order::Agree(id, agreement) => {
            if let Some(line) = lines.get_mut(&id) {
                line.agree(now, *agreement);
            }
        }
        Order::Say(id, name, what, done) => {
            if let Some(line) = lines.get_mut(&id) {
                line.say(name, what, done);
            }
        }
        Order::Hush(id) => {
            if let Some(line) = lines.get_mut(&id) {
                line.hush(now);
            }
        }
        Order::Silence(id, silent) => {
            if let Some(line) = lines.get_mut(&id) {
                line.silence(silent);
            }
        }
        Order::Close(id, reply) => {
            if let Some(line) = lines.remove(&id) {
                drop(reply.send(line.close(now))); // who asked may have gone
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Pair, pair};
    use super::super::mouth::Terms;
    use super::*;
    use crate::audio::G711;
    use crate::ids::Entropy;
    use crate::rtp::sender::Sender;
    use crate::sdp::{Crypto, Master, Suite};
    use std::net::Ipv4Addr;

    const TERMS: Terms = Terms { law: G711::Mu, payload_type: 0, telephone_event: None, ptime_ms: 20 };

    /// Two lines; the first says a tone and then both stop, after `long`.
    fn talk(keys: [Option<Crypto>; 2], long: Duration) -> [Audio; 2] {
        let pairs = [pair(Ipv4Addr::LOCALHOST.into()).unwrap(), pair(Ipv4Addr::LOCALHOST.into()).unwrap()];
        let at = |pair: &Pair| pair.rtp.local_addr().unwrap();
        let places = [at(&pairs[0]), at(&pairs[1])];
        let pacer = Pacer::start().unwrap();
        for (id, (pair, crypto)) in pairs.into_iter().zip(keys).enumerate() {
            // The first report comes after 1.25 s with the least of chances.
            let line = Line::new(pair, TERMS, Sender::new(id as u32 + 1, 0, 0), None, Entropy::seeded(4));
            pacer.order(Order::Open(id as u64, Box::new(line)));
            let to = places[1 - id];
            let reports_to = Some((to.ip(), to.port() + 1).into());
            let agreement = Agreement { terms: TERMS, to: Some(to), reports_to, crypto };
            pacer.order(Order::Agree(id as u64, Box::new(agreement)));
        }
        let (done, said) = oneshot::channel();
        pacer.order(Order::Say(0, "ah".into(), Utterance::Speech(vec![5000; 1600]), Some(done)));
        said.blocking_recv().unwrap();
        thread::sleep(long);
        [0, 1].map(|id| {
            let (reply, audio) = oneshot::channel();
            pacer.order(Order::Close(id, reply));
            audio.blocking_recv().unwrap()
        })
    }

    fn loud(audio: &Audio) -> usize {
        audio.heard.sound(false).samples.iter().filter(|s| s.unsigned_abs() > 4000).count()
    }

    #[test]
    fn two_lines_hear_each_other() {
        let [first, second] = talk([None, None], Duration::ZERO);
        assert_eq!(first.spoken[0].name, "ah");
        assert!(loud(&second) >= 1440, "{} of 1600 samples", loud(&second));
        assert!(!second.encrypted);
    }

    #[test]
    fn two_lines_hear_each_other_under_their_keys_and_nobody_else() {
        let crypto = |send: u8, receive: u8| {
            let master = |octet: u8| Master([octet; 30]);
            Some(Crypto { suite: Suite::Tag80, send: master(send), receive: master(receive), mki: 0 })
        };
        let [_, second] = talk([crypto(1, 2), crypto(2, 1)], Duration::ZERO);
        assert!(loud(&second) >= 1440 && second.encrypted && second.unauthentic == 0, "{}", loud(&second));
        let [_, second] = talk([crypto(1, 2), crypto(2, 3)], Duration::ZERO);
        assert!(loud(&second) == 0 && second.unauthentic > 5, "{}", second.unauthentic);
    }

    #[test]
    fn each_side_is_told_what_the_other_got() {
        // The second report at the latest comes within 7.5 s: a machine may be late with the first.
        let [first, second] = talk([None, None], Duration::from_millis(7500));
        let told = first.told.or(second.told).expect("a report within 3.75 s");
        assert!(told.reports >= 1 && told.lost == 0 && told.of > 50, "{told:?}");
    }

    #[test]
    fn rtp_has_an_even_port() {
        let port = pair(Ipv4Addr::LOCALHOST.into()).unwrap().rtp.local_addr().unwrap().port();
        assert_eq!(port % 2, 0);
    }
}
