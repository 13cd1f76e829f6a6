"""Replace personal data in records by pseudonyms, the same value alike everywhere in its record.

What a detector finds once in a record is replaced wherever it stands in that record; a name's parts get the pseudonym
of the whole ("Jane Doe" ... "Doe"). Rounds repeat until no detector finds anything more, so that redacting twice
changes nothing. All texts of a batch go through the detectors' hints as one column; Python sees only the few that may
hold something.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from tasks.core.privacy.name_stopwords import COMMON_WORDS
from tasks.core.privacy.personal_data import PRIORITY
from tasks.core.privacy.pseudonyms import PSEUDONYM, Pseudonyms
from tasks.core.privacy.spans import Detector, Span, stands_alone, without_overlaps

MAX_ROUNDS = 6
MIN_TRAVELLING = 3  # characters; shorter values, and names that are words, are replaced only where they were found
LITTLE_CELLS, LITTLE_CHARS = 64, 6000  # the detectors read 2 kB in 1 ms; their hints take 5 ms for any batch
Values = dict[str, str]


def _no_aliases(name: str) -> Iterable[str]:
    return ()


@dataclass
class Redaction:
    """The texts of a batch after redaction, each changed record's values with their pseudonyms, and counts by class."""

    texts: pl.Series
    values: dict[int, Values] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Redactor:
    """Detectors and the pseudonyms that replace what they find."""

    detectors: Sequence[Detector]
    pseudonyms: Pseudonyms
    aliases: Callable[[str], Iterable[str]] = _no_aliases
    """Returns the parts of a name that stand for it."""
    priority: Sequence[str] = PRIORITY
    """Classes, the one that wins an overlap first."""

    def find(self, text: str, also: Iterable[Span] = ()) -> list[Span]:
        """Return what all detectors find in `text`, and `also`, without overlaps."""
        return self._find(text, self.detectors, also)

    def redact(
        self,
        texts: pl.Series,
        records: Sequence[int],
        *,
        known: Mapping[int, Values] | None = None,
        found: Mapping[int, list[Span]] | None = None,
    ) -> Redaction:
        """Return `texts` redacted.

        records: the record that each text belongs to. known: values to replace in a record although no detector sees
        them there. found: further spans by index of the text, from a detector outside.
        """
        cells_of = defaultdict[int, list[int]](list)
        for cell, record in enumerate(records):
            cells_of[record].append(cell)
        redaction, known, found = Redaction(texts), known or {}, found or {}
        suspects = self._suspects(texts, range(len(texts)))
        touched = sorted({records[cell] for cell in (*suspects, *found)} | known.keys())
        for _ in range(MAX_ROUNDS):
            changed = self._round(redaction, {record: cells_of[record] for record in touched}, suspects, known, found)
            suspects = self._suspects(redaction.texts, [cell for record in changed for cell in cells_of[record]])
            touched, known, found = sorted({records[cell] for cell in suspects}), {}, {}
            if not touched:
                break
        return redaction

    def _round(
        self,
        redaction: Redaction,
        cells_of: Mapping[int, list[int]],
        suspects: Mapping[int, list[Detector]],
        known: Mapping[int, Values],
        found: Mapping[int, list[Span]],
    ) -> list[int]:
        """Redact these records once and return those that changed."""
        replaced: dict[int, str] = {}
        changed = []
        for record, own in cells_of.items():
            before = {cell: text for cell in own if (text := redaction.texts[cell])}
            spans = {cell: self._find(before[cell], suspects.get(cell, ()), found.get(cell, ())) for cell in before}
            values = self._values(before, spans) | dict(known.get(record, {}))
            if not values and not any(spans.values()):
                continue
            after = {cell: self._replace(text, spans[cell], values, redaction.counts) for cell, text in before.items()}
            if after != before:
                changed.append(record)
                replaced.update((cell, text) for cell, text in after.items() if text != before[cell])
                redaction.values.setdefault(record, {}).update(values)
        if replaced:
            order = sorted(replaced)
            redaction.texts = redaction.texts.clone().scatter(order, [replaced[cell] for cell in order])
        return changed

    def _suspects(self, texts: pl.Series, cells: Sequence[int]) -> dict[int, list[Detector]]:
        suspects = defaultdict[int, list[Detector]](list)
        if not cells:
            return suspects
        if self._is_little(texts, cells):
            return defaultdict(list, {cell: list(self.detectors) for cell in cells})
        here = texts if len(cells) == len(texts) else texts.gather(list(cells))
        for detector in self.detectors:
            for index in detector.suspects(here).arg_true().to_list():
                suspects[cells[index]].append(detector)
        return suspects

    def _is_little(self, texts: pl.Series, cells: Sequence[int]) -> bool:
        """Return whether looking at each text costs less than asking the hints, which compile their expressions."""
        return len(cells) <= LITTLE_CELLS and sum(len(texts[cell] or "") for cell in cells) <= LITTLE_CHARS

    def _find(self, text: str, detectors: Iterable[Detector], also: Iterable[Span]) -> list[Span]:
        spans = [*also, *(span for detector in detectors for span in detector.find(text))]
        if not spans:
            return spans
        return without_overlaps(_outside_pseudonyms(text, spans), self.priority)

    def _values(self, texts: Mapping[int, str], spans: Mapping[int, list[Span]]) -> Values:
        """Return the pseudonym of each value found, names' parts included; a part never displaces a whole value."""
        whole = {texts[cell][s.start : s.end]: s.name for cell, found in spans.items() for s in found}
        values = {value: self.pseudonyms.of(name, value) for value, name in whole.items()}
        parts = {
            part: values[value] for value, name in whole.items() if name == "PERSON" for part in self.aliases(value)
        }
        return {value: pseudonym for value, pseudonym in (parts | values).items() if _travels(value)}

    def _replace(self, text: str, spans: list[Span], values: Values, counts: Counter[str]) -> str:
        repeated = list(occurrences(values, text))
        if repeated:
            spans = without_overlaps(_outside_pseudonyms(text, [*spans, *repeated]), self.priority)
        pieces, position = [], 0
        for start, end, name in spans:
            value = text[start:end]
            pseudonym = values.get(value) or self.pseudonyms.of(name, value)
            counts[pseudonym[1:].rpartition("_")[0]] += 1
            pieces += [text[position:start], pseudonym]
            position = end
        return "".join([*pieces, text[position:]])


