//! The route set of a dialog, and what it makes of a request (RFC 3261 §12.1, §12.2.1.1).

use crate::sip::message::{Message, NameAddr, Uri};

/// One entry as it came, and its address.
#[derive(Clone, Debug)]
struct Route {
    entry: Box<[u8]>,
    uri: Uri,
}

/// The proxies that want to see every request of the dialog, nearest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteSet(Vec<Route>);

/// How a request of the dialog is addressed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Aim<'a> {
    /// Request-URI.
    pub(crate) request_uri: String,
    /// Route, in order.
    pub(crate) routes: Vec<std::borrow::Cow<'a, [u8]>>,
    /// What decides where the packet goes.
    pub(crate) next_hop: &'a Uri,
}

impl RouteSet {
    /// Of the INVITE we received: Record-Route in order.
    pub(crate) fn of_request(invite: &Message) -> Self {
        let entries = invite.list_octets("Record-Route");
        Self(entries.iter().filter_map(|entry| Route::read(entry)).collect())
    }

    /// Of the answer to our INVITE: Record-Route in reverse.
    pub(crate) fn of_response(response: &Message) -> Self {
        let mut set = Self::of_request(response);
        set.0.reverse();
        set
    }

    /// Whether nobody stands between us and the remote target.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The nearest proxy.
    pub(crate) fn first(&self) -> Option<&Uri> {
        self.0.first().map(|route| &route.uri)
    }

    /// How a request to `target` is addressed: a loose router finds itself in Route and the target in the
    /// Request-URI, a strict one finds itself in the Request-URI and the target last in Route.
    pub(crate) fn aim<'a>(&'a self, target: &'a Uri) -> Aim<'a> {
        let entries = |routes: &'a [Route]| routes.iter().map(|route| (&*route.entry).into());
        match self.0.split_first() {
            None => Aim { request_uri: target.as_str().to_owned(), routes: Vec::new(), next_hop: target },
            Some((first, _)) if first.uri.has_lr() => {
                let routes = entries(&self.0).collect();
                Aim { request_uri: target.as_str().to_owned(), routes, next_hop: &first.uri }
            }
            Some((first, rest)) => {
                let last = format!("<{}>", target.as_str()).into_bytes().into();
                let routes = entries(rest).chain([last]).collect();
                Aim { request_uri: without_headers(&first.uri), routes, next_hop: &first.uri }
            }
        }
    }
}

impl Route {
    fn read(entry: &[u8]) -> Option<Self> {
        let uri = NameAddr::parse(entry).ok()?.uri;
        Some(Self { entry: entry.into(), uri })
    }
}

/// A Request-URI has neither header fields nor a method parameter (§12.2.1.1, §19.1.1).
fn without_headers(uri: &Uri) -> String {
    let text = uri.as_str();
    let text =
        if uri.has_headers() { text.rsplit_once('?').map_or(text, |(before, _)| before) } else { text };
    let kept = text.split(';').filter(|part| !part.to_ascii_lowercase().starts_with("method="));
    kept.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Framing;

    fn invite(record_routes: &str) -> Message {
        let text = format!(
            "INVITE sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.9>\r\n{record_routes}\
             Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.as_bytes(), Framing::Datagram).unwrap()
    }

    fn target() -> Uri {
        "sip:a@192.0.2.9".parse().unwrap()
    }

    fn text(aim: &Aim<'_>) -> (String, Vec<String>) {
        let routes = aim.routes.iter().map(|route| String::from_utf8_lossy(route).into_owned());
        (aim.request_uri.clone(), routes.collect())
    }

    #[test]
    fn a_loose_router_finds_itself_in_route() {
        let set = RouteSet::of_request(&invite(
            "Record-Route: <sip:p1.example;lr>, \"x\" <sip:p2.example;lr>;a=b\r\nRecord-Route: <sip:p3.example;lr=on>\r\n",
        ));
        let target = target();
        let aim = set.aim(&target);
        let routes = ["<sip:p1.example;lr>", "\"x\" <sip:p2.example;lr>;a=b", "<sip:p3.example;lr=on>"];
        assert_eq!(text(&aim), ("sip:a@192.0.2.9".to_owned(), routes.map(str::to_owned).to_vec()));
        assert_eq!(aim.next_hop.host(), "p1.example");
    }

    #[test]
    fn a_strict_router_finds_itself_in_the_request_uri() {
        let set = RouteSet::of_request(&invite(
            "Record-Route: <sip:p1.example;method=INVITE;a=1>, <sip:p2.example>\r\n",
        ));
        let target = target();
        let routes = ["<sip:p2.example>", "<sip:a@192.0.2.9>"];
        assert_eq!(
            text(&set.aim(&target)),
            ("sip:p1.example;a=1".to_owned(), routes.map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn the_caller_reads_the_routes_backwards() {
        let set = RouteSet::of_response(&invite("Record-Route: <sip:far;lr>,<sip:near;lr>\r\n"));
        assert_eq!(set.first().map(Uri::host), Some("near"));
        assert!(RouteSet::of_request(&invite("")).is_empty());
    }
}
