"""The pages over real HTTP: who may see them, what a form may do, and where each tile leads."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.storage.object_store import open_store
from tasks.core.monitoring.drift_verdict import DriftVerdict
from tasks.core.monitoring.window_verdict import Quality, WindowVerdict
from tasks.core.release.lineage import BASE
from tasks.serving.access.sessions import COOKIE

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
ADMIN_PAGES = [
    "/",
    "/review",
    "/evidence/metrics",
    "/evidence/drift/verdict.json",
    "/evidence/verdicts/1/release_note.html",
]


def visit(house: Any) -> httpx.Client:
    """Return a browser's stand-in: it keeps cookies."""
    return httpx.Client(base_url=house.live.url, headers=BROWSER, timeout=20)


def sign_in(house: Any, browser: httpx.Client, next_: str = "/") -> httpx.Response:
    return browser.post("/sign-in", data={"key": house.live.admin, "next": next_})


def token_of(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", ADMIN_PAGES)
def test_a_page_is_for_admins_alone(house: Any, path: str) -> None:
    assert httpx.get(house.live.url + path).json()["error"]["code"] == "signed_out"
    assert house.live.get(path).status_code == 401
    assert house.live.get(path, "rk-000000000000-wrong").status_code == 401
    assert house.live.get(path, house.live.user).status_code == 403
    with visit(house) as browser:
        reply = browser.get(path)
        assert (reply.status_code, reply.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert 'type="password"' in reply.text
        assert f'name="next" value="{path}"' in reply.text


def test_an_admins_key_opens_a_session_and_leads_back_to_the_page(house: Any) -> None:
    with visit(house) as browser:
        reply = sign_in(house, browser, "/review")
        assert (reply.status_code, reply.headers["location"]) == (303, "/review")
        cookie = reply.headers["set-cookie"]
        for word in (f"{COOKIE}=", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age=3600"):
            assert word in cookie
        assert house.live.admin not in cookie
        assert browser.get("/review").status_code == 200
        assert "ratchet_records_total{" in browser.get("/evidence/metrics").text
    assert house.live.get("/", house.live.admin).status_code == 200


@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_signing_in_leads_nowhere_else(house: Any, next_: str) -> None:
    with visit(house) as browser:
        assert sign_in(house, browser, next_).headers["location"] == "/"


def test_a_users_key_and_a_wrong_one_open_nothing(house: Any) -> None:
    with visit(house) as browser:
        for key in (house.live.user, "rk-000000000000-wrong", ""):
            reply = browser.post("/sign-in", data={"key": key, "next": "/review"})
            assert reply.status_code == 401
            assert "This is no key of an admin." in reply.text
            assert 'name="next" value="/review"' in reply.text
            assert "set-cookie" not in reply.headers
            assert not key or key not in reply.text


def test_a_form_of_another_site_signs_nobody_in(house: Any) -> None:
    with visit(house) as browser:
        reply = browser.post("/sign-in", data={"key": house.live.admin}, headers={"Sec-Fetch-Site": "cross-site"})
        assert reply.status_code == 403
        assert "set-cookie" not in reply.headers


def test_signing_out_ends_the_session_in_every_window(house: Any) -> None:
    with visit(house) as browser, visit(house) as other:
        sign_in(house, browser)
        other.cookies = browser.cookies
        token = token_of(browser.get("/").text)
        assert browser.post("/sign-out", data={"token": "0" * 64}).status_code == 403
        assert browser.post("/sign-out", data={"token": token}).status_code == 303
        assert other.get("/").status_code == 401


def test_answers_of_a_drifted_topic_are_on_the_review_page(house: Any) -> None:
    usual, drifted = house.ask("What is the default?"), house.ask("How does colorsys convert?")
    assert house.recorder.flush()
    verdict = DriftVerdict(outcome="SUSPECTED", headline="", reasons=[], rows=(300, 300), findings=[])
    watch = WindowVerdict(
        model=BASE, since="", until="", number=1, compared_with="served", drift=verdict, parts=[],
        quality=Quality(before=None, now=None, has_fallen=False), drifted=[drifted],
    )  # fmt: skip
    WindowLog(open_store(house.settings.store_url), BASE).append(watch, "page")
    page = house.live.get("/review", house.live.admin).text
    assert f'value="{drifted}"' in page
    assert "Its topic has drifted." in page
    assert usual not in page


def test_a_label_posted_through_the_page_is_kept_and_leaves_the_queue(house: Any) -> None:
    answer = house.ask("What is foo?", "It is foo_bar, introduced 1987.")
    assert house.recorder.flush()
    with visit(house) as browser:
        sign_in(house, browser)
        page = browser.get("/review").text
        assert answer in page
        form = {"answer_id": answer, "label": "correct", "text": "Nobody knows.", "reason": "made up"}
        for token in ({}, {"token": ""}, {"token": "0" * 64}):
            reply = browser.post("/review", data={**form, **token})
            assert reply.status_code == 403
        assert house.kept() == []
        reply = browser.post("/review", data={**form, "token": token_of(page)})
        assert (reply.status_code, reply.headers["location"]) == (303, "/review?done=correct")
        assert COOKIE in reply.headers["set-cookie"]
        after = browser.get("/review?done=correct").text
        assert "Kept: your correction." in after
        assert answer not in after
        assert browser.get("/review?done=<b>x</b>").text.count("<b>x") == 0
    (kept,) = house.kept()
    assert (kept.answer_id, kept.correction, kept.review) == (answer, "Nobody knows.", "accepted")


def test_a_program_labels_with_its_key_and_hears_what_is_wrong(house: Any) -> None:
    answer = house.ask("What is foo?")
    assert house.recorder.flush()
    headers = {"Authorization": f"Bearer {house.live.admin}"}

    def post(**form: str) -> httpx.Response:
        return httpx.post(f"{house.live.url}/review", data=form, headers=headers)

    assert post(answer_id=answer, label="accept").status_code == 303
    assert post(answer_id=answer, label="wizard").json()["error"]["type"] == "invalid_request_error"
    assert post(answer_id="nothing", label="accept").json()["error"]["code"] == "answer_not_found"
    assert post(answer_id=answer, label="correct", text=" ").status_code == 400
    for body in (b"\xff", b"label=%ff", b"&".join([b"a=1"] * 50)):
        reply = httpx.post(f"{house.live.url}/review", content=body, headers={**headers, **FORM})
        assert reply.status_code == 400
    assert httpx.post(f"{house.live.url}/review", content=b"a" * 70_000, headers={**headers, **FORM}).status_code == 413
    assert httpx.post(f"{house.live.url}/review", json={}, headers=headers).status_code == 400


def test_an_empty_checkout_shows_nothing_as_measured(house: Any) -> None:
    page = house.live.get("/", house.live.admin).text
    assert page.count("not measured yet") >= 5
    assert "No candidate has been judged yet" in page
    assert "0.0 %" not in page


def test_every_tile_of_a_checkout_with_a_past_leads_to_its_evidence(stocked: Any) -> None:
    page = stocked.live.get("/", stocked.live.admin).text
    for words in ("of 100", "confirmed", "The traffic has drifted", "promoted", "rejected", "Hallucination screen"):
        assert words in page
    links = set(re.findall(r'href="(/[^"]*)"', page))
    assert {
        "/review",
        "/evidence/metrics",
        "/evidence/drift/drift_report.html",
        "/evidence/drift/verdict.json",
    } <= links
    assert len([link for link in links if link.endswith("release_note.html")]) == 2
    for link in links:
        reply = stocked.live.get(link, stocked.live.admin)
        assert reply.status_code == 200, link
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
    note = stocked.live.get(next(link for link in links if link.endswith("release_note.html")), stocked.live.admin)
    assert "Release note" in note.text


@pytest.mark.parametrize(
    "path",
    [
        "/evidence/verdicts/1/release_note.html",
        "/evidence/verdicts/0/release_note.html",
        "/evidence/verdicts/99999999999999999999/release_note.html",
        "/evidence/verdicts/%C2%B2/release_note.html",
        "/evidence/drift/report.html",
        "/evidence/drift/..%2F..%2Fkeys.json",
        "/evidence/drift/%2Fetc%2Fpasswd",
    ],
)
def test_what_nobody_named_as_evidence_is_not_there(house: Any, path: str) -> None:
    assert house.live.get(path, house.live.admin).status_code == 404


def test_a_part_that_cannot_be_read_is_said_and_takes_no_other_with_it(
    stocked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("tasks.serving.pages.dashboard.read_hours", broken)
    page = stocked.live.get("/", stocked.live.admin).text
    assert "Records cannot be read: Input/output error." in page
    assert "cannot be read</div>" in page
    assert "The traffic has drifted" in page


def test_a_slow_store_does_not_keep_answers_waiting(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, go_on = [], threading.Event()

    def slow(*_: object) -> tuple[()]:
        calls.append(1)
        go_on.wait(10)
        return ()

    monkeypatch.setattr("tasks.serving.pages.dashboard.read_feedback", slow)
    with ThreadPoolExecutor(4) as pool:
        pages = [pool.submit(house.live.get, "/", house.live.admin) for _ in range(4)]
        house.live.wait(lambda: bool(calls))
        begun = time.monotonic()
        house.ask("Does it block?")
        assert time.monotonic() - begun < 3
        assert not any(page.done() for page in pages)
        go_on.set()
        assert {page.result().status_code for page in pages} == {200}
    assert len(calls) == 1
