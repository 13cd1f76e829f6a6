"""Collects one time window of the answers that one model version served, as a table for the drift tests.

Reads the records of served answers and the feedback on them (settings say where), and the monitor's history in the
store; writes `collect`: `window.parquet` and `window.json`. A window begins where the last one ended and is whole when
it has enough rows; until then the next one begins at the same time. Shadow answers, cached answers and cancelled
requests are left out. A large window is sampled down to `max_rows` (reservoir sampling, Vitter 1985, algorithm R), so
memory does not grow with the traffic.

It is no stage of dvc.yaml: what it reads depends on the clock, so DVC could neither see that it is stale nor
reproduce it. Only the runner runs it. Training data from a window enter through `ingest`, which DVC tracks.
Caveat: records are redacted, so a question is embedded without the names it held, as the training data are.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tasks.adapters.storage.files import write_json
from tasks.core.errors import ConfigError
from tasks.core.monitoring.served_traffic import counts_as_traffic, row_of
from tasks.core.monitoring.traffic_row import TrafficRow
from tasks.core.records.answer import AnswerRecord
from tasks.core.release.lineage import BASE
from tasks.core.stage import Report, StageConfig
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.storage.object_store import Store

WINDOW, FACTS = "window.parquet", "window.json"
SETTLE_S = 10.0  # the recorder has written an answer to disk by then


class Config(StageConfig):
    RENAMED: ClassVar[dict[str, str]] = {"most_hours": "max_hours"}

    model: str | None = None
    """Version to monitor: a prefix of its digest, or 'base'; None: the champion, or the base model without one."""
    since: datetime | None = None
    """Start of a window whose verdict is not kept; None: where the last window ended."""
    until: datetime | None = None
    """End of such a window; None: now."""
    first_hours: float = Field(default=24.0, gt=0)
    """How far back the first window of a version reaches."""
    max_hours: float = Field(default=168.0, gt=0)
    """How far back a window reaches at most; older answers are skipped."""
    min_rows: int = Field(default=200, ge=20)
    """Rows that make a window whole; at least min_rows of monitor.drift."""
    max_rows: int = Field(default=2000, ge=20)
    """Rows that are sampled from a larger window; each costs some milliseconds to embed."""
    embedder: str = "all-minilm-l6-v2"
    """Embeds the questions: the same as in curate.index, or the embeddings are not compared."""
    seed: int = 0
    """Seed of the sampled rows."""


class CollectReport(Report):
    model: str
    rows: int
    seen: int
    """Answers of the version in the window."""
    left_out: int
    """Shadow, cached and cancelled answers, and those of other versions."""
    is_whole: bool
    """There are enough rows to decide from."""
    is_next: bool
    """The window follows the last one, so that its verdict is kept."""


@dataclass
class Reservoir:
    """A uniform random sample of a stream of answers: each is kept with the same probability."""

    max_rows: int
    rng: random.Random
    rows: list[AnswerRecord] = field(default_factory=list)
    seen: int = 0
    left_out: int = 0

    def add(self, answer: AnswerRecord) -> None:
        self.seen += 1
        if len(self.rows) < self.max_rows:
            self.rows.append(answer)
        elif (place := self.rng.randrange(self.seen)) < self.max_rows:
            self.rows[place] = answer


def run(config: Config, out: Path, *, settings: Settings) -> CollectReport:
    from tasks.adapters.monitoring.traffic_table import write_traffic
    from tasks.adapters.release.registry import open_registry
    from tasks.adapters.retrieval.embedder import load_embedder

    store = open_registry(settings).store
    model = monitored_model(store, config.model)
    since, until = window_times(store, model, config)
    reservoir = _sample(model, since, until, config, settings)
    rows = _rows(reservoir.rows, since, settings)
    embedder = load_embedder(config.embedder, settings.threads)
    write_traffic(out / WINDOW, rows, embedder.embed([row["question"] for row in rows]), embedder.digest)
    report = CollectReport(
        model=model,
        rows=len(rows),
        seen=reservoir.seen,
        left_out=reservoir.left_out,
        is_whole=len(rows) >= config.min_rows,
        is_next=config.since is None and config.until is None,
    )
    write_json(out / FACTS, {"since": since.isoformat(), "until": until.isoformat(), **report.model_dump()})
    return report


def monitored_model(store: "Store", wanted: str | None) -> str:
    """Return the digest of the version to look at, or "base". Raises ConfigError for an unknown or ambiguous one."""
    from tasks.adapters.release.registry import Registry

    registry = Registry(store)
    if wanted is None:
        champion = registry.pointer("champion")
        return champion.model if champion else BASE
    known = [BASE] if wanted == BASE else [model for model in registry.models() if wanted and model.startswith(wanted)]
    if len(known) != 1:
        raise ConfigError(
            f"monitor.collect.model {wanted!r} means {len(known)} versions of {store.address}: give more of the digest."
        )
    return known[0]


def window_times(store: "Store", model: str, config: Config) -> tuple[datetime, datetime]:
    """Return begin and end of the window. Raises ConfigError for an end before the begin."""
    from tasks.adapters.monitoring.window_log import WindowLog

    until = _aware(config.until) if config.until else _now() - timedelta(seconds=SETTLE_S)
    if config.since is not None:
        since = _aware(config.since)
        if since >= until:
            raise ConfigError(f"monitor.collect: the window ends at {until} before it begins at {since}: correct them.")
        return since, until
    last = WindowLog(store, model).last(1)
    begin = datetime.fromisoformat(last[0].until) if last else until - timedelta(hours=config.first_hours)
    return min(max(begin, until - timedelta(hours=config.max_hours)), until), until


def _sample(model: str, since: datetime, until: datetime, config: Config, settings: Settings) -> Reservoir:
    reservoir = Reservoir(config.max_rows, random.Random(config.seed))
    for answer in _answers(since, until, settings):
        if answer.model == model and counts_as_traffic(answer):
            reservoir.add(answer)
        else:
            reservoir.left_out += 1
    return reservoir


def _answers(since: datetime, until: datetime, settings: Settings) -> Iterator[AnswerRecord]:
    from tasks.adapters.records.answer_log import read_hours
    from tasks.adapters.records.record_place import open_records
    from tasks.adapters.records.record_table import answers_of

    place = open_records(settings)
    for hour in read_hours(place, since, until):
        yield from answers_of(hour)


def _rows(answers: list[AnswerRecord], since: datetime, settings: Settings) -> list[TrafficRow]:
    """Return the rows, oldest first, with what people said about them."""
    from tasks.adapters.records.feedback_store import open_feedback, read_feedback
    from tasks.core.feedback.rules import effective_verdicts

    verdicts = effective_verdicts(read_feedback(open_feedback(settings), since))
    ordered = sorted(answers, key=lambda answer: (answer.at, answer.answer_id))
    return [row_of(answer, verdicts.get(answer.answer_id)) for answer in ordered]


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _now() -> datetime:
    return datetime.now(UTC)
