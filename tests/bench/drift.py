"""Measures the false-alarm rate of drift detection and how soon it finds a shift, on windows of simulated traffic.

`python -m tests.bench.drift [--quick]`. A question is the first paragraph of a docstring: usual traffic asks about
Python's standard library, the new topic about a package of scipy, whose documents are not indexed; the trials take the
packages in turn. Vectors and retrieval scores are real (this product's embedder; the best cosine among indexed
docstrings). The other columns are drawn from them: answers to badly retrieved questions are declined more often, and
longer ones take longer. No two windows share rows. Promised: at most 2 % of 200 unchanged windows raise an alarm
(CONFIRMED, the outcome that starts a retrain); a shift of 30 % of the rows is confirmed within two windows of 500 rows
in at least 95 %; one of 10 % within two of 1,000 in at least 80 %. Baselines on the same windows: each column by itself
at 5 %, and Evidently's default tests where it is installed. The first run embeds some 3,500 texts (half a minute) and
keeps the vectors in the system's temporary folder.
"""

import ast
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import scipy
from scipy import stats

from tasks.adapters.retrieval.embedder import embed_cached, load_embedder
from tasks.adapters.system.progress import Progress
from tasks.core.monitoring.drift import decide
from tasks.core.monitoring.drift_config import Column, DriftConfig
from tasks.core.monitoring.drift_verdict import DriftVerdict

SEED = 7
REFERENCE_ROWS = 1000
WINDOWS, QUICK_WINDOWS = 200, 40
TRIALS, QUICK_TRIALS = 100, 20
EVIDENTLY_WINDOWS = 20
NIGHTS = 20  # windows that share a reference
FALSE, FOUND_LARGE, FOUND_SMALL = 0.02, 0.95, 0.8
INDEXED = 900
TEXTS = 100  # most of a new topic
NEW = (
    *("cluster", "fft", "integrate", "interpolate", "io", "linalg", "ndimage"),
    *("optimize", "signal", "sparse", "spatial", "special", "stats"),
)  # every package of scipy with fifty docstrings or more
UNRETRIEVED = 0.02  # share of rows whose retrieval failed
SESSION = 5  # questions of one user on one theme, for the row without a promise
NUMBERS = ("question_length", "retrieval_score", "answer_length", "latency_s", "cost")
CATEGORIES = ("abstained", "ungrounded", "quality")
CONFIG = DriftConfig(false_alarms=FALSE)
EMBEDDING_ALONE = DriftConfig(columns={"question_embedding": Column(kind="embedding")}, false_alarms=FALSE)


@dataclass(frozen=True)
class Topic:
    """Questions that may be asked: vector, length, best cosine among the indexed documents."""

    vectors: np.ndarray
    lengths: np.ndarray
    retrieval: np.ndarray


@dataclass(frozen=True)
class World:
    usual: Topic
    new: list[Topic]


def docstrings(folder: Path, pattern: str) -> list[str]:
    """Return the first paragraphs of docstrings, each once, sorted."""
    found = set()
    for file in sorted(folder.glob(pattern)):
        if "tests" in file.parts:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of other people's escapes
            tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        found |= {" ".join(doc.split("\n\n")[0].split()) for node in nodes if (doc := ast.get_docstring(node))}
    return sorted(text for text in found if 30 < len(text) < 300)


def make_world() -> World:
    """Return all topics with their vectors."""
    rng = np.random.default_rng(SEED)
    library = rng.permutation(docstrings(Path(sysconfig.get_paths()["stdlib"]), "*.py")).tolist()
    indexed, usual = library[:INDEXED], library[INDEXED:]
    new = [rng.permutation(docstrings(Path(scipy.__file__).parent / name, "**/*.py"))[:TEXTS].tolist() for name in NEW]
    groups = [indexed, usual, *new]
    texts = [text for group in groups for text in group]
    folder = Path(tempfile.gettempdir()) / "ratchet-bench-drift"
    found = embed_cached(load_embedder(), texts, folder, Progress("embedding", len(texts))).astype(np.float32)
    vectors = np.split(found, np.cumsum([len(group) for group in groups])[:-1])
    topics = [
        Topic(rows, np.array([len(text) for text in group]), (rows @ vectors[0].T).max(axis=1))
        for group, rows in zip(groups, vectors, strict=True)
    ]
    return World(topics[1], topics[2:])


