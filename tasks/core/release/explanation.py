"""The answer to "why does this model serve": the chain from a version back to the documents, as lines of a terminal.

Pure words: takes the facts of the registry and the ledger, one line a fact, nearest cause first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.core.digests import short
from tasks.core.release.lineage import Manifest, Pointer, RunFacts, VerdictFacts
from tasks.core.release.verdict import lines as verdict_lines

MAX_DROPS = 12
MIB = 1024 * 1024


@dataclass(frozen=True)
class Chain:
    """A version with all that is known about it. `verdict` and `run` are None where none was recorded."""

    model: str
    manifest: Manifest
    pointers: Sequence[Pointer]
    verdict: VerdictFacts | None
    verdict_number: int | None
    verdict_at: str | None
    run: RunFacts | None
    deployed: Sequence[str]
    """What became of it since the verdict, a line a step."""
    ledger: str
    """What checking the ledger found, as a sentence."""


def explain_chain(chain: Chain) -> str:
    """Return the chain as text."""
    parts = [*_heading(chain), *_verdict(chain), *_deployed(chain), *_model(chain)]
    if chain.run:
        parts += [*_data(chain.run), *_origin(chain.run), *_cost(chain.run)]
    return "\n".join([*parts, f"ledger      {chain.ledger}"])


def _heading(chain: Chain) -> Iterator[str]:
    yield f"model       {chain.model}"
    for pointer in chain.pointers:
        yield (
            f"{pointer.name:<11} since {pointer.moved_at} ({pointer.by}), on ledger entry "
            f"{pointer.entry_number} ({short(pointer.entry)}); before: {short(pointer.previous)}"
        )


def _verdict(chain: Chain) -> Iterator[str]:
    if chain.verdict is None:
        yield "verdict     none yet: the gate has not decided on this version"
        return
    facts = chain.verdict
    first, *rest = verdict_lines(facts.verdict)
    yield f"verdict     {first}"
    yield from (f"          {line}" for line in rest)
    rival = f"the champion {short(facts.champion)}" if facts.champion else "the base model"
    questions = f"{facts.verdict.items} questions from {facts.verdict.clusters} documents"
    yield f"            measured on {questions} against {rival}"
    place = f"ledger entry {chain.verdict_number}, {chain.verdict_at}"
    yield f"            {_ordinal(facts.looks)} verdict on these questions; {place}"
    yield from (f"            evidence {name} {short(digest)}" for name, digest in sorted(facts.rows.items()))
    yield from (f"            page {name}: blob {short(digest)}" for name, digest in sorted(facts.pages.items()))


def _deployed(chain: Chain) -> Iterator[str]:
    yield from (f"deployed    {line}" for line in chain.deployed)


def _model(chain: Chain) -> Iterator[str]:
    manifest = chain.manifest
    for name, ref in sorted(manifest.files.items()):
        if name.startswith("adapter/"):
            yield f"adapter     {name.removeprefix('adapter/')} {short(ref.sha256)}, {ref.size:,} bytes"
    yield f"base model  {manifest.base.id} {short(manifest.base.digest)}"
    prompt = manifest.prompt
    yield f"prompt      version {prompt.version} {short(prompt.digest)}, {prompt.passages} passages"
    yield f"index       {short(manifest.index_version)}"


def _data(run: RunFacts) -> Iterator[str]:
    for name, digest in sorted(run.data.files.items()):
        yield f"data        {name} {short(digest)}"
    for source in run.data.sources:
        yield (
            f"source      {source.source}, {source.licence}: {source.documents} documents, "
            f"{source.train_conversations} conversations to learn from, {source.eval_conversations} to measure on"
        )
    if run.data.journey:
        yield "documents   " + " -> ".join(f"{fact.stage} {fact.documents}" for fact in run.data.journey)
        yield "dialogues   " + " -> ".join(f"{fact.stage} {fact.conversations}" for fact in run.data.journey)
    for drop in sorted(run.data.dropped, key=lambda drop: -drop.count)[:MAX_DROPS]:
        yield f"left out    {drop.count} in {drop.stage}: {drop.reason}"


def _origin(run: RunFacts) -> Iterator[str]:
    dirty = ", with changes that no commit has" if run.code.is_dirty else ""
    yield f"code        {run.code.commit or 'no commit'}{dirty}; dvc.lock {short(run.dvc_lock)}; seed {run.seed}"
    yield f"started by  {run.trigger}, in checkout {run.checkout}"
    yield "libraries   " + ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items()))


def _cost(run: RunFacts) -> Iterator[str]:
    stages = run.cost.stages
    if stages:
        wall, cpu = sum(cost.wall_s for cost in stages.values()), sum(cost.cpu_s for cost in stages.values())
        peak = max(cost.peak_bytes for cost in stages.values())
        yield f"cost        {wall:.0f} s, {cpu:.0f} CPU-s, peak {peak / MIB:.0f} MiB over {len(stages)} stages"
    for model, tokens in sorted(run.cost.evaluation_tokens.items()):
        yield f"tokens      evaluating the {model}: {tokens.prompt} read, {tokens.completion} written"


def _ordinal(count: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(count % 10 if count % 100 not in (11, 12, 13) else 0, "th")
    return f"{count}{suffix}"
