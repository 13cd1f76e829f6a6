import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.adapters.storage.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    frame_of,
    read_batches,
    table_writer,
)
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.curation.split_assignment import SIDES, Shares, side_of
from tasks.core.errors import DataError
from tasks.core.records.schema import Conversation, Document
from tasks.curate.split import Config, SplitReport, run


def families(side: str, count: int) -> list[str]:
    """Return names of families that fall on `side` by the default shares and seed."""
    shares = Shares(0.7, 0.15, 0.15)
    names = (f"family{number}" for number in range(10_000))
    return [name for name in names if side_of(name, shares) == side][:count]


TRAIN, EVAL, HOLDOUT = (families(side, 6) for side in SIDES)


def words(count: int, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(f"word{rng.randrange(10**6)}" for _ in range(count))


def document(id_: str, family: str, text: str | None = None) -> Document:
    origin = {"source": "files", "uri": id_, "licence": "MIT", "seen_at": "2026-01-01"}
    return Document.model_validate(
        {"id": id_, "family": family, "title": id_, "text": text or words(60, hash_of(id_)), **origin}
    )


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode()) % 10**9


def conversation(
    id_: str, documents: list[str], question: str = "", answer: str = "None", **values: Any
) -> Conversation:
    known: dict[str, Any] = {
        "family": f"family of {id_}",
        "evidence": "",
        "answerable": answer != ABSTENTION,
        "withhold": False,
        "kind": "default",
        "phrasing": "default-1",
        "held_out": False,
    }
    turns = [{"role": "user", "content": question or f"About {id_}?"}, {"role": "assistant", "content": answer}]
    origin = {"source": "files", "uri": id_, "licence": "MIT", "seen_at": "2026-01-01"}
    fixed = {"id": id_, "messages": turns, "document_ids": documents, **origin}
    return Conversation.model_validate({**known, **fixed, **values})


FILLER = [
    (document(f"filler {side}", names[-1]), conversation(f"filler {side}", [f"filler {side}"], family=names[-1]))
    for side, names in zip(SIDES, (TRAIN, EVAL, HOLDOUT), strict=True)
]


class Stage:
    """The stage on records in memory, with a document and a conversation for every side beside them."""

    def __init__(self, folder: Path, documents: list[Document], conversations: list[Conversation], **config: Any):
        source, self.out = folder / "dedup", folder / "split"
        self.out.mkdir(parents=True)
        documents = documents + [filler for filler, _ in FILLER]
        conversations = conversations + [filler for _, filler in FILLER]
        for name, records, schema in (
            (DOCUMENTS, documents, DOCUMENT_SCHEMA),
            (CONVERSATIONS, conversations, CONVERSATION_SCHEMA),
        ):
            with table_writer(source / name, schema) as writer:
                writer.write(frame_of(records, schema))
        self.report: SplitReport = run(Config(**config), source, self.out)
        self.sides = {row["id"]: row["side"] for f in read_batches(self.out / DOCUMENTS) for row in f.to_dicts()}
        self.placed = {
            row["id"]: side
            for side in SIDES
            for frame in read_batches(self.out / f"{side}.parquet")
            for row in frame.to_dicts()
            if not row["id"].startswith("filler")
        }
        self.dropped = {line["id"]: (line["reason"], line["with"]) for line in self.lines("dropped.jsonl")}

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / name).read_text().splitlines()]


def test_documents_of_a_family_are_on_one_side_and_conversations_follow(tmp_path: Path) -> None:
    documents = [document(f"{f} {n}", f) for f in (TRAIN[0], EVAL[0], HOLDOUT[0]) for n in range(3)]
    asked = [conversation(f"q {d.id}", [d.id], family=d.family) for d in documents]
    stage = Stage(tmp_path, documents, asked)
    for side, family in (("train", TRAIN[0]), ("eval", EVAL[0]), ("holdout", HOLDOUT[0])):
        assert {stage.sides[f"{family} {n}"] for n in range(3)} == {side}
        assert {stage.placed[f"q {family} {n}"] for n in range(3)} == {side}
    assert stage.report.documents == {"train": 4, "eval": 4, "holdout": 4}
    assert stage.report.families == {"train": 2, "eval": 2, "holdout": 2}


