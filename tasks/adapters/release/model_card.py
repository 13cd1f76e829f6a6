"""The model card in Hugging Face's format: metadata a hub can read, text a person can (huggingface_hub).

Follows Mitchell et al. 2019, "Model Cards for Model Reporting", as far as facts are known here. Holds no time and no
machine's path, so that the same model and verdict give the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from tasks.adapters.models.base_model import EMBEDDED
from tasks.core.digests import short
from tasks.core.release.lineage import DataFacts, Manifest
from tasks.core.release.verdict import Finding, Verdict, spread
from tasks.core.wording import points, signed_points

HUB_IDS = {EMBEDDED: "HuggingFaceTB/SmolLM2-135M-Instruct"}
TASK = "question-answering"
TAGS = ["lora", "retrieval-augmented-generation", "ratchet"]


@dataclass(frozen=True)
class Card:
    """What the card is about. `licence`: SPDX identifier of the adapter."""

    manifest: Manifest
    verdict: Verdict
    champion: str | None
    data: DataFacts
    licence: str


def render(card: Card) -> str:
    """Return the card: YAML metadata, then Markdown."""
    from huggingface_hub import EvalResult, ModelCardData

    findings = [card.verdict.primary, *card.verdict.guards]
    metadata = ModelCardData(
        base_model=hub_id(card.manifest.base.id),
        library_name="peft",
        license=card.licence.lower(),
        pipeline_tag=TASK,
        tags=TAGS,
        model_name=f"ratchet-{short(card.manifest.digest)}",
        eval_results=[
            EvalResult(
                task_type=TASK,
                dataset_type="private",
                dataset_name="general probe" if finding.comparison.metric == "probe" else "domain questions",
                metric_type=finding.comparison.metric,
                metric_name=finding.label,
                metric_value=finding.comparison.candidate,
            )
            for finding in findings
            if finding.comparison.candidate is not None
        ],
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{_text(card, findings)}"


def hub_id(base: str) -> str:
    """Return the name that a hub knows the base model by; of a folder only its last part."""
    if base in HUB_IDS:
        return HUB_IDS[base]
    return PurePath(base).name if PurePath(base).is_absolute() or base.startswith((".", "~")) else base


def _text(card: Card, findings: Sequence[Finding]) -> str:
    manifest, verdict = card.manifest, card.verdict
    rival = f"the champion `{short(card.champion)}`" if card.champion else "the base model"
    parts = [
        f"# Model {short(manifest.digest)}",
        f"A LoRA adapter for `{hub_id(manifest.base.id)}`. It answers questions from retrieved passages, and says so "
        "when they do not contain the answer.",
        f"**{verdict.outcome}** against {rival}: {verdict.headline}",
        "## Use",
        f"Ask with the prompt it was trained on (`prompt.json`) and {manifest.prompt.passages} passages of the "
        f"index `{manifest.index_version[:12]}`. It was not made to answer without passages, to reason, or to chat.",
        "## Evaluation",
        _table(findings),
        *([_list(verdict.reasons)] if verdict.reasons else []),
        "Numbers are points out of 100. Intervals are cluster bootstraps over documents; what was not measured counts "
        "as the worst possible result.",
        "## Data",
        _sources(card.data),
        "Personal data and secrets were replaced by pseudonyms before training; no document or wording of the "
        "evaluation was trained on.",
        "## Limits",
        "The measures compare with written answers on one domain. The grounding screen finds numbers, names and "
        "identifiers that the passages lack; it is no entailment model. Other domains and languages were not measured.",
        "## Provenance",
        _list(_provenance(card)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(findings: Sequence[Finding]) -> str:
    lines = ["| measure | this model | before | gain | needs | state |", "|---|---|---|---|---|---|"]
    for finding in findings:
        c = finding.comparison
        lines.append(
            f"| {finding.label} ({c.better} is better) | {points(c.candidate)} | {points(c.champion)} | {spread(c)} "
            f"| > {signed_points(finding.limit)} | {finding.state} |"
        )
    return "\n".join(lines)


def _sources(data: DataFacts) -> str:
    lines = ["| source | licence | documents | to learn from | to measure on |", "|---|---|---|---|---|"]
    lines += [
        f"| {s.source} | {s.licence} | {s.documents} | {s.train_conversations} | {s.eval_conversations} |"
        for s in data.sources
    ]
    return "\n".join(lines)


def _provenance(card: Card) -> list[str]:
    manifest = card.manifest
    facts = [
        f"Version `{manifest.digest}`",
        f"Base model digest `{manifest.base.digest}`",
        f"Prompt version {manifest.prompt.version}, digest `{manifest.prompt.digest}`",
    ]
    return facts + [f"`{name}` `{digest}`" for name, digest in sorted(card.data.files.items())]


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
