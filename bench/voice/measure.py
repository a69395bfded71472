"""Scores what the bench `voice` made by PESQ (ITU-T P.862, narrow band, MOS-LQO) and writes the table of docs/voice.md.

measure.py BENCH WORK DOC: the bench's program, a folder for all that is made, the page.
"""

import collections
import multiprocessing
import pathlib
import subprocess
import sys

import numpy
import pesq

import speech

SEEDS = 3
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CHAINS = ["product", "repetition", "zeros"]


def score(row: tuple[str, str, str, str, str, str]) -> tuple[str, str, str, float]:
    reference, _, law, network, chain, path = row
    clean, heard = (numpy.fromfile(name, "<i2") for name in (reference, path))
    try:
        return law, network, chain, pesq.pesq(8000, clean, heard, "nb")
    except pesq.NoUtterancesError:
        return law, network, chain, 1.0  # nothing is left of it


def make(bench: str, work: pathlib.Path) -> list:
    spoken = {path.stem: str(path) for path in speech.make(work / "speech")}
    out = work / "heard"
    out.mkdir(parents=True, exist_ok=True)
    told = subprocess.run([bench, work / "speech", out, str(SEEDS)], check=True, capture_output=True, text=True)
    rows = [tuple(line.split("\t")) for line in told.stdout.splitlines()]
    return [(spoken[row[0]], *row) for row in rows]


def means(rows: list) -> dict:
    sums = collections.defaultdict(list)
    with multiprocessing.Pool() as pool:
        for law, network, chain, value in pool.imap(score, rows, chunksize=8):
            sums[law, network, chain].append(value)
    return {key: float(numpy.mean(values)) for key, values in sums.items()}


def table(mos: dict) -> str:
    lines = ["| network | product | repetition | zeros | above repetition | above zeros |", "|---|---|---|---|---|---|"]
    for law, network, chain in mos:
        if chain != "product" or network.startswith("socket"):
            continue
        ours, again, zeros = (mos[law, network, chain] for chain in CHAINS)
        name = network if law == "PCMU" else f"{network}, A-law"
        lines.append(
            f"| {name} | {ours:.2f} | {again:.2f} | {zeros:.2f} | {ours - again:+.2f} | {ours - zeros:+.2f} |"
        )
    lines += ["", "| bot's messages late by up to | product |", "|---|---|"]
    sockets = [(network, value) for (_, network, _), value in mos.items() if network.startswith("socket")]
    lines += [f"| {network.removeprefix('socket ')} | {value:.2f} |" for network, value in sockets]
    return "\n".join(lines)


def main() -> None:
    bench, work, doc = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    mos = means(make(bench, work))
    measured = table(mos)
    print(measured)
    page = doc.read_text()
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    doc.write_text(f"{before}{BEGIN}\n{measured}\n{END}{after}")
    ours, again, zeros = (mos["PCMU", "random 5 %", chain] for chain in CHAINS)
    if ours - again < 0.5 or ours - zeros < 0.5:
        sys.exit(f"at 5 % random loss: {ours:.2f}, repetition {again:.2f}, zeros {zeros:.2f}: less than 0.5 above")


if __name__ == "__main__":
    main()
