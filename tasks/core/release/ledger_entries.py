"""What each kind of ledger entry says, as types: one class a kind, found by the kind of the entry.

Readers match on the class. An entry is stored as plain JSON (`tasks/core/release/ledger.py`), so that its bytes and its
digest do not depend on these classes. A field that is optional here is absent from entries that had nothing to say.
Caveat: an entry of a newer release, or a damaged one, may hold what this release does not know: it is `Unknown`, and
whoever looks for something else passes it over.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from tasks.core.release.lineage import Fact, Pointer, RunFacts, VerdictFacts

StepName = Literal["announced", "advanced", "finished", "rolled_back", "superseded"]
Kind = Literal["run", "verdict", "pointer", "superseded", "flow", "rollout", "rollback"]


class Superseded(Fact):
    """A promotion that came too late: another run had moved the champion pointer."""

    candidate: str
    expected: str | None
    """The champion that the verdict was about; None: the base model."""
    found: str | None
    """The champion that was there instead."""
    verdict: str
    """Digest of the verdict's entry."""
    checkout: str


class FlowRun(Fact):
    """How a flow ended in one checkout."""

    pid: int
    command: str
    started_at: str
    checkout: str
    outcome: str
    """completed, nothing changed, failed: NAME OF THE ERROR, or killed."""
    trigger: str | None = None
    """Who or what started it; unknown of a killed one."""
    stages: dict[str, str] | None = None


class RolloutStep(Fact):
    """A rollout was announced, went on, or ended."""

    what: StepName
    strategy: str
    candidate: str
    champion: str | None
    by: str
    rollout: str | None = None
    """Name of the rollout; an announcement names it by its own digest."""
    reason: str = ""
    share: float | None = None
    """Of the assignment units that the candidate answers from now on."""
    decision: dict[str, Any] | None = None
    """The evidence, as `tasks.core.rollout.decision.RolloutDecision` writes it."""


class Rollback(Fact):
    """The champion pointer was taken back to an earlier version."""

    model_config = ConfigDict(populate_by_name=True)

    left: str = Field(alias="from")
    to: str | None
    """None: before the refused version there was only the base model."""
    reason: str
    by: str


class Unknown(Fact):
    """Content that is not what its kind holds."""

    reason: str


Content = RunFacts | VerdictFacts | Pointer | Superseded | FlowRun | RolloutStep | Rollback

KINDS: dict[Kind, type[Content]] = {
    "run": RunFacts,
    "verdict": VerdictFacts,
    "pointer": Pointer,
    "superseded": Superseded,
    "flow": FlowRun,
    "rollout": RolloutStep,
    "rollback": Rollback,
}
_KIND_OF: dict[type[Content], Kind] = {content: kind for kind, content in KINDS.items()}
_PARTIAL = (FlowRun, RolloutStep)  # written without the fields that nobody gave


def kind_of(content: Content) -> Kind:
    """Return the kind of the entry that holds `content`."""
    return _KIND_OF[type(content)]


def to_json(content: Content) -> dict[str, object]:
    """Return the content as an entry stores it."""
    return content.model_dump(mode="json", by_alias=True, exclude_unset=isinstance(content, _PARTIAL))


def from_json(kind: Kind, content: dict[str, object]) -> Content | Unknown:
    """Return the content of a stored entry."""
    try:
        return KINDS[kind].model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        return Unknown(reason=f"{kind}, {field}: {first['msg'].lower()}")
