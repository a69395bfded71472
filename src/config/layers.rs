//! The layers of a configuration laid over one another: the file, `conf.d/*.toml` in name order, the environment.
//!
//! Every value keeps its place: the `config` crate carries an origin with each, and ours is a number in `places`.
//! A value of a later layer takes the place of an earlier one; lists of tables (`[[trunk]]`, `[[route]]`, ...) add up,
//! so that a trunk can be a file in `conf.d`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use config::{Map, Source, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::env::{self, Surroundings};
use super::error::{Place, Problem};
use super::json;

/// Lists that add up.
const LISTS: [&str; 4] = ["account", "flow", "route", "trunk"];
/// A configuration is not longer than this; a device or a wrong path may be endless.
const MAX_FILE: u64 = 16 << 20;
/// A flow is not longer.
const MAX_FLOW: u64 = 1 << 20;

/// All layers in one tree.
pub(super) struct Layered {
    /// The tree; the origin of a value is its place's number.
    pub(super) root: Value,
    /// Where things are written.
    pub(super) places: Vec<Place>,
}

impl Layered {
    /// Where this value is written.
    pub(super) fn place(&self, value: &Value, key: &str) -> Place {
        match value.origin().map(str::parse::<usize>) {
            Some(Ok(number)) => self.places.get(number).cloned().unwrap_or(Place::Whole),
            Some(Err(_)) => Place::Variable(env::variable(key)), // "the environment", says the crate
            None => Place::Whole,
        }
    }
}

/// A text and the name it goes by in messages.
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
}

/// Reads the file and those of the `conf.d` beside it.
pub(super) fn read_files(path: &Path, problems: &mut Vec<Problem>) -> Vec<File> {
    let mut paths = vec![path.to_owned()];
    paths.extend(beside(path));
    paths.iter().filter_map(|path| read(path).map_err(|problem| problems.push(problem)).ok()).collect()
}

fn beside(path: &Path) -> Vec<PathBuf> {
    let dir = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "toml")).collect();
    found.sort();
    found
}

fn read(path: &Path) -> Result<File, Problem> {
    read_at_most(path, MAX_FILE)
}

fn read_at_most(path: &Path, most: u64) -> Result<File, Problem> {
    let name = path.display().to_string();
    let refuse = |wrong: String| Problem {
        place: Place::Whole,
        key: String::new(),
        wrong: format!("{name} cannot be read: {wrong}"),
        right: "name a readable file with -c".to_owned(),
    };
    let size = fs::metadata(path).map_err(|e| refuse(e.to_string()))?.len();
    if size > most {
        return Err(refuse(format!("it has {size} octets, more than {most}")));
    }
    let text = fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
    Ok(File { name, text })
}

/// Lays the files and the environment over one another, and adds the flows of `flows_dir`, which is `default_flows`
/// where it is not written; what cannot be read is left out and told.
pub(super) fn lay(
    files: &[File],
    surroundings: &Surroundings,
    default_flows: Option<&Path>,
    problems: &mut Vec<Problem>,
) -> Layered {
    let mut places = Vec::new();
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut layers = config::Config::builder();
    for file in files {
        let mut values = Written { file, places: &mut places }.values(problems);
        for name in LISTS {
            if let Some(Value { kind: ValueKind::Array(list), .. }) = values.get_mut(name) {
                let all = lists.entry(name).or_default();
                all.append(list);
                list.clone_from(all);
            }
        }
        layers = layers.add_source(Layer(values));
    }
    let built = layers.add_source(env::layer(surroundings)).build();
    let mut root = match built {
        Ok(built) => built.cache,
        Err(error) => {
            let wrong = error.to_string();
            problems.push(Problem { place: Place::Whole, key: String::new(), wrong, right: String::new() });
            Value::new(None, ValueKind::Table(Map::new()))
        }
    };
    if let ValueKind::Table(values) = &mut root.kind {
        add_flows(values, default_flows, &mut places, problems);
    }
    Layered { root, places }
}

