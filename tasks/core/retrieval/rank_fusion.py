"""Join rankings of the same passages into one.

Method: reciprocal rank fusion, Cormack, Clarke and Buettcher, SIGIR 2009: the score of an item is the sum over
rankings of 1 / (k + rank), k = 60 in their experiments. It needs no scores, so rankings of any kind can be joined.
"""

from collections import defaultdict
from collections.abc import Sequence

K = 60  # Cormack et al. 2009, section 2


def fuse(rankings: Sequence[Sequence[int]], *, k: int = K) -> list[int]:
    """Return every ranked item, best first; among equals the lower number first."""
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] += 1 / (k + rank)
    return sorted(scores, key=lambda item: (-scores[item], item))
