"""What is served comes from a real store; the last test is the whole process, with the real engine."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from tasks.adapters.models.base_model import EMBEDDED, resolve
from tasks.adapters.release.registry import Move, Registry, file_ref
from tasks.adapters.retrieval.embedder import load_embedder
from tasks.adapters.retrieval.index import write_index
from tasks.adapters.storage.object_store import open_store
from tasks.core.chat import prompt
from tasks.core.errors import ConfigError, DataError
from tasks.core.records.answer_id import hour_of
from tasks.core.release.lineage import BaseFact, Manifest, PromptFact
from tasks.core.retrieval.passages import cut
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.served_model import fetch_version, gather, start_engine
from tasks.settings import Settings
from tests.tasks.ledger_facts import verdict_facts

AT = "2026-01-01T00:00:00+00:00"
DOCUMENTS = {
    "d1": ("Refunds", "Goods can be sent back for a refund within 47 days of delivery."),
    "d2": ("Delivery", "Parcels are delivered by bicycle in Ghent and by van elsewhere."),
    "d3": ("Opening hours", "The shop in Ghent is open from 9 to 17 on weekdays."),
}


class Words:
    """A fake embedder: a text's vector is the sum of its words' random vectors."""

    digest = "words"
    dimensions = 64

    def embed(self, texts: list[str]) -> np.ndarray:
        vectors = np.array([sum(map(self._vector, text.lower().split()), np.zeros(64)) for text in texts])
        return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)

    @staticmethod
    def _vector(word: str) -> np.ndarray:
        return np.random.default_rng(int.from_bytes(hashlib.sha256(word.encode()).digest()[:4])).normal(size=64)


def write_documents(folder: Path, embedder: Any, name: str) -> str:
    """Write the index of DOCUMENTS and return its version."""
    folder.mkdir(parents=True)
    passages = sorted(passage for id_, (title, text) in DOCUMENTS.items() for passage in cut(id_, title, text))
    vectors = embedder.embed([passage.text for passage in passages])
    titles = {id_: title for id_, (title, _) in DOCUMENTS.items()}
    return write_index(folder, passages, titles, vectors, embedder=(name, embedder.digest))


def register(registry: Registry, root: Path, base: BaseFact, version: str, prompt_digest: str | None = None) -> str:
    """Register the files below `root` as a version and return its digest."""
    (root / "prompt.json").write_text(json.dumps({"version": 1, "digest": prompt.digest(), "passages": 2}))
    files = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    manifest = Manifest(
        base=base,
        prompt=PromptFact(version=1, digest=prompt_digest or prompt.digest(), passages=2),
        index_version=version,
        files={name: file_ref(path) for name, path in files.items()},
    )
    return registry.register(manifest, files)


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(open_store(settings.store_url))


@pytest.fixture
def cached(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"model_cache": tmp_path / "cache"})


@pytest.fixture
def base(tmp_path: Path, cached: Settings) -> BaseFact:
    """A base model at rest, as far as nobody loads it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return BaseFact(id=str(folder), digest=resolve(str(folder), cached.model_cache).digest)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """The files of a version and its index's version."""
    monkeypatch.setattr("tasks.adapters.retrieval.index.load_embedder", lambda *_: Words())
    root = tmp_path / "version"
    version = write_documents(root / "index", Words(), "words")
    (root / "adapter").mkdir()
    (root / "adapter" / "adapter_config.json").write_text("{}")
    return root, version


def test_a_version_is_served_with_its_own_index_adapter_and_number_of_passages(
    registry: Registry, cached: Settings, base: BaseFact, parts: tuple[Path, str]
) -> None:
    digest = register(registry, parts[0], base, parts[1])
    found = gather(digest, registry, cached, ServeConfig())
    assert (found.digest, found.passages, found.retriever.version) == (digest, 2, parts[1])
    assert found.adapter is not None
    assert (found.adapter / "adapter_config.json").exists()
    assert found.retriever.titles["d1"] == "Refunds"


def test_a_version_of_another_prompt_is_refused(
    registry: Registry, cached: Settings, base: BaseFact, parts: tuple[Path, str]
) -> None:
    digest = register(registry, parts[0], base, parts[1], prompt_digest="0" * 64)
    with pytest.raises(DataError, match=r"trained with the prompt 000000000000 and this release asks with \w{12}: "):
        gather(digest, registry, cached, ServeConfig())


def test_a_version_whose_base_or_index_is_another_is_refused(
    registry: Registry, cached: Settings, base: BaseFact, parts: tuple[Path, str]
) -> None:
    wrong_base = register(registry, parts[0], BaseFact(id=base.id, digest="0" * 64), parts[1])
    with pytest.raises(DataError, match="rests on another"):
        gather(wrong_base, registry, cached, ServeConfig())
    wrong_index = register(registry, parts[0], base, "0" * 64)
    with pytest.raises(DataError, match="another index than it holds"):
        gather(wrong_index, registry, cached, ServeConfig())
    with pytest.raises(DataError, match="no model"):
        gather("f" * 64, registry, cached, ServeConfig())


