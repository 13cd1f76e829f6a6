"""The release note: one page of HTML that a person without a technical background can read (jinja2, inline SVG).

The page needs nothing from anywhere: styles and pictures are inside. Without `run` it shows only what follows from the
inputs, so that the same measurements give the same bytes; with it, also commit and cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from tasks.adapters.html_page import render_page
from tasks.adapters.release.gain_plot import axis, axis_reach, bar, minus, plot
from tasks.core.digests import short
from tasks.core.release.answer_changes import ChangedAnswer, Changes
from tasks.core.release.lineage import DataFacts, Manifest, RunFacts, SourceFact, TokenCount
from tasks.core.release.verdict import Finding, Verdict
from tasks.core.wording import points, signed_points

TEMPLATE = Path(__file__).with_name("release_note.html.j2")
MAX_TEXT = 400
MAX_DROPS = 14
COLOURS = {
    "PROMOTE": {"strong": "#1b7f4d", "tint": "#eef8f2"},
    "REJECT": {"strong": "#b3261e", "tint": "#fdf1f0"},
    "INCONCLUSIVE": {"strong": "#8a5a00", "tint": "#fff8e9"},
}
ANNOUNCEMENTS = {
    "PROMOTE": "Promoted: the new model goes into service",
    "REJECT": "Rejected: the new model would do harm",
    "INCONCLUSIVE": "Not decided: the evidence is too weak",
}
CHIPS = {"held": "holds", "violated": "worse", "unclear": "unclear", "unmeasured": "not measured"}


@dataclass(frozen=True)
class Note:
    """What the page is about. `previous`: the data of the champion, to say what was added since."""

    verdict: Verdict
    manifest: Manifest
    champion: str | None
    changes: Changes
    data: DataFacts
    previous: DataFacts | None
    tokens: Mapping[str, TokenCount]
    resamples: int


def render(note: Note, run: RunFacts | None = None) -> str:
    """Return the page."""
    verdict = note.verdict
    findings = [verdict.primary, *verdict.guards]
    reach = axis_reach(findings)
    return render_page(
        TEMPLATE,
        title="Release note",
        announcement=ANNOUNCEMENTS[verdict.outcome],
        colours=COLOURS[verdict.outcome],
        verdict=verdict,
        candidate=short(note.manifest.digest),
        rival_name=f"the model in service, {short(note.champion)}" if note.champion else "the base model",
        rival_short="In service" if note.champion else "Base",
        tiles=_tiles(verdict),
        rows=[_row(finding, reach) for finding in findings],
        axis=axis(reach),
        changes=note.changes,
        sources=_sources(note.data, note.previous),
        journey=_journey(note.data),
        dropped=sorted(note.data.dropped, key=lambda drop: -drop.count)[:MAX_DROPS],
        lineage=_lineage(note, run),
        tokens=note.tokens,
        costs=run.cost.stages if run else {},
        resamples=f"{note.resamples:,}",
        points=points,
        signed_points=lambda value: minus(signed_points(value)),
        minus=minus,
        card=_card,
    )


def _tiles(verdict: Verdict) -> list[dict[str, str]]:
    c = verdict.primary.comparison
    tiles = [
        {"value": f"{verdict.items:,}", "words": f"questions asked, from {verdict.clusters:,} documents"},
        {
            "value": f"{points(c.champion)} → {points(c.candidate)}",
            "words": f"{verdict.primary.label.lower()}, of 100",
        },
    ]
    for finding in verdict.guards:
        g = finding.comparison
        if g.metric in ("hallucinated", "probe"):
            tiles.append(
                {
                    "value": f"{points(g.champion)} → {points(g.candidate)}",
                    "words": f"{finding.label.lower()}, of 100",
                }
            )
    return tiles


def _row(finding: Finding, reach: float) -> dict[str, object]:
    c = finding.comparison
    chip = "better" if finding.limit == 0 and finding.state == "held" else CHIPS[finding.state]
    return {
        "finding": finding,
        "better": c.better,
        "candidate": c.candidate,
        "champion": c.champion,
        "gain": c.gain,
        "plot": plot(finding, reach),
        "chip": chip,
    }


def _card(answer: ChangedAnswer, kind: str) -> Markup:
    rows = (("Right", answer.reference), ("Before", answer.before), ("Now", answer.after))
    body = Markup("").join(Markup("<div><i>{}</i> {}</div>").format(name, _cut(text)) for name, text in rows)
    return Markup('<div class="answer {}"><q>{}</q>{}</div>').format(kind, _cut(answer.question), body)


def _cut(text: str) -> str:
    text = " ".join(text.split()) or "(nothing)"
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT].rsplit(" ", 1)[0] + " …"


def _sources(data: DataFacts, previous: DataFacts | None) -> list[dict[str, object]]:
    before = {(s.source, s.licence): s.documents for s in previous.sources} if previous else {}
    facts = list(data.sources)
    known = {(s.source, s.licence) for s in facts}
    facts += [
        SourceFact(source=source, licence=licence, documents=0, train_conversations=0, eval_conversations=0)
        for source, licence in sorted(before.keys() - known)
    ]
    return [{"fact": s, "change": _change(s.documents, before.get((s.source, s.licence)), previous)} for s in facts]


def _change(now: int, before: int | None, previous: DataFacts | None) -> str:
    if previous is None:
        return "first model"
    if before is None:
        return "new"
    return "as before" if now == before else minus(f"{now - before:+,} documents")


def _journey(data: DataFacts) -> list[dict[str, object]]:
    most = max([1, *(fact.documents for fact in data.journey)])
    return [{"fact": fact, "bar": bar(fact.documents / most)} for fact in data.journey]


def _lineage(note: Note, run: RunFacts | None) -> list[tuple[str, str]]:
    manifest = note.manifest
    adapter = next((ref.sha256 for name, ref in manifest.files.items() if name.endswith(".safetensors")), "none")
    facts = [
        ("Model version", manifest.digest),
        ("Adapter weights", adapter),
        ("Base model", f"{manifest.base.id} ({manifest.base.digest})"),
        ("Prompt", f"version {manifest.prompt.version} ({manifest.prompt.digest})"),
        ("Search index", manifest.index_version),
        ("Measured against", note.champion or "the base model"),
        *((f"Data: {name}", digest) for name, digest in sorted(note.data.files.items())),
    ]
    if run:
        dirty = ", with changes that no commit has" if run.code.is_dirty else ""
        facts += [("Code", f"{run.code.commit or 'no commit'}{dirty}"), ("Started by", run.trigger)]
        facts += [("Pipeline state (dvc.lock)", run.dvc_lock or "none")]
    return facts
