"""Questions of three topics as vectors and texts: usual ones and two new topics."""

import numpy as np

from tasks.core.monitoring.triage import Rows

DIMENSIONS = 24
TOPICS = {
    "usual": "open a file and read its lines with the standard library number{n}",
    "arrays": "reshape the ndarray broadcasting axis number{n}",
    "plots": "draw a histogram figure with matplotlib colour number{n}",
}
INDEXED = {"open", "a", "file", "and", "read", "its", "lines", "with", "the", "standard", "library"}
KNOWN = INDEXED | {"reshape", "ndarray", "broadcasting", "axis"}


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def questions(topic: str, rows: int, seed: int) -> np.ndarray:
    """Return vectors about a topic: usual ones lie anywhere in half of the space, others near a direction of theirs."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, DIMENSIONS)) * 0.25
    if topic == "usual":
        found[:, : DIMENSIONS // 2] = rng.normal(size=(rows, DIMENSIONS // 2))
    else:
        found[:, DIMENSIONS - 1 - list(TOPICS).index(topic)] += 2.5
    return unit(found)


def window(parts: dict[str, int], seed: int = 1, **signals: dict[str, float]) -> Rows:
    """Return rows of the topics, one after the other; each signal is 1 with the rate given for the topic."""
    rng = np.random.default_rng(seed + 100)
    topics = [topic for topic, size in parts.items() for _ in range(size)]
    rates = {"quality": {}, "retrieval": {}, "abstained": {}} | signals
    usual = {"quality": 0.9, "retrieval": 0.8, "abstained": 0.05}
    columns = {
        name: (rng.random(len(topics)) < [by_topic.get(topic, usual[name]) for topic in topics]).astype(float)
        for name, by_topic in rates.items()
    }
    return Rows(
        vectors=np.concatenate([questions(topic, size, seed + i) for i, (topic, size) in enumerate(parts.items())]),
        texts=[TOPICS[topic].format(n=number) for number, topic in enumerate(topics)],
        **columns,
    )


REFERENCE = questions("usual", 600, 0)
MIXED = {"usual": 400, "arrays": 80, "plots": 50}
