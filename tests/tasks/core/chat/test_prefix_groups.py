from hypothesis import given
from hypothesis import strategies as st

from tasks.core.chat.prefix_groups import GROUP_CHARS, group, next_prompt, shares

PROMPTS = st.lists(st.tuples(st.integers(0, 5), st.text(max_size=20)), max_size=40).map(
    lambda parts: [f"{number}" * GROUP_CHARS + text for number, text in parts]
)


@given(PROMPTS, st.integers(1, 5))
def test_every_prompt_is_in_one_share_and_every_group_in_one_too(prompts: list[str], parts: int) -> None:
    found = shares(prompts, parts)
    assert sorted(index for share in found for index in share) == list(range(len(prompts)))
    assert len(found) <= parts
    assert all(found)
    homes = {group(prompts[index]): number for number, share in enumerate(found) for index in share}
    assert all(homes[group(prompts[index])] == number for number, share in enumerate(found) for index in share)


@given(PROMPTS, st.integers(1, 5), st.randoms())
def test_the_order_of_the_prompts_does_not_change_the_shares(prompts: list[str], parts: int, rng) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(prompts)
    rng.shuffle(shuffled)
    assert [[shuffled[i] for i in share] for share in shares(shuffled, parts)] == [
        [prompts[i] for i in share] for share in shares(prompts, parts)
    ]


def test_shares_are_about_equal() -> None:
    prompts = [f"{number:04d}" * 100 for number in range(101)]
    sizes = [len(share) for share in shares(prompts, 2)]
    assert abs(sizes[0] - sizes[1]) <= 1


def test_the_next_prompt_is_of_a_group_that_is_not_being_computed() -> None:
    groups = ["x", "x", "y", "y"]
    assert next_prompt([0, 1, 2, 3], groups, set()) == 0
    assert next_prompt([1, 2, 3], groups, {"x"}) == 1
    assert next_prompt([1, 3], groups, {"x", "y"}) == 0
