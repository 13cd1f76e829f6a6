from pathlib import Path

import pytest

from tasks.adapters.evaluation.eval_set import (
    RetrievalSetup,
    draw_conversations,
    items_digest,
    read_pairs,
    read_probe,
    with_contexts,
)
from tasks.adapters.retrieval.index import Retriever
from tasks.adapters.storage.tables import CONVERSATION_SCHEMA, frame_of, table_writer
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.errors import ConfigError, DataError
from tasks.core.evaluation.measurements import Item
from tasks.core.records.schema import Conversation, Message
from tasks.core.retrieval.passages import Passage


def conversation(number: int, **values: object) -> Conversation:
    messages = [
        Message(role="user", content=f"Question {number}?"),
        Message(role="assistant", content=f"Answer {number}"),
    ]
    known = {
        "id": f"c{number:03d}",
        "family": "f",
        "messages": messages,
        "document_ids": [f"d{number}"],
        "evidence": f"answer {number}",
        "answerable": True,
        "withhold": False,
        "kind": "default" if number % 2 else "module",
        "phrasing": "1",
        "held_out": False,
        "source": "files",
        "uri": "u",
        "licence": "MIT",
        "seen_at": "2026-01-01T00:00:00+00:00",
    }
    return Conversation.model_validate({**known, **values})


def write(path: Path, conversations: list[Conversation]) -> Path:
    with table_writer(path, CONVERSATION_SCHEMA) as writer:
        writer.write(frame_of(conversations, CONVERSATION_SCHEMA))
    return path


class FixedRetriever(Retriever):
    """Finds for every question one passage of each document that is not left out."""

    def __init__(self, documents: dict[str, str], titles: dict[str, str] | None = None) -> None:
        self._texts, self.titles = documents, titles or {name: name for name in documents}
        self.hidden: list[tuple[str, ...]] = []

    def search(self, questions, k, leave_out=(), *, within=None):  # type: ignore[no-untyped-def]
        self.hidden = [tuple(ids) for ids in leave_out]
        passages = [Passage(f"{name}-0", name, 0, text) for name, text in self._texts.items()]
        return [[p for p in passages if p.document_id not in hidden][:k] for hidden in leave_out]


def alone(conversations: list[Conversation], retriever: Retriever) -> list[Item]:
    """The items of a model that is compared with none of another index."""
    return with_contexts(conversations, [RetrievalSetup(retriever, 3)])[0]


def test_items_are_drawn_in_proportion_and_sorted(tmp_path: Path) -> None:
    path = write(tmp_path / "eval.parquet", [conversation(number) for number in range(100)])
    drawn = draw_conversations(path, 20, seed=0)
    assert [c.id for c in drawn] == sorted(c.id for c in drawn)
    assert [c.kind for c in drawn].count("module") == 10
    assert drawn == draw_conversations(path, 20, seed=0)
    assert drawn != draw_conversations(path, 20, seed=1)


def test_too_few_items_are_all_taken_and_none_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "eval.parquet", [conversation(number) for number in range(3)])
    assert len(draw_conversations(path, 20, seed=0)) == 3
    assert "holds 3 items, 20 were asked for" in caplog.text
    with pytest.raises(DataError, match="holds no conversation"):
        draw_conversations(write(tmp_path / "empty.parquet", []), 20, seed=0)


def test_an_item_is_answerable_where_its_context_holds_the_evidence() -> None:
    retriever = FixedRetriever({"d1": "the answer 1 is here", "d2": "nothing", "d3": "the answer 3 is here"})
    asked = [
        conversation(1),
        conversation(2),  # found, but the passage does not hold the evidence
        conversation(3, withhold=True, answerable=False, evidence=""),
        conversation(4, answerable=False, evidence="", document_ids=["d1"]),  # a near miss beside its document
    ]
    items = alone(asked, retriever)
    assert [item.answerable for item in items] == [True, False, False, False]
    assert [item.reference for item in items] == ["Answer 1", ABSTENTION, ABSTENTION, ABSTENTION]
    assert [item.is_findable for item in items] == [True, True, False, False]


def test_withheld_documents_are_not_in_the_context() -> None:
    retriever = FixedRetriever({"d1": "one", "d2": "two"})
    item = alone([conversation(1, withhold=True, answerable=False)], retriever)[0]
    assert [passage.document_id for passage in item.passages] == ["d2"]
    alone([conversation(1)], retriever)
    assert retriever.hidden == [()]


