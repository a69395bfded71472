//! Session descriptions: written as the PBX writes them, read with eyes of our own.

use std::net::{IpAddr, SocketAddr};

use super::dialect::Dialect;

/// What we describe.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    /// Our address.
    pub(super) ip: IpAddr,
    /// The c= line, when it is another.
    pub(super) connection: Option<String>,
    /// Port for RTP.
    pub(super) port: u16,
    /// Number in o=.
    pub(super) id: u32,
    /// Version in o=.
    pub(super) version: u32,
    /// `sendrecv` and its like.
    pub(super) direction: &'static str,
    /// Number of telephone-event.
    pub(super) events: u8,
    /// a=ptime, 0 is none.
    pub(super) ptime: u8,
    /// Lines behind the rest.
    pub(super) more: String,
    /// The dialect's text, or another.
    pub(super) shape: &'static str,
}

impl Ours {
    /// As this dialect does it by default.
    pub(super) fn of(dialect: &Dialect, ip: IpAddr, port: u16, id: u32) -> Self {
        Self {
            ip,
            connection: None,
            port,
            id,
            version: id,
            direction: "sendrecv",
            events: dialect.events,
            ptime: dialect.ptime,
            more: String::new(),
            shape: dialect.sdp,
        }
    }

    /// The next version of it with this direction.
    pub(super) fn turned(&self, direction: &'static str) -> Self {
        Self { direction, version: self.version + 1, ..self.clone() }
    }

    /// An answer to their offer: PCMA if they have it, else what they named first; keys under their number.
    pub(super) fn answering(&self, theirs: &Theirs) -> Self {
        let events = theirs.events().unwrap_or(self.events);
        let shape = "v=0\no=- {id} {version} IN IP4 {ip}\ns=-\nc=IN IP4 {c}\nt=0 0\n\
                     m=audio {rtp} RTP/AVP 8 {events}\na=rtpmap:8 PCMA/8000\n\
                     a=rtpmap:{events} telephone-event/8000\n{ptime}a={dir}\n";
        Self { shape, events, ..self.clone() }
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        let ptime = if self.ptime == 0 { String::new() } else { format!("a=ptime:{}\n", self.ptime) };
        let connection = self.connection.clone().unwrap_or_else(|| self.ip.to_string());
        let text = self
            .shape
            .replace("{ptime}", &ptime)
            .replace("{id}", &self.id.to_string())
            .replace("{version}", &self.version.to_string())
            .replace("{ip}", &self.ip.to_string())
            .replace("{c}", &connection)
            .replace("{rtp}", &self.port.to_string())
            .replace("{rtcp}", &self.port.saturating_add(1).to_string())
            .replace("{events}", &self.events.to_string())
            .replace("{dir}", self.direction);
        let text = text + &self.more;
        let text = if self.ip.is_ipv6() { text.replace("IN IP4", "IN IP6") } else { text };
        text.replace('\n', "\r\n")
    }
}

/// What the daemon described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Theirs {
    /// Session id and version of o=.
    pub(super) origin: (String, u64),
    /// Its m= lines.
    pub(super) media: Vec<Media>,
    /// The whole text.
    pub(super) text: String,
}

/// One m= line with what stands below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Media {
    /// `audio`.
    pub(super) kind: String,
    /// Its port.
    pub(super) port: u16,
    /// Formats.
    pub(super) formats: Vec<String>,
    /// Address of the c= line that counts for it.
    pub(super) connection: String,
    /// a= lines, without `a=`.
    pub(super) attributes: Vec<String>,
}

