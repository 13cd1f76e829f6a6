"""A stratified sample that nobody chose: the same rows give the same sample, and more rows change it little. Pure.

Every stratum gets its share by largest remainders; within it the rows with the least digests are taken.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Mapping


def stratified(strata: Mapping[str, Hashable], size: int, seed: int = 0) -> list[str]:
    """Return `size` of the ids that `strata` maps to their stratum (all where there are fewer), sorted."""
    if size >= len(strata):
        return sorted(strata)
    groups: dict[str, list[str]] = defaultdict(list)
    for identity, stratum in strata.items():
        groups[repr(stratum)].append(identity)
    quotas = _apportion({name: len(members) for name, members in groups.items()}, size, seed)
    chosen = [sorted(members, key=lambda i: _rank(i, seed))[: quotas[name]] for name, members in groups.items()]
    return sorted(identity for members in chosen for identity in members)


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
