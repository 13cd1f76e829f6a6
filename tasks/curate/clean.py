"""Make texts plain and drop what is no text worth keeping.

Reads `validate`, writes `clean`: both tables normalised (NFC, plain spaces and line ends, no control characters),
documents without boilerplate lines, and `dropped.jsonl` {id, record, reason}. Boilerplate is a line that matches a
pattern, or one that opens or closes a large share of a source's documents. Documents are dropped by the rules of
Gopher and C4 with loose thresholds (`tasks/core/curation/quality_filters.py`) or for their language; conversations for
their language, or when the documents that hold their evidence are gone. Evidence is treated as its document is, so that
it stays a verbatim part of it. Dropped records remain in `validate`.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import polars as pl

from tasks.adapters.storage.files import whole_file
from tasks.adapters.storage.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    num_rows,
    read_batches,
    table_writer,
)
from tasks.adapters.system.progress import Progress
from tasks.core.curation import normalisation
from tasks.core.curation.quality_filters import QualityRules, broken_rule
from tasks.core.curation.validation_features import said
from tasks.core.stage import Report, StageConfig

if TYPE_CHECKING:
    from tasks.adapters.curation.language_id import LanguageIdentifier

DROPPED = "dropped.jsonl"
HEADER_SAMPLE = 20_000  # documents, about: headers and footers show in a part of them
OUTER_DEPTH = 3  # lines at either end of a document that may be header or footer
PATTERNS = (  # plain classes and no counted repetition keep their union fast
    r"(?:we use|this (?:web)?site uses) cookies.*",
    r"accept (?:all )?cookies",
    r"(?:please )?enable javascript.*",  # C4 drops lines that ask for JavaScript
    r"skip to (?:main )?content",
    r"(?:terms of (?:use|service)|privacy policy|cookie policy)(?: *[|·•-].*)?",  # C4 drops lines of policies
    r"(?:copyright )?(?:©|\(c\)) ?[0-9][0-9][0-9][0-9].*",
    r"copyright [0-9][0-9][0-9][0-9].*",
    r".*all rights reserved",
    r"page [0-9]+(?: of [0-9]+)?",
    r"(?:previous|next)(?: *[|·•-] *(?:previous|next|home|up))*",
    r"edit (?:this page )?on github",
    r"last (?:updated|modified)(?: on)?:? [a-z0-9 ,:-]*",
    r"was this page helpful\??",
    r"subscribe to our newsletter.*",
    r"powered by [a-z0-9 .-]*",
)


class Config(StageConfig):
    languages: tuple[str, ...] = ("en",)
    """Accepted languages, ISO 639-1."""
    min_language_confidence: float = 0.7
    """Confidence from which a text counts as being in another language; short or unsure texts stay."""
    boilerplate: tuple[str, ...] = PATTERNS
    """Regular expressions for a whole line that is dropped, case ignored."""
    repeated_line_share: float = 0.3
    """A line that opens or closes this share of a source's documents is header or footer."""
    min_repeated_lines: int = 20
    """Least number of such documents."""
    rules: QualityRules = QualityRules()
    """Thresholds of the quality rules."""


class CleanReport(Report):
    documents: int
    documents_dropped: int
    documents_changed: int
    """Kept documents whose text differs from the input's."""
    conversations: int
    conversations_dropped: int
    boilerplate_lines: int
    """Lines removed from documents."""
    repeated_lines: int
    """Different lines taken for header or footer."""
    reasons: dict[str, dict[str, int]]
    """Dropped records by record type and reason."""


def run(config: Config, validate: Path, out: Path) -> CleanReport:
    from tasks.adapters.curation.language_id import LanguageIdentifier

    identifier = LanguageIdentifier(config.languages, config.min_language_confidence)
    repeated = _repeated_lines(config, validate / DOCUMENTS)
    progress = Progress("clean", num_rows(validate / DOCUMENTS) + num_rows(validate / CONVERSATIONS))
    with whole_file(out / DROPPED) as dropped:
        cleaner = _Cleaner(config, identifier, repeated, dropped)
        for file, schema, clean in (
            (DOCUMENTS, DOCUMENT_SCHEMA, cleaner.documents),
            (CONVERSATIONS, CONVERSATION_SCHEMA, cleaner.conversations),
        ):
            with table_writer(out / file, schema) as writer:
                for batch in read_batches(validate / file):
                    writer.write(clean(batch))
                    progress.advance(batch.height)
    return cleaner.report()


