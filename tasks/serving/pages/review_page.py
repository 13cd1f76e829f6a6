"""The review queue as one HTML page of the gateway (jinja2): readable offline, forms without a script.

Each answer is a form that posts `answer_id`, `label`, `text` and `reason` to the gateway, and the token by which the
gateway knows that its own page sent it. `read_label` turns what was posted into a label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tasks.adapters.html_page import render_page
from tasks.core.digests import short
from tasks.core.feedback.review_queue import Label, ReviewItem
from tasks.core.feedback.rules import FeedbackLimits, FeedbackRefusedError

TEMPLATE = Path(__file__).with_name("review_page.html.j2")
LABELS: tuple[Label, ...] = get_args(Label)


@dataclass(frozen=True)
class PostedLabel:
    """What a reviewer sent."""

    answer_id: str
    label: Label
    text: str
    reason: str


def render(items: Sequence[ReviewItem], *, action: str, token: str, notice: str = "") -> str:
    """Return the page. action: where its forms post to. notice: a sentence about what was just done."""
    limits = FeedbackLimits()
    return render_page(TEMPLATE, items=items, action=action, token=token, notice=notice, short=short, limits=limits)


def read_label(form: Mapping[str, str]) -> PostedLabel:
    """Return the label in a posted form. Raises FeedbackRefusedError, which repeats nothing of the form."""
    label = form.get("label", "")
    answer_id = form.get("answer_id", "")
    if label not in LABELS or not answer_id:
        raise FeedbackRefusedError(
            "invalid_request_error", f"The form names no answer or no label: send answer_id and {' or '.join(LABELS)}."
        )
    limits = FeedbackLimits()
    text, reason = (form.get(name, "").replace("\r\n", "\n") for name in ("text", "reason"))
    if len(text) > limits.correction_chars or len(reason) > limits.reason_chars:
        raise FeedbackRefusedError(
            "invalid_request_error",
            f"The label is too long: a text may have {limits.correction_chars} characters, "
            f"a reason {limits.reason_chars}.",
        )
    return PostedLabel(answer_id, label, text, reason)