def test_no_document_feeds_two_sides(tmp_path: Path) -> None:
    rng = random.Random(0)
    documents = [document(f"d{n}", f"module{n % 60}") for n in range(200)]
    asked = [conversation(f"q{n}", rng.sample([d.id for d in documents], rng.choice([1, 1, 1, 2]))) for n in range(600)]
    stage = Stage(tmp_path, documents, asked)
    used: dict[str, set[str]] = {}
    for item in asked:
        for id_ in item.document_ids if item.id in stage.placed else []:
            used.setdefault(id_, set()).add(stage.placed[item.id])
    assert len(used) > 150
    assert all(len(sides) == 1 for sides in used.values())
    assert set(stage.placed) | set(stage.dropped) == {item.id for item in asked}


def test_a_conversation_between_two_sides_is_dropped_with_its_reason(tmp_path: Path) -> None:
    documents = [document("a", TRAIN[0]), document("b", EVAL[0]), document("c", TRAIN[1])]
    stage = Stage(tmp_path, documents, [conversation("q", ["a", "b"]), conversation("r", ["a", "c"])])
    assert stage.placed == {"r": "train"}
    assert stage.dropped == {"q": ("its documents are on different sides", None)}


def test_a_conversation_whose_documents_are_gone_is_dropped_with_its_reason(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [document("a", EVAL[0])], [conversation("q", ["gone"]), conversation("r", ["gone", "a"])])
    assert stage.placed == {"r": "eval"}
    assert stage.dropped == {"q": ("its documents are gone", None)}


def test_a_conversation_without_documents_falls_where_its_own_family_does(tmp_path: Path) -> None:
    asked = [conversation(side, [], family=names[0]) for side, names in zip(SIDES, (TRAIN, EVAL, HOLDOUT), strict=True)]
    assert Stage(tmp_path, [], asked).placed == {side: side for side in SIDES}


def test_wordings_kept_for_evaluation_leave_train_and_stay_elsewhere(tmp_path: Path) -> None:
    documents = [document(side, names[0]) for side, names in zip(SIDES, (TRAIN, EVAL, HOLDOUT), strict=True)]
    asked = [conversation(f"{side} {kept}", [side], held_out=kept) for side in SIDES for kept in (True, False)]
    stage = Stage(tmp_path, documents, asked)
    assert Counter(stage.placed.values()) == {"train": 1, "eval": 2, "holdout": 2}
    assert stage.dropped == {"train True": ("wording kept for evaluation", None)}


def test_conversations_on_a_train_document_that_repeats_a_reserved_one_are_dropped(tmp_path: Path) -> None:
    text = words(80, 1)
    documents = [document("reserved", EVAL[0], f"Before. {text}"), document("copy", TRAIN[0], f"{text} and after.")]
    documents += [document("cousin", TRAIN[1], f"{' '.join(text.split()[:30])} {words(200, 2)}")]
    asked = [conversation(f"q {d.id}", [d.id]) for d in documents]
    stage = Stage(tmp_path, documents, asked)
    assert stage.placed == {"q reserved": "eval", "q cousin": "train"}
    assert stage.dropped == {"q copy": ("overlaps evaluation", "reserved")}
    (line,) = stage.lines("contamination.jsonl")
    assert (line["record"], line["id"], line["side"], line["reserved"]) == ("document", "copy", "eval", "reserved")
    assert 0.95 < line["share"] < 1
    assert stage.report.contaminated_documents == 1


def test_a_reserved_document_that_no_conversation_uses_does_not_count(tmp_path: Path) -> None:
    text = words(80, 1)
    documents = [document("unused", HOLDOUT[0], text), document("copy", TRAIN[0], text)]
    assert Stage(tmp_path, documents, [conversation("q", ["copy"])]).placed == {"q": "train"}