def test_a_model_without_the_document_is_shown_none_of_it_and_has_the_same_to_say() -> None:
    new = FixedRetriever({"d1": "the answer 1 is here", "d2": "two"})
    old = FixedRetriever({"d2": "two"})
    items = with_contexts([conversation(1)], [RetrievalSetup(new, 3), RetrievalSetup(old, 3), RetrievalSetup(new, 3)])
    assert items[2] is items[0]
    candidate, champion = items[0][0], items[1][0]
    assert [passage.document_id for passage in champion.passages] == ["d2"]
    assert (candidate.holds_answer, champion.holds_answer) == (True, False)
    assert (
        (champion.answerable, champion.reference) == (candidate.answerable, candidate.reference) == (True, "Answer 1")
    )


def test_an_answer_that_only_the_older_index_finds_counts_against_the_newer_one() -> None:
    setups = [
        RetrievalSetup(FixedRetriever({"d1": "cut short"}), 3),
        RetrievalSetup(FixedRetriever({"d1": "the answer 1 is here"}), 3),
    ]
    candidate, champion = (items[0] for items in with_contexts([conversation(1)], setups))
    assert (
        (candidate.answerable, candidate.reference) == (champion.answerable, champion.reference) == (True, "Answer 1")
    )
    assert (candidate.holds_answer, champion.holds_answer) == (False, True)


@pytest.mark.parametrize("withhold", [True, False])
def test_an_older_version_of_a_document_is_known_by_its_title(*, withhold: bool) -> None:
    newest = FixedRetriever({"d1": "the answer 1 is here"}, {"d1": "guide"})
    older = FixedRetriever({"old": "the answer 1 was here", "d2": ""}, {"old": "guide", "d2": "x"})
    asked = conversation(1, withhold=withhold, answerable=not withhold)
    champion = with_contexts([asked], [RetrievalSetup(newest, 3), RetrievalSetup(older, 3)])[1][0]
    assert [passage.document_id for passage in champion.passages] == (["d2"] if withhold else ["old", "d2"])
    assert champion.holds_answer is not withhold


def test_a_model_is_shown_as_many_passages_as_it_was_trained_with() -> None:
    retriever = FixedRetriever({"d1": "one", "d2": "two", "d3": "three"})
    items = with_contexts([conversation(1)], [RetrievalSetup(retriever, 3), RetrievalSetup(retriever, 2)])
    assert [len(of_model[0].passages) for of_model in items] == [3, 2]


def test_the_digest_of_the_items_follows_from_what_is_shown() -> None:
    one, other = ({"d1": "the answer 1 is here"}, {"d1": "the answer 1 is there"})
    digests = {items_digest(alone([conversation(1)], FixedRetriever(texts))) for texts in (one, one, other)}
    assert len(digests) == 2


def test_the_shipped_probe_has_a_hundred_questions_outside_the_domain(repository: Path) -> None:
    probe = read_probe(repository / "configs/finetune/probe.jsonl")
    assert len(probe) == len({item.question for item in probe}) == 100
    assert all(item.answers and all(answer.strip() for answer in item.answers) for item in probe)
    assert not any("python" in item.question.lower() for item in probe)


def test_the_probe_is_not_among_what_training_rehearses(repository: Path) -> None:
    rehearsed = (repository / "configs/finetune/replay.jsonl").read_text(encoding="utf-8").casefold()
    assert not [
        i.question
        for i in read_probe(repository / "configs/finetune/probe.jsonl")
        if i.question.casefold() in rehearsed
    ]


def test_the_shipped_pairs_are_balanced_and_every_context_has_both_sorts(repository: Path) -> None:
    pairs = read_pairs(repository / "configs/finetune/judge_pairs.jsonl")
    assert len(pairs) >= 60
    assert sum(pair.faithful for pair in pairs) * 2 == len(pairs)
    contexts = {pair.context: {p.faithful for p in pairs if p.context == pair.context} for pair in pairs}
    assert set(map(frozenset, contexts.values())) == {frozenset({True, False})}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "probe.jsonl is empty"),
        ('{"id": "1", "question": "q", "answers": ["a"]}\n{"id": \n', r"probe.jsonl:2 is no JSON"),
        ('{"id": "1", "question": "q"}\n', r"probe.jsonl:1 answers: field required"),
        ('{"id": "1", "question": "q", "answers": ["a"]}\n' * 2, r"probe.jsonl:2 repeats the id '1'"),
        (None, r"probe.jsonl is missing"),
    ],
)
def test_a_bad_probe_file_is_one_sentence(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "probe.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_probe(path)
