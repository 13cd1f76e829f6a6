"""Documented objects, and the questions about them, as records in the raw zone."""

from dataclasses import dataclass

from tasks.adapters.sources.conversations import messages_key
from tasks.adapters.sources.python_docs.installed import Edition
from tasks.adapters.sources.raw_zone import ConversationRow, DocumentRow, Place, RawZone
from tasks.core.questions.corpus import Corpus, Subject
from tasks.core.questions.generate import Question, ask
from tasks.core.records.schema import record_id


@dataclass(frozen=True)
class QuestionLimits:
    """How many questions to ask, and of which sorts."""

    max_conversations: int
    unanswerable_share: float
    held_out_share: float


def write_reference(zone: RawZone, source: str, corpus: Corpus, edition: Edition, limits: QuestionLimits) -> None:
    """Add a document for each subject, then the conversations about them."""
    for subject in corpus.subjects:
        zone.add_document(_document(subject, source, edition), Place(subject.name))
    questions = ask(
        corpus,
        unanswerable_share=limits.unanswerable_share,
        held_out_share=limits.held_out_share,
        limit=limits.max_conversations,
    )
    for question in questions:
        row = _conversation(question, source, edition)
        zone.add_conversation(row, Place(row.uri))


def _document(subject: Subject, source: str, edition: Edition) -> DocumentRow:
    return DocumentRow(
        id=subject.document_id,
        family=subject.family,
        title=subject.name,
        text=subject.text,
        source=source,
        uri=subject.uri,
        licence=edition.licence,
        seen_at=edition.seen_at,
    )


def _conversation(question: Question, source: str, edition: Edition) -> ConversationRow:
    draft, wording = question.draft, question.wording
    turns = [{"role": "user", "content": wording.text}, {"role": "assistant", "content": draft.answer}]
    return ConversationRow(
        id=record_id(source, draft.key, messages_key(turns)),
        family=draft.subject.family,
        messages=turns,
        document_ids=list(draft.document_ids),
        evidence=draft.evidence,
        answerable=question.answerable,
        withhold=draft.withhold,
        kind=draft.kind,
        phrasing=wording.phrasing,
        held_out=wording.held_out,
        source=source,
        uri=draft.key,
        licence=edition.licence,
        seen_at=edition.seen_at,
    )
