//! The import law and the first of the "Nevers" (docs/architecture.md section 2), read off the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use streamkit::telemetry::table;

/// Which folder may import which; a row may name only rows before it, so a cycle cannot be written down.
const LAW: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("ids", &[]),
    ("telemetry", &["ids"]),
    ("tls", &[]),
    ("egress", &[]),
    ("sdp", &["units"]),
    ("rtp", &["units"]),
    ("audio", &["units"]),
    ("journal", &["telemetry"]),
    ("sip", &["units", "ids", "telemetry", "tls"]),
    ("media", &["units", "ids", "telemetry", "rtp", "audio"]),
    ("stream", &["units", "ids", "telemetry", "tls", "egress", "audio", "media"]),
    ("fetch", &["ids", "telemetry", "tls", "egress"]),
    ("record", &["units", "ids", "telemetry", "audio", "media", "fetch"]),
    ("notify", &["ids", "telemetry", "journal", "fetch"]),
    ("prompt", &["units", "ids", "telemetry", "audio", "fetch"]),
    ("route", &["units", "ids"]),
    ("queue", &["units", "ids"]),
    ("flow", &["units", "ids"]),
    (
        "call",
        &[
            "units",
            "ids",
            "telemetry",
            "egress",
            "sdp",
            "audio",
            "sip",
            "media",
            "stream",
            "fetch",
            "record",
            "notify",
            "prompt",
            "route",
            "queue",
            "flow",
        ],
    ),
    ("api", &["units", "ids", "telemetry", "record", "notify", "call"]),
    (
        "lab",
        &[
            "units",
            "ids",
            "telemetry",
            "egress",
            "tls",
            "sdp",
            "rtp",
            "audio",
            "journal",
            "sip",
            "media",
            "stream",
            "fetch",
            "record",
            "notify",
            "prompt",
        ],
    ),
    (
        "config",
        &[
            "units",
            "ids",
            "telemetry",
            "egress",
            "tls",
            "sip",
            "media",
            "stream",
            "fetch",
            "record",
            "notify",
            "prompt",
            "route",
            "queue",
            "flow",
            "call",
            "api",
        ],
    ),
    (
        "daemon",
        &[
            "units",
            "ids",
            "telemetry",
            "egress",
            "tls",
            "sdp",
            "rtp",
            "audio",
            "journal",
            "sip",
            "media",
            "stream",
            "fetch",
            "record",
            "notify",
            "prompt",
            "route",
            "queue",
            "flow",
            "call",
            "api",
            "config",
        ],
    ),
    (
        "cli",
        &[
            "units",
            "ids",
            "telemetry",
            "egress",
            "tls",
            "sdp",
            "rtp",
            "audio",
            "journal",
            "sip",
            "media",
            "stream",
            "fetch",
            "record",
            "notify",
            "prompt",
            "route",
            "queue",
            "flow",
            "call",
            "api",
            "lab",
            "config",
            "daemon",
        ],
    ),
];

/// What a core does not name: sockets, tasks, threads, files, clocks.
const WORLD: &[&str] = &[
    "tokio::",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixListener",
    "std::thread",
    "thread::spawn",
    "std::fs",
    "fs::File",
    "File::open",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
];

/// Folders that touch the world as a whole.
const SHELLS: &[&str] =
    &["journal", "fetch", "api", "telemetry", "tls", "config", "lab", "daemon", "cli", "main"];

/// Single files that do, besides those called `io`: threads of the media engine, its ring (which wakes a task), RTP
/// ports held before a call has them, mailboxes, files of call records.
const SHELL_FILES: &[&str] = &[
    "media/engine.rs",
    "media/worker.rs",
    "media/socket.rs",
    "media/tick.rs",
    "media/pin.rs",
    "media/ring.rs",
    "media/reserve.rs",
    "record/writer.rs",
    "notify/cdr.rs",
    "call/switchboard.rs",
];

/// Where `unsafe` may stand.
const UNSAFE_FILES: &[&str] = &["media/ring.rs", "media/socket.rs", "media/pin.rs"];

struct Source {
    /// Below `src`, with `/`.
    path: String,
    /// Without comments and tests.
    code: String,
}

