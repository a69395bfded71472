//! Runs the floor and the product in turn under the same load, twice, and judges.
//!
//! Exit code 0: nothing is worse than it may ever be; 1: something is; 2: something could not be judged, because the
//! generator was late or calls failed; 3: something did not start, or cannot be asked.

mod judge;
mod rows;
mod run;
mod setups;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rig::args::{arg, flag, help, text};
use rig::machine;
use serde_json::json;

use rows::Found;
use run::{Ground, Run, Subject};

const USAGE: &str = "\
capacity --streamkit PATH [--out target/capacity] [--calls 200] [--few 100] [--many 500] [--rounds 2]
         [--warm 5] [--win 15] [--judge-anyway]

  --calls         calls at once for the comparison with the floor
  --few, --many   calls at once for the cost of a call; 0 leaves that out
  --warm          seconds from the last call that is up to the window, at least 5
  --judge-anyway  judge runs, too, whose generator was late or whose calls failed";
const KNOWN: &[&str] = &[
    "--streamkit",
    "--out",
    "--calls",
    "--few",
    "--many",
    "--rounds",
    "--warm",
    "--win",
    "--judge-anyway",
    "--help",
];

fn main() -> ExitCode {
    help(USAGE, KNOWN);
    match measure() {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("capacity: {why}");
            ExitCode::from(3)
        }
    }
}

/// Everything in turn; the exit code.
fn measure() -> Result<u8, String> {
    let product = PathBuf::from(text("--streamkit", ""));
    let out = PathBuf::from(text("--out", "target/capacity"));
    let (calls, few, many): (u32, u32, u32) =
        (arg("--calls", "200"), arg("--few", "100"), arg("--many", "500"));
    let folder = out.join("work");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let folder = folder.canonicalize().map_err(|error| error.to_string())?;
    let ground = Ground::new(product, folder, arg::<f64>("--warm", "5").max(5.0), arg("--win", "15"))?;
    println!("{} cores, {}; load {}", machine::cores(), machine::processor(), machine::load());
    let mut runs = Vec::new();
    for round in 1..=arg::<u32>("--rounds", "2").max(1) {
        for subject in [Subject::Floor, Subject::Product] {
            runs.push(ran(&ground, subject, round, calls)?);
        }
    }
    if few > 0 && many > 0 {
        for round in 1..=arg::<u32>("--rounds", "2").max(1) {
            for calls in [few, many] {
                runs.push(ran(&ground, Subject::Product, round, calls)?);
            }
        }
    }
    let setups = setups::measure(&ground)?;
    let found = Found { calls, few, many, runs: &runs, setups: &setups, anyway: flag("--judge-anyway") };
    let rows = rows::rows(&found);
    print!("\n{}\n{}", table::table(&rows), table::noise(&runs, calls));
    let verdict = judge::verdict(&rows);
    println!("{}", verdict.text);
    let told = json!({
        "machine": { "cores": machine::cores(), "processor": machine::processor() },
        "rows": rows.iter().map(table::row_json).collect::<Vec<_>>(),
        "runs": runs.iter().map(Run::json).collect::<Vec<_>>(),
        "setups": setups.json(), "verdict": verdict.text, "exit_code": verdict.code,
    });
    keep(&out, &told)?;
    Ok(verdict.code)
}

/// One run, told as it is done.
fn ran(ground: &Ground, subject: Subject, round: u32, calls: u32) -> Result<Run, String> {
    let run = ground.run(subject, round, calls)?;
    println!("{}", table::line(&run));
    Ok(run)
}

/// One file a measurement, and the newest under a name that stays.
fn keep(out: &Path, told: &serde_json::Value) -> Result<(), String> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let name = format!("capacity-{}.json", since.map_or(0, |since| since.as_secs()));
    for name in [name.as_str(), "latest.json"] {
        let path = out.join(name);
        std::fs::write(&path, format!("{told:#}\n"))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
