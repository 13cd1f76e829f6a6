import polars as pl
import pytest

from tasks.core.monitoring.drift_verdict import ColumnFinding, DriftVerdict, Outcome, State
from tasks.core.monitoring.signal_gaps import Gap
from tasks.core.monitoring.triage import Cluster
from tasks.core.monitoring.triage_advice import Advice
from tasks.core.monitoring.window_verdict import DriftedSegment, Offer, Quality, WindowVerdict, quality_of

UNMEASURED = Gap(cluster=None, rest=None, difference=None, low=None, high=None, measured=(0, 0))


def cluster(advice: Advice, **changes: object) -> Cluster:
    values = {
        "name": "scipy, stats", "terms": ["scipy", "stats"], "missing_terms": ["scipy"], "size": 20, "share": 0.1,
        "rows": [1, 2], "quality": UNMEASURED, "retrieval": UNMEASURED, "abstained": UNMEASURED, "advice": advice,
        "label_rows": [], "evidence": ["It is 10.0 % of the window."],
    }  # fmt: skip
    return Cluster.model_validate({**values, **changes})


def verdict(outcome: Outcome, quality: State = "steady") -> DriftVerdict:
    found = ColumnFinding(
        column="quality", aspect="values", kind="category", state=quality, effect=0.2, floor=0.03, p=0.001,
        values=(100, 100), sentence="Quality changed.",
    )  # fmt: skip
    return DriftVerdict(
        outcome=outcome, headline="Headline.", reasons=["Quality changed."], rows=(100, 100), findings=[found]
    )


def watch(outcome: Outcome, *parts: DriftedSegment, has_fallen: bool = False) -> WindowVerdict:
    quality = Quality(before=0.9, now=0.6, has_fallen=has_fallen)
    return WindowVerdict(
        model="m", since="s", until="u", number=1, compared_with="served", drift=verdict(outcome), quality=quality,
        parts=list(parts),
    )  # fmt: skip


def part(advice: Advice, *offers: Offer, **changes: object) -> DriftedSegment:
    return DriftedSegment(cluster=cluster(advice, **changes), offers=list(offers))


@pytest.mark.parametrize(
    ("seen", "matters", "severity"),
    [
        (watch("NONE"), False, "none"),
        (watch("TOO_FEW_ROWS"), False, "none"),
        (watch("SUSPECTED"), False, "low"),
        (watch("SUSPECTED", part("label"), part("ignore"), part("fix_prompt")), False, "low"),
        (watch("SUSPECTED", part("retrain")), False, "low"),
        (watch("SUSPECTED", part("add_documents")), False, "low"),
        (watch("CONFIRMED"), True, "medium"),
        (watch("CONFIRMED", part("ignore")), True, "medium"),
        (watch("CONFIRMED", part("retrain")), True, "high"),
        (watch("CONFIRMED", part("add_documents")), True, "high"),
        (watch("CONFIRMED", has_fallen=True), True, "high"),
    ],
)
def test_drift_matters_when_it_is_confirmed_and_most_where_a_part_asks_for_work(
    seen: WindowVerdict, matters: bool, severity: str
) -> None:
    assert (seen.is_confirmed, seen.severity) == (matters, severity)


@pytest.mark.parametrize(
    ("state", "before", "now", "has_fallen"),
    [
        ("confirmed", [True] * 9 + [False], [True] * 5 + [False] * 5, True),
        ("suspected", [True] * 9 + [False], [True] * 5 + [False] * 5, False),
        ("confirmed", [True, False], [True, True], False),
        ("confirmed", [True, True], [None, None], False),
    ],
)
def test_quality_has_fallen_when_the_change_is_confirmed_and_a_fall(
    state: State, before: list, now: list, has_fallen: bool
) -> None:
    tables = [pl.DataFrame({"quality": pl.Series(values, dtype=pl.Boolean)}) for values in (before, now)]
    found = quality_of(tables[0], tables[1], verdict("CONFIRMED", state))
    assert found.has_fallen is has_fallen
    assert found.now == (None if now == [None, None] else sum(now) / len(now))


def test_only_documents_that_are_asked_for_are_wanted_each_once() -> None:
    scipy, notes = Offer(packages=["scipy"]), Offer(paths=["notes/"], packages=["scipy"])
    seen = watch("CONFIRMED", part("add_documents", scipy, notes), part("ignore", Offer(packages=["other"])))
    assert seen.requested_documents() == Offer(packages=["scipy"], paths=["notes/"])


def test_a_recommendation_names_the_documents_or_the_terms_that_none_holds() -> None:
    assert part("add_documents", Offer(packages=["scipy"])).recommendation == "Add documents: scipy."
    assert "about scipy; none on offer" in part("add_documents").recommendation
    assert part("label", label_rows=[1, 2]).recommendation.startswith("Label 2 answers: `ratchet review`")
    assert part("retrain").recommendation.startswith("Retrain")


def test_the_lines_for_a_terminal_hold_verdict_evidence_and_recommendation() -> None:
    text = "\n".join(watch("CONFIRMED", part("add_documents"), has_fallen=True).lines())
    for words in (
        "CONFIRMED: Headline.",
        "Quality changed.",
        "from 90.0 to 60.0",
        "10.0 % of the window",
        "Add documents",
    ):
        assert words in text
