from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.adapters.release.registry import Move, Registry, SupersededError, file_ref
from tasks.adapters.storage.object_store import FolderStore, Store
from tasks.core.errors import DataError, ExternalError
from tasks.core.release.ledger import Entry
from tasks.core.release.lineage import BaseFact, Manifest, PromptFact
from tests.tasks.ledger_facts import verdict_facts

AT = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "weights").write_bytes(b"weights" * 1000)
    (tmp_path / "prompt").write_bytes(b"{}")
    return {"adapter/adapter_model.safetensors": tmp_path / "weights", "prompt.json": tmp_path / "prompt"}


def manifest_of(files: dict[str, Path], index: str = "i1") -> Manifest:
    return Manifest(
        base=BaseFact(id="base", digest="b" * 64),
        prompt=PromptFact(version=1, digest="p" * 64, passages=3),
        index_version=index,
        files={name: file_ref(path) for name, path in files.items()},
    )


def entry(registry: Registry, key: str) -> Entry:
    return registry.ledger.append(verdict_facts(), key, at=AT)


def champion(registry: Registry, model: str, key: str, expected: set[str | None] | None = None) -> bool:
    return registry.move(Move("champion", model, entry(registry, key), AT, "test"), expected)


@pytest.fixture
def registry(tmp_path: Path, files: dict[str, Path]) -> Registry:
    made = Registry(FolderStore(tmp_path / "store"))
    for index in ("i1", "i2", "i3"):
        made.register(manifest_of(files, index), files)
    return made


def test_a_version_comes_back_as_it_was_registered(store: Store, files: dict[str, Path], tmp_path: Path) -> None:
    registry = Registry(store)
    manifest = manifest_of(files)
    digest = registry.register(manifest, files)
    assert registry.models() == [digest]
    assert registry.download(digest, tmp_path / "out") == manifest
    for name, path in files.items():
        assert (tmp_path / "out" / name).read_bytes() == path.read_bytes()


def test_the_first_reference_of_a_version_stays(store: Store, files: dict[str, Path], tmp_path: Path) -> None:
    registry = Registry(store)
    digest = registry.register(manifest_of(files), files)
    assert not registry.reference(digest, tmp_path / "out")
    for content in (b"first", b"second"):
        (tmp_path / "reference").write_bytes(content)
        registry.keep_reference(digest, tmp_path / "reference")
    assert registry.reference(digest, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"first"
    assert registry.models() == [digest]
    assert registry.manifest(digest) == manifest_of(files)


def test_registering_twice_or_at_once_makes_one_version(store: Store, files: dict[str, Path]) -> None:
    def register(_: int) -> str:
        return Registry(store).register(manifest_of(files), files)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(register, range(6)))) == 1
    assert len(Registry(store).models()) == 1


def test_only_the_files_asked_for_are_downloaded(registry: Registry, tmp_path: Path) -> None:
    registry.download(registry.models()[0], tmp_path / "out", prefixes=("adapter/",))
    assert [path.name for path in (tmp_path / "out").rglob("*.*")] == ["adapter_model.safetensors"]


def test_the_digest_follows_from_every_part(files: dict[str, Path]) -> None:
    first = manifest_of(files).digest
    assert manifest_of(dict(reversed(files.items()))).digest == first
    assert manifest_of(files, "other").digest != first
    files["prompt.json"].write_bytes(b"{ }")
    assert manifest_of(files).digest != first


def test_a_damaged_blob_is_refused_and_a_truncated_one_is_replaced(
    registry: Registry, files: dict[str, Path], tmp_path: Path
) -> None:
    manifest = manifest_of(files)
    ref = manifest.files["adapter/adapter_model.safetensors"]
    blob = tmp_path / "store" / "blobs" / ref.sha256
    blob.write_bytes(b"Weights" + blob.read_bytes()[7:])
    with pytest.raises(DataError, match=r"blobs/.* is missing or damaged"):
        registry.download(manifest.digest, tmp_path / "out")
    assert not (tmp_path / "out" / "adapter/adapter_model.safetensors").exists()
    blob.write_bytes(b"half")
    registry.register(manifest, files)
    registry.download(manifest.digest, tmp_path / "out")


