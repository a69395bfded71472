//! `[sip]` as written, and what it means to signalling and to its sockets (operator.md section 3).

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::kinds::Listen;
use super::read::{Read as _, Section};
use super::trunks::Trunk;
use crate::sip::io::{Limits, Tls, TlsFiles};
use crate::sip::{self, Strangers, Transport};
use crate::tls::{self, Validity};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// A certificate that ends within this gets a word.
const SOON: i64 = 14 * 24 * 3600;

/// `[sip]`: listeners, what the endpoint keeps to (still without trunks), what its sockets keep to.
pub(super) struct Sip {
    pub(super) listen: Vec<Listen>,
    pub(super) config: sip::Config,
    pub(super) dscp: u8,
    pub(super) limits: Limits,
    /// Present when TLS is listened for.
    pub(super) tls: Option<TlsFiles>,
}

/// `[sip]`.
pub(super) fn sip(mut sip: Section<'_>) -> Sip {
    let listen = listeners(&mut sip);
    let default = sip::Config::default();
    let config = sip::Config {
        strangers: sip.word(
            "strangers",
            Strangers::Refuse,
            &[("403", Some(Strangers::Refuse)), ("silent", Some(Strangers::Silent))],
        ),
        user_agent: sip.key("user_agent", default.user_agent.clone()),
        t1: sip.within("t1", default.t1, Duration::from_millis(100)..=10 * SECOND),
        digest_md5: sip.key("digest_md5", default.digest_md5),
        advertise: sip.maybe::<String>("advertise").filter(|name| is_advertised(&sip, name)),
        ..default
    };
    let limits = Limits::default();
    let limits = Limits {
        idle: sip.within("idle_timeout", limits.idle, 10 * SECOND..=24 * HOUR),
        stranger_idle: sip.within("stranger_timeout", limits.stranger_idle, SECOND..=HOUR),
        ..limits
    };
    let dscp = sip.within("dscp", 24, 0..=63);
    let listens = listen.iter().any(|one| one.transport == Transport::Tls);
    let tls = tls(sip.section("tls"), listens);
    sip.done();
    Sip { listen, config, dscp, limits, tls }
}

fn listeners(sip: &mut Section<'_>) -> Vec<Listen> {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 5060));
    let both = [Transport::Udp, Transport::Tcp].map(|transport| Listen { transport, addr: everywhere });
    let listen: Vec<Listen> = sip.key("listen", both.to_vec());
    if listen.is_empty() {
        sip.refuse("listen", "no listener is left", Listen::RIGHT);
    }
    for (i, one) in listen.iter().enumerate().filter(|(_, one)| one.addr.port() != 0) {
        if listen[..i].contains(one) {
            sip.refuse("listen", format!("{one} stands twice"), "write it once");
        } else if listen[..i].iter().any(|other| one.addr == other.addr && are_streams(one, other)) {
            sip.refuse(
                "listen",
                format!("tcp:// and tls:// cannot share {}", one.addr),
                "as tls://0.0.0.0:5061",
            );
        }
    }
    listen
}

fn are_streams(one: &Listen, other: &Listen) -> bool {
    one.transport.is_stream() && other.transport.is_stream()
}

/// An address or a name that may stand in a Contact.
fn is_advertised(sip: &Section<'_>, name: &str) -> bool {
    let right = match name.parse::<IpAddr>() {
        Ok(address) => !address.is_unspecified() && !address.is_multicast(),
        Err(_) => is_host_name(name) && !name.contains('_'),
    };
    if !right {
        sip.refuse(
            "advertise",
            format!("{name:?} cannot be reached"),
            "write an address or a name without port",
        );
    }
    right
}

/// The name of a host: labels of letters, digits and hyphens.
pub(super) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(label) && !name.ends_with(['-', '_'])
}

