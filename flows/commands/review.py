"""What `ratchet review` prints and asks, and the keys it understands."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer

from tasks.core.digests import short
from tasks.core.feedback.review_queue import Label, ReviewItem
from tasks.serving.records.review import Review

LABELS: dict[str, Label] = {"a": "accept", "c": "correct", "r": "reject"}


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


def ask_about(session: Review, items: Sequence[ReviewItem]) -> None:
    """Go through the queue with the person at the terminal."""
    done = 0
    for number, item in enumerate(items, start=1):
        typer.echo(f"\n{number} of {len(items)}: {item_text(item)}")
        proposed = "the proposed answer" if item.proposal is not None else "the answer"
        key = ""
        while key not in (*LABELS, "s", "q"):
            key = typer.prompt(f"[a]ccept {proposed}, [c]orrect, [r]eject, [s]kip, [q]uit").strip().lower()[:1]
        if key == "q":
            break
        if key in LABELS:
            correction = typer.prompt("The right answer") if key == "c" else ""
            session.keep(item, LABELS[key], correction=correction)
            done += 1
    typer.echo(f"{done} labelled.")


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n            ") or "(nothing)"
