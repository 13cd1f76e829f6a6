"""Pack tokenised examples into rows without padding, in which examples with a common prefix share it. Pure.

Examples over the same context differ only in their last words, so their common prefix is computed once and each
question is a branch of it: a tree. A token attends to its own branch and the common prefix, each branch continues the
positions of the prefix, and so every example gets exactly the loss and gradient that it would get alone (prefix
sharing: Hydragen, Juravsky et al. 2024, section 3; tree attention: Cai et al. 2024, section 3.1.2). Trees are put into
packs of a given size by best-fit decreasing (Johnson et al. 1974), packs into steps of equal number for every process.
Caveat: a pack with branches needs an attention mask; without branches, positions that restart are enough.
"""

import bisect
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TokenisedExample:
    """A prompt with its completion; the first `num_prompt` tokens are the prompt's."""

    id: str
    tokens: tuple[int, ...]
    num_prompt: int

    @property
    def num_targets(self) -> int:
        return len(self.tokens) - self.num_prompt


@dataclass(frozen=True)
class Tree:
    """Examples with their common prefix; a branch is what follows the prefix in one of them."""

    shared: tuple[int, ...]
    examples: tuple[TokenisedExample, ...]

    @property
    def size(self) -> int:
        return len(self.shared) + sum(len(e.tokens) - len(self.shared) for e in self.examples)


@dataclass(frozen=True)
class Pack:
    """One row for the model. `tree` and `branch` (0: the common prefix) decide which tokens attend to each other.

    `predictors[i]` is the position whose output predicts `targets[i]`; only completions are targets.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    tree: tuple[int, ...]
    branch: tuple[int, ...]
    predictors: tuple[int, ...]
    targets: tuple[int, ...]
    examples: tuple[str, ...] = ()
    """Identifiers of the examples in it."""

    @property
    def has_branches(self) -> bool:
        return max(self.branch, default=0) > 1

    @property
    def size(self) -> int:
        return len(self.tokens)


FILLER = Pack(tokens=(0, 0), positions=(0, 1), tree=(0, 0), branch=(0, 0), predictors=(), targets=())
"""A pack without targets, which fills the last step up so that every process has equally many packs."""


def grow_trees(examples: Iterable[TokenisedExample], capacity: int) -> Iterator[Tree]:
    """Yield trees of neighbours in `examples`, each at most `capacity` tokens (a longer example stays alone).

    Neighbours that share nothing but the template are joined too, so give only examples over one context.
    """
    members: list[TokenisedExample] = []
    for example in examples:
        if members and _tree([*members, example]).size > capacity:
            yield _tree(members)
            members = []
        members.append(example)
    if members:
        yield _tree(members)


def pack_trees(trees: Iterable[Tree], capacity: int) -> list[Pack]:
    """Return the trees in packs of at most `capacity` tokens by best-fit decreasing; a larger tree has its own pack."""
    bins: list[list[Tree]] = []
    free: list[tuple[int, int]] = []  # (room, bin), sorted by room
    for tree in sorted(trees, key=lambda tree: -tree.size):
        place = bisect.bisect_left(free, (tree.size, -1))
        if place < len(free):
            room, index = free.pop(place)
            bins[index].append(tree)
        else:
            room, index = max(capacity, tree.size), len(bins)
            bins.append([tree])
        bisect.insort(free, (room - tree.size, index))
    return [_lay_out(members) for members in bins]


def visibility(pack: Pack) -> NDArray[np.bool_]:
    """Return which token (row) attends to which (column): earlier ones of its branch and of its tree's prefix."""
    tree, branch = np.array(pack.tree), np.array(pack.branch)
    same_tree = tree[:, None] == tree[None, :]
    same_branch = (branch[:, None] == branch[None, :]) | (branch[None, :] == 0)
    return np.tril(same_tree & same_branch)


def schedule(packs: Sequence[Pack], per_step: int, *, processes: int, epochs: int, seed: int) -> list[list[Pack]]:
    """Return the packs of each optimiser step, `per_step` of them; pack i belongs to process i mod `processes`.

    Every epoch has an order of its own. Within a step the packs are dealt by length, in alternating direction, so that
    all processes get about the same number of tokens.
    Requires that `processes` divides `per_step`.
    """
    rng = random.Random(seed)
    steps = []
    for _ in range(epochs):
        order = rng.sample(range(len(packs)), len(packs))
        for start in range(0, len(order), per_step):
            members = [packs[i] for i in order[start : start + per_step]]
            members += [FILLER] * (per_step - len(members))
            steps.append(_deal(members, processes))
    return steps


def _tree(examples: Sequence[TokenisedExample]) -> Tree:
    first = examples[0]
    if len(examples) == 1:
        return Tree((), (first,))
    # the last prompt token stays in the branch: its output predicts the first token of the completion
    longest = min(example.num_prompt for example in examples) - 1
    columns = zip(*(example.tokens[:longest] for example in examples), strict=False)
    common = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return Tree(first.tokens[:common], tuple(examples))


def _lay_out(trees: Sequence[Tree]) -> Pack:
    tokens: list[int] = []
    positions: list[int] = []
    tree_of: list[int] = []
    branch_of: list[int] = []
    predictors: list[int] = []
    targets: list[int] = []
    for number, tree in enumerate(trees):
        start = len(tree.shared)
        parts = [(0, tree.shared)] + [(b, e.tokens[start:]) for b, e in enumerate(tree.examples, 1)]
        for branch, part in parts:
            first = start if branch else 0
            tokens += part
            positions += range(first, first + len(part))
            tree_of += [number] * len(part)
            branch_of += [branch] * len(part)
            if branch:
                num_targets = tree.examples[branch - 1].num_targets
                predictors += range(len(tokens) - num_targets - 1, len(tokens) - 1)
                targets += part[len(part) - num_targets :]
    return Pack(
        tuple(tokens),
        tuple(positions),
        tuple(tree_of),
        tuple(branch_of),
        tuple(predictors),
        tuple(targets),
        tuple(example.id for tree in trees for example in tree.examples),
    )


def _deal(packs: Sequence[Pack], processes: int) -> list[Pack]:
    ordered = sorted(packs, key=lambda pack: -pack.size)
    rounds = [ordered[i : i + processes] for i in range(0, len(ordered), processes)]
    return [pack for number, members in enumerate(rounds) for pack in (members[::-1] if number % 2 else members)]
