"""The source kind `feedback`: corrections that people gave to served answers, as conversations.

Reads JSONL of `records.Feedback`. Of several verdicts on one answer the one that counts is taken (see
`tasks/core/feedback/rules.py`). Only corrections that may be used become conversations: those accepted by a reviewer,
or where no review is required all but the rejected. The others are counted, not refused. Memory holds all verdicts.
"""

from collections.abc import Iterable

from pydantic import ValidationError

from tasks.adapters.sources.conversations import KIND, messages_key
from tasks.adapters.sources.documents import JSONL, SourceTerms, each_record
from tasks.adapters.sources.listing import fingerprint, list_files
from tasks.adapters.sources.raw_zone import ConversationRow, Place, RawZone
from tasks.adapters.sources.reader import ReadLimits
from tasks.adapters.sources.source_file import SourceFile
from tasks.core.chat.abstention import is_abstention
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.feedback.rules import effective_verdicts
from tasks.core.records.schema import Feedback, record_id
from tasks.core.sources.kinds import FeedbackRecords

SOURCE = "feedback"


class FeedbackReader:
    """Reads what people said about served answers; nobody may have corrected anything yet."""

    may_be_empty = True

    def __init__(self, source: FeedbackRecords, limits: ReadLimits) -> None:
        self._source, self._limits = source, limits

    def fingerprint(self) -> str:
        return fingerprint(self._files())

    def licence(self) -> str:
        return self._source.licence

    def read(self, zone: RawZone) -> None:
        terms = SourceTerms(self._source.licence, self._limits.max_record_bytes)
        read_feedback(self._files(), zone, terms, require_review=self._source.require_review)

    def _files(self) -> list[SourceFile]:
        return list_files([self._source.path], {JSONL}, self._limits.endpoint_url)


def read_feedback(files: Iterable[SourceFile], zone: RawZone, terms: SourceTerms, *, require_review: bool) -> None:
    """Add every usable correction to the raw zone."""
    verdicts: list[Feedback] = []
    places: list[Place] = []

    def read(record: object, place: Place, raw: object) -> None:
        try:
            feedback = Feedback.model_validate(record)
        except ValidationError as error:
            zone.refuse(place, "no feedback", raw, detail=_fault(error))
            return
        verdicts.append(feedback)
        places.append(place)

    for file in files:
        each_record(file, zone, terms.max_record_bytes, read)
    place_of = {id(verdict): place for verdict, place in zip(verdicts, places, strict=True)}
    zone.tally.skipped += len(verdicts)
    for feedback in effective_verdicts(verdicts).values():
        if is_usable(feedback, require_review=require_review):
            zone.tally.skipped -= 1
            zone.add_conversation(_row(feedback, zone, terms.licence), place_of[id(feedback)])


def is_usable(feedback: Feedback, *, require_review: bool) -> bool:
    """Return whether the correction may become training data."""
    if not feedback.question.strip() or not (feedback.correction or "").strip():
        return False
    return feedback.review == "accepted" if require_review else feedback.review != "rejected"


def _row(feedback: Feedback, zone: RawZone, licence: str) -> ConversationRow:
    declines = is_abstention(feedback.correction or "")
    answer = ABSTENTION if declines else feedback.correction or ""
    turns = [{"role": "user", "content": feedback.question}, {"role": "assistant", "content": answer}]
    identity = record_id(SOURCE, feedback.answer_id, messages_key(turns))
    known = [document for document in dict.fromkeys(feedback.document_ids) if _family(zone, document)]
    return ConversationRow(
        id=identity,
        family=(_family(zone, known[0]) if known else None) or identity,
        messages=turns,
        document_ids=known,
        evidence="",
        answerable=not declines,
        withhold=False,
        kind=KIND,
        phrasing="",
        held_out=False,
        source=SOURCE,
        uri=feedback.answer_id,
        licence=licence,
        seen_at=feedback.recorded_at,
    )


def _family(zone: RawZone, document_id: str) -> str | None:
    try:
        return zone.family_of(document_id)
    except ValueError:  # not one of our ids
        return None


def _fault(error: ValidationError) -> str:
    """Return which field is at fault, without its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['type']}"
