"""Stratified samples and orders by hash: the same ids give the same result, and more ids change it little. Pure.

Within a stratum the ids are ordered by a digest of seed and id, so no generator and no order of input decides. A sample
shares its size among the strata by largest remainders (Hamilton's method). Caveat: the two functions hash differently,
so the beginning of an order is not the sample of that size.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping


def stratified_sample(strata: Mapping[str, Hashable], size: int, seed: int = 0) -> list[str]:
    """Return `size` of the ids that `strata` maps to their stratum (all where there are fewer), sorted."""
    if size >= len(strata):
        return sorted(strata)
    groups: dict[str, list[str]] = defaultdict(list)
    for identity, stratum in strata.items():
        groups[repr(stratum)].append(identity)
    quotas = _apportion({name: len(members) for name, members in groups.items()}, size, seed)
    chosen = [sorted(members, key=lambda i: _rank(i, seed))[: quotas[name]] for name, members in groups.items()]
    return sorted(identity for members in chosen for identity in members)


def stratified_order(strata: Iterable[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """Return the (id, stratum) pairs so that every beginning of the list holds the strata in their proportions.

    One id more moves no other of its stratum.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for identity, stratum in strata:
        groups[stratum].append(identity)
    placed = [
        ((i + 0.5) / len(members), stratum, identity)
        for stratum, members in groups.items()
        for i, identity in enumerate(sorted(members, key=lambda identity: _order_digest(identity, seed)))
    ]
    return [(identity, stratum) for _, stratum, identity in sorted(placed)]


def _apportion(sizes: Mapping[str, int], size: int, seed: int) -> dict[str, int]:
    """Share `size` out in proportion: whole parts, then one more to the largest remainders (Hamilton's method)."""
    total = sum(sizes.values())
    quotas = {name: size * count // total for name, count in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(size * sizes[name] % total), _rank(name, seed)))
    for name in by_remainder[: size - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _rank(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\x1f{text}".encode("utf-8", "surrogatepass")).digest()


def _order_digest(text: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {text}".encode()).hexdigest()
