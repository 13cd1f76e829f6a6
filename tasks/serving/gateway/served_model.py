"""Load the model to serve: a registered version with its own index, or the base model while there is no champion.

Reads the store, or `data/index` for the base model; writes the version's files below `home/serving/models/<digest>`,
each checked against its digest. A version that was trained with another prompt than this release renders is refused: it
would be asked in words it never saw. Caveat: the base model has no index of its own, and is shown the newest one.
"""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tasks.adapters.inference.stream_engine import StreamEngine
from tasks.core.chat import prompt
from tasks.core.digests import short
from tasks.core.errors import ConfigError, DataError
from tasks.core.release.lineage import BASE, Manifest
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.batched_search import Searcher
from tasks.settings import Settings

if TYPE_CHECKING:
    from tasks.adapters.models.base_model import BaseModel
    from tasks.adapters.release.registry import Registry
    from tasks.adapters.retrieval.index import Retriever

ADAPTER, INDEX = "adapter", "index"


@dataclass(frozen=True)
class ServedModel:
    """A model that answers. `digest` is the version's, or "base"."""

    digest: str
    prompt_digest: str
    index_version: str
    passages: int
    titles: dict[str, str]
    """Of the index's documents, by id."""
    search: Searcher
    engine: StreamEngine

    @property
    def name(self) -> str:
        """What clients call exactly this version."""
        return f"ratchet-{self.digest[:12]}"

    async def close(self) -> None:
        """Free the engine and the index; answers that still run are lost."""
        self.search.close()
        await self.engine.close()


class Startable(StreamEngine, Protocol):
    """An engine that must be started before it can answer."""

    async def start(self) -> None:
        """Return when it can answer."""


@dataclass(frozen=True)
class Parts:
    """The checked files of a model: all that is needed to start its engine."""

    digest: str
    base: "BaseModel"
    adapter: Path | None
    passages: int
    retriever: "Retriever"


async def load_model(digest: str | None, registry: "Registry", settings: Settings, config: ServeConfig) -> ServedModel:
    """Return a running model: the version `digest`, or the base model where that is None. Takes some seconds.

    Raises DataError for a version that is damaged or of another prompt, ConfigError or ExternalError for an engine that
    cannot be started.
    """
    parts = await asyncio.to_thread(gather, digest, registry, settings, config)
    engine = await start_engine(parts, settings, config)
    return ServedModel(
        digest=parts.digest,
        prompt_digest=prompt.digest(),
        index_version=parts.retriever.version,
        passages=parts.passages,
        titles=dict(parts.retriever.titles),
        search=Searcher(parts.retriever, parts.passages),
        engine=engine,
    )


def gather(digest: str | None, registry: "Registry", settings: Settings, config: ServeConfig) -> Parts:
    """Fetch a model's files, check them and open its index."""
    from tasks.adapters.models.base_model import resolve

    if digest is None:
        index = settings.data / INDEX
        if not index.is_dir():
            raise DataError(f"The store {registry.store.address} has no champion and {index} no index: `ratchet run`.")
        return Parts(BASE, resolve(config.base_model, settings.model_cache), None, config.base_passages, _opened(index))
    manifest = registry.manifest(digest)
    check_prompt(digest, manifest)
    base = resolve(manifest.base.id, settings.model_cache)
    if base.digest != manifest.base.digest:
        raise DataError(f"Model {short(digest)} rests on another {base.id!r} than the one here: bring back its files.")
    folder = fetch_version(registry, digest, manifest, settings.home / "serving" / "models")
    retriever = _opened(folder / INDEX)
    if retriever.version != manifest.index_version:
        raise DataError(f"Model {short(digest)} names another index than it holds: register it again.")
    return Parts(digest, base, folder / ADAPTER, manifest.prompt.passages, retriever)


def check_prompt(digest: str, manifest: Manifest) -> None:
    """Raise DataError unless the version was trained with the prompt that this release renders."""
    if mismatch := prompt.mismatch(manifest.prompt.digest):
        raise DataError(
            f"Model {short(digest)} was trained with the prompt {mismatch.trained} and this release asks with "
            f"{mismatch.ours}: "
            "serve it with the release that made it, or train again."
        )


def fetch_version(registry: "Registry", digest: str, manifest: Manifest, root: Path) -> Path:
    """Return the folder with the version's files; what lies there already is checked and used again."""
    from tasks.adapters.storage.files import exclusive, file_digest

    folder = root / digest
    with exclusive(root / "lock"):
        if folder.exists():
            if all((folder / n).is_file() and file_digest(folder / n) == f.sha256 for n, f in manifest.files.items()):
                return folder
            shutil.rmtree(folder)
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        registry.download(digest, part)
        part.rename(folder)
    return folder


async def start_engine(parts: Parts, settings: Settings, config: ServeConfig) -> StreamEngine:
    """Return the engine that answers for the model, ready."""
    if config.engine == "upstream" or (config.engine == "auto" and settings.upstream_url):
        return await _start_upstream(parts, settings)
    from tasks.adapters.inference.batch_engine import best_precision
    from tasks.adapters.inference.batch_types import EngineSpec
    from tasks.adapters.inference.stream_process import ProcessEngine
    from tasks.adapters.models.base_model import load_tokenizer
    from tasks.adapters.models.chat_template import prompt_text
    from tasks.adapters.models.gguf_export import merged_gguf

    weights = await asyncio.to_thread(merged_gguf, parts.base, parts.adapter, settings.model_cache)
    tokenizer = await asyncio.to_thread(load_tokenizer, parts.base.folder)
    spec = EngineSpec(
        engine="openvino",
        weights=weights,
        tokenizer=parts.base.folder,
        precision=best_precision() if config.precision == "auto" else config.precision,
        threads=max(1, settings.threads - 1),  # one core is left to the connections and the search
        concurrency=config.concurrency,
        cache_gb=config.cache_gb,
    )
    return await _started(ProcessEngine(spec, lambda messages: prompt_text(tokenizer, messages)))


async def _start_upstream(parts: Parts, settings: Settings) -> StreamEngine:
    from tasks.adapters.inference.stream_upstream import Upstream, UpstreamEngine

    if not settings.upstream_url:
        raise ConfigError("configs/serve.yaml wants the upstream engine: name its address in RATCHET_UPSTREAM_URL.")
    engine = UpstreamEngine(
        Upstream(
            base_url=settings.upstream_url,
            model=settings.upstream_model if parts.adapter is None else f"ratchet-{parts.digest[:12]}",
            api_key=settings.upstream_api_key.get_secret_value() if settings.upstream_api_key else None,
            adapter=parts.adapter,
        )
    )
    return await _started(engine)


async def _started(engine: Startable) -> StreamEngine:
    """Start the engine; nothing of it is left where that fails or is broken off."""
    try:
        await engine.start()
    except BaseException:
        await engine.close()
        raise
    return engine


def _opened(folder: Path) -> "Retriever":
    """Open an index and load its embedder, so that the first question does not wait for it."""
    from tasks.adapters.retrieval.index import Retriever

    retriever = Retriever.open(folder)
    retriever.search_scored(["warm up"], 1)
    return retriever
