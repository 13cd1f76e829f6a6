import pytest

from tasks.adapters.release.explain import explain
from tasks.adapters.release.ledger import Ledger
from tasks.adapters.storage.object_store import Store, open_store
from tasks.core.errors import ConfigError
from tests.tasks.conftest import BAD, EQUAL, GOOD, Loop
from tests.tasks.ledger_facts import flow_run


def store_of(loop: Loop) -> Store:
    return open_store(loop.settings.store_url)


def test_the_chain_leads_from_the_champion_to_its_documents(loop: Loop) -> None:
    report = loop.turn(GOOD, seed=7)
    text = explain(store_of(loop), "champion")
    for words in (
        f"model       {report.candidate}",
        "PROMOTE: The candidate is better than the base model",
        f"gain {100 * (report.gain or 0):+.1f} points",
        "adapter_model.safetensors",
        "smollm2-135m-instruct",
        "prompt      version 1",
        "split/train.parquet",
        "files, CC-BY-4.0: 40 documents",
        "ingest 120 -> redact 120",
        "7 in dedup: near",
        "seed 7",
        "1st verdict on these questions",
        "before: none",
        "ledger      whole",
    ):
        assert words in text, words


def test_other_entries_of_the_ledger_do_not_change_the_explanation(loop: Loop) -> None:
    loop.turn(GOOD)
    before = explain(store_of(loop), "champion")
    Ledger(store_of(loop)).append(flow_run("nothing changed"), "another run", at="2030-01-01T00:00:00+00:00")
    assert explain(store_of(loop), "champion") == before


def test_a_refused_candidate_is_explained_with_its_reasons(loop: Loop) -> None:
    first = loop.turn(GOOD)
    second = loop.turn(BAD, seed=1)
    text = explain(store_of(loop), "candidate")
    assert f"model       {second.candidate}" in text
    assert f"against the champion {first.candidate[:12]}" in text
    assert "- Answer quality got worse" in text
    assert "2nd verdict on these questions" in text


def test_the_start_of_a_digest_is_enough(loop: Loop) -> None:
    first = loop.turn(GOOD)
    loop.turn(GOOD, seed=1)
    assert f"model       {first.candidate}" in explain(store_of(loop), first.candidate[:8])


def test_the_champion_is_explained_by_the_verdict_that_made_it_one(loop: Loop) -> None:
    loop.turn(GOOD)
    loop.config = loop.config.model_copy(update={"least_effect": 0.9})
    loop.promote()
    assert "verdict     PROMOTE" in explain(store_of(loop), "champion")
    assert "verdict     INCONCLUSIVE" in explain(store_of(loop), "candidate")


def test_a_version_without_a_verdict_says_so(loop: Loop, monkeypatch) -> None:
    monkeypatch.setattr("tasks.release.promote._record_verdict", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        loop.turn(EQUAL)
    text = explain(store_of(loop), "candidate")
    assert "none yet: the gate has not decided" in text
    assert "split/train.parquet" in text


def test_a_broken_ledger_is_said_where_everybody_looks(loop: Loop, tmp_path) -> None:
    loop.turn(GOOD)
    path = tmp_path / "store" / "ledger" / "00000002.json"
    path.write_bytes(path.read_bytes().replace(b"candidate", b"Candidate"))
    assert "BROKEN: Ledger entry ledger/0000000" in explain(store_of(loop), "champion")


@pytest.mark.parametrize("reference", ["champion", "candidate", "abcdef", "ab"])
def test_a_reference_to_nothing_is_one_sentence(loop: Loop, reference: str) -> None:
    with pytest.raises(ConfigError, match=r"There is no|means no model"):
        explain(store_of(loop), reference)
