"""Question-answer pairs from documented objects: checkable answers, near misses, several wordings. Pure and seedless.

Of every form the same share is unanswerable, and both sorts are asked in the same words, so that only the context tells
them apart. What is chosen follows from digests of names: a document more or less changes the questions near it and
leaves the others as they are.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.core.questions.corpus import Corpus
from tasks.core.questions.facts import Draft, facts, rank
from tasks.core.questions.templates import FORMS, TRAINED, Wording, word
from tasks.core.questions.unanswerable import near_misses

MAX_SAME_ANSWER = 0.25  # else "None" to every question about a default would do well

WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "purpose": {"missing_name": 0.4, "withheld": 0.3, "wrong_object": 0.3},
    "default": {"missing_parameter": 0.5, "wrong_object": 0.2, "withheld": 0.2, "missing_name": 0.1},
    "module": {"missing_name": 0.5, "withheld": 0.5},
    "parameters": {"missing_name": 0.4, "withheld": 0.3, "wrong_object": 0.3},
    "returns": {"missing_name": 0.4, "withheld": 0.3, "wrong_object": 0.3},
    "raises": {"missing_exception": 0.5, "withheld": 0.2, "wrong_object": 0.2, "missing_name": 0.1},
}


@dataclass(frozen=True, slots=True)
class Question:
    """A worded question with its answer and what is known about it."""

    draft: Draft
    wording: Wording

    @property
    def answerable(self) -> bool:
        return self.draft.kind == self.draft.form


def ask(corpus: Corpus, *, unanswerable_share: float, held_out_share: float, limit: int) -> list[Question]:
    """Return at most `limit` questions, in an order that follows from their keys.

    Each draft is asked once in a trained wording, and a `held_out_share` of them once more in a held-out wording.
    """
    answerable = _by_form(facts(corpus))
    unanswerable = _by_form(near_misses(corpus, [draft for drafts in answerable.values() for draft in drafts]))
    chosen = [
        draft
        for form in FORMS
        for draft in _choose(form, answerable[form], unanswerable[form], unanswerable_share=unanswerable_share)
    ]
    kept = _thin(chosen, round(limit / (1 + held_out_share)))
    questions = sorted(_worded(kept, held_out_share), key=lambda q: rank("keep", q.draft.key, q.wording.phrasing))[
        :limit
    ]
    return sorted(questions, key=lambda q: (q.draft.subject.name, q.draft.key, q.wording.phrasing))


def _choose(
    form: str, answerable: Sequence[Draft], unanswerable: Sequence[Draft], *, unanswerable_share: float
) -> list[Draft]:
    """Return answerable drafts and near misses in the given proportion, as many as there are of the scarcer sort."""
    answers = _balance(answerable)
    odds = unanswerable_share / (1 - unanswerable_share)
    misses = _mix(form, unanswerable, round(len(answers) * odds))
    return [*answers[: round(len(misses) / odds) if odds else None], *misses]


def _balance(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the drafts without the surplus of any answer that is more frequent than `MAX_SAME_ANSWER`.

    Where there are fewer than five answers to be had, each may take a little more than its equal share.
    """
    groups: dict[str, list[Draft]] = defaultdict(list)
    for draft in sorted(drafts, key=_rank):
        groups[draft.answer].append(draft)
    share = max(MAX_SAME_ANSWER, 1.25 / max(len(groups), 1))
    total = len(drafts)
    while (kept := sum(min(len(group), max(1, int(share * total))) for group in groups.values())) < total:
        total = kept
    most = max(1, int(share * total))
    return sorted((draft for group in groups.values() for draft in group[:most]), key=_rank)


def _mix(form: str, drafts: Sequence[Draft], want: int) -> list[Draft]:
    """Return up to `want` drafts in the proportions of `WEIGHTS`; what one kind lacks, the others make up for."""
    pools: dict[str, list[Draft]] = defaultdict(list)
    for draft in sorted(drafts, key=_rank):
        pools[draft.kind].append(draft)
    taken: list[Draft] = []
    for kind, weight in WEIGHTS[form].items():
        count = round(want * weight)
        taken += pools[kind][:count]
        pools[kind] = pools[kind][count:]
    spare = sorted((draft for pool in pools.values() for draft in pool), key=_rank)
    return (taken + spare)[:want]


def _thin(drafts: Sequence[Draft], limit: int) -> list[Draft]:
    """Return at most `limit` drafts: rare forms whole, the others in equal numbers, each kind keeping its share."""
    forms = sorted(_by_form(drafts).values(), key=len)
    kept: list[Draft] = []
    for index, form in enumerate(forms):
        kept += _keep_share(form, (limit - len(kept)) // (len(forms) - index))
    return kept


def _keep_share(drafts: Sequence[Draft], limit: int) -> list[Draft]:
    if len(drafts) <= limit:
        return list(drafts)
    kinds: dict[str, list[Draft]] = defaultdict(list)
    for draft in sorted(drafts, key=lambda draft: rank("thin", draft.key)):  # not by _rank: _balance cut along it
        kinds[draft.kind].append(draft)
    return [draft for kind in kinds.values() for draft in kind[: len(kind) * limit // len(drafts)]]


def _worded(drafts: Iterable[Draft], held_out_share: float) -> Iterator[Question]:
    for draft in drafts:
        yield Question(draft, _word(draft, held_out=False))
        if rank("held-out", draft.key) % 1000 < 1000 * held_out_share:
            yield Question(draft, _word(draft, held_out=True))


def _word(draft: Draft, *, held_out: bool) -> Wording:
    """Return a wording; the same question asked with and without its documents is never worded alike."""
    index = rank("wording", draft.form, draft.name, draft.parameter)
    if draft.kind != draft.form:
        index += 1 + rank("wording", draft.kind, draft.key) % (1 if held_out else len(TRAINED[draft.form]) - 1)
    return word(draft.form, index, held_out=held_out, name=draft.name, parameter=draft.parameter)


def _by_form(drafts: Iterable[Draft]) -> dict[str, list[Draft]]:
    """Return the drafts by form, each key once: two subjects may lead to the same invented name."""
    forms: dict[str, list[Draft]] = {form: [] for form in FORMS}
    for draft in {draft.key: draft for draft in drafts}.values():
        forms[draft.form].append(draft)
    return forms


def _rank(draft: Draft) -> int:
    return rank("choose", draft.key)
