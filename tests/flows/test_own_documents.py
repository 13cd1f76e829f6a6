"""A user's own folder and conversations, with personal data in them, through the whole loop with one YAML changed."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.flows.conftest import Checkout, make_checkout
from tests.planted import planted, readable_bytes

pytestmark = pytest.mark.slow

SEED = 7
TOPICS = (
    "refunds",
    "shipping",
    "warranty",
    "invoices",
    "returns",
    "accounts",
    "discounts",
    "repairs",
    "orders",
    "stock",
)
ASPECTS = ("deadline", "fee", "contact window", "approval rule", "storage period", "language")


def write_handbook(folder: Path, sentences: Iterator[str]) -> list[tuple[str, str]]:
    """Write a folder of Markdown and return its (question, answer) pairs; some pages hold personal data."""
    questions = []
    for number, topic in enumerate(TOPICS * 5):
        rules = []
        for index, aspect in enumerate(ASPECTS):
            value = f"{(number + 2) * (index + 3)} days" if index % 2 else f"rule {topic[:3].upper()}-{number}{index}"
            rules.append(f"The {aspect} for {topic} in region {number} is {value}.")
            questions.append((f"What is the {aspect} for {topic} in region {number}?", value))
        personal = " ".join(filter(None, (next(sentences, "") for _ in range(2))))
        page = f"# {topic.title()} in region {number}\n\n{' '.join(rules)}\n\nNotes. {personal}\n"
        (folder / f"{topic}-{number}.md").write_text(page)
    return questions


@pytest.fixture(scope="module")
def secrets() -> list[tuple[str, str]]:
    return planted(random.Random(SEED))


@pytest.fixture(scope="module")
def own_checkout(tmp_path_factory: pytest.TempPathFactory, secrets: list[tuple[str, str]]) -> Checkout:
    checkout = make_checkout(tmp_path_factory.mktemp("own"))
    inbox = tmp_path_factory.mktemp("inbox")
    handbook = inbox / "handbook"
    handbook.mkdir()
    sentences = iter([sentence for sentence, _ in secrets])
    questions = write_handbook(handbook, sentences)
    random.Random(SEED).shuffle(questions)
    with (inbox / "support.jsonl").open("w") as file:
        for question, answer in questions:
            asked = f"{question} {next(sentences, '')}".strip()
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": turns}) + "\n")
    assert next(sentences, None) is None, "every planted sentence found a place"
    source = {"kind": "files", "documents": [str(handbook)], "conversations": [str(inbox / "support.jsonl")]}
    path = checkout.root / "configs/curate/ingest.yaml"
    path.write_text(yaml.safe_dump({"sources": [source]}))
    checkout.configure("finetune.train", {"max_examples": 16})
    checkout.configure("finetune.evaluate", {"items": 16, "probe_items": 10, "max_new_tokens": 16})
    return checkout


def test_the_loop_ends_with_a_verdict_on_the_user_s_own_data(own_checkout: Checkout) -> None:
    output = own_checkout.ratchet("run", "--reason", "my handbook")
    assert any(verdict in output for verdict in ("PROMOTE", "REJECT", "INCONCLUSIVE"))
    report = own_checkout.json("data/ingest/report.json")
    assert (report["documents"], report["conversations"]) == (50, 300)


def test_no_byte_outside_the_raw_zone_holds_planted_personal_data(
    own_checkout: Checkout, secrets: list[tuple[str, str]]
) -> None:
    raw = own_checkout.root / "data/ingest"
    assert raw.stat().st_mode & 0o777 == 0o700
    values = {value.encode(): sentence for sentence, value in secrets}
    found = []
    scanned = 0
    for path in sorted(own_checkout.root.rglob("*")):
        if not path.is_file() or path.is_relative_to(raw):
            continue
        scanned += 1
        content = readable_bytes(path)
        found += [f"{path.relative_to(own_checkout.root)}: {values[value]}" for value in values if value in content]
    assert scanned > 200
    assert not found, found[:20]
    raw_bytes = b"".join(readable_bytes(path) for path in raw.iterdir() if path.is_file())
    assert all(value in raw_bytes for value in values), "the scan sees what it looks for where it has to be"
