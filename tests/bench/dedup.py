"""Near-duplicate removal: documents per CPU-second against datasketch, recall on planted copies, cost against size.

Run `python -m tests.bench.dedup` (a few minutes) or with `--quick`. Every figure comes from a process of its own, one
thread. The documents are pieces of the Python files installed here; planted among them are exact copies, near copies
(word edits, Jaccard similarity .85-.95 of word 5-grams, measured) and hard negatives (.40-.60).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tests.bench.costs import peak_gb

NEAR, HARD = (0.85, 0.95), (0.40, 0.60)
SHARES = {"exact": 0.05, "near": 0.10, "hard": 0.05}
SHINGLE, THRESHOLD = 5, 0.75
PIECE_CHARS, MIN_WORDS = 2300, 60
SHORT_CHARS = 400
ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "TQDM_DISABLE": "1"}


@dataclass(frozen=True)
class Result:
    engine: str
    documents: int
    cpu_s: float
    peak_gb: float
    exact: float = float("nan")
    near: float = float("nan")
    hard: float = float("nan")
    kept: int = 0


def main() -> None:
    """Print the tables; exit with 1 where a promised figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5,000 documents, sizes up to 100,000")
    parser.add_argument("--engine", choices=["ratchet", "datasketch", "stage"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        print(json.dumps(asdict(ENGINES[arguments.engine](arguments.file))))
        return
    with tempfile.TemporaryDirectory() as folder:
        missed = compare(5_000 if arguments.quick else 50_000, Path(folder))
        missed += scale([10_000, 100_000] if arguments.quick else [10_000, 100_000, 1_000_000], Path(folder))
    sys.exit("; ".join(missed) or None)


def compare(size: int, folder: Path) -> list[str]:
    """Run both engines on the same documents; return what misses its promise."""
    path = folder / "planted.parquet"
    plant(size).write_parquet(path)
    ours, peer = (measure(engine, path) for engine in ("ratchet", "datasketch"))
    print(f"{size:,} documents of {PIECE_CHARS} characters; recall: planted copies of which one is dropped")
    print(f"{'engine':12}{'docs/CPU-s':>12}{'CPU-s':>8}{'peak GB':>9}", end="")
    print(f"{'exact':>8}{'near':>9}{'hard linked':>13}{'kept':>9}")
    for r in (ours, peer):
        print(f"{r.engine:12}{r.documents / r.cpu_s:12,.0f}{r.cpu_s:8.1f}{r.peak_gb:9.2f}", end="")
        print(f"{r.exact:8.4f}{r.near:9.4f}{r.hard:13.4f}{r.kept:9,}")
    ratio, recall = peer.cpu_s / ours.cpu_s, min(ours.near, ours.exact)
    print(f"ratio {ratio:.1f} (promised: 5), recall {recall:.4f} (promised: 0.999)\n")
    promises = ((f"ratio {ratio:.1f}", ratio >= 5), (f"recall {recall:.4f}", recall >= 0.999))
    return [miss for miss, is_held in promises if not is_held]


def scale(sizes: Sequence[int], folder: Path) -> list[str]:
    """Run the whole stage on short documents of growing number; return what misses its promise."""
    print(f"the stage on documents of {SHORT_CHARS} characters, a fifth of them copies")
    print(f"{'documents':>12}{'CPU-s':>9}{'docs/CPU-s':>12}{'peak GB':>9}{'kept':>11}")
    missed = []
    for size in sizes:
        source = folder / f"short{size}"
        write_short(size, source)
        r = measure("stage", source)
        print(f"{size:12,}{r.cpu_s:9.1f}{size / r.cpu_s:12,.0f}{r.peak_gb:9.2f}{r.kept:11,}")
        missed += [f"{r.peak_gb:.2f} GB > 2 GB"] if r.peak_gb > 2 else []
    return missed


def measure(engine: str, path: Path) -> Result:
    """Run `engine` on `path` in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.dedup", "--engine", engine, "--file", str(path)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, check=True, text=True)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def run_ratchet(path: Path) -> Result:
    """Find copies with the functions of the stage."""
    from tasks.core.curation.minhash import BANDS
    from tasks.curate.dedup import by_text, find_copies

    start = time.process_time()
    twin = find_copies(path, by_text, threshold=THRESHOLD, bands=BANDS).twin
    return judge("ratchet", path, twin, time.process_time() - start)


def run_datasketch(path: Path) -> Result:
    """Find copies with datasketch: bulk MinHash, LSH of the same shape, verified from the signatures."""
    from datasketch import MinHash, MinHashLSH

    from tasks.adapters.storage.tables import read_batches
    from tasks.core.curation.minhash import BANDS, PERMUTATIONS

    start = time.process_time()
    lsh = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, PERMUTATIONS // BANDS))
    kept: dict[int, MinHash] = {}
    twin: list[int] = []
    for frame in read_batches(path, ["text"], 5_000):
        sets = [[gram.encode() for gram in grams(text.lower().split())] for text in frame["text"]]
        for number, minhash in enumerate(MinHash.generator(sets, num_perm=PERMUTATIONS, seed=1), start=len(twin)):
            near = [other for other in lsh.query(minhash) if minhash.jaccard(kept[other]) >= THRESHOLD]
            twin.append(min(near, default=number))
            if not near:
                kept[number] = minhash
                lsh.insert(number, minhash, check_duplication=False)
    return judge("datasketch", path, np.array(twin), time.process_time() - start)


def run_stage(source: Path) -> Result:
    """Run the stage on a folder."""
    from tasks.curate.dedup import Config, run

    start = time.process_time()
    out = source.with_name(source.name + ".out")
    out.mkdir()
    report = run(Config(), source, out)
    cpu_s = time.process_time() - start
    return Result("stage", report.documents_seen, cpu_s, peak_gb(), kept=report.documents_kept)


ENGINES = {"ratchet": run_ratchet, "datasketch": run_datasketch, "stage": run_stage}


def judge(engine: str, path: Path, twin: np.ndarray, cpu_s: float) -> Result:
    """Return the shares of planted copies of which not both stayed, and of hard negatives taken for copies."""
    planted = pl.read_parquet(path, columns=["copy_of", "plant"])
    is_kept = twin == np.arange(len(twin))
    found = {}
    for kind in SHARES:
        copies = np.flatnonzero(planted["plant"] == kind)
        sources = planted["copy_of"].to_numpy()[copies]
        is_found = twin[copies] == twin[sources] if kind == "hard" else ~(is_kept[copies] & is_kept[sources])
        found[kind] = float(is_found.mean())
    return Result(engine, len(twin), cpu_s, peak_gb(), kept=int(is_kept.sum()), **found)


def plant(size: int) -> pl.DataFrame:
    """Return documents (text, plant, copy_of) in which a copy always comes after its source."""
    rng = random.Random(0)
    num_copies = {kind: int(size * share) for kind, share in SHARES.items()}
    base = [text for text, _ in zip(pieces(), range(size - sum(num_copies.values())), strict=False)]
    rows = [(text, "", -1) for text in base]
    for kind, count in num_copies.items():
        for source in rng.sample(range(len(base)), count):
            text = base[source] if kind == "exact" else edit(base[source], NEAR if kind == "near" else HARD, rng)
            rows.append((text, kind, source))
    frame = pl.DataFrame(rows, ["text", "plant", "copy_of"], orient="row")
    return frame.with_columns(id=pl.int_range(pl.len()).cast(pl.String))


def pieces() -> Iterator[str]:
    """Yield pieces of installed Python files, each file once, long and wordy enough to be a document."""
    libraries = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    for root in libraries:
        for file in sorted(root.rglob("*.py")):
            text = file.read_text(encoding="utf-8", errors="ignore")
            for start in range(0, len(text) - PIECE_CHARS // 2, PIECE_CHARS):
                piece = text[start : start + PIECE_CHARS]
                if len(piece.split()) >= MIN_WORDS:
                    yield piece


def edit(text: str, similarity: tuple[float, float], rng: random.Random) -> str:
    """Replace, drop or insert words until the similarity to `text` lies in the range."""
    words = text.split()
    before = grams([word.lower() for word in words])
    edited = list(words)
    for _ in range(10 * len(words)):
        now = grams([word.lower() for word in edited])
        jaccard = len(before & now) / len(before | now)
        if jaccard <= similarity[1]:
            return " ".join(edited) if jaccard >= similarity[0] else edit(text, similarity, rng)
        place = rng.randrange(len(edited))
        edited[place : place + 1] = rng.choice([[], [f"w{rng.randrange(10**6)}"], [edited[place], rng.choice(words)]])
    raise ValueError("this text cannot be edited into the range")


def grams(words: Sequence[str]) -> set[str]:
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))}


def write_short(size: int, folder: Path) -> None:
    """Write `size` documents made of real lines in a new order, a tenth of them exact and a tenth near copies."""
    from tasks.adapters.storage.tables import (
        CONVERSATION_SCHEMA,
        CONVERSATIONS,
        DOCUMENT_SCHEMA,
        DOCUMENTS,
        table_writer,
    )

    rng = random.Random(1)
    some = (piece for _, piece in zip(range(20_000), pieces(), strict=False))
    lines = list({line.strip(): None for piece in some for line in piece.split("\n")})
    folder.mkdir()
    with table_writer(folder / DOCUMENTS, DOCUMENT_SCHEMA) as writer:
        for start in range(0, size, 10_000):
            texts: list[str] = []
            for _ in range(min(10_000, size - start)):
                texts.append(short_text(lines, texts, rng))
            ids = pl.Series([f"{number:016x}" for number in range(start, start + len(texts))])
            blank = pl.lit("")
            frame = pl.DataFrame({"id": ids, "text": texts}).with_columns(
                **{name: blank for name in DOCUMENT_SCHEMA.names if name not in ("id", "text")}
            )
            writer.write(frame)
    with table_writer(folder / CONVERSATIONS, CONVERSATION_SCHEMA):
        pass


def short_text(lines: Sequence[str], recent: Sequence[str], rng: random.Random) -> str:
    kind = rng.random() if recent else 1.0
    if kind < 0.1:
        return rng.choice(recent)
    if kind < 0.2:
        words = rng.choice(recent).split(" ")
        words[rng.randrange(len(words))] = "edited"
        return " ".join(words)
    text = ""
    while len(text) < SHORT_CHARS:
        text += rng.choice(lines) + "\n"
    return text[:SHORT_CHARS]


if __name__ == "__main__":
    main()
