"""The verdict on one window: drift, its drifted segments with a recommendation each, and its severity. Pure.

Only confirmed drift has consequences, whatever a single window recommends. Segments are looked for only in a window
that is at least suspected, so the false-alarm rate holds for them too.
"""

from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from tasks.core.monitoring.drift_verdict import DriftVerdict
from tasks.core.monitoring.triage import Cluster
from tasks.core.wording import points

Severity = Literal["none", "low", "medium", "high"]
ComparedWith = Literal["evaluation", "served", "nothing"]
RETRAIN_ADVICE = ("add_documents", "retrain")
ADVICE = {
    "ignore": "Nothing needs to be done.",
    "fix_prompt": "Change the prompt: the documents are found, and the model declines all the same.",
    "add_documents": "Add documents.",
    "label": "Label answers.",
    "retrain": "Retrain: the documents are found, and the answers are worse.",
}


class Offer(BaseModel):
    """Documents that could be added: installed packages, or paths of files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    packages: list[str] = []
    paths: list[str] = []

    @property
    def description(self) -> str:
        return ", ".join([*self.packages, *self.paths])


class DriftedSegment(BaseModel):
    """A drifted cluster of the window, and the documents on offer for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: Cluster
    offers: list[Offer]
    """Offers that hold its missing terms."""

    @property
    def recommendation(self) -> str:
        found = self.cluster
        if found.advice == "add_documents" and self.offers:
            return f"Add documents: {'; '.join(offer.description for offer in self.offers)}."
        if found.advice == "add_documents":
            return f"Add documents about {', '.join(found.missing_terms) or found.name}; none on offer holds them."
        if found.advice == "label" and found.label_rows:
            return f"Label {len(found.label_rows)} answers: `ratchet review` has them."
        return ADVICE[found.advice]


class Quality(BaseModel):
    """Share of good answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: float | None
    now: float | None
    has_fallen: bool
    """The change is confirmed, and it is a fall."""


class WindowVerdict(BaseModel):
    """The verdict on one window of one model version."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    since: str
    until: str
    number: int | None
    """Of the window in the version's history; None: a window that is not kept."""
    compared_with: ComparedWith
    drift: DriftVerdict
    quality: Quality
    parts: list[DriftedSegment]
    drifted: list[str] = []
    """Ids of the answers in these segments."""

    @property
    def is_confirmed(self) -> bool:
        return self.drift.outcome == "CONFIRMED"

    @property
    def is_retrain_advised(self) -> bool:
        return any(part.cluster.advice in RETRAIN_ADVICE for part in self.parts)

    @property
    def severity(self) -> Severity:
        if self.is_confirmed and (self.quality.has_fallen or self.is_retrain_advised):
            return "high"
        by_outcome: dict[str, Severity] = {"CONFIRMED": "medium", "SUSPECTED": "low"}
        return by_outcome.get(self.drift.outcome, "none")

    def requested_documents(self) -> Offer:
        """Return all documents that its segments ask for, each once."""
        chosen = [offer for part in self.parts if part.cluster.advice == "add_documents" for offer in part.offers]
        return Offer(
            packages=list(dict.fromkeys(name for offer in chosen for name in offer.packages)),
            paths=list(dict.fromkeys(path for offer in chosen for path in offer.paths)),
        )

    def lines(self) -> list[str]:
        """Return the verdict as a terminal shows it."""
        text = [f"{self.drift.outcome}: {self.drift.headline}"]
        text += [f"  - {reason}" for reason in self.drift.reasons if reason != self.drift.headline]
        if self.quality.has_fallen:
            text.append(f"  Good answers fell from {points(self.quality.before)} to {points(self.quality.now)} of 100.")
        for part in self.parts:
            found = part.cluster
            text.append(f"  {found.name}: {found.size} answers, {points(found.share)} % of the window")
            text += [f"      {line}" for line in found.evidence]
            text.append(f"      {part.recommendation}")
        return text


def quality_of(reference: pl.DataFrame, window: pl.DataFrame, verdict: DriftVerdict) -> Quality:
    """Return the share of good answers in the reference and in the window."""
    before, now = (_share(table["quality"]) for table in (reference, window))
    is_confirmed = any(
        found.column == "quality" and found.aspect == "values" and found.state == "confirmed"
        for found in verdict.findings
    )
    has_fallen = is_confirmed and before is not None and now is not None and now < before
    return Quality(before=before, now=now, has_fallen=has_fallen)


def _share(quality: pl.Series) -> float | None:
    known = quality.drop_nulls()
    return float(known.sum()) / known.len() if known.len() else None