/// `[sip.tls]`: files that are there, fit together and are valid; `listens`: they are needed.
fn tls(mut tls: Section<'_>, listens: bool) -> Option<TlsFiles> {
    let certificate: Option<PathBuf> = tls.maybe("certificate");
    let key: Option<PathBuf> = tls.maybe("key");
    let (client_ca, ca_file) = (tls.maybe("client_ca"), tls.maybe("ca_file"));
    for (name, missing) in [("certificate", certificate.is_none()), ("key", key.is_none())] {
        let other = certificate.is_some() || key.is_some();
        if missing && other && !tls.has(name) {
            tls.refuse(name, "a certificate and its key go together", "write both certificate and key");
        } else if missing && listens && !other && name == "certificate" {
            tls.refuse(name, "tls:// in sip.listen needs it", "write certificate and key");
        }
    }
    let files = certificate.zip(key).map(|own| TlsFiles { own: Some(own), client_ca, ca_file });
    if let Some(files) = &files {
        judge(&tls, files);
        if !listens {
            tls.reading.note("sip.tls has no effect: there is no tls:// in sip.listen");
        }
    }
    tls.done();
    files.filter(|_| listens)
}

/// What is wrong with the files, and a word when our certificate is at its end.
fn judge(tls: &Section<'_>, files: &TlsFiles) {
    if let Err(error) = Tls::read(files) {
        let right = match error.key {
            "key" => "name the PEM file of the certificate's key, readable for the user streamkit",
            _ => "name a readable PEM file",
        };
        return tls.refuse(error.key, error.wrong, right);
    }
    let Some((path, _)) = &files.own else { return };
    if let Some(word) = ending(path, Timestamp::now()) {
        tls.reading.note(format!("sip.tls.certificate: {word}"));
    }
}

/// A word about a certificate that is not valid, or not for much longer.
fn ending(path: &Path, now: Timestamp) -> Option<String> {
    let leaf = tls::certificates(path).ok()?.into_iter().next()?;
    let Validity { from, until } = Validity::of(&leaf)?;
    if now < from {
        return Some(format!("it is not valid before {from}: no peer that looks will connect"));
    }
    let left = until.as_second() - now.as_second();
    match left {
        ..=0 => Some(format!("it has expired on {until}: no peer that looks will connect")),
        1..=SOON => Some(format!("it expires on {until}, in {} days", left / (24 * 3600))),
        _ => None,
    }
}

/// TLS of the listeners and TLS of the trunks are for one another.
pub(super) fn fits(sip: &Sip, trunks: &[Trunk], refuse: impl Fn(&Trunk, &str, &str), note: impl Fn(String)) {
    let over_tls = |trunk: &&Trunk| trunk.sip.transports.contains(&Transport::Tls);
    let listens = sip.listen.iter().any(|one| one.transport == Transport::Tls);
    if listens && !trunks.iter().any(|trunk| over_tls(&trunk)) {
        note("no trunk has the transport tls: whoever connects over it is a stranger".to_owned());
    }
    for trunk in trunks.iter().filter(over_tls).filter(|_| !listens) {
        refuse(
            trunk,
            "tls is none of the listeners",
            "write a tls:// in sip.listen, with sip.tls.certificate and .key",
        );
    }
    let asks = sip.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    for trunk in trunks.iter().filter(|trunk| !trunk.sip.tls_names.is_empty() && !asks) {
        note(format!(
            "trunk {}: tls_names count for servers we call alone, for without sip.tls.client_ca clients are not asked \
             who they are",
            trunk.call.name
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_in_time_before_a_certificate_ends() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("node.pem");
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 6, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        std::fs::write(&path, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
        let word = |day: &str| ending(&path, format!("{day}T00:00:00Z").parse().expect("a day"));
        assert!(word("2025-12-31").expect("early").contains("not valid before 2026-01-01"));
        assert_eq!(word("2026-03-01"), None);
        assert!(word("2026-05-22").expect("soon").ends_with("in 10 days"));
        assert!(word("2026-06-02").expect("late").contains("has expired on 2026-06-01"));
    }
}