impl Theirs {
    /// Reads it; what cannot be read is told.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "an SDP that is no text")?.to_owned();
        let mut read = Self { text: text.clone(), ..Self::default() };
        let (mut connection, mut session) = (String::new(), Vec::new());
        for line in text.lines() {
            let Some((kind, value)) = line.split_once('=') else { return Err(format!("SDP line {line:?}")) };
            match (kind, read.media.last_mut()) {
                ("o", _) => read.origin = origin(value).ok_or(format!("SDP line {line:?}"))?,
                ("c", media) => {
                    let address = value.rsplit(' ').next().unwrap_or_default().to_owned();
                    *media.map_or(&mut connection, |media| &mut media.connection) = address;
                }
                ("m", _) => {
                    let media = media(value).ok_or(format!("SDP line {line:?}"))?;
                    read.media.push(Media { connection: connection.clone(), ..media });
                }
                ("a", Some(media)) => media.attributes.push(value.to_owned()),
                ("a", None) => session.push(value.to_owned()),
                _ => {}
            }
        }
        for media in &mut read.media {
            media.attributes.extend(session.iter().cloned());
        }
        Ok(read)
    }

    /// The first audio line that is alive.
    pub(super) fn audio(&self) -> Option<&Media> {
        self.media.iter().find(|media| media.kind == "audio" && media.port != 0)
    }

    /// Where it wants audio.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        let audio = self.audio()?;
        Some(SocketAddr::new(audio.connection.parse().ok()?, audio.port))
    }

    /// Number of telephone-event.
    pub(super) fn events(&self) -> Option<u8> {
        let audio = self.audio()?;
        let named = audio.attributes.iter().filter_map(|a| a.strip_prefix("rtpmap:"));
        let events =
            named.filter_map(|map| map.split_once(' ')).find(|(_, name)| name.starts_with("telephone-event"));
        events.and_then(|(number, _)| number.parse().ok())
    }

    /// The first format that is no telephone-event.
    pub(super) fn codec(&self) -> Option<u8> {
        let events = self.events();
        let mut formats = self.audio()?.formats.iter().filter_map(|format| format.parse().ok());
        formats.find(|format| Some(*format) != events)
    }

    /// Direction; absent is sendrecv.
    pub(super) fn direction(&self) -> &str {
        let known = ["sendrecv", "sendonly", "recvonly", "inactive"];
        let said =
            self.audio().and_then(|audio| audio.attributes.iter().find(|a| known.contains(&a.as_str())));
        said.map_or("sendrecv", String::as_str)
    }

    /// a=ptime.
    pub(super) fn ptime(&self) -> Option<u32> {
        self.audio()?.attributes.iter().find_map(|a| a.strip_prefix("ptime:")?.parse().ok())
    }
}

fn origin(value: &str) -> Option<(String, u64)> {
    let mut words = value.split(' ');
    let (id, version) = (words.nth(1)?, words.next()?);
    Some((id.to_owned(), version.parse().ok()?))
}

fn media(value: &str) -> Option<Media> {
    let mut words = value.split(' ');
    let (kind, port) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let formats = words.skip(1).map(str::to_owned).collect();
    Some(Media { kind, port, formats, ..Media::default() })
}

#[cfg(test)]
mod tests {
    use super::super::pbx::Pbx;
    use super::*;
    use crate::sdp::{Session, Wish, answer};

    #[test]
    fn every_dialect_writes_what_the_product_reads_and_its_answer_is_read_back() {
        for pbx in Pbx::ALL {
            let dialect = Dialect::of(pbx);
            let ours = Ours::of(&dialect, [192, 0, 2, 1].into(), 4000, 77);
            let wish = Wish::new(([192, 0, 2, 9], 5000).into());
            let answered = answer(ours.text().as_bytes(), "application/sdp", &wish, &Session::new(1))
                .expect("an answer");
            assert_eq!(answered.media.remote, ([192, 0, 2, 1], 4000).into(), "{pbx}");
            assert_eq!(answered.media.telephone_event, Some(dialect.events), "{pbx}");
            let text = Session::new(5).render(&answered.sdp);
            let theirs = Theirs::read(text.as_bytes()).expect("an SDP");
            assert_eq!(theirs.target(), Some(([192, 0, 2, 9], 5000).into()));
            assert_eq!((theirs.events(), theirs.direction()), (Some(dialect.events), "sendrecv"), "{pbx}");
            assert!(theirs.codec().is_some_and(|codec| codec == 0 || codec == 8), "{pbx}");
        }
    }

    #[test]
    fn an_answer_takes_the_number_of_the_offer() {
        let offer = "v=0\r\no=- 5 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
                     m=audio 5000 RTP/AVP 0 8 99\r\na=rtpmap:99 telephone-event/8000\r\na=ptime:20";
        let theirs = Theirs::read(offer.as_bytes()).unwrap();
        assert_eq!((theirs.origin.1, theirs.ptime(), theirs.codec()), (1, Some(20), Some(0)));
        let ours = Ours::of(&Dialect::of(Pbx::Genesys), [127, 0, 0, 1].into(), 4000, 1).answering(&theirs);
        assert!(ours.text().contains("m=audio 4000 RTP/AVP 8 99\r\n"), "{}", ours.text());
        assert!(Theirs::read(b"v=0\r\nnonsense").is_err());
    }
}
