"""The terms by which a text is searched: words, identifiers whole and in parts, and the names a title gives.

Caveat: no stemming and no stop words; what is common weighs little in BM25, and inflection is left to the embedder.
"""

import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_](?:[\w.\-]*\w)?|_\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def terms(text: str) -> Iterator[str]:
    """Yield the terms of a text in lower case, in order, once for each place they stand at.

    `os.path.join` gives os.path.join, os, path, join; `JSONDecoder.raw_decode` gives itself, its two names, and json,
    decoder, raw, decode.
    """
    for match in _WORD.finditer(text):
        word = match.group()
        names = word.split(".")
        parts = [part for name in names if name.isascii() for part in _PART.findall(name)]
        yield from dict.fromkeys(term.lower() for term in (word, *names, *parts))


def names(text: str) -> set[str]:
    """Return what a question may call something: each word of the text and the dotted ends of it.

    `json.dumps` gives json.dumps and dumps, not json: that is the name of something else.
    """
    found = (match.group().lower().split(".") for match in _WORD.finditer(text))
    return {".".join(parts[start:]) for parts in found for start in range(len(parts))}


def title_names(title: str) -> set[str]:
    """Return the names of a thing by its title; a title of several words is no name, its words say too little."""
    return names(title) if len(title.split()) == 1 else set()