def _travels(value: str) -> bool:
    return len(value) >= MIN_TRAVELLING and value not in COMMON_WORDS


def occurrences(values: Iterable[str], text: str) -> Iterator[Span]:
    """Yield, without a class, where any of `values` stands in `text` and is not part of a longer word."""
    for value in values:
        start = text.find(value)
        while start >= 0:
            end = start + len(value)
            if stands_alone(text, start, end):
                yield Span(start, end, "")
            start = text.find(value, start + 1)


def trim_torn_values(text: str, values: Iterable[str]) -> str:
    """Return `text`, a quotation, without a value's end at its start or a value's start at its end.

    A quotation may begin or stop inside a value; what is left of the value is personal all the same.
    """
    for value in values:
        if text != value and text in value:
            return ""
        words = re.split(r"(?<=\W)|(?=\W)", value)
        for cut in range(1, len(words)):
            head, tail = "".join(words[:cut]), "".join(words[cut:])
            if text.startswith(tail) and not text.startswith(value) and stands_alone(text, 0, len(tail)):
                text = text[len(tail) :].lstrip()
            if (
                text.endswith(head)
                and not text.endswith(value)
                and stands_alone(text, len(text) - len(head), len(text))
            ):
                text = text[: -len(head)].rstrip()
    return text


def _outside_pseudonyms(text: str, spans: list[Span]) -> list[Span]:
    if not spans or "<" not in text:
        return spans
    taken = [match.span() for match in PSEUDONYM.finditer(text)]
    return [span for span in spans if all(span.end <= start or end <= span.start for start, end in taken)]
