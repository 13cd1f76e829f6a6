import json
import random
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
from tasks.core.records.schema import Conversation, Document
from tasks.curate.dedup import Config, DedupReport, run


def document(id_: str, text: str, **values: Any) -> Document:
    known = {"family": f"family of {id_}", "title": f"{id_}.md", "source": "files", "uri": id_, "licence": "MIT"}
    return Document(id=id_, text=text, **{**known, "seen_at": "2026-01-01", **values})


def conversation(id_: str, question: str, answer: str, **values: Any) -> Conversation:
    known: dict[str, Any] = {
        "family": f"family of {id_}",
        "document_ids": [],
        "evidence": "",
        "answerable": answer != ABSTENTION,
        "withhold": False,
        "kind": "free",
        "phrasing": "",
        "held_out": False,
    }
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    origin = {"source": "files", "uri": id_, "licence": "MIT", "seen_at": "2026-01-01"}
    return Conversation.model_validate({"id": id_, "messages": turns, **origin, **known, **values})


class Stage:
    """The stage on records in memory: what it kept, and what it dropped with the reason and the twin."""

    def __init__(self, folder: Path, documents: list[Document], conversations: list[Conversation], **config: Any):
        clean, out = folder / "clean", folder / "dedup"
        out.mkdir()
        for name, records, schema in (
            (DOCUMENTS, documents, DOCUMENT_SCHEMA),
            (CONVERSATIONS, conversations, CONVERSATION_SCHEMA),
        ):
            with table_writer(clean / name, schema) as writer:
                writer.write(frame_of(records, schema))
        self.report: DedupReport = run(Config(**config), clean, out)
        self.out = out
        self.documents = [row["id"] for frame in read_batches(out / DOCUMENTS) for row in frame.to_dicts()]
        self.conversations = {row["id"]: row for f in read_batches(out / CONVERSATIONS) for row in f.to_dicts()}
        lines = (out / "dropped.jsonl").read_text().splitlines()
        self.dropped = {line["id"]: (line["reason"], line["kept"]) for line in map(json.loads, lines)}


