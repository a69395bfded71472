//! A request as text, which may be as wrong as a case wants it.

/// A request that is being written.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Method.
    pub(super) method: String,
    /// Request-URI.
    pub(super) uri: String,
    /// Names and values in the order they are written.
    pub(super) fields: Vec<(String, String)>,
    /// The body.
    pub(super) body: String,
}

impl Request {
    /// With nothing in it yet.
    pub(super) fn new(method: &str, uri: &str) -> Self {
        Self { method: method.to_owned(), uri: uri.to_owned(), fields: Vec::new(), body: String::new() }
    }

    /// One more field, behind the others.
    pub(super) fn add(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// The only field of that name; where the first stood, else behind the others.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        let place = self.place(name).unwrap_or(self.fields.len());
        self.remove(name);
        self.fields.insert(place, (name.to_owned(), value.into()));
        self
    }

    /// No field of that name.
    pub(super) fn remove(&mut self, name: &str) -> &mut Self {
        self.fields.retain(|(its, _)| !its.eq_ignore_ascii_case(name));
        self
    }

    /// The first value of that name.
    pub(super) fn value(&self, name: &str) -> &str {
        self.place(name).map_or("", |place| &self.fields[place].1)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|(its, _)| its.eq_ignore_ascii_case(name))
    }

    /// A session description as its body.
    pub(super) fn describe(&mut self, sdp: String) -> &mut Self {
        self.carry("application/sdp", sdp)
    }

    /// This body.
    pub(super) fn carry(&mut self, kind: &str, body: String) -> &mut Self {
        self.set("Content-Type", kind).set("Content-Length", body.len().to_string());
        self.body = body;
        self
    }

    /// Fields in this order of names; the rest behind them as they stand.
    pub(super) fn arrange(&mut self, order: &[&str]) -> &mut Self {
        let rank = |name: &str| order.iter().position(|its| its.eq_ignore_ascii_case(name));
        self.fields.sort_by_key(|(name, _)| rank(name).unwrap_or(order.len()));
        self
    }

    /// As it is sent.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        for (name, value) in &self.fields {
            text += &format!("{name}: {value}\r\n");
        }
        text + "\r\n" + &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_the_order_asked_for_and_may_be_replaced_where_they_stand() {
        let mut request = Request::new("OPTIONS", "sip:a@b");
        request.add("Via", "one").add("X", "y").add("via", "two").add("CSeq", "1 OPTIONS");
        request.arrange(&["CSeq", "Via"]).set("X", "z").describe("v=0\r\n".to_owned());
        let text = request.text();
        let head = "OPTIONS sip:a@b SIP/2.0\r\nCSeq: 1 OPTIONS\r\nVia: one\r\nvia: two\r\nX: z\r\n";
        assert!(text.starts_with(head), "{text}");
        assert!(text.ends_with("Content-Length: 5\r\n\r\nv=0\r\n"), "{text}");
        assert_eq!(request.value("x"), "z");
        assert_eq!(request.remove("via").value("Via"), "");
    }
}
