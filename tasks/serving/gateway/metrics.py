"""The gateway's Prometheus metrics, in a registry of their own (prometheus_client).

Everything about answers is labelled by model version. The grounding-screen rate is
`ratchet_ungrounded_answers_total / ratchet_answers_total`. Caveat: `ratchet_cpu_seconds_total` is the engine's own time
as the engine measures it; an upstream reports none, and then nothing is counted.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.core.records.answer import AnswerRecord

if TYPE_CHECKING:
    from tasks.serving.records.recording import Counts

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120)
NO_MODEL = "none"
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counters, histograms and gauges of one gateway."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        by_model = ["model"]
        self._requests = Counter(
            "ratchet_requests", "Requests for an answer, by HTTP status.", ["model", "status"], registry=registry
        )
        self._answers = Counter("ratchet_answers", "Whole answers.", by_model, registry=registry)
        self._outcomes = Counter(
            "ratchet_outcomes", "Answers begun, by how they ended.", ["model", "status"], registry=registry
        )
        self._tokens = Counter("ratchet_tokens", "Tokens read and written.", ["model", "kind"], registry=registry)
        self._seconds = Histogram(
            "ratchet_answer_seconds", "Arrival to last token.", by_model, registry=registry, buckets=SECONDS
        )
        self._first = Histogram(
            "ratchet_first_token_seconds", "Arrival to first text.", by_model, registry=registry, buckets=SECONDS
        )
        self._cache = Counter("ratchet_cache", "Look-ups of the cache.", ["model", "result"], registry=registry)
        self._abstained = Counter("ratchet_abstentions", "Answers that there is none.", by_model, registry=registry)
        self._ungrounded = Counter(
            "ratchet_ungrounded_answers", "Answers with terms that no source holds.", by_model, registry=registry
        )
        self._cpu = Counter("ratchet_cpu_seconds", "Processor time of answers.", by_model, registry=registry)
        self._child: Callable[..., Any] = cache(lambda figure, *labels: figure.labels(*labels))
        """Their own look-up takes a lock and makes texts of the labels, ten times an answer."""

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read at every scrape."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def gauge_each(self, name: str, help_text: str, label: str, reads: Mapping[str, Callable[[], float]]) -> None:
        """Add a gauge with one reader for each value of a label."""
        gauge = Gauge(name, help_text, [label], registry=self.registry)
        for value, read in reads.items():
            gauge.labels(value).set_function(read)

    def collect_recorder(self, counts: Callable[[], "Counts"]) -> None:
        """Add the recorder's counts, read at every scrape."""
        self.registry.register(_RecorderFigures(counts))

    def count_request(self, model: str, status: int) -> None:
        """Count a request that has ended, also one that was refused before a model was chosen."""
        self._child(self._requests, model, str(status)).inc()

    def count_lookup(self, model: str, *, is_hit: bool) -> None:
        """Count a look-up of the cache."""
        self._child(self._cache, model, "hit" if is_hit else "miss").inc()

    def count_answer(self, record: AnswerRecord) -> None:
        """Count an answer by its record; what is unknown there is not counted."""
        model = record.model[:12]
        self._child(self._outcomes, model, record.status).inc()
        if not record.cached:
            for kind, tokens in (("prompt", record.prompt_tokens), ("completion", record.completion_tokens)):
                if tokens is not None:
                    self._child(self._tokens, model, kind).inc(tokens)
            if record.cpu_s is not None:
                self._child(self._cpu, model).inc(record.cpu_s)
        if record.status != "ok":
            return
        self._child(self._answers, model).inc()
        self._child(self._abstained, model).inc(bool(record.abstained))
        self._child(self._ungrounded, model).inc(bool(record.ungrounded))
        if record.seconds is not None:
            self._child(self._seconds, model).observe(record.seconds)
        if record.ttft_s is not None:
            self._child(self._first, model).observe(record.ttft_s)

    def text(self) -> bytes:
        """Return everything in Prometheus' format."""
        return generate_latest(self.registry)


class _RecorderFigures(Collector):
    """The recorder's counts as Prometheus has them."""

    def __init__(self, counts: Callable[[], "Counts"]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        counts = self._counts()
        records = CounterMetricFamily(
            "ratchet_records", "Records of answers, by what became of them.", labels=["outcome"]
        )
        for outcome in ("recorded", "dropped", "failed"):
            records.add_metric([outcome], getattr(counts, outcome))
        yield records
        journals = CounterMetricFamily("ratchet_journals", "Journals that were to become Parquet.", labels=["outcome"])
        for outcome in ("rotated", "delayed"):
            journals.add_metric([outcome], getattr(counts, outcome))
        yield journals
        yield GaugeMetricFamily("ratchet_records_pending", "Records in memory.", value=counts.pending)
