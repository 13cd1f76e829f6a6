"""The clean stage on tables: what changes, what is dropped and why, and what depends on a dropped document."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from tasks import runner
from tasks.adapters.storage.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    frame_of,
    table_writer,
)
from tasks.core.curation.quality_filters import QualityRules
from tasks.core.errors import ConfigError
from tasks.core.records.schema import Conversation, Document, Message
from tasks.curate.clean import CleanReport, Config, run

ENGLISH = "The function returns a list of the names that are in the file."
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund und läuft dann weiter durch den Wald."


def document(id_: str, text: str = ENGLISH, **changes: str) -> Document:
    fields = {
        "family": "f",
        "title": "names",
        "source": "files",
        "uri": "a.md",
        "licence": "MIT",
        "seen_at": "2024-05-01",
    }
    return Document(id=id_, text=text, **fields | changes)


def conversation(
    id_: str,
    answer: str = "It returns a list of names.",
    evidence: str = "",
    documents: Sequence[str] = ("d1",),
    **changes: object,
) -> Conversation:
    good = Conversation(
        id=id_,
        family="f",
        messages=[
            Message(role="user", content="What does the function return?"),
            Message(role="assistant", content=answer),
        ],
        document_ids=list(documents),
        evidence=evidence,
        answerable=True,
        withhold=False,
        kind="free",
        phrasing="",
        held_out=False,
        source="files",
        uri="a.jsonl",
        licence="MIT",
        seen_at="2024-05-01",
    )
    return good.model_copy(update=changes)


@pytest.fixture
def validate(tmp_path: Path) -> Path:
    return tmp_path / "validate"


def clean(
    validate: Path,
    documents: Sequence[Document],
    conversations: Sequence[Conversation] = (),
    config: Config | None = None,
) -> tuple[CleanReport, pl.DataFrame, pl.DataFrame, list[dict[str, str]]]:
    """Run the stage on these records; return its report, its tables and what it dropped."""
    with table_writer(validate / DOCUMENTS, DOCUMENT_SCHEMA) as writer:
        writer.write(frame_of(documents, DOCUMENT_SCHEMA))
    with table_writer(validate / CONVERSATIONS, CONVERSATION_SCHEMA) as writer:
        writer.write(frame_of(conversations, CONVERSATION_SCHEMA))
    out = validate.with_name("clean")
    out.mkdir(exist_ok=True)
    report = run(config or Config(), validate, out)
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    return report, pl.read_parquet(out / DOCUMENTS), pl.read_parquet(out / CONVERSATIONS), dropped


def test_clean_records_pass_unchanged(validate: Path) -> None:
    code = document("d2", "def names(path):\n    '''Return the names.'''\n\n    return [\n        line.strip()\n    ]")
    report, documents, conversations, dropped = clean(validate, [document("d1"), code], [conversation("c1")])
    assert documents.equals(pl.read_parquet(validate / DOCUMENTS))
    assert conversations.equals(pl.read_parquet(validate / CONVERSATIONS))
    assert (report.documents, report.documents_changed, report.reasons, dropped) == (2, 0, {}, [])


def test_texts_titles_messages_and_evidence_are_normalised_alike(validate: Path) -> None:
    raw = "The cafe\u0301 is open.\r\nIt\u00a0closes  \u200bat 5.\n\n\n\nEnd of the list of names.  "
    report, documents, conversations, _ = clean(
        validate,
        [document("d1", raw, title=" two\n lines ")],
        [conversation("c1", "At 5.\u200b", "It\u00a0closes  \u200bat 5.")],
    )
    assert documents["text"][0] == "The café is open.\nIt closes  at 5.\n\nEnd of the list of names."
    assert documents["title"][0] == "two lines"
    assert conversations["messages"][0][1]["content"] == "At 5."
    assert conversations["evidence"][0] in documents["text"][0]
    assert report.documents_changed == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("two words", "too few words"),
        ("0.1 0.2 0.3 0.4 0.5 0.6 a", "few letters"),
        ("same line again\n" * 12, "repeated lines"),
        ("Lorem ipsum dolor sit amet and so on", "lorem ipsum"),
        (GERMAN, "language de"),
    ],
)
def test_a_dropped_document_has_a_reason_and_a_count(validate: Path, text: str, reason: str) -> None:
    report, documents, _, dropped = clean(validate, [document("d1"), document("d2", text)])
    assert dropped == [{"id": "d2", "record": "document", "reason": reason}]
    assert report.reasons == {"document": {reason: 1}}
    assert documents["id"].to_list() == ["d1"]


def test_thresholds_and_languages_are_configurable(validate: Path) -> None:
    config = Config(languages=("en", "de"), rules=QualityRules(min_words=1))
    assert clean(validate, [document("d1", GERMAN), document("d2", "two words")], config=config)[0].documents == 2
    strict = Config(rules=QualityRules(min_words=50))
    assert clean(validate, [document("d1")], config=strict)[0].reasons == {"document": {"too few words": 1}}


def test_boilerplate_lines_go_and_so_does_evidence_made_of_them(validate: Path) -> None:
    text = f"Skip to main content\n{ENGLISH}\n© 2024 Corp Inc.\nThe end of the list is near.\nAll rights reserved."
    quoting = conversation("c1", evidence=f"{ENGLISH}\n© 2024 Corp Inc.\nThe end of the list is near.")
    report, documents, conversations, dropped = clean(
        validate, [document("d1", text)], [quoting, conversation("c2", evidence="2024 Corp")]
    )
    assert documents["text"][0] == f"{ENGLISH}\nThe end of the list is near."
    assert conversations["evidence"].to_list() == [documents["text"][0]]
    assert dropped == [{"id": "c2", "record": "conversation", "reason": "evidence is boilerplate"}]
    assert report.boilerplate_lines == 3


def test_lines_that_open_or_close_many_documents_of_a_source_are_header_and_footer(validate: Path) -> None:
    body = "The list {n} has names.\nIt is in file {n}.\nIt can be read {n} times.\nMore is in {n}.\nSo it ends, {n}."
    page = f"Handbook of the Corp\nPage about {{n}}\n{body}\nWrite to us"
    pages = [document(f"d{n}", page.format(n=n)) for n in range(30)]
    other = document("x", page.format(n="x"), source="other")
    report, documents, conversations, _ = clean(validate, [*pages, other], [conversation("c1", evidence="Write to us")])
    assert not documents["text"].head(30).str.contains("Handbook|Write to us").any()
    assert documents["text"][0].startswith("Page about 0\n")
    assert "Handbook of the Corp" in documents["text"][30]
    assert report.repeated_lines == 2
    assert conversations.height == 0
    few = clean(validate, pages[:10])[1]
    assert few["text"].str.contains("Handbook").all()


def test_a_conversation_goes_with_the_document_that_held_its_evidence(validate: Path) -> None:
    conversations = [
        conversation("c1", evidence="two", documents=["bad"]),
        conversation("c2", documents=["bad"]),
        conversation("c3", documents=["bad", "d1"]),
        conversation("c4", documents=["bad"], answerable=False),
        conversation("c5", documents=[]),
    ]
    report, _, kept, dropped = clean(validate, [document("d1"), document("bad", "two words")], conversations)
    assert [line["id"] for line in dropped] == ["bad", "c1", "c2"]
    assert report.reasons["conversation"] == {"document dropped": 2}
    assert dict(zip(kept["id"], kept["document_ids"].to_list(), strict=True)) == {"c3": ["d1"], "c4": [], "c5": []}


def test_conversations_are_dropped_for_their_language_and_for_turns_that_come_out_empty(validate: Path) -> None:
    german = conversation(
        "c1", GERMAN, messages=[Message(role="user", content=GERMAN), Message(role="assistant", content=GERMAN)]
    )
    _, _, kept, dropped = clean(
        validate, [document("d1")], [german, conversation("c2", "\u200b \x00"), conversation("c3")]
    )
    assert [(line["id"], line["reason"]) for line in dropped] == [("c1", "language de"), ("c2", "empty turn")]
    assert kept["id"].to_list() == ["c3"]


def test_answers_made_of_names_are_in_no_other_language(validate: Path) -> None:
    question = Message(role="user", content="What can be passed to `multiprocessing.pool.Pool.apply_async`?")
    answer = Message(role="assistant", content="func, args, kwds, callback, error_callback")
    assert clean(validate, [document("d1")], [conversation("c1", messages=[question, answer])])[0].conversations == 1


def test_cleaning_what_is_clean_changes_nothing(validate: Path) -> None:
    raw = [document(f"d{n}", f"Skip to content\r\n{ENGLISH}\n\n\n\n  code {n}\t\n© 2024 Corp\n") for n in range(3)]
    _, documents, conversations, _ = clean(validate, raw, [conversation("c1", evidence="code 1", documents=["d1"])])
    again = clean(
        validate.with_name("again"),
        [Document(**row) for row in documents.to_dicts()],
        [Conversation(**row) for row in conversations.to_dicts()],
    )
    assert again[1].equals(documents)
    assert again[2].equals(conversations)
    assert again[3] == []


def test_empty_tables_pass(validate: Path) -> None:
    assert clean(validate, [])[0].documents == 0


def test_a_mistyped_rule_is_named(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    with pytest.raises(ConfigError, match=r"curate\.clean .*rules\.min_wrds"):
        runner.load_config(runner.find_stage("curate.clean"), ["curate.clean.rules={min_wrds: 3}"])
