"""Spans of a text with the class of what they hold, and detectors that find them by a pattern.

A `Pattern` works twice: its `hint`, a regular expression for polars' Rust engine, tells at gigabytes a second which
texts can match at all; its `shape` and `accept` then decide in Python on those few. A hint must match whenever the
pattern does. Shapes are bounded and need no look-around, so that no input makes them slow; what surrounds a match is
looked at by `accept`.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import polars as pl

Bounds = tuple[int, int]


class Span(NamedTuple):
    """Characters `start` to `end` of a text belong to class `name`."""

    start: int
    end: int
    name: str


class Detector(Protocol):
    """Finds spans of one or more classes."""

    def suspects(self, texts: pl.Series) -> pl.Series:
        """Return for each text whether `find` may find something: never False where it does."""

    def find(self, text: str) -> Iterator[Span]:
        """Yield the spans of one text."""


def marked(rows: pl.Series, length: int) -> pl.Series:
    """Return `length` booleans that are true at `rows`."""
    return pl.repeat(False, length, dtype=pl.Boolean, eager=True).scatter(rows.cast(pl.UInt32), True)


def whole_match(match: re.Match[str]) -> Bounds | None:
    """Accept a match that stands alone: no letter, digit or underscore touches it."""
    return match.span() if stands_alone(match.string, *match.span()) else None


def stands_alone(text: str, start: int, end: int, also: str = "") -> bool:
    """Return whether neither neighbour of text[start:end] is a word character or one of `also`."""
    if start and _joins(text[start - 1], also):
        return False
    return end >= len(text) or not _joins(text[end], also)


def starts_word(text: str, start: int) -> bool:
    """Return whether no word character stands before text[start]."""
    return start == 0 or not _joins(text[start - 1], "")


def _joins(character: str, also: str) -> bool:
    return character.isalnum() or character == "_" or character in also


@dataclass(frozen=True)
class Pattern:
    """A regular expression plus a judgement on each of its matches.

    `accept` returns where the value lies in the match, None to look again one character on, or empty bounds to go on
    behind them. `hint` is cheaper than `shape` and matches whenever it does; empty: `shape` itself.
    """

    name: str
    shape: str
    accept: Callable[[re.Match[str]], Bounds | None] = whole_match
    hint: str = ""

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(self.shape)

    def find(self, text: str, start: int = 0, end: int = sys.maxsize) -> Iterator[Span]:
        """Yield the spans that lie in text[start:end]; what `accept` sees reaches beyond."""
        position = start
        while match := self._regex.search(text, position, end):
            bounds = self.accept(match)
            if bounds is None:
                position = match.start() + 1  # a refused match may hide a later one that overlaps it
                continue
            if bounds[0] < bounds[1]:
                yield Span(*bounds, self.name)
            position = max(bounds[1], match.start() + 1)


@dataclass(frozen=True)
class PatternGroup:
    """Patterns that share one hint: polars keeps 32 compiled expressions, so few hints are fast and many are not."""

    patterns: tuple[Pattern, ...]
    gate: str = ""
    """Cheaper still, tried first: matches inside or beside whatever any of the patterns matches."""
    margin: int = 96
    """How many characters around the gate's match a pattern may reach."""

    @cached_property
    def _hint(self) -> str:
        return "|".join(re.sub(r"\(\?P<\w+>", "(?:", pattern.hint or pattern.shape) for pattern in self.patterns)

    def suspects(self, texts: pl.Series) -> pl.Series:
        if not self.gate:
            return texts.str.contains(self._hint)
        rows = texts.str.contains(self.gate).arg_true()
        return marked(rows.filter(texts.gather(rows).str.contains(self._hint)), len(texts))

    def find(self, text: str) -> Iterator[Span]:
        if not self.gate:
            return (span for pattern in self.patterns for span in pattern.find(text))
        windows = _merged(
            (match.start() - self.margin, match.end() + self.margin) for match in self._gate.finditer(text)
        )
        return (span for window in windows for pattern in self.patterns for span in pattern.find(text, *window))

    @cached_property
    def _gate(self) -> re.Pattern[str]:
        return re.compile(self.gate)


def _merged(windows: Iterable[Bounds]) -> Iterator[Bounds]:
    """Yield windows from left to right with those that overlap joined."""
    start, end = 0, 0
    for next_start, next_end in windows:
        if next_start > end:
            if end:
                yield start, end
            start = next_start
        end = next_end
    if end:
        yield max(start, 0), end


@dataclass(frozen=True)
class PlainPattern:
    """A user's own regular expression: any that Python knows, so every text is looked at (about 20 us per 2 kB)."""

    name: str
    regex: re.Pattern[str]

    def suspects(self, texts: pl.Series) -> pl.Series:
        return pl.repeat(True, len(texts), eager=True)

    def find(self, text: str) -> Iterator[Span]:
        return (Span(*match.span(), self.name) for match in self.regex.finditer(text) if match.end() > match.start())


def without_overlaps(spans: Iterable[Span], priority: Sequence[str]) -> list[Span]:
    """Return spans in text order of which no two overlap: the class first in `priority` wins, then the longer span."""
    rank = {name: index for index, name in enumerate(priority)}
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (rank.get(s.name, len(rank)), s.start - s.end, s.start)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return sorted(kept)
