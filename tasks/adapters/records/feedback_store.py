"""Store feedback on served answers: a file for each verdict, in a folder or a bucket, as `ingest: feedback` reads them.

Writes `<day>/<who>/<kind>-0001.jsonl`, each by put-if-absent and never again: the number is a slot of the key's day, so
that a cap holds however many gateways share the store. `who` is a digest of the key's id. Everything is redacted before
it is written.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from pydantic import ValidationError

from tasks.adapters.storage.object_store import Store, open_store
from tasks.core.feedback.rules import (
    FeedbackLimits,
    FeedbackRefusedError,
    Opinion,
    check_opinion,
    feedback_on,
    judged_answer,
)
from tasks.core.privacy.record_redaction import Recogniser, redact_feedback
from tasks.core.privacy.redaction import Redactor
from tasks.core.records.answer import AnswerRecord
from tasks.core.records.schema import Feedback, record_id

CORRECTION, VERDICT, REVIEW = "correction", "verdict", "review"


class FeedbackSettings(Protocol):
    """What of a checkout's settings says where its feedback lies."""

    @property
    def feedback_url(self) -> str: ...

    @property
    def s3_endpoint_url(self) -> str | None: ...


def open_feedback(settings: FeedbackSettings) -> Store:
    """Return the store of a checkout's feedback; `feedback_url` is a folder or s3://bucket/prefix."""
    return open_store(settings.feedback_url, settings.s3_endpoint_url)


class FeedbackStore:
    """Accepts verdicts and writes them. `find` returns the record of an answer; it may raise ExternalError."""

    def __init__(
        self,
        store: Store,
        redactor: Redactor,
        find: Callable[[str], AnswerRecord | None],
        *,
        limits: FeedbackLimits | None = None,
        recogniser: Recogniser | None = None,
    ) -> None:
        self._store, self._redactor, self._find = store, redactor, find
        self._limits, self._recogniser = limits or FeedbackLimits(), recogniser

    def accept(self, opinion: Opinion, key_id: str, at: datetime) -> Feedback:
        """Keep what a client says about an answer, and return it as it was kept.

        Raises FeedbackRefusedError with the sentence for the client, ExternalError where the store is out of reach.
        """
        check_opinion(opinion, self._limits)
        answer = judged_answer(self._find(opinion.answer_id), key_id, self._limits)
        is_correction = opinion.correction is not None
        kind = CORRECTION if is_correction else VERDICT
        cap = self._limits.corrections_a_day if is_correction else self._limits.verdicts_a_day
        return self._keep(feedback_on(answer, opinion, at), key_id, kind, at, cap)

    def review(self, verdict: Feedback, reviewer: str, at: datetime) -> Feedback:
        """Keep a reviewer's verdict; it supersedes what clients said about the answer."""
        return self._keep(verdict, reviewer, REVIEW, at, None)

    def _keep(self, feedback: Feedback, who: str, kind: str, at: datetime, cap: int | None) -> Feedback:
        feedback = redact_feedback(self._redactor, feedback, self._recogniser)
        line = json.dumps(feedback.model_dump(mode="json"), sort_keys=True, ensure_ascii=False) + "\n"
        prefix = f"{at.astimezone(UTC):%Y-%m-%d}/{record_id(who)}/{kind}-"
        slot = len(self._store.list(prefix)) + 1
        while cap is None or slot <= cap:
            if self._store.put_if_absent(f"{prefix}{slot:04d}.jsonl", line.encode("utf-8")):
                return feedback
            slot += 1
        raise FeedbackRefusedError(
            "rate_limit_error", f"This key has sent the {cap} {kind}s a day that it may: send more tomorrow (UTC)."
        )


def read_feedback(store: Store, since: datetime | None = None) -> Iterator[Feedback]:
    """Yield the verdicts of all days from that of `since` on, oldest day first; what is no feedback is passed over."""
    first = f"{since.astimezone(UTC):%Y-%m-%d}" if since else ""
    for key in store.list(""):
        if key.endswith(".jsonl") and key >= first:
            for line in (store.get(key) or b"").splitlines():
                try:
                    yield Feedback.model_validate_json(line)
                except ValidationError:
                    continue