/// Adds the flows of a directory, a document a file in name order, to those that are written.
fn add_flows(
    values: &mut Map<String, Value>,
    default: Option<&Path>,
    places: &mut Vec<Place>,
    problems: &mut Vec<Problem>,
) {
    let written = match values.get("flows_dir").map(|value| &value.kind) {
        Some(ValueKind::String(path)) => Some(PathBuf::from(path)),
        _ => None, // absent, or no path: that is told when the key is read
    };
    let dir = match (&written, default) {
        (Some(dir), _) => dir.as_path(),
        (None, Some(dir)) => dir,
        (None, None) => return,
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(wrong) => {
            if written.is_some() {
                let wrong = format!("{} cannot be read: {wrong}", dir.display());
                let right = "name a directory of flows".to_owned();
                problems.push(Problem { place: Place::Whole, key: "flows_dir".to_owned(), wrong, right });
            }
            return;
        }
    };
    let ours = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "toml" || ext == "json");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(ours).collect();
    paths.sort();
    let mut flows = Vec::new();
    for path in paths {
        match read_at_most(&path, MAX_FLOW) {
            Ok(file) => flows.extend(Written { file: &file, places }.flow(problems)),
            Err(problem) => problems.push(Problem { right: "let it be readable".to_owned(), ..problem }),
        }
    }
    if flows.is_empty() {
        return;
    }
    match values.get_mut("flow").map(|value| &mut value.kind) {
        Some(ValueKind::Array(list)) => list.append(&mut flows),
        Some(_) => {} // no list: that is told when it is read
        None => drop(values.insert("flow".to_owned(), Value::new(None, ValueKind::Array(flows)))),
    }
}

/// One file as the `config` crate takes it.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

struct Written<'a> {
    file: &'a File,
    places: &'a mut Vec<Place>,
}

impl Written<'_> {
    /// The file is one flow.
    fn flow(&mut self, problems: &mut Vec<Problem>) -> Option<Value> {
        if !self.file.name.ends_with(".json") {
            let values = self.values(problems);
            return Some(self.put(0, ValueKind::Table(values)));
        }
        let text = &self.file.text;
        json::read(text, &mut |at, kind| self.put(at, kind))
            .map_err(|json::Wrong { at, what: wrong }| {
                let (place, key, right) = (self.place(at), String::new(), String::new());
                problems.push(Problem { place, key, wrong, right });
            })
            .ok()
    }

    fn values(&mut self, problems: &mut Vec<Problem>) -> Map<String, Value> {
        let (table, errors) = DeTable::parse_recoverable(&self.file.text);
        for error in &errors {
            let place = error.span().map_or(Place::Whole, |span| self.place(span.start));
            problems.push(Problem {
                place,
                key: String::new(),
                wrong: format!("this is no TOML: {}", error.message().trim().replace('\n', "; ")),
                right: String::new(),
            });
        }
        self.table(table.get_ref())
    }

    fn table(&mut self, table: &DeTable<'_>) -> Map<String, Value> {
        table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), self.value(key.span().start, value)))
            .collect()
    }

    /// A value stands where its key does; one of a list where it itself does.
    fn value(&mut self, at: usize, value: &Spanned<DeValue<'_>>) -> Value {
        let kind = match value.get_ref() {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(yes) => ValueKind::Boolean(*yes),
            DeValue::Datetime(time) => ValueKind::String(time.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => ValueKind::I64(number),
                Err(_) => ValueKind::Float(f64::INFINITY), // wrong wherever it stands
            },
            DeValue::Float(number) => ValueKind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Array(items) => {
                ValueKind::Array(items.iter().map(|item| self.value(item.span().start, item)).collect())
            }
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
        };
        self.put(at, kind)
    }

    fn put(&mut self, at: usize, kind: ValueKind) -> Value {
        self.places.push(self.place(at));
        Value::new(Some(&(self.places.len() - 1).to_string()), kind)
    }

    fn place(&self, at: usize) -> Place {
        let before = self.file.text.get(..at).unwrap_or(&self.file.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            path: self.file.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}
