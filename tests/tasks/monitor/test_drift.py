import json
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.storage.object_store import open_store
from tasks.core.errors import ExternalError
from tasks.core.monitoring.window_verdict import WindowVerdict
from tasks.monitor import drift as drift_stage
from tests.browser import chromium, is_too_wide, local_page
from tests.tasks.monitor.conftest import MODEL, NEW, NOW, USUAL, Traffic, clock, served

INDEXED = {"json", "dumps", "os", "path", "join", "what", "does", "return", "do", "the", "of", "how"}


@pytest.fixture(autouse=True)
def _index(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version of these tests has no manifest: its documents' terms are given."""
    monkeypatch.setattr("tasks.adapters.monitoring.document_terms.indexed_terms", lambda *_: INDEXED)


def look(traffic: Traffic, monkeypatch: pytest.MonkeyPatch, hour: int, answers, **values: object):
    """Serve the answers in the hour before, collect and judge them."""
    now = NOW + timedelta(hours=hour)
    clock(monkeypatch, now)
    traffic.serve(answers(now), now)
    traffic.collect()
    return traffic.drift(**values)


def usual(seed: int):
    return lambda now: served(USUAL, 150, seed, now)


def shifted(seed: int):
    """Return traffic of which a third asks about a package that no document knows, and is declined."""
    return lambda now: [
        *served(USUAL, 120, seed, now),
        *served(NEW, 60, seed + 1000, now, good=0.1, retrieval=0.45),
    ]


def verdict(traffic: Traffic) -> dict:
    return json.loads((traffic.settings.data / "drift/verdict.json").read_text())


def test_unchanged_traffic_is_as_it_was_and_what_no_evaluation_knows_is_unmeasured_at_first(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    first = look(traffic, monkeypatch, 1, usual(1))
    assert (first.outcome, first.compared_with, first.window) == ("NONE", "evaluation", 1)
    assert first.unmeasured == ["latency_s", "cost"]
    second = look(traffic, monkeypatch, 2, usual(2))
    assert (second.outcome, second.unmeasured, second.window) == ("NONE", [], 2)


def test_a_new_topic_is_suspected_then_confirmed_and_its_part_says_what_is_missing(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    offers = [{"packages": ["colorsys"]}, {"paths": [str(notes(traffic.settings.data))]}]
    first = look(traffic, monkeypatch, 1, shifted(1), offers=offers)
    assert first.outcome == "SUSPECTED"
    second = look(traffic, monkeypatch, 2, shifted(2), offers=offers)
    assert (second.outcome, second.severity, second.quality_fell) == ("CONFIRMED", "high", True)
    assert "question_embedding" in second.confirmed
    assert second.quality < second.quality_before - 0.1
    found = WindowVerdict.model_validate({k: v for k, v in verdict(traffic).items() if k in WindowVerdict.model_fields})
    part = found.parts[0]
    assert part.cluster.advice == "add_documents"
    assert "scipy" in part.cluster.terms
    assert found.requested_documents().model_dump() == {"packages": [], "paths": offers[1]["paths"]}
    ids = json.loads((traffic.settings.data / "drift/drifted.json").read_text())
    assert second.drifted == len(ids) > 30
    (kept,) = WindowLog(open_store(traffic.settings.store_url), MODEL).last(1)
    assert kept.drifted == ids, "whoever reviews finds them in the store"
    assert sum(name.startswith("1002-") for name in ids) >= 0.9 * len(ids)


def test_the_page_says_it_in_words_and_needs_nothing_from_anywhere(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    look(traffic, monkeypatch, 1, shifted(1))
    page = (traffic.settings.data / "drift/report.html").read_text()
    for words in (
        "The traffic may have changed",
        "scipy",
        "Add documents about",
        "Retrieval score",
        "<svg",
        "points (",
    ):
        assert words in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


@pytest.mark.slow
def test_the_page_opens_from_a_folder_in_a_browser_on_a_desk_and_on_a_phone(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    look(traffic, monkeypatch, 1, shifted(1))
    look(traffic, monkeypatch, 2, shifted(2))
    with chromium() as browser:
        for name, width in (("desk", 1280), ("phone", 390)):
            size = {"width": width, "height": 900}
            report = traffic.settings.data / "drift/report.html"
            page, strays = local_page(browser, report, viewport=size)
            page.screenshot(path=tmp_path / f"drift_{name}.png", full_page=True)
            assert "The traffic has changed" in page.inner_text("h1")
            assert page.locator("svg").count() > 5
            assert page.locator("svg").first.bounding_box()["width"] > 100
            assert not is_too_wide(page)
            assert strays == []


def test_a_page_shows_what_users_wrote_as_text(traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    evil = [f"{question} <script>alert(1)</script>" for question in NEW]
    look(traffic, monkeypatch, 1, lambda now: [*usual(1)(now), *served(evil, 80, 9, now, good=0.1, retrieval=0.3)])
    page = (traffic.settings.data / "drift/report.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_a_window_with_too_few_rows_decides_nothing_and_is_not_kept(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    report = look(traffic, monkeypatch, 1, lambda now: served(USUAL, 40, 1, now))
    assert (report.outcome, report.window, report.severity) == ("TOO_FEW_ROWS", None, "none")
    assert WindowLog(open_store(traffic.settings.store_url), MODEL).numbers() == []


def test_a_look_at_given_times_is_not_kept_and_confirms_nothing(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    look(traffic, monkeypatch, 1, shifted(1))
    traffic.collect(since=NOW, until=NOW + timedelta(hours=1))
    report = traffic.drift()
    assert (report.outcome, report.window) == ("SUSPECTED", None)
    assert WindowLog(open_store(traffic.settings.store_url), MODEL).numbers() == [1]


def test_without_a_reference_the_first_served_answers_are_one(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(traffic, monkeypatch, 1, usual(1))
    assert (first.outcome, first.compared_with, first.window) == ("TOO_FEW_ROWS", "nothing", 1)
    second = look(traffic, monkeypatch, 2, usual(2))
    assert (second.outcome, second.compared_with, second.unmeasured) == ("NONE", "served", [])
    slow = look(traffic, monkeypatch, 3, lambda now: [slower(a) for a in usual(3)(now)], reference="served")
    assert slow.suspected == ["latency_s"]


def slower(record):
    return record.model_copy(update={"seconds": 3 * record.seconds})


def test_of_two_monitors_one_keeps_the_window(traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    look(traffic, monkeypatch, 1, usual(1))
    monkeypatch.setattr(drift_stage, "_next_number", lambda *_: 1)
    with pytest.raises(ExternalError, match="Another monitor"):
        traffic.drift()


def test_evidently_keeps_a_report_of_each_window_also_of_the_first(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic.refer(served(USUAL, 300, 0, NOW))
    for hour in (1, 2):  # in the first one nothing is known of latency and cost yet
        look(traffic, monkeypatch, hour, usual(hour), keeps_history=True)
    kept = [path for path in (traffic.settings.home / "evidently").rglob("*.json") if "snapshots" in str(path)]
    assert len(kept) == 2


def notes(folder: Path) -> Path:
    path = folder / "notes"
    path.mkdir(parents=True, exist_ok=True)
    (path / "stats.md").write_text(" ".join(NEW))
    return path