def test_files_that_lie_there_are_used_again_unless_they_changed(
    registry: Registry, cached: Settings, base: BaseFact, parts: tuple[Path, str], tmp_path: Path
) -> None:
    digest = register(registry, parts[0], base, parts[1])
    manifest = registry.manifest(digest)
    folder = fetch_version(registry, digest, manifest, tmp_path / "models")
    config = folder / "adapter" / "adapter_config.json"
    stamp = config.stat().st_mtime_ns
    fetch_version(registry, digest, manifest, tmp_path / "models")
    assert config.stat().st_mtime_ns == stamp
    config.write_text("damaged")
    fetch_version(registry, digest, manifest, tmp_path / "models")
    assert config.read_text() == "{}"


def test_before_there_is_a_champion_the_base_model_is_shown_the_newest_index(
    registry: Registry, cached: Settings, base: BaseFact, parts: tuple[Path, str]
) -> None:
    config = ServeConfig(base_model=base.id)
    with pytest.raises(DataError, match="`ratchet run`"):
        gather(None, registry, cached, config)
    shutil.copytree(parts[0] / "index", cached.data / "index")
    found = gather(None, registry, cached, config)
    assert (found.digest, found.adapter, found.passages) == ("base", None, 3)


def test_an_upstream_that_has_no_address_is_a_sentence(
    registry: Registry, cached: Settings, base: BaseFact, parts: tuple[Path, str]
) -> None:
    found = gather(register(registry, parts[0], base, parts[1]), registry, cached, ServeConfig())
    with pytest.raises(ConfigError, match="RATCHET_UPSTREAM_URL"):
        asyncio.run(start_engine(found, cached, ServeConfig(engine="upstream")))
    with pytest.raises(ConfigError, match="no GGUF source"):
        asyncio.run(start_engine(found, cached, ServeConfig()))


def real_champion(registry: Registry, root: Path) -> str:
    """Register the embedded base with an adapter that changes nothing, and make it the champion."""
    import torch
    from safetensors.torch import save_file

    base = resolve(EMBEDDED, Settings().model_cache)
    version = write_documents(root / "index", load_embedder(), "all-minilm-l6-v2")
    (root / "adapter").mkdir()
    target = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{target}.lora_A.weight": torch.zeros(4, 576), f"{target}.lora_B.weight": torch.zeros(576, 4)}
    save_file(tensors, root / "adapter" / "adapter_model.safetensors")
    (root / "adapter" / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    digest = register(registry, root, BaseFact(id=base.id, digest=base.digest), version)
    entry = registry.ledger.append(verdict_facts(), "test", at=AT)
    registry.move(Move("champion", digest, entry, AT, "test"))
    return digest


@contextmanager
def running(environment: dict[str, str], cwd: Path, log: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run `ratchet serve` and yield it with what it said, once it answers."""
    command = [sys.executable, "-m", "flows", "serve", "--port", "0"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        said: list[str] = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                if "answers at" in line:
                    break
            assert said, log.read_text()
            assert "answers at" in said[-1], log.read_text()
            yield process, said
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.mark.slow
def test_ratchet_serve_answers_from_the_champions_documents_and_drains_on_sigterm(
    registry: Registry, settings: Settings, tmp_path: Path, repository: Path
) -> None:
    real_champion(registry, tmp_path / "champion")
    environment = {
        "RATCHET_HOME": str(settings.home),
        "RATCHET_STORE_URL": settings.store_url,
        "RATCHET_DATA": str(settings.data),
        "RATCHET_RECORDS_URL": str(tmp_path / "records"),
        "RATCHET_FEEDBACK_URL": str(tmp_path / "feedback"),
        "PYTHONPATH": str(repository),
    }
    with running(environment, repository, tmp_path / "log") as (process, said):
        key = re.search(r"rk-\S+", "".join(said))
        url = re.search(r"http://\S+/v1", said[-1])
        assert key is not None
        assert url is not None
        question = "Within how many days can goods be sent back for a refund?"
        with openai.OpenAI(base_url=url[0], api_key=key[0], max_retries=0) as client:
            chat: Any = {"model": "ratchet", "messages": [{"role": "user", "content": question}]}
            whole = client.chat.completions.create(**chat)
            assert "47" in whole.choices[0].message.content
            assert hour_of(whole.id) is not None
            assert whole.choices[0].message.citations[0]["document_id"] == "d1"
            assert whole.usage.completion_tokens > 2
            streamed = list(client.chat.completions.create(**chat, stream=True))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
            assert text == whole.choices[0].message.content
            with ThreadPoolExecutor() as pool:
                started = client.chat.completions.create(**chat, stream=True, max_tokens=60)
                first = next(started)
                rest = pool.submit(lambda: list(started))
                process.send_signal(signal.SIGTERM)
                assert rest.result(60)[-1].choices[0].finish_reason in ("stop", "length")
                assert first.id
        assert process.wait(30) == 0
    log = (tmp_path / "log").read_text()
    assert "refund" not in log
    assert key[0] not in log
    with running(environment, repository, tmp_path / "log") as (_, said):
        assert "rk-" not in "".join(said)
