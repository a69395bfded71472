//! Reading the layered tree: a `Section` is asked for its keys, one by one. What does not fit becomes a problem at
//! its place and reading goes on, so that every problem is found at once; what was never asked for is unknown.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;

use config::{Map, Value, ValueKind};

use super::env::Surroundings;
use super::error::{Place, Problem};
use super::layers::Layered;

/// The tree being read, and what was found wrong so far.
pub(super) struct Reading<'a> {
    pub(super) layered: &'a Layered,
    pub(super) surroundings: &'a Surroundings,
    problems: RefCell<Vec<Problem>>,
    notes: RefCell<Vec<String>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(layered: &'a Layered, surroundings: &'a Surroundings, problems: Vec<Problem>) -> Self {
        Self { layered, surroundings, problems: RefCell::new(problems), notes: RefCell::default() }
    }

    /// The whole tree.
    pub(super) fn root(&'a self) -> Section<'a> {
        Section::new(self, String::new(), Place::Whole, Some(&self.layered.root))
    }

    /// Something is wrong here.
    pub(super) fn refuse(&self, place: Place, key: &str, wrong: impl Into<String>, right: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            place,
            key: key.to_owned(),
            wrong: wrong.into(),
            right: right.into(),
        });
    }

    /// Something is accepted and has no effect yet, or deserves a word.
    pub(super) fn note(&self, note: impl Into<String>) {
        self.notes.borrow_mut().push(note.into());
    }

    /// What was found wrong, in the order of the places, and what deserves a word.
    pub(super) fn finish(self) -> (Vec<Problem>, Vec<String>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| match &problem.place {
            Place::File { path, line, column } => (0, path.clone(), *line, *column),
            Place::Variable(name) => (1, name.clone(), 0, 0),
            Place::Whole => (2, String::new(), 0, 0),
        });
        problems.dedup();
        (problems, self.notes.into_inner())
    }
}

/// One value and the key it stands under.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) key: &'a str,
    pub(super) value: &'a Value,
}

impl Item<'_> {
    /// Tells what is wrong with it; always `None`, for the way out.
    pub(super) fn refuse<T>(&self, wrong: impl Into<String>, right: impl Into<String>) -> Option<T> {
        let place = self.reading.layered.place(self.value, self.key);
        self.reading.refuse(place, self.key, wrong, right);
        None
    }

    /// Its text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    fn is_variable(&self) -> bool {
        matches!(self.reading.layered.place(self.value, self.key), Place::Variable(_))
    }

    /// The elements of a list; a single value counts as a list of one, and in a variable commas part them.
    pub(super) fn elements(&self) -> Vec<Value> {
        match &self.value.kind {
            ValueKind::Array(items) => items.clone(),
            ValueKind::String(text) if self.is_variable() => {
                let origin = self.value.origin().map(str::to_owned);
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| Value::new(origin.as_ref(), part)).collect()
            }
            _ => vec![self.value.clone()],
        }
    }

    /// How it is shown in a message: never what a table holds, that may be a secret.
    pub(super) fn shown(&self) -> String {
        match &self.value.kind {
            ValueKind::Nil => "nothing".to_owned(),
            ValueKind::String(text) if text.chars().count() > 80 => "a long text".to_owned(),
            ValueKind::String(text) => format!("{text:?}"),
            ValueKind::Array(_) => "a list".to_owned(),
            ValueKind::Table(_) => "a table".to_owned(),
            other => other.to_string(),
        }
    }
}

/// What a key may be read as.
pub(super) trait Read: Sized {
    /// What would be right, for messages.
    const RIGHT: &'static str;

