//! What is heard over bad networks: speech through the product's own chain, and through plainer ones, written as files
//! for `measure.py` to score. `voice IN OUT SEEDS`: 8 kHz raw files of IN; what was made is told on standard output.
//!
//! ```text
//!  speech ─► G.711 ─► packets ─► network ─┬─► graph: jitter buffer, concealment ─► the bot's samples
//!                                         └─► jitter buffer, zeros or repetition
//!  speech ─► a late socket ─► graph: playout ─► packets ─► G.711 ─► the caller's samples
//! ```
#![allow(clippy::print_stdout)] // it is a program

mod chain;
mod network;
mod plain;

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs, io};

use network::{NETWORKS, Network, PACKET, PTIME};
use plain::Filling;
use streamkit::audio::codec::{self, G711};

/// How late a bot's messages may be, in ms.
const SOCKETS: [u64; 5] = [0, 20, 40, 60, 100];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // `cargo bench` runs every bench without arguments: this one needs some.
    let [from, to, seeds] = &arguments[..] else { return Ok(()) };
    let seeds: u64 = seeds.parse().map_err(io::Error::other)?;
    let mut files: Vec<PathBuf> =
        fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "raw"));
    files.sort();
    for (number, file) in files.iter().enumerate() {
        for law in [G711::Mu, G711::A] {
            measure(file, Path::new(to), law, seeds, number as u64)?;
        }
    }
    Ok(())
}

fn measure(file: &Path, to: &Path, law: G711, seeds: u64, number: u64) -> io::Result<()> {
    #![allow(clippy::disallowed_methods)] // simulated time has to begin somewhere
    let start = Instant::now();
    let octets = fs::read(file)?;
    let speech: Vec<i16> =
        octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let until = (speech.len() / PTIME) as u64 * PACKET + 300_000;
    let out = Out { file, to, law };
    // What concealment does hardly depends on the law: the second one is a check.
    let checked = |network: &Network| law == G711::Mu || matches!(network, Network::Random(0.0 | 5.0));
    for network in NETWORKS.into_iter().filter(checked) {
        for seed in 0..seeds {
            let flights = network.carry(law, &speech, seed * 100 + number);
            let heard = chain::up(law, start, &flights, until);
            if matches!(network, Network::Random(0.0)) {
                exact(law, &speech, &heard)?;
            }
            out.write(&network.name(), seed, "product", &heard)?;
            for (name, filling) in [("zeros", Filling::Zeros), ("repetition", Filling::Repetition)] {
                out.write(&network.name(), seed, name, &plain::line(law, start, &flights, until, filling))?;
            }
        }
    }
    for jitter in SOCKETS.into_iter().filter(|_| law == G711::Mu) {
        for seed in 0..seeds {
            let heard = chain::down(law, start, &speech, jitter, seed * 100 + number);
            out.write(&format!("socket {jitter} ms"), seed, "product", &heard)?;
        }
    }
    Ok(())
}

/// Without loss the bot gets every octet as it was sent, expanded, and nothing else between.
fn exact(law: G711, speech: &[i16], heard: &[i16]) -> io::Result<()> {
    let whole = &speech[..speech.len() / PTIME * PTIME];
    let (mut octets, mut sent) = (vec![0; whole.len()], vec![0; whole.len()]);
    codec::encode(law, whole, &mut octets);
    codec::decode(law, &octets, &mut sent);
    let found = heard.windows(sent.len()).any(|window| window == sent);
    if found { Ok(()) } else { Err(io::Error::other("without loss it is not bit-exact")) }
}

/// Where what was made is put.
struct Out<'a> {
    file: &'a Path,
    to: &'a Path,
    law: G711,
}

impl Out<'_> {
    fn write(&self, network: &str, seed: u64, chain: &str, samples: &[i16]) -> io::Result<()> {
        let speaker = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let law = self.law.encoding_name();
        let name = format!("{speaker}-{law}-{network}-{seed}-{chain}.raw").replace([' ', '%'], "_");
        let path = self.to.join(name);
        let octets: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        fs::write(&path, octets)?;
        println!("{speaker}\t{law}\t{network}\t{chain}\t{}", path.display());
        Ok(())
    }
}
