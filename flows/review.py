"""What `ratchet review` does: read the window, show the answers worth a label, keep the labels.

Reads records and feedback where `RATCHET_RECORDS_URL` and `RATCHET_FEEDBACK_URL` say, a running gateway's open
journal included. Memory holds the window's answers.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path

from tasks.adapters.feedback_box import FeedbackBox, read_feedback
from tasks.adapters.record_log import RecordPlace, answers_of, find_record, read_hours
from tasks.adapters.redactor import make_redactor
from tasks.adapters.secret_key import pseudonym_key
from tasks.adapters.storage import open_store
from tasks.core.errors import ConfigError, DataError
from tasks.core.lineage import short
from tasks.core.records import Feedback
from tasks.core.review_queue import Label, ReviewItem, item_for, labelled, review_queue
from tasks.settings import Settings

JOURNALS = "journal"  # below `home`: where a gateway keeps the hour it is writing
LABELS: dict[str, Label] = {"a": "accept", "c": "correct", "r": "reject"}


def record_place(settings: Settings) -> RecordPlace:
    """Return where this checkout's gateway keeps its records."""
    return RecordPlace(settings.home / JOURNALS, open_store(settings.records_url, settings.s3_endpoint_url))


@dataclass
class Review:
    """The records and the feedback of one checkout, to be labelled now."""

    settings: Settings
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.place = record_place(self.settings)
        self.feedback = open_store(self.settings.feedback_url, self.settings.s3_endpoint_url)

    def queue(self, days: float, limit: int, drifted: Path | None = None) -> list[ReviewItem]:
        """Return the answers of the last `days` to label. Raises ConfigError for a file that is no list of ids."""
        since = self.now - timedelta(days=days)
        frames = read_hours(self.place, since, self.now)
        answers = (answer for frame in frames for answer in answers_of(frame))
        ids = _ids(drifted) if drifted else frozenset[str]()
        return review_queue(answers, read_feedback(self.feedback, since), drifted=ids, limit=limit)

    def item(self, answer_id: str) -> ReviewItem:
        """Return one answer to label. Raises DataError where it is not recorded."""
        answer = find_record(self.place, answer_id, self.now)
        if answer is None or answer.shadow_of is not None or answer.status != "ok":
            raise DataError(
                f"No shown answer of the last week has this id in {self.place.store.address}: "
                "take one that `ratchet review --list` prints."
            )
        return item_for(answer, read_feedback(self.feedback))

    def keep(self, item: ReviewItem, label: Label, *, correction: str = "", reason: str = "") -> Feedback:
        """Write the label, redacted, where `ingest: feedback` finds it."""
        now = datetime.now(UTC)
        verdict = labelled(item, label, now, correction=correction, reason=reason)
        redactor = make_redactor(pseudonym_key(self.settings.pseudonym_key, self.settings.home))
        return FeedbackBox(self.feedback, redactor, lambda _: None).review(verdict, f"reviewer {getuser()}", now)


def item_text(item: ReviewItem) -> str:
    """Return an answer as a terminal shows it."""
    lines = [f"{item.answer_id}  {item.at}  model {short(item.model)}"]
    lines += [f"  why       {reason}" for reason in item.reasons]
    lines += [f"  similar   {item.similar} more answers to nearly the same question"] if item.similar else []
    lines += [f"  question  {_indented(item.question)}", f"  answer    {_indented(item.answer)}"]
    lines += [f"  proposed  {_indented(item.proposal)}"] if item.proposal is not None else []
    lines += [f"  documents {', '.join(item.document_ids) or 'none'}"]
    return "\n".join(lines)


def queue_text(items: Sequence[ReviewItem]) -> str:
    """Return the whole queue as a terminal shows it."""
    return "\n\n".join(map(item_text, items)) or "No answer is worth a label now."


def queue_json(items: Sequence[ReviewItem]) -> str:
    """Return the whole queue for programs."""
    return json.dumps([asdict(item) for item in items], indent=2, ensure_ascii=False)


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n            ") or "(nothing)"


def _ids(path: Path) -> frozenset[str]:
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        ids = None
    if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
        raise ConfigError(f"{path} is no JSON list of answer ids: name the drift report's, or leave --drifted out.")
    return frozenset(ids)