    /// Reads it, or tells why not.
    fn read(item: Item<'_>) -> Option<Self>;
}

/// A table that is asked for its keys.
pub(super) struct Section<'a> {
    pub(super) reading: &'a Reading<'a>,
    path: String,
    place: Place,
    values: Option<&'a Map<String, Value>>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    fn new(reading: &'a Reading<'a>, path: String, place: Place, value: Option<&'a Value>) -> Self {
        let values = match value.map(|value| &value.kind) {
            Some(ValueKind::Table(values)) => Some(values),
            None => None,
            Some(_) => {
                let place = value.map_or(Place::Whole, |value| reading.layered.place(value, &path));
                reading.refuse(
                    place,
                    &path,
                    "this is no table",
                    format!("write [{path}] and its keys below"),
                );
                None
            }
        };
        Self { reading, path, place, values, known: Vec::new() }
    }

    /// The full name of a key of this table.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The value of a key, if it is written.
    fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.values?.get(name)
    }

    /// Whether the key is written.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.is_some_and(|values| values.contains_key(name))
    }

    /// Whether the key is written as a word, and not as a list (in a variable `1,2` is a list).
    pub(super) fn is_word(&self, name: &str) -> bool {
        let value = self.values.and_then(|values| values.get(name));
        matches!(value.map(|value| &value.kind), Some(ValueKind::String(text)) if !text.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// Whether the key is written and true.
    pub(super) fn is_true(&self, name: &str) -> bool {
        let value = self.values.and_then(|values| values.get(name));
        matches!(value.map(|value| &value.kind), Some(ValueKind::Boolean(true)))
    }

    /// Whether the key is written and holds nothing.
    pub(super) fn is_empty_list(&self, name: &str) -> bool {
        let value = self.values.and_then(|values| values.get(name));
        matches!(value.map(|value| &value.kind), Some(ValueKind::Array(items)) if items.is_empty())
    }

    /// The name the table gives itself, for notes.
    pub(super) fn shown_name(&self) -> String {
        match self.values.and_then(|values| values.get("name")).map(|value| &value.kind) {
            Some(ValueKind::String(name)) => name.clone(),
            _ => "without a name".to_owned(),
        }
    }

    /// The id the table gives itself, for notes.
    pub(super) fn shown_id(&self) -> String {
        match self.values.and_then(|values| values.get("id")).map(|value| &value.kind) {
            Some(ValueKind::String(id)) => id.clone(),
            _ => "without an id".to_owned(),
        }
    }

    /// Where the key is written; where the table is, if it is not.
    pub(super) fn place(&self, name: &str) -> Place {
        match self.values.and_then(|values| values.get(name)) {
            Some(value) => self.reading.layered.place(value, &self.path(name)),
            None => self.place.clone(),
        }
    }

    /// Something is wrong with this key.
    pub(super) fn refuse(&self, name: &str, wrong: impl Into<String>, right: impl Into<String>) {
        self.reading.refuse(self.place(name), &self.path(name), wrong, right);
    }

    /// This key asks for something this release has not.
    pub(super) fn not_yet(&self, name: &str, what: &str) {
        self.refuse(name, format!("{what} is not in this release"), "leave the key out");
    }

    /// A key that may be absent; what cannot be read counts as absent, and is told.
    pub(super) fn maybe<T: Read>(&mut self, name: &'static str) -> Option<T> {
        let value = self.value(name)?;
        T::read(Item { reading: self.reading, key: &self.path(name), value })
    }

    /// A key with a default.
    pub(super) fn key<T: Read>(&mut self, name: &'static str, default: T) -> T {
        self.maybe(name).unwrap_or(default)
    }

    /// A key with a default and a range.
    pub(super) fn within<T>(&mut self, name: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: Read + PartialOrd + Shown,
    {
        let value = self.key(name, default);
        if !range.contains(&value) {
            let right = format!("{} to {}", range.start().shown(), range.end().shown());
            self.refuse(name, format!("{} is out of range", value.shown()), format!("right is {right}"));
        }
        value
    }

    /// A key that must be there.
    pub(super) fn required<T: Read>(&mut self, name: &'static str) -> Option<T> {
        if !self.has(name) {
            self.known.push(name);
            self.refuse(name, "this key is missing", T::RIGHT);
            return None;
        }
        self.maybe(name)
    }

    /// A key whose value is one of these words; `None` beside a word: it is known and not in this release.
    pub(super) fn word<T: Copy>(&mut self, name: &'static str, default: T, words: &[(&str, Option<T>)]) -> T {
        let Some(value) = self.value(name) else { return default };
        let item = Item { reading: self.reading, key: &self.path(name), value };
        one_of(item, words).unwrap_or(default)
    }

    /// A table below this one.
    pub(super) fn section(&mut self, name: &'static str) -> Self {
        let value = self.value(name);
        Section::new(self.reading, self.path(name), self.place(name), value)
    }

    /// The key is known, whoever reads it; whether it is written.
    pub(super) fn known(&mut self, name: &'static str) -> bool {
        self.known.push(name);
        self.has(name)
    }

    /// Tables below a table of this one, under names of the operator's own, in the order of those.
    pub(super) fn named(&mut self, name: &'static str) -> Vec<(String, Self)> {
        let path = self.path(name);
        let Some(value) = self.value(name) else { return Vec::new() };
        let ValueKind::Table(values) = &value.kind else {
            self.refuse(name, "this is no table", format!("write [{path}.NAME] and its keys below"));
            return Vec::new();
        };
        let mut all: Vec<_> = values.iter().collect();
        all.sort_by_key(|(key, _)| *key);
        let of = |(key, item): (&String, &'a Value)| {
            let path = format!("{path}.{key}");
            let place = self.reading.layered.place(item, &path);
            (key.clone(), Section::new(self.reading, path, place, Some(item)))
        };
        all.into_iter().map(of).collect()
    }

    /// A list of tables below this one.
    pub(super) fn sections(&mut self, name: &'static str) -> Vec<Self> {
        let path = self.path(name);
        let Some(value) = self.value(name) else { return Vec::new() };
        let ValueKind::Array(items) = &value.kind else {
            self.refuse(name, "this is no list of tables", format!("write [[{path}]] and its keys below"));
            return Vec::new();
        };
        let of = |item| {
            Section::new(self.reading, path.clone(), self.reading.layered.place(item, &path), Some(item))
        };
        items.iter().map(of).collect()
    }

    /// A table whose keys are the operator's own, as `header` of a route.
    pub(super) fn free<T: Read>(&mut self, name: &'static str) -> Vec<(String, T)> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let ValueKind::Table(values) = &value.kind else {
            self.refuse(name, "this is no table", "write { \"Name\" = \"value\" }");
            return Vec::new();
        };
        let mut all: Vec<_> = values.iter().collect();
        all.sort_by_key(|(key, _)| *key);
        let read = |(key, value): (&String, &Value)| {
            let path = format!("{}.{key}", self.path(name));
            Some((key.clone(), T::read(Item { reading: self.reading, key: &path, value })?))
        };
        all.into_iter().filter_map(read).collect()
    }

    /// All keys were asked for: what is left is unknown.
    pub(super) fn done(self) {
        let Some(values) = self.values else { return };
        for name in values.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let nearest = self
                .known
                .iter()
                .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let right =
                nearest.map_or(String::new(), |near| format!("the nearest known key is {}", self.path(near)));
            self.refuse(name, "this key is unknown", right);
        }
    }
}