def traffic(
    usual: Topic, rows: int, rng: np.random.Generator, new: tuple[float, Topic] | None = None, session: int = 1
) -> pl.DataFrame:
    """Return the records of a window. `new`: the share of its rows that are about another topic, and that topic.

    `session`: how many rows in a row come from one user, who asks about texts that resemble one another.
    """
    share, other = new or (0.0, usual)
    is_new = rng.random(rows) < share
    picked, replaced = _picked(usual, rows, session, rng), rng.integers(len(other.lengths), size=rows)
    vectors = np.where(is_new[:, None], other.vectors[replaced], usual.vectors[picked])
    lengths = np.where(is_new, other.lengths[replaced], usual.lengths[picked])
    retrieval = np.where(is_new, other.retrieval[replaced], usual.retrieval[picked])
    abstained = rng.random(rows) < 1 / (1 + np.exp(12 * (retrieval - 0.3)))
    answer_length = np.where(abstained, 40, np.exp(rng.normal(5, 0.6, rows)) + 0.3 * lengths)
    ungrounded = rng.random(rows) < np.where(retrieval < 0.4, 0.15, 0.05)
    latency = 0.2 + 0.004 * answer_length * np.exp(rng.normal(0, 0.3, rows))
    return pl.DataFrame(
        {
            "user": [f"user-{row // session}" for row in range(rows)],
            "question_embedding": vectors,
            "question_length": lengths,
            "retrieval_score": np.where(rng.random(rows) < UNRETRIEVED, np.nan, retrieval),
            "answer_length": answer_length,
            "abstained": abstained,
            "ungrounded": ungrounded,
            "quality": ~abstained & ~ungrounded,
            "latency_s": latency,
            "cost": 1e-6 * (lengths + 3 * answer_length),
        }
    )


