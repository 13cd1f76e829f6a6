"""The answer cache: the same question to the same model is answered again without computing."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")


class AnswerCache(Generic[Value]):
    """At most `entries` answers, the least recently used evicted first. With 0 entries it is off."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._answers: OrderedDict[str, Value] = OrderedDict()

    @property
    def is_on(self) -> bool:
        return self._entries > 0

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Value | None:
        """Return the answer, or None where it is not kept."""
        if key not in self._answers:
            return None
        self._answers.move_to_end(key)
        return self._answers[key]

    def put(self, key: str, answer: Value) -> None:
        """Keep an answer."""
        if not self.is_on:
            return
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > self._entries:
            self._answers.popitem(last=False)


def cache_key(**decides: str | Mapping[str, object]) -> str:
    """Return the digest of everything that an answer depends on."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