impl Source {
    /// `sip` for `sip/io/udp.rs`, `units` for `units.rs`.
    fn folder(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or(&self.path);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super::` lead out to the crate: 1 in `sip/mod.rs` and `units.rs`, 2 in `sip/io/mod.rs`.
    fn depth(&self) -> usize {
        let steps = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { steps - 1 } else { steps }
    }

    fn is_shell(&self) -> bool {
        let in_io = self.path.split('/').any(|part| part == "io" || part == "io.rs");
        in_io || SHELLS.contains(&self.folder()) || under(&self.path, SHELL_FILES)
    }

    /// Top-level modules it names, by `crate::x`, `use crate::{x, y}` or enough `super::`.
    fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let out = "super::".repeat(self.depth());
        for root in ["crate::", out.as_str()] {
            for (at, _) in self.code.match_indices(root) {
                let longer = self.code[..at].ends_with("super::") || self.code[..at].ends_with('$');
                if !longer {
                    found.extend(first_names(&self.code[at + root.len()..]));
                }
            }
        }
        found.remove(self.folder());
        found
    }
}

/// A file, or one in the folder of that name: `media/worker.rs`, `media/worker/tick.rs`.
fn under(path: &str, files: &[&str]) -> bool {
    files.iter().any(|file| path == *file || path.starts_with(&format!("{}/", file.trim_end_matches(".rs"))))
}

/// The names a path begins with: one, or those of a group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && depth == 0 && !c.is_whitespace() => {
                names.push(name(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

/// Every source file, without comments and without the tests at its foot.
fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs")
                && !is_test(path.strip_prefix(&src).unwrap_or(&path))
            {
                found.push(source(&src, path));
            }
        }
    }
    assert!(found.len() > 20, "the sources were found");
    found
}

/// A file of tests alone: `tests.rs`, one in a folder `tests`, the plain model the jitter buffer is held to.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs")
        || path.ends_with("model.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
}

fn source(src: &Path, path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).expect("a source is text");
    let path = path.strip_prefix(src).expect("it is below src").to_string_lossy().replace('\\', "/");
    let text = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    let code =
        text.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n");
    Source { path, code }
}

#[test]
fn a_row_of_the_law_names_only_rows_before_it() {
    for (i, (folder, imports)) in LAW.iter().enumerate() {
        for import in *imports {
            assert!(
                LAW[..i].iter().any(|(earlier, _)| earlier == import),
                "{folder} may not import {import}"
            );
        }
    }
}

#[test]
fn imports_point_down_only() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !matches!(source.folder(), "main" | "lib")) {
        let Some((_, allowed)) = LAW.iter().find(|(folder, _)| *folder == source.folder()) else {
            broken.push(format!("{} stands in no folder of the law", source.path));
            continue;
        };
        let forbidden = |name: &&String| {
            LAW.iter().any(|(folder, _)| folder == name) && !allowed.contains(&name.as_str())
        };
        for import in source.imports().iter().filter(forbidden) {
            broken.push(format!("{} imports {import}", source.path));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_core_names_a_socket_a_task_a_thread_a_file_or_a_clock() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_shell()) {
        for word in WORLD.iter().filter(|word| source.code.contains(**word)) {
            broken.push(format!("{} names {word}", source.path));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn unsafe_stands_where_it_is_watched() {
    let named = |source: &Source| {
        source.code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').any(|w| w == "unsafe")
    };
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|source| named(source) && !under(&source.path, UNSAFE_FILES))
        .map(|source| source.path)
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Whatever is counted with a cause written in place has its series from the start.
#[test]
fn every_cause_that_is_counted_stands_in_the_table() {
    let tables = [
        ("metrics::repair(", table::REPAIRS),
        ("metrics::sip_dropped(", table::SIP_DROPS),
        ("metrics::stream_dropped(", table::STREAM_DROPS),
        ("metrics::resource(", table::RESOURCES),
    ];
    let mut missing = Vec::new();
    for source in sources() {
        for (call, known) in tables {
            for (at, _) in source.code.match_indices(call) {
                let arguments = source.code[at + call.len()..].split([')', ';']).next().unwrap_or_default();
                let transport = |word: &&str| ["udp", "tcp", "tls"].contains(word);
                let causes = arguments.split('"').skip(1).step_by(2).filter(|word| !transport(word));
                missing.extend(
                    causes
                        .filter(|cause| !known.contains(cause))
                        .map(|cause| format!("{}: {call}{cause}", source.path)),
                );
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn this_test_sees_what_it_looks_for() {
    let source = |path: &str, code: &str| Source { path: path.into(), code: code.into() };
    let seen = |path, code| source(path, code).imports().into_iter().collect::<Vec<_>>();
    assert_eq!(
        seen("sip/uri.rs", "use crate::{ids::LegId, media::{self, Link}, units};"),
        ["ids", "media", "units"]
    );
    assert_eq!(seen("sip/mod.rs", "fn f() { super::call::g(); crate::sip::h() }"), ["call"]);
    assert_eq!(seen("sip/io/mod.rs", "use super::message; use super::super::rtp::X;"), ["rtp"]);
    assert!(source("stream/io/dial.rs", "").is_shell() && source("media/worker/wake.rs", "").is_shell());
    assert!(!source("stream/session.rs", "").is_shell() && !source("media/graph.rs", "").is_shell());
}