def _picked(topic: Topic, rows: int, session: int, rng: np.random.Generator) -> np.ndarray:
    if session == 1:
        return rng.integers(len(topic.lengths), size=rows)
    seeds = rng.integers(len(topic.lengths), size=-(-rows // session))
    near = np.argsort(-(topic.vectors[seeds] @ topic.vectors.T), axis=1)[:, : 2 * session]
    return np.concatenate([rng.choice(line, session) for line in near])[:rows]


def unchanged(
    world: World, rows: int, windows: int, config: DriftConfig, session: int = 1
) -> tuple[float, float, list[tuple[pl.DataFrame, pl.DataFrame]]]:
    """Return the shares of unchanged windows that were suspected, and confirmed; and each with its reference."""
    suspected, confirmed, pairs = 0, 0, []
    for start in range(0, windows, NIGHTS):
        rng = np.random.default_rng([SEED, rows, session, start])
        reference = traffic(world.usual, REFERENCE_ROWS, rng, session=session)
        history: list[DriftVerdict] = []
        for _ in range(min(NIGHTS, windows - start)):
            window = traffic(world.usual, rows, rng, session=session)
            history.append(decide(reference, window, config, history))
            suspected += history[-1].outcome in ("SUSPECTED", "CONFIRMED")
            confirmed += history[-1].outcome == "CONFIRMED"
            pairs.append((reference, window))
    return suspected / windows, confirmed / windows, pairs


def shifted(world: World, rows: int, new_share: float, trials: int, config: DriftConfig) -> tuple[float, float]:
    """Return how often a shift is suspected in its first window, and confirmed in its second."""
    suspected = confirmed = 0
    for trial in range(trials):
        rng = np.random.default_rng([SEED, rows, int(100 * new_share), trial])
        reference = traffic(world.usual, REFERENCE_ROWS, rng)
        new = (new_share, world.new[trial % len(world.new)])
        first = decide(reference, traffic(world.usual, rows, rng, new), config)
        suspected += first.outcome == "SUSPECTED"
        if first.outcome == "SUSPECTED":  # the only way to be confirmed by the second
            second = decide(reference, traffic(world.usual, rows, rng, new), config, [first])
            confirmed += second.outcome == "CONFIRMED"
    return suspected / trials, confirmed / trials


def each_column_alone(reference: pl.DataFrame, window: pl.DataFrame) -> bool:
    """Return whether any column differs at 5 %, as a plain monitor would: Kolmogorov-Smirnov and chi-square."""
    sides = (reference, window)
    p_values = [
        stats.ks_2samp(*(side[name].fill_nan(None).drop_nulls().to_numpy() for side in sides)).pvalue
        for name in ("retrieval_score", "answer_length", "latency_s", "cost")
    ]
    p_values.append(stats.ks_2samp(*(side["question_length"].to_numpy() for side in sides)).pvalue)
    for name in CATEGORIES:
        table = [[side[name].sum(), side.height - side[name].sum()] for side in sides]
        p_values.append(stats.chi2_contingency(table).pvalue)
    return min(p_values) < 0.05


def evidently_defaults(reference: pl.DataFrame, window: pl.DataFrame) -> bool:
    """Return whether Evidently's default tests call any column drifted."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    columns = [*NUMBERS, *CATEGORIES]
    current, before = (
        side.select(columns).with_columns(pl.col(CATEGORIES).cast(pl.String)).to_pandas()
        for side in (window, reference)
    )
    metrics = Report([DataDriftPreset()]).run(current, before).dict()["metrics"]
    return any(m["value"]["count"] > 0 for m in metrics if m["metric_name"].startswith("DriftedColumnsCount"))


def rate(
    test: Callable[[pl.DataFrame, pl.DataFrame], bool], pairs: Iterable[tuple[pl.DataFrame, pl.DataFrame]]
) -> float:
    return float(np.mean([test(reference, window) for reference, window in pairs]))


def has_evidently() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import evidently.presets  # noqa: F401
        except ImportError:
            return False
    return True


def line(name: str, suspected: float, confirmed: float, promise: str = "") -> None:
    print(f"{name:<58}{suspected:>11.1%}{confirmed:>11.1%}  {promise}", flush=True)


def main(windows: int, trials: int) -> None:
    world = make_world()
    started, missed = time.process_time(), []
    print(f"seed {SEED}; {windows} windows or {trials} shifts a row; reference of {REFERENCE_ROWS} rows")
    print(f"{'traffic':<58}{'suspected':>11}{'confirmed':>11}  promised")
    pairs = []
    for rows in (500, 1000):
        suspected, confirmed, found = unchanged(world, rows, windows, CONFIG)
        line(f"unchanged, {rows} rows", suspected, confirmed, "confirmed <= 2 %")
        missed += [f"unchanged, {rows} rows"] if confirmed > FALSE else []
        pairs = pairs or found
    for share, rows, promise in ((0.3, 500, FOUND_LARGE), (0.1, 1000, FOUND_SMALL)):
        suspected, confirmed = shifted(world, rows, share, trials, CONFIG)
        line(f"{share:.0%} of {rows} rows from a new topic", suspected, confirmed, f"confirmed >= {promise:.0%}")
        missed += [f"{share:.0%} shift"] if confirmed < promise else []
        line("  by the embedding alone", *shifted(world, rows, share, trials // 5, EMBEDDING_ALONE))
    line(
        f"unchanged, sessions of {SESSION} alike, rows count",
        *unchanged(world, 1000, windows // 10, CONFIG, SESSION)[:2],
    )
    by_user = CONFIG.model_copy(update={"key": "user"})
    line(
        f"unchanged, sessions of {SESSION} alike, users count",
        *unchanged(world, 1000, windows // 10, by_user, SESSION)[:2],
    )
    print(
        f"baseline, each column at 5 %: {rate(each_column_alone, pairs):.1%} of the unchanged windows of 500 rows alarm"
    )
    if has_evidently():
        some = pairs[:: max(len(pairs) // EVIDENTLY_WINDOWS, 1)][:EVIDENTLY_WINDOWS]
        alarms = rate(evidently_defaults, some)
        print(f"baseline, Evidently's default tests: {alarms:.1%} of {len(some)} of them alarm in some column")
    print(f"{time.process_time() - started:.0f} CPU-s")
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    quick = "--quick" in sys.argv
    main(QUICK_WINDOWS if quick else WINDOWS, QUICK_TRIALS if quick else TRIALS)
