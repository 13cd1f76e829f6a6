import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.training.packing import (
    FILLER,
    Pack,
    TokenisedExample,
    Tree,
    grow_trees,
    pack_trees,
    schedule,
    visibility,
)

tokens = st.integers(0, 5)  # a small alphabet, so that starts coincide often


@st.composite
def example_lists(draw: st.DrawFn) -> list[TokenisedExample]:
    shared = draw(st.lists(tokens, max_size=8))
    examples = []
    for number in range(draw(st.integers(1, 7))):
        prompt = [*shared, *draw(st.lists(tokens, min_size=1, max_size=6))]
        answer = draw(st.lists(tokens, min_size=1, max_size=4))
        examples.append(TokenisedExample(str(number), (*prompt, *answer), len(prompt)))
    return examples


def lessons_of(pack: Pack) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Return what each target is predicted from: the tokens its predictor sees, their positions, and the target."""
    seen = visibility(pack)
    lessons = []
    for place, target in zip(pack.predictors, pack.targets, strict=True):
        columns = seen[place].nonzero()[0]
        lessons.append((tuple(pack.tokens[c] for c in columns), tuple(pack.positions[c] for c in columns), target))
    return lessons


@given(example_lists(), st.integers(4, 40))
def test_every_completion_token_is_predicted_from_its_own_example_and_nothing_else(
    examples: list[TokenisedExample], capacity: int
) -> None:
    packs = pack_trees(grow_trees(examples, capacity), capacity)
    expected = [
        (example.tokens[:place], tuple(range(place)), example.tokens[place])
        for example in examples
        for place in range(example.num_prompt, len(example.tokens))
    ]
    assert sorted(lesson for pack in packs for lesson in lessons_of(pack)) == sorted(expected)
    assert sorted(key for pack in packs for key in pack.examples) == sorted(example.id for example in examples)


@given(example_lists(), st.integers(4, 40))
def test_a_pack_is_too_large_only_where_one_example_is(examples: list[TokenisedExample], capacity: int) -> None:
    longest = max(len(example.tokens) for example in examples)
    packs = pack_trees(grow_trees(examples, capacity), capacity)
    assert max(pack.size for pack in packs) <= max(capacity, longest)


def test_a_shared_start_is_kept_once() -> None:
    context = tuple(range(100, 150))
    examples = [TokenisedExample(str(i), (*context, i, 7, 8), 51) for i in range(4)]
    (tree,) = grow_trees(examples, 1000)
    assert tree.shared == context
    assert tree.size == 50 + 4 * 3
    assert pack_trees([tree], 1000)[0].has_branches


def test_identical_prompts_keep_their_last_token_apart_so_that_each_predicts_its_own_answer() -> None:
    (tree,) = grow_trees([TokenisedExample("a", (1, 2, 3), 2), TokenisedExample("b", (1, 2, 4), 2)], 100)
    assert tree.shared == (1,)


def test_best_fit_decreasing_fills_the_tightest_gap() -> None:
    trees = [Tree((), (TokenisedExample(str(size), tuple(range(size)), 1),)) for size in (6, 5, 4, 3, 2)]
    assert sorted(pack.size for pack in pack_trees(trees, 10)) == [10, 10]


def test_examples_alone_need_no_mask() -> None:
    trees = [Tree((), (TokenisedExample(str(i), (1, 2, 3), 1),)) for i in range(3)]
    (pack,) = pack_trees(trees, 9)
    assert not pack.has_branches
    assert pack.positions == (0, 1, 2) * 3


def numbered_packs(count: int) -> list[Pack]:
    return [Pack((i,) * (i + 2), tuple(range(i + 2)), (0,) * (i + 2), (1,) * (i + 2), (0,), (i,)) for i in range(count)]


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_each_epoch_holds_every_pack_once_and_every_step_the_same_number(
    count: int, processes: int, epochs: int, seed: int
) -> None:
    per_step = 2 * processes
    steps = schedule(numbered_packs(count), per_step, processes=processes, epochs=epochs, seed=seed)
    assert {len(step) for step in steps} == {per_step}
    flat = [pack for step in steps for pack in step if pack is not FILLER]
    per_epoch = -(-count // per_step)
    assert len(steps) == per_epoch * epochs
    assert sorted(pack.targets[0] for pack in flat) == sorted(list(range(count)) * epochs)


def test_another_seed_gives_another_order_and_the_same_seed_the_same() -> None:
    packs = numbered_packs(30)
    first = schedule(packs, 2, processes=1, epochs=1, seed=1)
    assert first == schedule(packs, 2, processes=1, epochs=1, seed=1)
    assert first != schedule(packs, 2, processes=1, epochs=1, seed=2)


def test_processes_get_about_the_same_number_of_tokens_in_a_step() -> None:
    (step,) = schedule(numbered_packs(8), 8, processes=2, epochs=1, seed=0)
    work = [sum(pack.size for pack in step[rank::2]) for rank in range(2)]
    assert abs(work[0] - work[1]) <= 1


def test_a_filler_teaches_nothing() -> None:
    assert FILLER.targets == ()
    assert not visibility(FILLER)[0, 1]


@pytest.mark.parametrize("capacity", [1, 3])
def test_an_example_longer_than_a_pack_stays_whole(capacity: int) -> None:
    (pack,) = pack_trees(grow_trees([TokenisedExample("a", tuple(range(9)), 5)], capacity), capacity)
    assert pack.size == 9
