import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.monitoring.triage import Cluster, Rows, triage
from tasks.core.monitoring.triage_config import TriageConfig
from tests.tasks.core.monitoring.conftest import INDEXED, KNOWN, MIXED, REFERENCE, questions, window


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
