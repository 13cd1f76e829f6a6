import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.monitoring.clusters import naming_terms, new_rows
from tasks.core.monitoring.signal_gaps import gap
from tasks.core.monitoring.triage import Cluster, Rows, triage
from tasks.core.monitoring.triage_config import TriageConfig

DIMENSIONS = 24
TOPICS = {
    "usual": "open a file and read its lines with the standard library number{n}",
    "arrays": "reshape the ndarray broadcasting axis number{n}",
    "plots": "draw a histogram figure with matplotlib colour number{n}",
}
INDEXED = {"open", "a", "file", "and", "read", "its", "lines", "with", "the", "standard", "library"}
KNOWN = INDEXED | {"reshape", "ndarray", "broadcasting", "axis"}


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def questions(topic: str, rows: int, seed: int) -> np.ndarray:
    """Return vectors about a topic: usual ones lie anywhere in half of the space, others near a direction of theirs."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, DIMENSIONS)) * 0.25
    if topic == "usual":
        found[:, : DIMENSIONS // 2] = rng.normal(size=(rows, DIMENSIONS // 2))
    else:
        found[:, DIMENSIONS - 1 - list(TOPICS).index(topic)] += 2.5
    return unit(found)


def window(parts: dict[str, int], seed: int = 1, **signals: dict[str, float]) -> Rows:
    """Return rows of the topics, one after the other; each signal is 1 with the rate given for the topic."""
    rng = np.random.default_rng(seed + 100)
    topics = [topic for topic, size in parts.items() for _ in range(size)]
    rates = {"quality": {}, "retrieval": {}, "abstained": {}} | signals
    usual = {"quality": 0.9, "retrieval": 0.8, "abstained": 0.05}
    columns = {
        name: (rng.random(len(topics)) < [by_topic.get(topic, usual[name]) for topic in topics]).astype(float)
        for name, by_topic in rates.items()
    }
    return Rows(
        vectors=np.concatenate([questions(topic, size, seed + i) for i, (topic, size) in enumerate(parts.items())]),
        texts=[TOPICS[topic].format(n=number) for number, topic in enumerate(topics)],
        **columns,
    )


REFERENCE = questions("usual", 600, 0)
MIXED = {"usual": 400, "arrays": 80, "plots": 50}


def advised(indexed=KNOWN, config=None, **signals) -> Cluster:
    found = triage(REFERENCE, window({"usual": 500, "arrays": 100}, **signals), indexed, config)
    assert len(found) == 1
    return found[0]


def test_unchanged_traffic_has_no_cluster():
    assert triage(REFERENCE, window({"usual": 500}), INDEXED) == []


def test_each_new_topic_is_a_cluster_of_its_rows_with_its_terms():
    arrays, plots = triage(REFERENCE, window(MIXED), INDEXED)
    assert set(arrays.rows) <= set(range(400, 480))
    assert set(plots.rows) <= set(range(480, 530))
    assert arrays.size > 70
    assert plots.size > 40
    assert set(arrays.terms) <= {"reshape", "ndarray", "broadcasting", "axis", "the"}
    assert {"histogram", "matplotlib"} & set(plots.terms)
    assert arrays.name == ", ".join(arrays.terms[:3])
    assert arrays.share == pytest.approx(arrays.size / 530)


def test_few_usual_rows_pass_for_new_ones():
    found = new_rows(REFERENCE, window(MIXED).vectors, TriageConfig())
    assert np.mean(found < 400) <= 0.1
    assert np.sum(found >= 400) > 120


def test_a_topic_that_the_reference_has_is_not_new():
    reference = np.concatenate([REFERENCE, questions("arrays", 120, 50)])
    assert triage(reference, window({"usual": 500, "arrays": 100}), INDEXED) == []


def test_a_new_topic_that_is_answered_well_is_ignored():
    found = advised(quality={"arrays": 0.97})
    assert found.advice == "ignore"
    assert "answered no more than 5.0 points worse" in found.evidence[-1]


def test_a_cluster_too_small_to_matter_is_ignored():
    found = advised(config=TriageConfig(min_share=0.5), quality={"arrays": 0.1})
    assert found.advice == "ignore"
    assert "less than the 50.0 % that are worth work" in found.evidence[0]


def test_a_topic_without_documents_asks_for_those_that_hold_its_terms():
    found = advised(indexed=INDEXED, quality={"arrays": 0.3})
    assert found.advice == "add_documents"
    assert {"ndarray", "reshape"} <= set(found.missing_terms)
    assert "ndarray" in " ".join(found.evidence)
    assert found.quality.high < 0


def test_a_topic_whose_documents_are_hardly_found_asks_for_documents_too():
    found = advised(quality={"arrays": 0.3}, retrieval={"arrays": 0.2})
    assert found.advice == "add_documents"
    assert "Retrieval score: " in found.evidence[-1]


def test_a_topic_declined_although_its_documents_are_found_needs_another_prompt():
    found = advised(quality={"arrays": 0.3}, abstained={"arrays": 0.7})
    assert found.advice == "fix_prompt"
    assert "Declined answers: " in found.evidence[-1]


def test_a_topic_answered_wrongly_although_its_documents_are_found_is_to_be_learned():
    found = advised(quality={"arrays": 0.3})
    assert found.advice == "retrain"
    assert found.label_rows == []
    assert any(line.startswith("Quality: ") for line in found.evidence)


def test_a_topic_with_too_few_judged_answers_is_labelled_before_it_is_learned():
    found = advised(config=TriageConfig(min_lessons=500), quality={"arrays": 0.3})
    assert found.advice == "label"
    assert "500 are needed to learn from" in found.evidence[-1]


def test_a_topic_whose_quality_is_unknown_is_to_be_labelled_the_most_typical_rows_first():
    rows = window({"usual": 500, "arrays": 100})
    quality = rows.quality.copy()
    quality[503:] = np.nan
    found = triage(REFERENCE, Rows(rows.vectors, rows.texts, quality, rows.retrieval, rows.abstained), KNOWN)[0]
    assert found.advice == "label"
    assert found.quality.difference is None
    assert found.label_rows == [row for row in found.rows if row >= 503]
    typical, odd = (rows.vectors[row] @ rows.vectors[500:].mean(axis=0) for row in (found.rows[0], found.rows[-1]))
    assert typical > odd


def test_no_more_rows_are_labelled_than_it_takes_to_know():
    rows = window({"usual": 500, "arrays": 200})
    unknown = np.full(700, np.nan)
    unknown[:500] = rows.quality[:500]
    config = TriageConfig(margin=0.1)
    found = triage(REFERENCE, Rows(rows.vectors, rows.texts, unknown, rows.retrieval, rows.abstained), KNOWN, config)[0]
    assert found.size > 150
    assert len(found.label_rows) == 97  # (1.96 * 0.5 / 0.1) squared, rounded up


def test_unmeasured_quality_is_not_bad_quality():
    values = np.array([1.0] * 20 + [np.nan] * 30 + [1.0] * 50)
    found = gap(values, np.arange(50), 0.95)
    assert found.measured == (20, 50)
    assert found.difference == 0
    assert found.low < 0 < found.high


@given(st.integers(0, 1000), st.floats(0.2, 0.8), st.integers(10, 60))
def test_the_interval_holds_the_difference_it_is_for(seed, rate, size):
    values = (np.random.default_rng(seed).random(200) < rate).astype(float)
    found = gap(values, np.arange(size), 0.95)
    assert found.low < found.difference < found.high
    assert found.difference == pytest.approx(values[:size].mean() - values[size:].mean())


def test_the_interval_covers_an_absent_difference_about_as_often_as_it_says():
    rng, missed = np.random.default_rng(0), 0
    for _ in range(500):
        found = gap((rng.random(300) < 0.9).astype(float), np.arange(40), 0.95)
        missed += not found.low <= 0 <= found.high
    assert 5 <= missed <= 40


def test_terms_that_all_rows_have_name_nothing():
    documents = [{"the", "array", f"x{row}"} for row in range(30)] + [{"the", "file", f"y{row}"} for row in range(70)]
    assert naming_terms(documents, range(30)) == ["array"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 40))
def test_every_row_belongs_to_one_cluster_at_most(num_reference, usual, new):
    rows = window({"usual": usual, "arrays": new, "plots": new})
    found = triage(REFERENCE[:num_reference], rows, INDEXED, TriageConfig(min_cluster=3))
    members = [row for cluster in found for row in cluster.rows]
    assert len(members) == len(set(members))
    assert all(cluster.size == len(cluster.rows) >= 3 for cluster in found)


def test_the_same_rows_give_the_same_clusters_and_survive_being_written():
    once, again = (triage(REFERENCE, window(MIXED), INDEXED) for _ in range(2))
    assert once == again
    assert [Cluster.model_validate_json(cluster.model_dump_json()) for cluster in once] == once


def test_a_word_that_many_usual_questions_hold_too_names_nothing() -> None:
    new = [{"scipy", "norm", "of"} for _ in range(30)]
    others = [{"json", "of"} if row % 5 == 0 else {"json"} for row in range(100)]
    assert naming_terms([*new, *others], range(30), range(30, 130)) == ["norm", "scipy"]