def words(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [f"word{rng.randrange(10**6)}" for _ in range(count)]


def changed(text: list[str], place: int = 30) -> str:
    return " ".join([*text[:place], "changed", *text[place + 1 :]])


LONG, OTHER = words(80, 1), words(80, 2)


def test_copies_are_dropped_with_their_reason_and_their_twin_and_the_order_stays(tmp_path: Path) -> None:
    documents = [
        document("b", " ".join(LONG)),
        document("a", " ".join(OTHER)),
        document("exact", "\n".join(LONG).upper()),
        document("near", changed(LONG)),
        document("exact copy of a near copy", changed(LONG).upper()),
        document("c", "brief"),
    ]
    stage = Stage(tmp_path, documents, [])
    assert stage.documents == ["b", "a", "c"]
    assert stage.dropped == {
        "exact": ("exact", "b"),
        "near": ("near", "b"),
        "exact copy of a near copy": ("exact", "b"),
    }
    assert stage.report.documents_seen == 6
    assert (stage.report.documents_exact, stage.report.documents_near) == (2, 1)


def test_near_copies_that_name_themselves_differently_are_both_kept(tmp_path: Path) -> None:
    first = document("1", f"queue.Queue.put {' '.join(LONG)}", title="queue.Queue.put")
    second = document("2", f"queue.LifoQueue.put {' '.join(LONG)}", title="queue.LifoQueue.put")
    assert Stage(tmp_path, [first, second], []).documents == ["1", "2"]


def test_names_can_be_made_to_count_for_nothing(tmp_path: Path) -> None:
    first = document("1", f"queue.Queue.put {' '.join(LONG)}", title="queue.Queue.put")
    second = document("2", f"queue.LifoQueue.put {' '.join(LONG)}", title="queue.LifoQueue.put")
    assert Stage(tmp_path, [first, second], [], distinct_names=False).documents == ["1"]


def test_conversations_follow_their_document_to_its_twin(tmp_path: Path) -> None:
    documents = [document("kept", " ".join(LONG)), document("near", changed(LONG)), document("other", " ".join(OTHER))]
    asked = [
        conversation("q1", "What is it?", "A word.", document_ids=["near"], evidence=LONG[0], family="family of near"),
        conversation("q2", "What else?", "Nothing.", document_ids=["near", "kept", "other"]),
        conversation("q3", "Untouched?", "Yes.", document_ids=["other"], family="family of other"),
    ]
    stage = Stage(tmp_path, documents, asked)
    found = {id_: (row["document_ids"], row["family"]) for id_, row in stage.conversations.items()}
    assert found == {
        "q1": (["kept"], "family of kept"),
        "q2": (["kept", "other"], "family of kept"),
        "q3": (["other"], "family of other"),
    }
    assert stage.report.conversations_repointed == 2


def test_a_near_copy_that_alone_holds_the_evidence_stays(tmp_path: Path) -> None:
    documents = [
        document("first", " ".join(LONG)),
        document("near", changed(LONG)),
        document("again", changed(LONG, 50)),
    ]
    asked = [conversation("q", "Which one?", "changed", document_ids=["near"], evidence=f"{LONG[29]}\n changed")]
    stage = Stage(tmp_path, documents, asked)
    assert stage.documents == ["first", "near"]
    assert stage.conversations["q"]["document_ids"] == ["near"]
    assert stage.report.documents_spared == 1


def test_the_same_words_with_another_answer_or_document_are_no_copies(tmp_path: Path) -> None:
    documents = [document("d1", " ".join(LONG)), document("d2", " ".join(OTHER))]
    question = "What happens to a refund that was asked for after the end of the month, and who has to be told of it?"
    asked = [
        conversation("1", question, "It is paid at once.", document_ids=["d1"]),
        conversation("2", question, "It is paid later.", document_ids=["d1"]),
        conversation("3", question, "It is paid at once.", document_ids=["d2"]),
        conversation("4", question, ABSTENTION, document_ids=["d1"], withhold=True),
        conversation("5", question.upper(), "It is paid  at once.", document_ids=["d1"]),
    ]
    stage = Stage(tmp_path, documents, asked)
    assert list(stage.conversations) == ["1", "2", "3", "4"]
    assert stage.dropped == {"5": ("exact", "1")}


def test_a_question_put_a_little_differently_is_a_near_copy(tmp_path: Path) -> None:
    question = (
        "I ordered a pair of shoes last week and they do not fit me at all, so I would like to know how I can send "
    )
    asked = [
        conversation("1", f"{question} them back to you please?", "Use the form."),
        conversation("2", f"Hello! {question} them back to you, please", "Use the form."),
        conversation("3", question.replace("a pair", "2 pairs") + " them back to you please?", "Use the form."),
        conversation("4", question.replace("do not", "do") + " them back to you please?", "Use the form."),
    ]
    stage = Stage(tmp_path, [], asked)
    assert list(stage.conversations) == ["1", "3", "4"]
    assert stage.dropped == {"2": ("near", "1")}


TEMPLATES = {
    "default-1": "What is the default value of the parameter {parameter} of {name}?",
    "default-2": "In the Python standard library, if I call {name} and leave out the argument that the documentation "
    "calls {parameter}, and I do not subclass or monkeypatch anything, which value does the function use for it then?",
    "purpose-1": "What does {name} do?",
}


def test_templated_questions_about_other_objects_and_parameters_all_survive(tmp_path: Path) -> None:
    rng = random.Random(0)
    documents, asked = [], []
    for number in range(120):
        name = f"module{number % 7}.Class{number % 5}.method_{number}"
        documents.append(document(f"d{number}", f"{name} {' '.join(words(40, 100 + number))}", title=name))
        for phrasing, template in TEMPLATES.items():
            for parameter in ("a", "b", "key", "keys"):
                answer = rng.choice(["None", "None", "False", ABSTENTION])
                text = template.format(name=name, parameter=parameter)
                about = {"document_ids": [f"d{number}"], "kind": phrasing[:-2], "phrasing": phrasing}
                asked.append(conversation(f"{number} {phrasing} {parameter}", text, answer, **about))
    unique = {(c.question, c.answer) for c in asked}  # purpose questions do not name the parameter
    stage = Stage(tmp_path, documents, asked)
    assert len(stage.conversations) == len(unique)
    assert stage.report.conversations_near == 0
    assert stage.report.documents_kept == 120


def test_a_templated_question_that_differs_in_punctuation_alone_is_a_copy(tmp_path: Path) -> None:
    text = TEMPLATES["default-2"].format(name="json.dumps", parameter="indent")
    asked = [
        conversation("1", text, "None", phrasing="default-2"),
        conversation("2", text.replace("anything,", "anything"), "None", phrasing="default-2"),
    ]
    assert Stage(tmp_path, [], asked).dropped == {"2": ("exact", "1")}


def test_questions_about_other_operators_are_no_copies(tmp_path: Path) -> None:
    text = f"{' '.join(LONG)} so what does the operator {{}} stand for in Python?"
    asked = [conversation(op, text.format(op), "See the table.") for op in ("*", "**", ":=", "=", ".", "...")]
    assert len(Stage(tmp_path, [], asked).conversations) == 6


def test_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    documents = [document(str(n), changed(words(60, n % 40), n % 60)) for n in range(200)]
    asked = [conversation(str(n), f"Question {n % 30}?", "Yes.", document_ids=[str(n)]) for n in range(200)]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (Stage(folder, documents, asked).out for folder in folders)
    names = sorted(file.name for file in one.iterdir())
    assert names == ["conversations.parquet", "documents.parquet", "dropped.jsonl"]
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_nothing_in_is_nothing_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path, [], [])
    assert (stage.documents, stage.conversations, stage.dropped) == ([], {}, {})


def test_bands_that_do_not_divide_the_signature_are_refused() -> None:
    with pytest.raises(ValidationError, match="Must divide 112"):
        Config(bands=15)