LONG_ANSWER = words(20, 3)


@pytest.mark.parametrize(
    ("phrasing", "answer", "is_dropped"),
    [
        ("purpose-1", LONG_ANSWER, True),
        ("purpose-1", "None", False),
        ("purpose-1", ABSTENTION, False),
        ("", LONG_ANSWER, True),
        ("", "Yes, you can.", True),
    ],
)
def test_an_answer_counts_and_the_words_of_a_template_do_not(
    tmp_path: Path, phrasing: str, answer: str, is_dropped: bool
) -> None:
    documents = [document("t", TRAIN[0]), document("h", HOLDOUT[0])]
    question = (
        "Given all that the documentation says about it, in which way and to what end would one use this function?"
    )
    asked = [
        conversation("train", ["t"], question, answer, phrasing=phrasing),
        conversation("holdout", ["h"], question, answer, phrasing=phrasing),
    ]
    stage = Stage(tmp_path, documents, asked)
    assert ("train" in stage.placed) is not is_dropped
    assert stage.placed["holdout"] == "holdout"
    assert stage.report.contaminated_conversations == int(is_dropped)


def test_a_free_question_with_another_answer_is_kept(tmp_path: Path) -> None:
    documents = [document("t", TRAIN[0]), document("e", EVAL[0])]
    asked = [
        conversation("train", ["t"], "May I return it?", "Within 14 days.", phrasing=""),
        conversation("eval", ["e"], "May I return it?", "Within 30 days.", phrasing=""),
    ]
    assert set(Stage(tmp_path, documents, asked).placed) == {"train", "eval"}


@pytest.mark.parametrize("side", SIDES)
def test_a_side_without_a_conversation_stops_the_run(
    tmp_path: Path, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_split_fillers", None, raising=False) if False else None
    source, out = tmp_path / "dedup", tmp_path / "split"
    out.mkdir()
    rest = [pair for name, pair in zip(SIDES, FILLER, strict=True) if name != side]
    with table_writer(source / DOCUMENTS, DOCUMENT_SCHEMA) as writer:
        writer.write(frame_of([d for d, _ in rest], DOCUMENT_SCHEMA))
    with table_writer(source / CONVERSATIONS, CONVERSATION_SCHEMA) as writer:
        writer.write(frame_of([c for _, c in rest], CONVERSATION_SCHEMA))
    with pytest.raises(DataError, match=rf"No conversation falls to {side}.*add documents of more families"):
        run(Config(), source, out)
    assert (out / "dropped.jsonl").exists()


def test_a_holdout_without_a_share_may_be_empty(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [], [], train_share=0.7, eval_share=0.3, holdout_share=0)
    assert stage.report.conversations == {"train": 1, "eval": 2, "holdout": 0}


def test_conversations_alone_are_enough(tmp_path: Path) -> None:
    source, out = tmp_path / "dedup", tmp_path / "split"
    out.mkdir()
    asked = [conversation(f"q{n}", [], family=f"q{n}", phrasing="", answer=words(9, n)) for n in range(100)]
    with table_writer(source / DOCUMENTS, DOCUMENT_SCHEMA):
        pass
    with table_writer(source / CONVERSATIONS, CONVERSATION_SCHEMA) as writer:
        writer.write(frame_of(asked, CONVERSATION_SCHEMA))
    report = run(Config(), source, out)
    assert report.documents == {"train": 0, "eval": 0, "holdout": 0}
    assert sum(report.conversations.values()) == 100


def test_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    documents = [document(f"d{n}", f"module{n % 40}", words(60, n % 35)) for n in range(100)]
    asked = [conversation(f"q{n}", [f"d{n % 100}"], held_out=n % 3 == 0) for n in range(200)]
    one, two = (Stage(tmp_path / name, documents, asked).out for name in ("one", "two"))
    names = sorted(file.name for file in one.iterdir())
    assert len(names) == 6
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"add up to 0\.9, not to 1"):
        Config(train_share=0.6)
