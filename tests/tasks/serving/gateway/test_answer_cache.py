from typing import Any

from tests.tasks.serving.api.conftest import CHAT


def test_the_same_question_is_answered_from_the_cache_where_that_is_on(start: Any) -> None:
    live = start(cache_entries=2)
    first, second = (live.client().chat.completions.create(**CHAT) for _ in range(2))
    assert first.choices[0].message == second.choices[0].message
    assert first.id != second.id
    assert len(live.engine.requests) == 1
    assert "".join(c.choices[0].delta.content or "" for c in live.client().chat.completions.create(**CHAT, stream=True))
    assert [record.cached for record in live.kept.records] == [False, True, True]
    assert live.kept.records[1].ungrounded == live.kept.records[0].ungrounded
    for other in ({"max_tokens": 7}, {"temperature": 0.7}, {"temperature": 0.7}, {"top_p": 0.5}):
        live.client().chat.completions.create(**CHAT, **other)
    assert len(live.engine.requests) == 5
    live.swap("b" * 64)
    assert live.client().chat.completions.create(**CHAT).choices[0].message.content == "Another answer."
    assert 'ratchet_cache_total{model="aaaaaaaaaaaa",result="hit"} 2.0' in live.get("/metrics", live.admin).text


def test_nothing_is_cached_unless_asked_for(start: Any) -> None:
    live = start()
    for _ in range(2):
        live.post(CHAT)
    assert len(live.engine.requests) == 2
