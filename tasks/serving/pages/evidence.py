"""What the pages link to as evidence: a verdict's own pages, and the files of the last monitor run."""

import tempfile
from pathlib import Path

from tasks.adapters.monitoring.last_drift import VERDICT, last_drift, monitor_folders
from tasks.adapters.release.registry import open_registry
from tasks.core.errors import DataError
from tasks.core.release.lineage import VerdictFacts
from tasks.serving.pages.page_responses import nothing_here
from tasks.serving.pages.review_page import PostedLabel
from tasks.serving.protocol.api_error import ApiError
from tasks.serving.records.review import Review
from tasks.settings import Settings

MAX_DIGITS = 9


def verdict_page(settings: Settings, number: str, name: str) -> bytes:
    """Return a page that the verdict of ledger entry `number` named when it was given. Raises ApiError 404."""
    registry = open_registry(settings)
    newest = registry.ledger.newest()
    if not number.isdecimal() or len(number) > MAX_DIGITS or newest is None or not 0 < int(number) <= newest.number:
        raise nothing_here()
    facts = registry.ledger.read(int(number)).facts
    if not isinstance(facts, VerdictFacts) or name not in facts.pages:
        raise nothing_here()
    with tempfile.TemporaryDirectory(prefix="ratchet-evidence-") as folder:
        path = Path(folder) / "page"
        registry.get_blob(facts.pages[name], path)
        return path.read_bytes()


def drift_file(settings: Settings, name: str) -> bytes:
    """Return a file of the last monitor run. Raises ApiError 404."""
    drift = last_drift(monitor_folders(settings.home, settings.data))
    if drift is None or name not in (*drift.pages, VERDICT):
        raise nothing_here()
    return (drift.folder / name).read_bytes()


def keep_label(settings: Settings, posted: PostedLabel, reviewer: str) -> None:
    """Keep a reviewer's label. Raises ApiError 404 where the answer is not known."""
    review = Review(settings)
    try:
        item = review.item(posted.answer_id)
    except DataError:
        raise ApiError(
            404, "There is no shown answer of the last week with this id.", "not_found_error", "answer_not_found"
        ) from None
    review.keep(item, posted.label, correction=posted.text, reason=posted.reason, reviewer=reviewer)
