from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.tasks.serving.api.conftest import CHAT


def test_a_client_that_goes_away_leaves_the_queue(start: Any) -> None:
    live = start(concurrency=1, queue=5)
    live.engine.pause_s = 0.1
    with ThreadPoolExecutor() as pool:
        first = pool.submit(live.post, CHAT)
        live.wait(lambda: live.engine.running == 1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{live.url}/v1/chat/completions",
                json=CHAT,
                headers={"Authorization": f"Bearer {live.user}"},
                timeout=0.2,
            )
        live.wait(lambda: live.gateway.queue.waiting == 0, 2)
        assert first.result().status_code == 200
    assert len(live.engine.requests) == 1


def test_more_than_the_queue_holds_are_told_when_to_come_again(start: Any) -> None:
    live = start(concurrency=2, queue=3)
    live.engine.is_held = True
    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(live.post, CHAT) for _ in range(20)]
        live.wait(lambda: sum(reply.done() for reply in sent) == 15)
        live.engine.is_held = False
    replies = [reply.result() for reply in sent]
    assert sorted(reply.status_code for reply in replies) == [200] * 5 + [429] * 15
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["code"] == "queue_full"
    assert live.engine.most_running == 2
    assert (live.gateway.queue.running, live.gateway.queue.waiting) == (0, 0)


def test_a_drain_ends_running_answers_and_refuses_new_ones(start: Any) -> None:
    live = start()
    live.engine.pause_s = 0.2
    with ThreadPoolExecutor() as pool, httpx.Client(base_url=live.url) as other:
        assert other.get("/readyz").status_code == 200
        running = pool.submit(live.post, {**CHAT, "stream": True})
        live.wait(lambda: live.engine.running == 1)
        live.drain()
        live.wait(lambda: live.gateway.queue.is_closed)
        refused = other.post("/v1/chat/completions", json=CHAT, headers={"Authorization": f"Bearer {live.user}"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert "retry-after" in refused.headers
        assert live.get("/readyz").status_code == 503
        assert live.get("/healthz").status_code == 200
        assert running.result().text.endswith("data: [DONE]\n\n")
    live.wait(lambda: live.engine.is_closed)
