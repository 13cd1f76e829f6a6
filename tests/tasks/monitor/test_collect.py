import json
from datetime import timedelta

import polars as pl
import pytest

from tasks.adapters.monitoring.traffic_table import TRAFFIC_SCHEMA, read_traffic
from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.storage.object_store import open_store
from tasks.core.errors import ConfigError
from tasks.core.monitoring.drift_verdict import DriftVerdict
from tasks.core.monitoring.window_verdict import Quality, WindowVerdict
from tasks.core.records.schema import Feedback
from tasks.core.release.lineage import BASE
from tasks.monitor.collect import monitored_model
from tasks.runner import find_stage, load_config
from tests.tasks.answers import answer
from tests.tasks.monitor.conftest import MODEL, NOW, USUAL, Traffic, clock, served

AT = (NOW - timedelta(minutes=30)).isoformat()


def shown(answer_id: str, **changes: object):
    return answer(answer_id=answer_id, at=AT, model=MODEL, abstained=False, ungrounded=[], **changes)


def judged(answer_id: str, **changes: object) -> Feedback:
    values = {
        "answer_id": answer_id, "model": MODEL, "question": "q", "answer": "a", "correction": None, "thumb": None,
        "reason": "", "document_ids": [], "review": "pending", "recorded_at": AT,
    }  # fmt: skip
    return Feedback.model_validate({**values, **changes})


def window(traffic: Traffic) -> dict[str, dict]:
    frame = read_traffic(traffic.settings.data / "collect/window.parquet")
    return {row["answer_id"]: row for row in frame.iter_rows(named=True)}


def test_a_window_holds_what_drift_watches_of_each_answer(traffic: Traffic) -> None:
    traffic.serve([shown("a", seconds=1.5, cpu_s=0.5, retrieval_scores=[0.4, 0.8], question="What is json?")])
    report = traffic.collect()
    row = window(traffic)["a"]
    assert list(row) == TRAFFIC_SCHEMA.names
    assert (row["question_length"], row["answer_length"]) == (len("What is json?"), len("A function."))
    assert (row["retrieval_score"], row["latency_s"], row["cost"]) == (0.8, 1.5, 0.5)
    assert (row["abstained"], row["ungrounded"], row["quality"]) == (False, False, True)
    assert sum(x * x for x in row["question_embedding"]) == pytest.approx(1)
    assert (report.rows, report.seen, report.is_whole) == (1, 1, False)


def test_what_nobody_was_shown_or_another_version_answered_is_left_out(traffic: Traffic) -> None:
    others = [
        shown("shadow", shadow_of="a"),
        shown("cached", cached=True),
        shown("abandoned", status="cancelled"),
        shown("other").model_copy(update={"model": "6" * 64}),
    ]
    traffic.serve([shown("a"), *others])
    report = traffic.collect()
    assert list(window(traffic)) == ["a"]
    assert report.left_out == 4


def test_a_failed_answer_is_a_bad_one_whose_length_and_time_are_not_known(traffic: Traffic) -> None:
    traffic.serve([shown("a", status="timeout", finish_reason=None, answer="half an ans", seconds=120.0)])
    traffic.collect()
    row = window(traffic)["a"]
    assert row["quality"] is False
    assert [row[name] for name in ("answer_length", "latency_s", "abstained", "ungrounded")] == [None] * 4


def test_quality_that_was_not_looked_at_is_missing_and_not_bad(traffic: Traffic) -> None:
    unscreened = shown("unscreened").model_copy(update={"ungrounded": None})
    cut = shown("cut").model_copy(update={"ungrounded": None, "finish_reason": "length"})
    traffic.serve([unscreened, cut, shown("invented").model_copy(update={"ungrounded": ["42"]})])
    traffic.collect()
    assert {name: row["quality"] for name, row in window(traffic).items()} == {
        "unscreened": None,
        "cut": False,
        "invented": False,
    }


