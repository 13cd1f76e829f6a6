"""Group and order prompts by common prefix, so that an engine computes a shared prefix once.

Prompts of questions about one document begin alike: the same instruction, then the same best passage. An engine with
prefix caching reuses the keys and values of a prefix, but only when the first prompt of a group is through before the
second comes. The order depends on the prompts alone, so that the same items are always computed in the same way.
"""

from collections.abc import Collection, Sequence

GROUP_CHARS = 320
"""Length of the prefix that makes a group: past the instruction and into the first passage."""


def group(prompt: str) -> str:
    """Return the prefix that the prompts of one group have in common."""
    return prompt[:GROUP_CHARS]


def shares(prompts: Sequence[str], parts: int) -> list[list[int]]:
    """Return the indices of `prompts` in at most `parts` shares of about equal length, each group in one share.

    A share is sorted by prompt; none is empty.
    """
    groups: dict[str, list[int]] = {}
    for index in sorted(range(len(prompts)), key=lambda i: (prompts[i], i)):
        groups.setdefault(group(prompts[index]), []).append(index)
    bins: list[list[int]] = [[] for _ in range(max(parts, 1))]
    loads = [0] * len(bins)
    for members in groups.values():
        lightest = loads.index(min(loads))
        bins[lightest] += members
        loads[lightest] += sum(len(prompts[i]) for i in members)
    return [indices for indices in bins if indices]


def next_prompt(waiting: Sequence[int], groups: Sequence[str], busy: Collection[str]) -> int:
    """Return the place in `waiting` of the next prompt: the first whose group is not being computed, else the first."""
    return next((place for place, index in enumerate(waiting) if groups[index] not in busy), 0)
