//! The bot's side of the ladder, from the bot's events.

use std::time::Instant;

use super::{Kind, Ladder, Party};
use crate::lab::bot::{BotEvent, End, FromStreamKit, Observer, Said, Start, Upgrade, What};

const TO_BOT: (Party, Party) = (Party::StreamKit, Party::Bot);
const FROM_BOT: (Party, Party) = (Party::Bot, Party::StreamKit);

impl Ladder {
    /// An observer that tells this ladder what a bot sees and does.
    pub fn watching(&self) -> Observer {
        let ladder = self.clone();
        Observer::new(move |event| ladder.bot(event))
    }

    /// Tells what a bot saw or did.
    pub(in crate::lab) fn bot(&self, event: &BotEvent) {
        let at = event.at;
        match &event.what {
            What::Accepted(_) | What::Ping => {}
            What::Opened(upgrade) => self.tell(at, TO_BOT, Kind::Message, "HTTP upgrade", request(upgrade)),
            What::Refused(why) => self.tell(at, TO_BOT, Kind::Message, format!("refused: {why}"), ""),
            What::Received(received) => self.received(at, &received.message),
            What::Binary(octets) => {
                self.tell(at, TO_BOT, Kind::Message, format!("binary, {octets} octets"), "");
            }
            What::Sent(Said::Media(_)) => self.audio(Party::Bot, Party::StreamKit),
            What::Sent(said) => self.tell(at, FROM_BOT, Kind::Message, sent(said), ""),
            What::Fault(fault) => self.tell(at, TO_BOT, Kind::Remark, fault, ""),
            What::Ended(end) => {
                let way = if matches!(end, End::ByBot(_) | End::Reset) { FROM_BOT } else { TO_BOT };
                self.tell(at, way, Kind::Message, ended(end), "");
            }
        }
    }

    fn received(&self, at: Instant, message: &FromStreamKit) {
        let (label, detail) = match message {
            FromStreamKit::Media { .. } => return self.audio(Party::StreamKit, Party::Bot),
            FromStreamKit::Connected => ("connected".to_owned(), String::new()),
            FromStreamKit::Start(start) => (format!("start, {} Hz", start.rate), described(start)),
            FromStreamKit::Dtmf { digit, duration, .. } => {
                (format!("dtmf {digit}, {duration} ms"), String::new())
            }
            FromStreamKit::Mark(name) => (format!("mark \"{name}\""), String::new()),
            FromStreamKit::Stop { reason } => (format!("stop, {reason}"), String::new()),
            FromStreamKit::Other(text) => ("not of the protocol".to_owned(), text.clone()),
        };
        self.tell(at, TO_BOT, Kind::Message, label, detail);
    }
}

fn sent(said: &Said) -> String {
    match said {
        Said::Media(octets) => format!("media, {octets} octets"),
        Said::Mark(name) => format!("mark \"{name}\""),
        Said::Clear => "clear".to_owned(),
        Said::Stop => "stop".to_owned(),
        Said::Text => "text of the script".to_owned(),
    }
}

fn ended(end: &End) -> String {
    match end {
        End::ByStreamKit(Some(code)) | End::ByBot(code) => format!("close {code}"),
        End::ByStreamKit(None) => "close without code".to_owned(),
        End::Reset => "TCP reset".to_owned(),
        End::Lost(why) => format!("lost: {why}"),
        End::Refused(why) => format!("refused: {why}"),
    }
}

fn request(upgrade: &Upgrade) -> String {
    let shown = |(name, value): &(String, String)| match name.as_str() {
        "authorization" | "sec-websocket-key" => format!("{name}: …"),
        _ => format!("{name}: {value}"),
    };
    let lines = upgrade.headers.iter().map(shown);
    [format!("GET {} HTTP/1.1", upgrade.target)].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

fn described(start: &Start) -> String {
    let mut text = format!(
        "stream_sid {}\ncall_sid {}\naccount_sid {}\nfrom {}\nto {}\nmedia_format {} {} {}",
        start.stream_sid,
        start.call_sid,
        start.account_sid,
        start.from,
        start.to,
        start.encoding,
        start.rate,
        start.bit_rate
    );
    for (key, value) in &start.custom_parameters {
        text += &format!("\ncustom_parameters {key} = {value}");
    }
    text
}
