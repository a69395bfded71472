//! Call records as JSON lines: one file a day (UTC) in `state_dir/cdr/`, appended to, never rewritten. A disk that
//! fails loses no call: the records are counted as failed, and said once a minute.
#![allow(clippy::disallowed_methods)] // a shell: it names files by the day and limits what it logs by the clock

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::telemetry::metrics;

/// Records that may wait for the disk; when it is full a record is lost, counted and logged by who wrote it.
const QUEUE: usize = 4096;

/// Seconds of a day; UTC has no others.
const DAY: u64 = 86_400;

/// How many records go out in one write.
const BATCH: usize = 64;

/// Where records are put.
pub type Lines = mpsc::Sender<Vec<u8>>;

/// Writes to `dir`, which is made if it is missing. The task ends, everything written, when every sender is gone.
///
/// # Errors
/// When the directory cannot be made or written to.
pub fn start(dir: &Path) -> io::Result<(Lines, JoinHandle<()>)> {
    std::fs::create_dir_all(dir)?;
    let mut files = Files { dir: dir.to_owned(), open: None };
    files.of_today()?;
    let (lines, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE);
    let task = tokio::task::spawn_blocking(move || {
        let mut said = None;
        let mut batch = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            batch.clear();
            batch.extend_from_slice(&first);
            let mut records = 1;
            while records < BATCH {
                let Ok(next) = queue.try_recv() else { break };
                batch.extend_from_slice(&next);
                records += 1;
            }
            if let Err(error) = files.write(&batch) {
                (0..records).for_each(|_| metrics::cdr_failed());
                complain(&mut said, &error);
            }
        }
    });
    Ok((lines, task))
}

fn complain(said: &mut Option<Instant>, error: &io::Error) {
    if said.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
        *said = Some(Instant::now());
        tracing::error!(cause = "cdr_write_failed", %error, "call records are not being written");
    }
}

struct Files {
    dir: PathBuf,
    /// Since 1970, of which day the file is.
    open: Option<(u64, File)>,
}

impl Files {
    fn of_today(&mut self) -> io::Result<&mut File> {
        let wall = SystemTime::now();
        let today = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY;
        if self.open.as_ref().is_none_or(|(day, _)| *day != today) {
            let now = jiff::Timestamp::try_from(wall).unwrap_or_default();
            let path = self.dir.join(format!("{}.jsonl", now.strftime("%Y-%m-%d")));
            let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
            self.open = Some((today, file));
        }
        match &mut self.open {
            Some((_, file)) => Ok(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.of_today().and_then(|file| file.write_all(lines));
        if written.is_err() {
            self.open = None; // a disk that came back is found again by opening anew
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_record_is_a_line_once_the_last_sender_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (lines, task) = start(&dir.path().join("cdr")).unwrap();
        for n in 0..200 {
            lines.send(format!("{{\"n\":{n}}}\n").into_bytes()).await.unwrap();
        }
        drop(lines);
        task.await.unwrap();
        let file = std::fs::read_dir(dir.path().join("cdr")).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 200);
        assert!(text.ends_with("{\"n\":199}\n"));
    }
}
