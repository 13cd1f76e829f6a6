"""Cut a document into passages small enough for a prompt and large enough to hold an answer.

Paragraphs are kept whole where they fit, else sentences, else lines, else words. Every passage but the first starts
with its document's title, since a passage is read, embedded and searched alone. Caveat: sizes are characters, not
tokens, so that the cut does not depend on any model.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_CHARS = 450  # about 130 tokens of SmolLM2's vocabulary: four passages and a question fit 640 tokens

BOUNDARIES = tuple(re.compile(p) for p in (r"\n[ \t]*\n\s*", r"(?<=[.!?])\s+", r"\n", r"[ \t]+"))


@dataclass(frozen=True, order=True)
class Passage:
    """A piece of a document, as retrieval returns it and the prompt shows it."""

    id: str
    document_id: str
    ordinal: int
    text: str


def cut(document_id: str, title: str, text: str, *, max_chars: int = MAX_CHARS) -> list[Passage]:
    """Return the passages of a document in reading order; a text without words has none.

    A title longer than a third of a passage is shortened where it is repeated.
    """
    head = f"{title[: max_chars // 3].strip()}\n".lstrip()
    texts = [
        block if number == 0 else head + block
        for number, block in enumerate(_pack(_pieces(text, max_chars - len(head), BOUNDARIES), max_chars, len(head)))
    ]
    return [Passage(f"{document_id}-{number:04d}", document_id, number, text) for number, text in enumerate(texts)]


def _pack(pieces: Iterator[str], max_chars: int, head_chars: int) -> Iterator[str]:
    """Join neighbouring pieces while they fit; only the first block has no title and so more room."""
    block, room = "", max_chars
    for piece in pieces:
        if len((block + piece).strip()) <= room:
            block += piece
            continue
        if block.strip():
            yield block.strip()
            room = max_chars - head_chars
        block = piece
    if block.strip():
        yield block.strip()


def _pieces(text: str, max_chars: int, boundaries: Sequence[re.Pattern[str]]) -> Iterator[str]:
    """Yield pieces that join to `text`, none longer than `max_chars` without its surrounding whitespace."""
    if len(text.strip()) <= max_chars:
        yield text
    elif boundaries:
        ends = [match.end() for match in boundaries[0].finditer(text)]
        for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
            yield from _pieces(text[start:end], max_chars, boundaries[1:])
    else:
        stripped = text.strip()
        yield from (stripped[at : at + max_chars] for at in range(0, len(stripped), max_chars))
