//! The shell of an errand: one connection an attempt, to an address that was judged.
#![allow(clippy::disallowed_methods)] // a shell: the only clock of this folder is `clock`

mod dial;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue, LOCATION, USER_AGENT};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::time::{sleep_until, timeout_at};

use self::dial::Dial;
use super::course::{Course, Next};
use super::{Errand, Failure, HttpUrl, MAX_BODY, MAX_HEADER, Reply};
use crate::egress::io::{Carrier, Names};
use crate::telemetry::metrics;
use crate::tls::{self, OutwardError};

/// Octets hyper may hold of what was read ahead.
const READ_AHEAD: usize = 2 * MAX_HEADER;

/// What all errands are run with; TLS sessions are resumed and names remembered through it.
pub struct Client {
    tls: RwLock<Arc<ClientConfig>>,
    names: Names,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// One that trusts the system's authorities, or those of a file alone.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, OutwardError> {
        Ok(Self::of(tls::outward(ca_file, None)?))
    }

    fn of(tls: ClientConfig) -> Self {
        Self { tls: RwLock::new(Arc::new(tls)), names: Names::default() }
    }

    /// Errands that begin from now on trust whom `other` does.
    pub fn replace(&self, other: &Self) {
        let other = other.tls();
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = other;
    }

    fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs an errand to its end; dropped, it is over at once. Counted and logged by its cause; neither query nor user
    /// info is told.
    ///
    /// # Errors
    /// Why there is no body of a 200.
    pub async fn get(&self, errand: Errand) -> Result<Vec<u8>, Failure> {
        let began = clock();
        let mut course = Course::new(errand, began);
        let first = course.url().to_string();
        let fetched = self.run(&mut course).await;
        let took = clock().saturating_duration_since(began);
        match &fetched {
            Ok(body) => {
                tracing::debug!(
                    url = first,
                    octets = body.len(),
                    took_ms = took.as_millis() as u64,
                    "fetched"
                );
                metrics::fetched("ok", took);
            }
            Err(failure) => {
                let (cause, took_ms) = (failure.cause(), took.as_millis() as u64);
                tracing::warn!(url = first, at = %course.url(), cause, %failure, took_ms, "nothing was fetched");
                metrics::fetched(cause, took);
            }
        }
        fetched
    }

    async fn run(&self, course: &mut Course) -> Result<Vec<u8>, Failure> {
        loop {
            let heard = self.attempt(course).await;
            match course.heard(clock(), heard) {
                Next::Ask(at) => sleep_until(at.into()).await,
                Next::Done(body) => return Ok(body),
                Next::Failed(failure) => return Err(failure),
            }
        }
    }

    async fn attempt(&self, course: &Course) -> Result<Reply, Failure> {
        let deadlines = course.deadlines(clock());
        let late = Failure::Deadline(course.config().timeout);
        let dial = Dial { course, names: &self.names, tls: self.tls() };
        let slow = if deadlines.setup < deadlines.answer {
            Failure::DialTimeout(course.url().place().to_string())
        } else {
            late.clone()
        };
        let carrier = within(deadlines.setup, slow, dial.run()).await?;
        within(deadlines.answer, late, ask(carrier, course.url(), &course.config().user_agent)).await
    }
}

/// The time, which a test may hold.
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn within<T>(
    until: Instant,
    late: Failure,
    step: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout_at(until.into(), step).await.unwrap_or(Err(late))
}

/// One request and its answer.
async fn ask(carrier: Carrier, url: &HttpUrl, user_agent: &str) -> Result<Reply, Failure> {
    let request = request(url, user_agent)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_AHEAD).max_header_size(MAX_HEADER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(carrier)).await.map_err(|e| broken(&e))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        read(answer).await
    };
    tokio::select! {
        biased;
        reply = exchange => reply,
        // It ends by itself when all is read; what is wrong with it is told to the exchange.
        () = async { drop(connection.await); std::future::pending().await } => Err(Failure::Internal),
    }
}

fn request(url: &HttpUrl, user_agent: &str) -> Result<Request<Empty<Bytes>>, Failure> {
    let mut request = Request::get(url.target())
        .header(HOST, url.place().written())
        .header(USER_AGENT, user_agent)
        .header(ACCEPT, "application/json, */*;q=0.1")
        .header(CONNECTION, "close");
    if let Some(authorization) = url.place().authorization() {
        let mut value = HeaderValue::from_str(authorization).map_err(|_| Failure::Internal)?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(Empty::new()).map_err(|_| Failure::Internal)
}

async fn read(answer: http::Response<Incoming>) -> Result<Reply, Failure> {
    let status = answer.status().as_u16();
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if status != 200 {
        return Ok(Reply { status, location, body: Vec::new() });
    }
    let body = answer.into_body();
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(Failure::BodyTooLarge); // it says so itself
    }
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| match error.downcast_ref() {
        Some(LengthLimitError { .. }) => Failure::BodyTooLarge,
        None => error.downcast_ref().map_or(Failure::Internal, broken),
    })?;
    Ok(Reply { status, location, body: body.to_bytes().to_vec() })
}

fn broken(error: &hyper::Error) -> Failure {
    use std::error::Error as _;
    if error.is_parse_too_large() {
        return Failure::HeaderTooLarge;
    }
    let inner = error.source().and_then(|inner| inner.downcast_ref::<std::io::Error>());
    match inner {
        Some(inner) => Failure::Broken(words(inner)),
        None => Failure::Broken(error.to_string()),
    }
}

/// An error's words without the system's number.
fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_lowercase()
}