/// The value of a word.
pub(super) fn one_of<T: Copy>(item: Item<'_>, words: &[(&str, Option<T>)]) -> Option<T> {
    let written = match &item.value.kind {
        ValueKind::String(text) => text.clone(),
        other => other.to_string(), // `ring = 180` means "180"
    };
    let ours = words.iter().filter(|(_, value)| value.is_some()).map(|(word, _)| format!("{word:?}"));
    let right = || format!("right is {}", ours.collect::<Vec<_>>().join(" or "));
    match words.iter().find(|(word, _)| *word == written) {
        Some((_, Some(value))) => Some(*value),
        Some((_, None)) => item.refuse(format!("{written:?} is not in this release"), right()),
        None => item.refuse(format!("{} is not known here", item.shown()), right()),
    }
}

/// How a value is shown in the bounds of a range.
pub(super) trait Shown {
    fn shown(&self) -> String;
}

macro_rules! shown {
    ($($number:ty)*) => {$(
        impl Shown for $number {
            fn shown(&self) -> String {
                self.to_string()
            }
        }

        impl Read for $number {
            const RIGHT: &'static str = "write a whole number";

            fn read(item: Item<'_>) -> Option<Self> {
                whole(item)
            }
        }
    )*};
}

shown!(u8 u16 u32 u64 usize);

/// A whole number that fits its type; in a variable it is text.
fn whole<T: TryFrom<i64> + std::str::FromStr + Display>(item: Item<'_>) -> Option<T> {
    let read = match &item.value.kind {
        ValueKind::I64(number) => T::try_from(*number).ok(),
        ValueKind::String(text) if item.is_variable() => text.trim().parse().ok(),
        _ => None,
    };
    read.or_else(|| {
        item.refuse(format!("{} is no number that fits here", item.shown()), "write a whole number")
    })
}

impl Read for bool {
    const RIGHT: &'static str = "write true or false";

    fn read(item: Item<'_>) -> Option<Self> {
        match &item.value.kind {
            ValueKind::Boolean(yes) => Some(*yes),
            ValueKind::String(text) if item.is_variable() && text == "true" => Some(true),
            ValueKind::String(text) if item.is_variable() && text == "false" => Some(false),
            _ => item.refuse(format!("{} is neither true nor false", item.shown()), Self::RIGHT),
        }
    }
}

impl Read for String {
    const RIGHT: &'static str = "write a text in quotes";

    fn read(item: Item<'_>) -> Option<Self> {
        match item.text() {
            Some(text) if text.chars().any(char::is_control) => {
                item.refuse("a control character stands in it", "write it without")
            }
            Some(text) => Some(text.to_owned()),
            None => item.refuse(format!("{} is no text", item.shown()), Self::RIGHT),
        }
    }
}

impl<T: Read> Read for Vec<T> {
    const RIGHT: &'static str = "write a list in brackets";

    fn read(item: Item<'_>) -> Option<Self> {
        let elements = item.elements();
        Some(elements.iter().filter_map(|value| T::read(Item { value, ..item })).collect())
    }
}
