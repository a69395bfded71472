//! The course of one errand (agentstream.md section 3.3): what each answer leads to. A pure core.

use std::time::{Duration, Instant};

use super::{Errand, Failure, HttpUrl, MAX_REDIRECTS, Reply};
use crate::egress::Egress;

/// Before the further attempt.
pub const PAUSE: Duration = Duration::from_millis(250);

/// One errand under way.
#[derive(Debug)]
pub struct Course {
    errand: Errand,
    /// Whom the first URL names.
    host: String,
    until: Instant,
    redirects: u8,
    again: bool,
}

/// The deadlines of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Name, TCP and TLS are done.
    pub setup: Instant,
    /// The answer is read: the end of the budget.
    pub answer: Instant,
}

/// What follows an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// `url` is asked, not before this moment.
    Ask(Instant),
    /// This was fetched.
    Done(Vec<u8>),
    /// Nothing was.
    Failed(Failure),
}

impl Course {
    /// An errand that begins now.
    pub fn new(errand: Errand, now: Instant) -> Self {
        let host = errand.url.place().host().to_owned();
        let until = now + errand.config.timeout;
        Self { errand, host, until, redirects: 0, again: false }
    }

    /// Whom to ask for what.
    pub fn url(&self) -> &HttpUrl {
        &self.errand.url
    }

    /// Where `url` may lead.
    pub fn egress(&self) -> Egress {
        match self.errand.url.place().host().eq_ignore_ascii_case(&self.host) {
            true => self.errand.egress.clone(),
            false => Egress::RunTime(self.errand.config.allow.clone()),
        }
    }

    /// What it keeps to.
    pub fn config(&self) -> &super::Config {
        &self.errand.config
    }

    /// Of an attempt that begins now. A lost packet leaves room for the second attempt.
    pub fn deadlines(&self, now: Instant) -> Deadlines {
        let setup = now + self.errand.config.timeout * 2 / 5;
        Deadlines { setup: setup.min(self.until), answer: self.until }
    }

    /// An attempt is over.
    pub fn heard(&mut self, now: Instant, heard: Result<Reply, Failure>) -> Next {
        match heard {
            Ok(reply) if reply.status == 200 => Next::Done(reply.body),
            Ok(Reply { status: 301 | 302 | 303 | 307 | 308, location: Some(location), .. }) => {
                self.redirected(now, &location)
            }
            Ok(reply) => self.failed(now, Failure::Status(reply.status)),
            Err(failure) => self.failed(now, failure),
        }
    }

    fn redirected(&mut self, now: Instant, location: &str) -> Next {
        if self.redirects >= MAX_REDIRECTS {
            return Next::Failed(Failure::Redirects);
        }
        self.redirects += 1;
        match self.errand.url.follow(location) {
            Ok(url) => {
                self.errand.url = url;
                Next::Ask(now)
            }
            Err(wrong) => Next::Failed(Failure::Redirect(wrong)),
        }
    }

    fn failed(&mut self, now: Instant, failure: Failure) -> Next {
        let next = now + PAUSE;
        if self.again || next >= self.until || !failure.may_pass() {
            return Next::Failed(failure);
        }
        self.again = true;
        Next::Ask(next)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // any beginning will do: only differences are looked at
    use super::*;
    use crate::egress::Allowed;
    use crate::fetch::Config;
    use std::sync::Arc;

    fn course(url: &str) -> (Course, Instant) {
        let allow = [Allowed::Host("inside".into())].into();
        let config = Arc::new(Config { allow, ..Config::default() });
        let url = HttpUrl::parse(url).expect("a URL");
        let now = Instant::now();
        (Course::new(Errand { url, egress: Egress::Configured, config }, now), now)
    }

    fn status(status: u16) -> Result<Reply, Failure> {
        Ok(Reply { status, ..Reply::default() })
    }

    fn to(location: &str) -> Result<Reply, Failure> {
        Ok(Reply { status: 302, location: Some(location.to_owned()), body: vec![] })
    }

    fn refused() -> Result<Reply, Failure> {
        Err(Failure::Refused("h:443".into()))
    }

    #[test]
    fn a_5xx_or_a_refused_connection_is_tried_once_more_and_nothing_else_is() {
        for passing in [refused(), status(500), status(503)] {
            let (mut course, now) = course("https://h/");
            assert_eq!(course.heard(now, passing.clone()), Next::Ask(now + PAUSE));
            let body = Ok(Reply { status: 200, body: b"x".to_vec(), location: None });
            assert_eq!(course.heard(now, body), Next::Done(b"x".to_vec()));
        }
        let (mut twice, now) = course("https://h/");
        twice.heard(now, status(500));
        assert_eq!(twice.heard(now, refused()), Next::Failed(Failure::Refused("h:443".into())));
        for lasting in [status(404), status(204), status(304), status(101), Err(Failure::BodyTooLarge)] {
            let (mut course, now) = course("https://h/");
            assert!(matches!(course.heard(now, lasting), Next::Failed(_)));
        }
    }

    #[test]
    fn the_further_attempt_has_to_fit_into_the_budget() {
        let (mut course, now) = course("https://h/");
        let deadlines = course.deadlines(now);
        assert_eq!(
            (deadlines.setup - now, deadlines.answer - now),
            (Duration::from_secs(2), Duration::from_secs(5))
        );
        let late = deadlines.answer - PAUSE;
        assert_eq!(course.deadlines(late).setup, deadlines.answer);
        assert_eq!(course.heard(late, status(500)), Next::Failed(Failure::Status(500)));
    }

    #[test]
    fn three_redirects_are_followed_and_the_fourth_is_not() {
        let (mut course, now) = course("https://h/");
        for step in ["/1", "/2", "/3"] {
            assert_eq!(course.heard(now, to(step)), Next::Ask(now));
            assert_eq!(course.url().target(), step);
        }
        assert_eq!(course.heard(now, to("/4")), Next::Failed(Failure::Redirects));
    }

    #[test]
    fn a_redirect_without_a_place_to_go_is_a_failure() {
        let (mut course, now) = course("https://h/");
        assert!(matches!(course.heard(now, to("http://h/")), Next::Failed(Failure::Redirect(_))));
        assert_eq!(course.heard(now, status(302)), Next::Failed(Failure::Status(302)));
    }

    #[test]
    fn only_the_host_that_was_written_is_trusted() {
        let (mut course, now) = course("https://h/");
        assert_eq!(course.egress(), Egress::Configured);
        course.heard(now, to("https://other/"));
        let private = [10, 0, 0, 1].into();
        assert!(!course.egress().allows("other", private) && course.egress().allows("inside", private));
        course.heard(now, to("https://H:8443/"));
        assert_eq!(course.egress(), Egress::Configured);
    }
}