def test_what_people_say_overrides_the_quality(traffic: Traffic, tmp_path) -> None:
    traffic.serve([shown("praised").model_copy(update={"abstained": True}), shown("corrected"), shown("remarked")])
    verdicts = [
        judged("praised", thumb="up"),
        judged("corrected", correction="Two."),
        judged("remarked", reason="hm"),
    ]
    path = tmp_path / "feedback/2026-05-01/k/verdict-0001.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(verdict.model_dump_json() + "\n" for verdict in verdicts))
    traffic.collect()
    assert {name: row["quality"] for name, row in window(traffic).items()} == {
        "praised": True,
        "corrected": False,
        "remarked": True,
    }


def test_a_window_begins_where_the_last_one_ended(traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic.serve(served(USUAL, 120, 1, NOW))
    assert traffic.collect().is_whole
    remember(traffic, until=NOW.isoformat())
    later = NOW + timedelta(hours=1)
    clock(monkeypatch, later)
    traffic.serve(served(USUAL, 30, 2, later), later)
    report = traffic.collect()
    assert (report.rows, report.is_whole, report.is_next) == (30, False, True)
    facts = json.loads((traffic.settings.data / "collect/window.json").read_text())
    assert (facts["since"], facts["until"]) == (NOW.isoformat(), later.isoformat())


def test_a_look_at_given_times_follows_nothing(traffic: Traffic) -> None:
    traffic.serve(served(USUAL, 120, 1, NOW))
    report = traffic.collect(since=NOW - timedelta(hours=2), until=NOW)
    assert (report.rows, report.is_next) == (120, False)
    with pytest.raises(ConfigError, match="ends at"):
        traffic.collect(since=NOW, until=NOW - timedelta(hours=1))


def test_of_a_large_window_some_rows_are_drawn_and_the_same_ones_again(traffic: Traffic) -> None:
    traffic.serve(served(USUAL, 300, 1, NOW))
    report = traffic.collect(max_rows=50)
    once = list(window(traffic))
    assert (report.rows, report.seen) == (50, 300)
    assert len(set(once)) == 50
    assert sum(int(name.split("-")[1]) >= 150 for name in once) > 10, "not the first ones alone"
    traffic.collect(max_rows=50)
    assert list(window(traffic)) == once


def test_without_traffic_there_is_an_empty_window(traffic: Traffic) -> None:
    assert traffic.collect().rows == 0
    assert read_traffic(traffic.settings.data / "collect/window.parquet").height == 0


def test_vectors_of_another_embedder_are_taken_away(traffic: Traffic) -> None:
    traffic.serve([shown("a")])
    traffic.collect()
    path = traffic.settings.data / "collect/window.parquet"
    assert read_traffic(path, "another")["question_embedding"].null_count() == 1
    assert read_traffic(path)["question_embedding"].dtype == pl.List(pl.Float32)


def test_the_longest_window_under_its_old_name_is_refused_with_the_new_one() -> None:
    with pytest.raises(ConfigError, match=r"collect.*most_hours is now called max_hours: rename it"):
        load_config(find_stage("collect"), overrides=["monitor.collect.most_hours=48"])


def test_the_version_to_watch_is_the_champion_or_one_that_is_named(settings) -> None:
    store = open_store(settings.store_url)
    assert monitored_model(store, None) == BASE
    for digest in ("abc1", "abd2"):
        store.put_if_absent(f"models/{digest}/manifest.json", b"{}")
    assert monitored_model(store, "abc") == "abc1"
    for unclear in ("ab", "x", ""):
        with pytest.raises(ConfigError, match="versions of"):
            monitored_model(store, unclear)


def remember(traffic: Traffic, until: str) -> None:
    verdict = DriftVerdict(outcome="NONE", headline="", reasons=[], rows=(100, 100), findings=[])
    log = WindowLog(open_store(traffic.settings.store_url), MODEL)
    quality = Quality(before=None, now=None, has_fallen=False)
    log.append(
        WindowVerdict(
            model=MODEL, since=until, until=until, number=1, compared_with="served", drift=verdict, quality=quality,
            parts=[],
        ),
        "page",
    )  # fmt: skip
