"""Review of served answers: choose those worth a label and store the labels, for the terminal and the gateway's page.

Reads records and feedback where `RATCHET_RECORDS_URL` and `RATCHET_FEEDBACK_URL` say, a running gateway's open
journal included, and what has drifted where `RATCHET_STORE_URL` says. Memory holds the window's answers.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path

from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.records.answer_log import find_record, read_hours
from tasks.adapters.records.feedback_store import FeedbackStore, open_feedback, read_feedback
from tasks.adapters.records.record_place import open_records
from tasks.adapters.records.record_table import answers_of
from tasks.adapters.release.registry import Registry, open_registry
from tasks.core.errors import ConfigError, DataError
from tasks.core.feedback.review_queue import Label, ReviewItem, item_for, labelled, review_queue
from tasks.core.records.schema import Feedback
from tasks.core.release.lineage import BASE
from tasks.serving.records.recording import redactor_of
from tasks.settings import Settings


@dataclass
class Review:
    """Reads one checkout's records and feedback, and stores labels."""

    settings: Settings
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.place = open_records(self.settings)
        self.feedback = open_feedback(self.settings)

    def queue(self, days: float, limit: int, drifted: Path | None = None) -> list[ReviewItem]:
        """Return the answers of the last `days` to label. Raises ConfigError for a file that is no list of ids.

        drifted: such a list; without it, the one that the monitor's last verdict on the champion holds.
        """
        since = self.now - timedelta(days=days)
        frames = read_hours(self.place, since, self.now)
        answers = (answer for frame in frames for answer in answers_of(frame))
        ids = _ids(drifted) if drifted else self._last_drifted()
        return review_queue(answers, read_feedback(self.feedback, since), drifted=ids, limit=limit)

    def _last_drifted(self) -> frozenset[str]:
        store = open_registry(self.settings).store
        pointer = Registry(store).pointer("champion")
        verdicts = WindowLog(store, pointer.model if pointer else BASE).last(1)
        return frozenset(verdicts[0].drifted if verdicts else ())

    def item(self, answer_id: str) -> ReviewItem:
        """Return one answer to label. Raises DataError where it is not recorded."""
        answer = find_record(self.place, answer_id, self.now)
        if answer is None or answer.shadow_of is not None or answer.status != "ok":
            raise DataError(
                f"No shown answer of the last week has this id in {self.place.store.address}: "
                "take one that `ratchet review --list` prints."
            )
        return item_for(answer, read_feedback(self.feedback))

    def keep(
        self, item: ReviewItem, label: Label, *, correction: str = "", reason: str = "", reviewer: str = ""
    ) -> Feedback:
        """Write the label, redacted, where `ingest: feedback` finds it. reviewer: a key's id; empty: this user."""
        now = datetime.now(UTC)
        verdict = labelled(item, label, now, correction=correction, reason=reason)
        store = FeedbackStore(self.feedback, redactor_of(self.settings), lambda _: None)
        return store.review(verdict, reviewer or f"user {getuser()}", now)


def _ids(path: Path) -> frozenset[str]:
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        ids = None
    if not isinstance(ids, list) or not all(isinstance(id_, str) for id_ in ids):
        raise ConfigError(f"{path} is no JSON list of answer ids: name the drift report's, or leave --drifted out.")
    return frozenset(ids)
