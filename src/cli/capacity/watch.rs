//! What a daemon and this process take while a step runs: read each second, counted while all calls are up.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Between two looks.
const EACH: Duration = Duration::from_secs(1);
/// No page takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen; absent: it was not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// The busiest media core, 0 to 1.
    pub(super) busy: Option<f64>,
    /// Processor time of the daemon, in cores.
    pub(super) daemon_cores: Option<f64>,
    /// And of this process: generator and bot.
    pub(super) own_cores: Option<f64>,
}

/// One look.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    active: f64,
    busy: f64,
    daemon: Duration,
    own: Duration,
}

/// A step under watch.
pub(super) struct Watched {
    looks: JoinHandle<Vec<Look>>,
    stop: watch::Sender<bool>,
}

/// Begins to look.
pub(super) fn begin(http: SocketAddr, pid: u32) -> Watched {
    let (stop, mut stopped) = watch::channel(false);
    let looks = tokio::spawn(async move {
        let mut looks = Vec::new();
        loop {
            if let Ok(metrics) = page(http, "/metrics").await {
                looks.push(Look {
                    at: Instant::now(),
                    active: series(&metrics, "streamkit_calls_active").sum(),
                    busy: series(&metrics, "streamkit_media_core_busy_ratio").fold(0.0, f64::max),
                    daemon: cpu_of(pid),
                    own: own_cpu(),
                });
            }
            tokio::select! {
                () = sleep(EACH) => {}
                _ = stopped.changed() => return looks,
            }
        }
    });
    Watched { looks, stop }
}

impl Watched {
    /// What was seen while so many calls were up.
    pub(super) async fn end(self, calls: u32) -> Seen {
        self.stop.send_replace(true);
        let looks = self.looks.await.unwrap_or_default();
        of(&looks, calls)
    }
}

fn of(looks: &[Look], calls: u32) -> Seen {
    let full: Vec<&Look> = looks.iter().filter(|look| look.active >= 0.95 * f64::from(calls)).collect();
    let (Some(first), Some(last)) = (full.first(), full.last()) else { return Seen::default() };
    let long = last.at.saturating_duration_since(first.at).as_secs_f64();
    let cores = |before: Duration, after: Duration| {
        (long > 0.5).then(|| after.saturating_sub(before).as_secs_f64() / long)
    };
    Seen {
        busy: full.iter().map(|look| look.busy).reduce(f64::max),
        daemon_cores: cores(first.daemon, last.daemon),
        own_cores: cores(first.own, last.own),
    }
}

/// The body of a page, when it is told with 200.
pub(super) async fn page(http: SocketAddr, path: &str) -> io::Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(http).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        match head.starts_with("HTTP/1.1 200") {
            true => Ok(body.to_owned()),
            false => Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned())),
        }
    };
    timeout(PATIENCE, asked).await?
}

/// Values of a metric, whatever its labels.
pub(super) fn series<'a>(metrics: &'a str, name: &'a str) -> impl Iterator<Item = f64> + 'a {
    metrics.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse().ok())?
    })
}

/// User and kernel time of a process.
fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10) // USER_HZ is 100 on every machine Linux runs this on
}

fn own_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    [usage.user_time(), usage.system_time()]
        .map(|time| Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs() as u32 * 1000))
        .into_iter()
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_all_calls_were_up_for_counts() {
        let start = Instant::now();
        let look = |second, active, busy, daemon_ms, own_ms| Look {
            at: start + Duration::from_secs(second),
            active,
            busy,
            daemon: Duration::from_millis(daemon_ms),
            own: Duration::from_millis(own_ms),
        };
        let looks = [
            look(0, 10.0, 0.9, 0, 0),
            look(1, 99.0, 0.3, 100, 50),
            look(3, 100.0, 0.4, 1100, 550),
            look(4, 3.0, 0.1, 9000, 900),
        ];
        let seen = Seen { busy: Some(0.4), daemon_cores: Some(0.5), own_cores: Some(0.25) };
        assert_eq!(of(&looks, 100), seen);
        assert_eq!(of(&looks, 500), Seen::default());
    }

    #[test]
    fn every_series_of_a_name_and_no_other_is_read() {
        let metrics = "# TYPE a gauge\na{core=\"0\"} 0.5\na{core=\"1\"} 0.25\nab 7\n";
        assert_eq!(series(metrics, "a").collect::<Vec<_>>(), [0.5, 0.25]);
        assert!(own_cpu() + cpu_of(std::process::id()) > Duration::ZERO);
    }
}