def test_a_file_that_changes_while_it_is_registered_is_refused(registry: Registry, files: dict[str, Path]) -> None:
    files["prompt.json"].write_bytes(b"one")
    manifest = manifest_of(files)
    files["prompt.json"].write_bytes(b"two")
    with pytest.raises(DataError, match="changed while it was being registered"):
        registry.register(manifest, files)
    assert manifest.digest not in registry.models()


def test_an_unknown_or_damaged_version_is_one_sentence(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no model"):
        registry.manifest("0" * 64)
    digest = registry.models()[0]
    path = tmp_path / "store" / "models" / digest / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(DataError, match="missing or damaged"):
        registry.manifest(digest)
    path.write_bytes(b"{}")
    with pytest.raises(DataError, match="missing or damaged"):
        registry.manifest(digest)


def test_a_pointer_moves_only_from_where_it_was_expected(registry: Registry) -> None:
    a, b, c = registry.models()
    assert registry.pointer("champion") is None
    assert champion(registry, a, "v1", {None})
    assert champion(registry, b, "v2", {a})
    with pytest.raises(SupersededError, match=f"promoted {b[:12]} meanwhile") as raised:
        champion(registry, c, "v3", {a})
    assert isinstance(raised.value, ExternalError)
    pointer = registry.pointer("champion")
    assert pointer is not None
    assert (pointer.model, pointer.previous, pointer.by) == (b, a, "test")
    assert registry.verify() == 5  # three verdicts, two moves


def test_the_same_move_is_made_once_even_after_a_later_one(registry: Registry) -> None:
    a, b, _ = registry.models()
    assert champion(registry, a, "v1")
    assert champion(registry, b, "v2")
    assert not champion(registry, a, "v1", {None})
    pointer = registry.pointer("champion")
    assert pointer is not None
    assert pointer.model == b


def test_a_champion_that_vanished_is_one_sentence(registry: Registry) -> None:
    with pytest.raises(SupersededError, match="no champion although one was fetched"):
        champion(registry, registry.models()[0], "v1", {"f" * 64})


def test_the_version_to_beat_is_the_champion_or_the_one_before_it(registry: Registry) -> None:
    a, b, c = registry.models()
    assert registry.rival(a) is None
    champion(registry, a, "v1")
    assert registry.rival(a) is None
    assert registry.rival(b) == a
    champion(registry, b, "v2")
    assert registry.rival(b) == a
    assert registry.rival(c) == b


@pytest.mark.parametrize("cut", [1, 3])
def test_a_ledger_cut_off_behind_a_pointer_is_found(registry: Registry, tmp_path: Path, cut: int) -> None:
    a, b, _ = registry.models()
    champion(registry, a, "v1")
    champion(registry, b, "v2")
    entries = sorted((tmp_path / "store" / "ledger").iterdir())
    for path in entries[-cut:]:
        path.unlink()
    if cut == 1:  # only the record of the move: the verdict it rests on is there
        assert registry.verify() == 3
    else:
        with pytest.raises(DataError, match="rests on ledger entry 3"):
            registry.verify()


def test_a_damaged_pointer_is_one_sentence(registry: Registry, tmp_path: Path) -> None:
    champion(registry, registry.models()[0], "v1")
    (tmp_path / "store" / "pointers" / "champion.json").write_text("{}")
    with pytest.raises(DataError, match=r"pointers/champion.json is missing or damaged"):
        registry.pointer("champion")


def test_a_pointer_that_never_stands_still_is_one_sentence(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse: Callable[..., bool] = lambda *_: False  # noqa: E731
    monkeypatch.setattr(FolderStore, "compare_and_swap", refuse)
    with pytest.raises(ExternalError, match="never stood still"):
        champion(registry, registry.models()[0], "v1")
