//! A chain that was verified is not verified again. Whether a chain holds for a name depends on its octets, the name,
//! the authorities and the time; a bot that is called forty times a second shows the same octets forty times. Dates
//! are looked at each time, and that the server has the key is verified in every handshake.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::Error;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Judge, Judged, Validity};

/// Chains that are remembered; the oldest is forgotten for another.
const CHAINS: usize = 32;
/// A chain of more octets is verified each time.
const OCTETS: usize = 16 * 1024;

/// The verdict of `usual`, found again where it cannot have changed.
pub(super) fn remembered(usual: Arc<dyn ServerCertVerifier>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Judged(Verified { usual, chains: RwLock::default() }))
}

#[derive(Debug)]
struct Verified {
    usual: Arc<dyn ServerCertVerifier>,
    /// Oldest first.
    chains: RwLock<Vec<Chain>>,
}

/// What was shown, for which name, and between which times the verdict stands: seconds since 1970, the last not in it.
#[derive(Debug)]
struct Chain {
    shown: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
    from: u64,
    until: u64,
}

impl Chain {
    /// Absent where it is not known how long the verdict stands.
    fn new(shown: &[&CertificateDer<'_>], name: &ServerName<'_>, now: UnixTime) -> Option<Self> {
        let ends = |der: &&CertificateDer<'_>| {
            let validity = Validity::of(der)?;
            u64::try_from(validity.until.as_second()).ok()
        };
        let ends = shown.iter().map(ends).collect::<Option<Vec<_>>>()?;
        let octets: usize = shown.iter().map(|der| der.len()).sum();
        (octets <= OCTETS).then_some(Self {
            shown: shown.iter().map(|der| der.to_vec().into()).collect(),
            name: name.to_owned(),
            from: now.as_secs(),
            until: ends.into_iter().min()?,
        })
    }

    fn is(&self, shown: &[&CertificateDer<'_>], name: &ServerName<'_>, now: UnixTime) -> bool {
        (self.from..self.until).contains(&now.as_secs())
            && self.name == *name
            && self.shown.len() == shown.len()
            && self.shown.iter().zip(shown).all(|(known, shown)| known == *shown)
    }
}

impl Judge for Verified {
    fn usual(&self) -> &dyn ServerCertVerifier {
        &*self.usual
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown: Vec<_> = std::iter::once(leaf).chain(between).collect();
        let known = self.chains.read().unwrap_or_else(PoisonError::into_inner);
        if ocsp.is_empty() && known.iter().any(|chain| chain.is(&shown, name, now)) {
            return Ok(ServerCertVerified::assertion());
        }
        drop(known);
        let verdict = self.usual.verify_server_cert(leaf, between, name, ocsp, now)?;
        if let Some(chain) = Chain::new(&shown, name, now).filter(|_| ocsp.is_empty()) {
            let mut chains = self.chains.write().unwrap_or_else(PoisonError::into_inner);
            chains.retain(|other| !(other.name == chain.name && other.shown == chain.shown));
            if chains.len() >= CHAINS {
                chains.remove(0);
            }
            chains.push(chain);
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::client::WebPkiServerVerifier;
    use rustls::{CertificateError, RootCertStore};

    use super::*;

    /// Counts what it is asked.
    #[derive(Debug)]
    struct Counted(Arc<WebPkiServerVerifier>, Arc<AtomicUsize>);

    impl Judge for Counted {
        fn usual(&self) -> &dyn ServerCertVerifier {
            &*self.0
        }

        fn judge(
            &self,
            leaf: &CertificateDer<'_>,
            between: &[CertificateDer<'_>],
            name: &ServerName<'_>,
            ocsp: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.verify_server_cert(leaf, between, name, ocsp, now)
        }
    }

    struct World {
        verifier: Arc<dyn ServerCertVerifier>,
        asked: Arc<AtomicUsize>,
    }

    /// Valid from 2020 to 2030.
    fn certificate() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["bot.example.com".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().clone()
    }

    impl World {
        fn trusting(root: &CertificateDer<'static>) -> Self {
            let mut roots = RootCertStore::empty();
            roots.add(root.clone()).expect("a root");
            let usual =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::super::provider());
            let asked = Arc::new(AtomicUsize::new(0));
            let counted = Judged(Counted(usual.build().expect("a verifier"), Arc::clone(&asked)));
            Self { verifier: remembered(Arc::new(counted)), asked }
        }

        /// The verdict, and how often the usual verifier was asked until then.
        fn shows(&self, leaf: &CertificateDer<'_>, host: &str, year: u64) -> (Result<(), Error>, usize) {
            let name = ServerName::try_from(host.to_owned()).expect("a name");
            let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952));
            let verdict = self.verifier.verify_server_cert(leaf, &[], &name, &[], now).map(drop);
            (verdict, self.asked.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn the_same_chain_for_the_same_name_is_verified_once() {
        let leaf = certificate();
        let world = World::trusting(&leaf);
        for _ in 0..3 {
            assert_eq!(world.shows(&leaf, "bot.example.com", 2025), (Ok(()), 1));
        }
    }

    #[test]
    fn another_name_and_another_certificate_are_verified_and_a_refusal_each_time() {
        let leaf = certificate();
        let world = World::trusting(&leaf);
        assert_eq!(world.shows(&leaf, "bot.example.com", 2025).0, Ok(()));
        for asked in [2, 3] {
            let (verdict, so_far) = world.shows(&leaf, "other.example.com", 2025);
            assert!(verdict.is_err() && so_far == asked);
        }
        let (verdict, asked) = world.shows(&certificate(), "bot.example.com", 2025);
        assert!(verdict.is_err() && asked == 4);
        assert_eq!(world.shows(&leaf, "bot.example.com", 2025), (Ok(()), 4));
    }

    #[test]
    fn what_is_remembered_expires_with_the_chain_and_does_not_reach_back() {
        let leaf = certificate();
        let world = World::trusting(&leaf);
        assert_eq!(world.shows(&leaf, "bot.example.com", 2025), (Ok(()), 1));
        let (late, asked) = world.shows(&leaf, "bot.example.com", 2031);
        assert!(
            matches!(late, Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))),
            "{late:?}"
        );
        assert_eq!(asked, 2);
        let (early, asked) = world.shows(&leaf, "bot.example.com", 2019);
        assert!(early.is_err() && asked == 3);
    }

    #[test]
    fn no_more_chains_are_kept_than_the_bound() {
        let (leaf, mut others) = (certificate(), Vec::new());
        let world = World::trusting(&leaf);
        others.resize_with(2, certificate);
        let verified = Verified { usual: Arc::clone(&world.verifier), chains: RwLock::default() };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_750_000_000));
        let name = ServerName::try_from("bot.example.com").expect("a name");
        // the same leaf with ever another certificate behind it is another chain
        for count in 0..CHAINS + 5 {
            let between: Vec<_> = others.iter().cycle().take(count).cloned().collect();
            let verdict = verified.judge(&leaf, &between, &name, &[], now);
            assert!(verdict.is_ok(), "{verdict:?}");
        }
        assert!(verified.chains.read().expect("whole").len() <= CHAINS);
    }
}
