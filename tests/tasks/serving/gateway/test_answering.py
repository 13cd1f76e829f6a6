from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from tasks.serving.gateway.answer_cache import AnswerCache, cache_key
from tasks.serving.gateway.answering import Stripper


@given(st.lists(st.text(alphabet="ab \n\t", max_size=4)))
def test_a_text_in_pieces_is_stripped_as_a_whole_one_is(chunks: list[str]) -> None:
    strip = Stripper()
    assert "".join(strip.feed(chunk) for chunk in chunks) == "".join(chunks).strip()


def test_the_answer_asked_for_longest_ago_leaves_the_cache_first() -> None:
    cache: AnswerCache[int] = AnswerCache(2)
    for name in ("a", "b"):
        cache.put(name, 1)
    cache.get("a")
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, None, 3, 2)


def test_a_cache_without_room_keeps_nothing() -> None:
    cache: AnswerCache[int] = AnswerCache(0)
    cache.put("a", 1)
    assert (cache.is_on, len(cache)) == (False, 0)


def test_everything_that_decides_an_answer_changes_its_key() -> None:
    same = {"model": "m", "index": "i", "prompt": "p", "engine": "e", "question": "q"}

    def keys() -> Iterator[str]:
        yield cache_key(**same, parameters={"temperature": 0})
        yield cache_key(**same, parameters={"temperature": 1})
        for name in same:
            yield cache_key(**{**same, name: "other"}, parameters={"temperature": 0})

    assert len(set(keys())) == 7
    assert cache_key(**same, parameters={"a": 1, "b": 2}) == cache_key(**same, parameters={"b": 2, "a": 1})
