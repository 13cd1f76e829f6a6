from typing import Any

from tasks.core.chat import prompt
from tests.tasks.serving.api.conftest import CHAT


def test_the_metrics_count_what_happened_by_model(start: Any) -> None:
    live = start()
    live.post(CHAT)
    live.engine.text = "It calls foo_bar."
    live.post(CHAT)
    live.engine.text = prompt.ABSTENTION
    live.post({**CHAT, "stream": True})
    live.post("{")
    text = live.get("/metrics", live.admin).text
    for line in (
        'ratchet_requests_total{model="aaaaaaaaaaaa",status="200"} 3.0',
        'ratchet_requests_total{model="none",status="400"} 1.0',
        'ratchet_answers_total{model="aaaaaaaaaaaa"} 3.0',
        'ratchet_abstentions_total{model="aaaaaaaaaaaa"} 1.0',
        'ratchet_ungrounded_answers_total{model="aaaaaaaaaaaa"} 1.0',
        'ratchet_tokens_total{kind="prompt",model="aaaaaaaaaaaa"} 60.0',
        'ratchet_answer_seconds_count{model="aaaaaaaaaaaa"} 3.0',
        'ratchet_first_token_seconds_count{model="aaaaaaaaaaaa"} 3.0',
        "ratchet_queue_depth 0.0",
        "ratchet_running 0.0",
    ):
        assert line in text
    assert 'ratchet_cpu_seconds_total{model="aaaaaaaaaaaa"}' in text
