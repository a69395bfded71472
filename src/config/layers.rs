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

/// Lists that add up.
const LISTS: [&str; 4] = ["account", "flow", "route", "trunk"];
/// A configuration is not longer than this; a device or a wrong path may be endless.
const MAX_FILE: u64 = 16 << 20;

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
    let name = path.display().to_string();
    let refuse = |wrong: String| Problem {
        place: Place::Whole,
        key: String::new(),
        wrong: format!("{name} cannot be read: {wrong}"),
        right: "name a readable file with -c".to_owned(),
    };
    let size = fs::metadata(path).map_err(|e| refuse(e.to_string()))?.len();
    if size > MAX_FILE {
        return Err(refuse(format!("it has {size} octets, more than {MAX_FILE}")));
    }
    let text = fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
    Ok(File { name, text })
}

/// Lays the files and the environment over one another; what is no TOML is left out and told.
pub(super) fn lay(files: &[File], surroundings: &Surroundings, problems: &mut Vec<Problem>) -> Layered {
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
    let root = match built {
        Ok(built) => built.cache,
        Err(error) => {
            let wrong = error.to_string();
            problems.push(Problem { place: Place::Whole, key: String::new(), wrong, right: String::new() });
            Value::new(None, ValueKind::Table(Map::new()))
        }
    };
    Layered { root, places }
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
