"""Which side of the split a family of documents is on: train, eval or holdout.

The side follows from a digest of the family's name and a seed alone, so a family never changes side when others come or
go, and two runs on two machines agree. Caveat: shares hold on average over families; few or uneven families miss them.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

Side = Literal["train", "eval", "holdout"]
SIDES: tuple[Side, ...] = ("train", "eval", "holdout")


@dataclass(frozen=True)
class Shares:
    """Shares of families on each side; they add up to one."""

    train: float
    eval: float
    holdout: float


def side_of(family: str, shares: Shares, *, seed: int = 0) -> Side:
    """Return the side of a family; where shares change a little, few families change side."""
    digest = hashlib.sha256(f"{seed}\x1f{family}".encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:6]) / 2**48
    if place < shares.train:
        return "train"
    return "eval" if place < shares.train + shares.eval or shares.holdout == 0 else "holdout"
