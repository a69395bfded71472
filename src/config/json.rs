//! A JSON document as a tree whose values know where they are written.

use config::{Map, Value, ValueKind};

/// What is wrong, and at which octet.
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) what: String,
}

/// Reads a document; `place` makes a value that stands at that octet. A value stands where its key does.
pub(super) fn read(text: &str, place: &mut dyn FnMut(usize, ValueKind) -> Value) -> Result<Value, Wrong> {
    // That it is JSON, and not too deep, is known from here on.
    if let Err(wrong) = serde_json::from_str::<serde_json::Value>(text) {
        let lines = text.split_inclusive('\n').take(wrong.line().saturating_sub(1));
        let at = lines.map(str::len).sum::<usize>() + wrong.column().saturating_sub(1);
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        return Err(Wrong { at, what: format!("this is no JSON: {wrong}") });
    }
    let mut walk = Walk { text, at: 0, place, twice: None };
    walk.blank();
    let value = walk.value(walk.at);
    match walk.twice {
        Some(wrong) => Err(wrong),
        None => Ok(value),
    }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    place: &'a mut dyn FnMut(usize, ValueKind) -> Value,
    twice: Option<Wrong>,
}

impl Walk<'_> {
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.next(), Some(b' ' | b'\t' | b'\r' | b'\n' | b',' | b':')) {
            self.at += 1;
        }
    }

    fn value(&mut self, at: usize) -> Value {
        let kind = match self.next() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => ValueKind::String(self.string()),
            _ => self.word(),
        };
        (self.place)(at, kind)
    }

    fn object(&mut self) -> ValueKind {
        let mut values = Map::new();
        self.at += 1;
        loop {
            self.blank();
            if self.next() != Some(b'"') {
                self.at += 1;
                return ValueKind::Table(values);
            }
            let at = self.at;
            let key = self.string();
            self.blank();
            let value = self.value(at);
            if values.insert(key.clone(), value).is_some() {
                self.twice = Some(Wrong { at, what: format!("{key:?} stands twice") });
            }
        }
    }

    fn array(&mut self) -> ValueKind {
        let mut values = Vec::new();
        self.at += 1;
        loop {
            self.blank();
            if matches!(self.next(), None | Some(b']')) {
                self.at += 1;
                return ValueKind::Array(values);
            }
            values.push(self.value(self.at));
        }
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.next() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.text.get(start..self.at).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// `true`, `false`, `null` or a number.
    fn word(&mut self) -> ValueKind {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        self.at += length.max(1);
        match &rest[..length] {
            "true" => ValueKind::Boolean(true),
            "false" => ValueKind::Boolean(false),
            "null" => ValueKind::Nil,
            number => match number.parse() {
                Ok(whole) => ValueKind::I64(whole),
                Err(_) => ValueKind::Float(number.parse().unwrap_or(f64::NAN)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Value, Wrong> {
        super::read(text, &mut |at, kind| Value::new(Some(&at.to_string()), kind))
    }

    #[test]
    fn every_value_knows_where_its_key_is() {
        let text = "{\n \"a\": {\"b\\n\": [1, -2.5, \"x\\u00e9\"], \"c\": null},\n\"d\" : true}";
        let root = read(text).map_err(|wrong| wrong.what).expect("JSON").into_table().expect("an object");
        let a = root["a"].clone();
        let d = text.find("\"d\"").expect("it stands there").to_string();
        assert_eq!((a.origin(), root["d"].origin()), (Some("3"), Some(d.as_str())));
        let inner = a.into_table().expect("an object");
        let list = inner["b\n"].clone().into_array().expect("a list");
        assert_eq!(list[2].kind, ValueKind::String("xé".to_owned()));
        assert_eq!((list[0].kind.clone(), list[1].kind.clone()), (ValueKind::I64(1), ValueKind::Float(-2.5)));
        assert_eq!(inner["c"].kind, ValueKind::Nil);
    }

    #[test]
    fn what_is_no_json_and_what_stands_twice_is_told_with_its_place() {
        let wrong = |text: &str| read(text).err().map(|wrong| (wrong.at, wrong.what));
        assert!(matches!(wrong("{\n\"a\": }"), Some((7, what)) if what.contains("no JSON")));
        assert_eq!(wrong("{\"a\": 1, \"a\": 2}"), Some((9, "\"a\" stands twice".to_owned())));
        assert!(wrong(&"[".repeat(1000)).is_some(), "too deep");
        assert!(wrong("").is_some());
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value as Json;
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            ".*".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn same(ours: &Value, theirs: &serde_json::Value) -> bool {
        match (&ours.kind, theirs) {
            (ValueKind::Nil, serde_json::Value::Null) => true,
            (ValueKind::Boolean(a), serde_json::Value::Bool(b)) => a == b,
            (ValueKind::I64(a), serde_json::Value::Number(b)) => Some(*a) == b.as_i64(),
            (ValueKind::String(a), serde_json::Value::String(b)) => a == b,
            (ValueKind::Array(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (ValueKind::Table(a), serde_json::Value::Object(b)) => {
                a.len() == b.len() && b.iter().all(|(key, b)| a.get(key).is_some_and(|a| same(a, b)))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_others_read(json in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
            let read = read(&text.expect("JSON")).map_err(|wrong| wrong.what).expect("JSON");
            prop_assert!(same(&read, &json));
        }

        #[test]
        fn any_text_is_borne(text: String) {
            let _ = read(&text);
        }
    }
}
