"""What is known about a model version: what it consists of, and where it came from.

A version is its manifest; its name is the manifest's digest, so that the same parts have the same name in every store
and no version can change. The facts about a run and a verdict are what the ledger keeps of them.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tasks.core.digests import digest_of
from tasks.core.release.verdict import Verdict

SCHEMA_VERSION = 1
PointerName = Literal["champion", "candidate"]
POINTERS: tuple[PointerName, ...] = ("champion", "candidate")
BASE = "base"  # in the place of a digest where no version serves, but the base model itself


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRef(Fact):
    """A file by content; its bytes lie in the store as blobs/<sha256>."""

    sha256: str
    size: int


class BaseFact(Fact):
    """The base model that the adapter sits on."""

    id: str
    digest: str


class PromptFact(Fact):
    """The prompt that the adapter was trained with, and how many passages it shows."""

    version: int
    digest: str
    passages: int


class Manifest(Fact):
    """Everything a model version needs to answer, by content."""

    schema_version: int = SCHEMA_VERSION
    base: BaseFact
    prompt: PromptFact
    index_version: str
    files: dict[str, FileRef]
    """By path: adapter/..., prompt.json, index/..."""

    @property
    def digest(self) -> str:
        """The version's name."""
        return digest_of(self.model_dump(mode="json"))


class Pointer(Fact):
    """A name that moves: which version it means, and the ledger entry that allowed it."""

    name: PointerName
    model: str
    previous: str | None
    entry: str
    entry_number: int
    moved_at: str
    by: str


class CodeFact(Fact):
    """The commit that ran; `is_dirty`: the checkout held changes that no commit has."""

    commit: str | None
    is_dirty: bool


class SourceFact(Fact):
    """How much of one source, under one licence, is on which side."""

    source: str
    licence: str
    documents: int
    train_conversations: int
    eval_conversations: int


class DropFact(Fact):
    """How many records a stage left out for one reason."""

    stage: str
    reason: str
    count: int


class JourneyFact(Fact):
    """How many records left a stage."""

    stage: str
    documents: int
    conversations: int


class DataFacts(Fact):
    """The data behind a model: what came in, what stayed, what was left out and why, and digests of the files used."""

    sources: list[SourceFact]
    journey: list[JourneyFact]
    dropped: list[DropFact]
    files: dict[str, str]


class StageCost(Fact):
    wall_s: float
    cpu_s: float
    peak_bytes: int


class TokenCount(Fact):
    prompt: int
    completion: int


class CostFacts(Fact):
    """What a run cost: by stage as last run, and tokens by evaluated model."""

    stages: dict[str, StageCost]
    evaluation_tokens: dict[str, TokenCount]
    measurements: dict[str, object]
    """Latency and speed as `evaluate` measured them; empty where it did not."""


class RunFacts(Fact):
    """Content of a `run` entry: who ran what on what, and at which cost."""

    candidate: str
    champion: str | None
    """The version it was measured against; None: the base model."""
    trigger: str
    checkout: str
    """Made-up name of the checkout, so that a repeated run is known from a second one."""
    code: CodeFact
    versions: dict[str, str]
    dvc_lock: str | None
    """SHA-256 of the dvc.lock of this run, kept whole in the store as a blob."""
    configs: dict[str, object]
    seed: int | None
    data: DataFacts
    reports: dict[str, object]
    metrics: dict[str, object]
    cost: CostFacts


class VerdictFacts(Fact):
    """Content of a `verdict` entry."""

    candidate: str
    champion: str | None
    run: str
    run_number: int
    rows: dict[str, str]
    """SHA-256 of the files that the gate decided from."""
    items: str
    """Digest of the ids of the evaluation items."""
    looks: int
    """How many verdicts, this one included, rest on the same items; many looks at the same items find luck."""
    rules: dict[str, object]
    verdict: Verdict
    pages: dict[str, str]
    """Release note and model card, as blobs of the store."""


def run_key(verdict: str, checkout: str) -> str:
    return f"run:{verdict}:{checkout}"


def verdict_key(candidate: str, champion: str | None, rows: Mapping[str, str], rules: Mapping[str, object]) -> str:
    """Return the same key for the same question: these two models, these measurements, these rules."""
    question = {"candidate": candidate, "champion": champion, "rows": dict(rows), "rules": dict(rules)}
    return f"verdict:{digest_of(question)}"


def pointer_key(name: PointerName, entry: str) -> str:
    return f"pointer:{name}:{entry}"


def superseded_key(verdict: str, champion_entry: str) -> str:
    return f"superseded:{verdict}:{champion_entry}"
