import json
import shutil

import pytest

from tasks.core.errors import DataError, ExternalError
from tasks.finetune.fetch import is_stale
from tasks.runner import find_stage, run_stage
from tests.tasks.conftest import BAD, GOOD, Loop


def stale(loop: Loop) -> bool:
    return is_stale(loop.folder("fetch"), loop.folder("train"), loop.settings)


def files(loop: Loop) -> dict[str, bytes]:
    return {
        path.relative_to(loop.folder("fetch")).as_posix(): path.read_bytes()
        for path in loop.folder("fetch").rglob("*")
        if path.is_file()
    }


def test_without_a_champion_only_null_is_written(loop: Loop) -> None:
    loop.train()
    assert loop.fetch() is None
    assert json.loads(files(loop)["champion.json"]) == {"digest": None}
    assert files(loop).keys() == {"champion.json", "report.json"}


def test_the_champion_s_adapter_index_and_prompt_come_back(loop: Loop) -> None:
    first = loop.turn(GOOD)
    loop.train(1)
    assert loop.fetch() == first.candidate
    fetched = files(loop)
    assert fetched["adapter/adapter_model.safetensors"] == bytes(4000)
    assert json.loads(fetched["prompt.json"])["version"] == 1
    facts = json.loads(fetched["champion.json"])
    assert facts["digest"] == first.candidate
    assert facts["base"]["id"] == "smollm2-135m-instruct"
    assert json.loads(fetched["index/index.json"]) == {"version": "f" * 64}
    assert "index/vectors.npy" in fetched


def test_fetching_after_a_promotion_gives_what_it_gave_before(loop: Loop) -> None:
    loop.turn(GOOD)
    before = files(loop)
    assert not stale(loop)
    loop.fetch()
    assert files(loop) == before
    loop.turn(GOOD, seed=1)
    before = files(loop)
    assert not stale(loop)
    loop.fetch()
    assert files(loop) == before


def test_a_new_candidate_has_to_beat_the_new_champion(loop: Loop) -> None:
    loop.turn(GOOD)
    loop.train(1)
    assert stale(loop)
    loop.fetch()
    assert not stale(loop)


def test_a_refused_candidate_leaves_nothing_stale(loop: Loop) -> None:
    loop.turn(GOOD)
    loop.turn(BAD, seed=1)
    assert not stale(loop)


def test_a_champion_promoted_elsewhere_makes_it_stale(loop: Loop) -> None:
    loop.turn(BAD)
    assert not stale(loop)
    aside = loop.folder("aside")
    shutil.copytree(loop.settings.data, aside, dirs_exist_ok=True)
    loop.turn(GOOD, seed=1)
    for stage in ("train", "fetch"):
        shutil.rmtree(loop.folder(stage))
        shutil.copytree(aside / stage, loop.folder(stage))
    assert stale(loop)


def test_what_was_never_fetched_is_stale_and_what_was_never_trained_is_not(loop: Loop) -> None:
    assert stale(loop)
    loop.train()
    loop.fetch()
    shutil.rmtree(loop.folder("train"))
    assert not stale(loop)


def test_a_damaged_model_in_the_store_is_refused(loop: Loop, tmp_path) -> None:
    loop.turn(GOOD)
    loop.train(1)
    for blob in (tmp_path / "store" / "blobs").iterdir():
        blob.write_bytes(b"damaged")
    with pytest.raises(DataError, match="missing or damaged"):
        loop.fetch()


def test_an_index_other_than_the_one_trained_with_is_refused(loop: Loop) -> None:
    loop.train()
    (loop.folder("index") / "index.json").write_text('{"version": "another"}')
    with pytest.raises(DataError, match="made with another index"):
        loop.fetch()


@pytest.mark.parametrize(
    ("stage", "name", "content", "words"),
    [
        ("train", "report.json", "{}", "lacks 'base_model'"),
        ("train", "prompt.json", '{"version": 1, "digest": "d"}', "lacks 'passages'"),
        ("train", "prompt.json", "[]", "holds a list"),
        ("train", "prompt.json", "{", "missing or no JSON"),
        ("index", "index.json", None, "missing or no JSON"),
    ],
)
def test_an_unfinished_folder_is_one_sentence(
    loop: Loop, stage: str, name: str, content: str | None, words: str
) -> None:
    loop.train()
    path = loop.folder(stage) / name
    path.write_text(content) if content is not None else path.unlink()
    with pytest.raises(DataError, match=words):
        loop.fetch()


def test_a_training_without_an_adapter_is_one_sentence(loop: Loop) -> None:
    loop.train()
    shutil.rmtree(loop.folder("train") / "adapter")
    with pytest.raises(DataError, match="holds no adapter"):
        loop.fetch()


def test_a_store_that_cannot_be_written_is_worth_a_retry(loop: Loop, tmp_path) -> None:
    loop.train()
    (tmp_path / "in-the-way").write_text("")
    loop.settings = loop.settings.model_copy(update={"store_url": str(tmp_path / "in-the-way" / "store")})
    loop.fetch()
    loop.evaluate(GOOD)
    with pytest.raises(ExternalError, match="cannot be used"):
        loop.promote()


def test_the_runner_runs_it(loop: Loop, repository, monkeypatch) -> None:
    monkeypatch.chdir(repository)
    loop.train()
    assert run_stage(find_stage("finetune.fetch"), loop.settings).model_dump() == {"champion": None}