class _Cleaner:
    """Cleans batch after batch; remembers the dropped documents' ids and the lines that documents lost."""

    def __init__(
        self, config: Config, identifier: "LanguageIdentifier", repeated: "_Repeated", dropped: TextIO
    ) -> None:
        self._config, self._identifier, self._repeated, self._dropped = config, identifier, repeated, dropped
        self._boilerplate = normalisation.boilerplate_pattern(config.boilerplate) if config.boilerplate else ""
        self._gone: set[str] = set()
        self._lost_lines: dict[str, list[str]] = {}
        self._counts, self._reasons = Counter[str](), defaultdict[str, Counter[str]](Counter)

    def documents(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the documents that stay, cleaned."""
        plain = normalisation.normalise(batch["text"].fill_null(""))
        texts = normalisation.without_lines(plain, self._boilerplate) if self._boilerplate else plain
        texts = self._without_headers(texts, batch["source"])
        for row in (texts != plain).arg_true().to_list():
            lost = normalisation.lines_lost(plain[row], texts[row])
            self._lost_lines[batch["id"][row]] = lost
            self._counts["boilerplate_lines"] += len(lost)
        reasons = _first(broken_rule(texts, self._config.rules), self._language(texts))
        cleaned = batch.with_columns(
            texts.alias("text"), normalisation.one_line(batch["title"].fill_null("")).alias("title")
        )
        changed = (reasons == "") & (texts != batch["text"])
        self._counts["documents_changed"] += int(changed.sum())
        return self._kept("document", cleaned, reasons)

    def conversations(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return the conversations that stay, cleaned."""
        turns = batch.select(pl.int_range(pl.len()).alias("row"), "messages").explode("messages", empty_as_null=False)
        contents = normalisation.normalise(turns["messages"].struct.field("content").fill_null(""))
        message = pl.struct(pl.col("messages").struct.field("role"), contents.alias("content"))
        messages = turns.select("row", message.alias("messages")).group_by("row", maintain_order=True).agg("messages")
        evidence = normalisation.normalise(batch["evidence"].fill_null(""))
        cleaned = batch.with_columns(messages["messages"], evidence.alias("evidence"))
        is_empty = messages.select(pl.col("messages").list.eval(pl.element().struct.field("content") == "").list.any())
        empty = is_empty.select(pl.when(pl.first()).then(pl.lit("empty turn")).otherwise(pl.lit("")))["literal"]
        cleaned, orphaned = self._with_living_documents(cleaned)
        return self._kept("conversation", cleaned, _first(_first(empty, orphaned), self._language(said(cleaned))))

    def report(self) -> CleanReport:
        """Return the counts so far."""
        return CleanReport(
            documents=self._counts["document"],
            documents_dropped=self._reasons["document"].total(),
            documents_changed=self._counts["documents_changed"],
            conversations=self._counts["conversation"],
            conversations_dropped=self._reasons["conversation"].total(),
            boilerplate_lines=self._counts["boilerplate_lines"],
            repeated_lines=self._repeated.num_lines,
            reasons={
                record: dict(sorted(counts.items())) for record, counts in sorted(self._reasons.items()) if counts
            },
        )

    def _without_headers(self, texts: pl.Series, sources: pl.Series) -> pl.Series:
        rows, changed = [], []
        for row, head, tail in self._repeated.candidates(texts, sources):
            text = normalisation.without_outer_lines(texts[row], head, tail, OUTER_DEPTH)
            if text != texts[row]:
                rows.append(row)
                changed.append(text)
        return (
            texts.clone().scatter(rows, normalisation.normalise(pl.Series(changed, dtype=pl.String))) if rows else texts
        )

    def _language(self, texts: pl.Series) -> pl.Series:
        code = self._identifier.foreign(texts)
        return pl.select(pl.when(code != "").then("language " + code).otherwise(pl.lit("")).alias("reason"))["reason"]

    def _with_living_documents(self, batch: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """Return the conversations without references to dropped documents, and why some of them have to go."""
        reasons = [""] * batch.height
        ids, evidence = batch["document_ids"].to_list(), batch["evidence"].to_list()
        for row, (own, quote, answerable) in enumerate(zip(ids, evidence, batch["answerable"], strict=True)):
            living = [id_ for id_ in own or () if id_ not in self._gone]
            lost = [line for id_ in living for line in self._lost_lines.get(id_, ())]
            if lost and quote:
                evidence[row] = normalisation.quote_without(quote, lost)
                reasons[row] = "" if evidence[row] else "evidence is boilerplate"
            if len(living) < len(own or ()):
                ids[row] = living
                if answerable and (quote or not living):
                    reasons[row] = "document dropped"
        columns = [
            pl.Series("document_ids", ids, dtype=pl.List(pl.String)),
            pl.Series("evidence", evidence, dtype=pl.String),
        ]
        return batch.with_columns(columns), pl.Series(reasons, dtype=pl.String)

    def _kept(self, record: str, batch: pl.DataFrame, reasons: pl.Series) -> pl.DataFrame:
        is_kept = reasons == ""
        for id_, reason in zip(batch.filter(~is_kept)["id"], reasons.filter(~is_kept), strict=True):
            self._dropped.write(json.dumps({"id": id_, "record": record, "reason": reason}, sort_keys=True) + "\n")
            self._reasons[record][reason] += 1
            if record == "document":
                self._gone.add(id_)
        self._counts[record] += int(is_kept.sum())
        return batch.filter(is_kept)


@dataclass(frozen=True)
class _Repeated:
    """Lines by source that open or close many of its documents."""

    heads: Mapping[str, frozenset[str]]
    tails: Mapping[str, frozenset[str]]

    @property
    def num_lines(self) -> int:
        return len(frozenset().union(*self.heads.values(), *self.tails.values()))

    def candidates(self, texts: pl.Series, sources: pl.Series) -> Iterator[tuple[int, frozenset[str], frozenset[str]]]:
        """Yield the rows of sources that have such lines, with the lines."""
        for row in sources.is_in([*self.heads, *self.tails]).arg_true().to_list() if self.heads or self.tails else ():
            yield row, self.heads.get(sources[row], frozenset()), self.tails.get(sources[row], frozenset())


def _repeated_lines(config: Config, documents: Path) -> _Repeated:
    """Count outer lines over a sample; lines seen once in a batch are forgotten, so that memory stays small."""
    every = max(1, num_rows(documents) // HEADER_SAMPLE)
    totals, heads, tails = Counter[str](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for batch in read_batches(documents, columns=["text", "source"], every=every):
        sources = batch["source"].fill_null("")
        totals.update(sources.to_list())
        outer = normalisation.outer_lines(batch["text"].fill_null(""), OUTER_DEPTH)
        for side, counts in (("head", heads), ("tail", tails)):
            lines = outer.select(sources.gather(outer["row"]).alias("source"), line=pl.col(side)).explode("line")
            lines = lines.with_columns(pl.col("line").str.strip_chars()).filter(pl.col("line") != "")
            often = lines.group_by("source", "line").len().filter(pl.col("len") > 1)
            counts.update({(source, line): count for source, line, count in often.iter_rows()})
    found = [_often(config, totals, counts) for counts in (heads, tails)]
    return _Repeated(*found)


def _often(config: Config, totals: Counter[str], counts: Counter[tuple[str, str]]) -> dict[str, frozenset[str]]:
    lines = defaultdict[str, set[str]](set)
    for (source, line), count in counts.items():
        if count >= max(config.min_repeated_lines, config.repeated_line_share * totals[source]):
            lines[source].add(line)
    return {source: frozenset(found) for source, found in lines.items()}


def _first(reasons: pl.Series, others: pl.Series) -> pl.Series:
    """Return each reason, or the other where there is none."""
    return pl.select(pl.when(reasons != "").then(reasons).otherwise(others).alias("reason"))["reason"]
