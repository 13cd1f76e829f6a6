"""The validate stage on tables: bad rows are set aside whole, critical failures and too many bad rows stop the run."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
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
from tasks.core.chat.prompt import ABSTENTION
from tasks.core.errors import ConfigError, DataError
from tasks.core.records.schema import Conversation, Document, Message
from tasks.curate.validate import Config, ValidateReport, run
from tasks.settings import Settings

LOOSE = Config(max_quarantined=1.0)


def document(
    number: int, text: str = "The function returns a list of the names in the file.", **changes: str
) -> Document:
    fields = {
        "id": f"d{number}",
        "family": f"f{number}",
        "title": "names",
        "source": "files",
        "uri": "a.md",
        "licence": "MIT",
        "seen_at": "2024-05-01",
    }
    return Document(text=text, **fields | changes)


def conversation(
    number: int, *turns: tuple[str, str], documents: Sequence[str] = ("d1",), **changes: object
) -> Conversation:
    turns = turns or (("user", f"What does function {number} return?"), ("assistant", "It returns a list."))
    messages = [Message.model_construct(role=role, content=content) for role, content in turns]
    good = Conversation(
        id=f"c{number}",
        family="f1",
        messages=[],
        document_ids=list(documents),
        evidence="",
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
    return good.model_copy(update={"messages": messages, **changes})


@pytest.fixture(autouse=True)
def repository_root(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where the suites lie."""
    monkeypatch.chdir(repository)


@pytest.fixture
def redact(tmp_path: Path) -> Path:
    return tmp_path / "data" / "redact"


def write(folder: Path, documents: Sequence[Document], conversations: Sequence[Conversation]) -> None:
    with table_writer(folder / DOCUMENTS, DOCUMENT_SCHEMA) as writer:
        writer.write(frame_of(documents, DOCUMENT_SCHEMA))
    with table_writer(folder / CONVERSATIONS, CONVERSATION_SCHEMA) as writer:
        writer.write(frame_of(conversations, CONVERSATION_SCHEMA))
    (folder / "report.json").write_text("{}")


def validate(redact: Path, config: Config = LOOSE) -> tuple[ValidateReport, list[dict[str, object]], Path]:
    """Run the stage; return its report, its quarantine and its folder."""
    out = redact.with_name("validate")
    out.mkdir(exist_ok=True)
    report = run(config, redact, out)
    lines = (out / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    return report, [json.loads(line) for line in lines], out


def test_good_records_pass_unchanged(redact: Path) -> None:
    write(redact, [document(1), document(2)], [conversation(1), conversation(2, documents=[])])
    report, quarantine, out = validate(redact, Config())
    assert (report.documents, report.conversations, quarantine) == (2, 2, [])
    for table in (DOCUMENTS, CONVERSATIONS):
        assert pl.read_parquet(out / table).equals(pl.read_parquet(redact / table))
    assert all(expectation.success for expectation in report.expectations)


def test_each_bad_document_is_set_aside_whole_with_its_reasons(redact: Path) -> None:
    bad = [
        document(2, "short"),
        document(3, "Caf\ufffd \ufffd\ufffd is written with an accent."),
        document(4, seen_at="yesterday", licence=""),
        document(1),
        document(6, "a\x00" * 30),
    ]
    write(redact, [document(1), *bad, document(9)], [conversation(1)])
    report, quarantine, out = validate(redact)
    reasons = [
        ["text length"],
        ["wrong encoding"],
        ["empty field", "no valid time"],
        ["duplicate id"],
        ["control characters"],
    ]
    assert [entry["reasons"] for entry in quarantine] == reasons
    assert [entry["row"] for entry in quarantine] == [record.model_dump() for record in bad]
    assert {entry["record"] for entry in quarantine} == {"document"}
    assert pl.read_parquet(out / DOCUMENTS)["id"].to_list() == ["d1", "d9"]
    assert report.documents_quarantined == 5
    assert report.reasons["documents"]["duplicate id"] == 1


def test_each_bad_conversation_is_set_aside_whole_with_its_reasons(redact: Path) -> None:
    abstention = [("user", "Which?"), ("assistant", ABSTENTION)]
    bad = [
        conversation(2, ("assistant", "hello"), ("user", "hi")),
        conversation(3, ("user", "why?"), ("assistant", "  ")),
        conversation(4, ("user", "why?")),
        conversation(5, documents=["d1", "nowhere"]),
        conversation(6, *abstention),
        conversation(7, ("user", "x" * 100_001), ("assistant", "y")),
        conversation(1),
    ]
    fine = [
        conversation(1),
        conversation(8, *abstention, answerable=False),
        conversation(9, ("system", "s"), *abstention[:1], ("assistant", "a")),
    ]
    write(redact, [document(1)], [fine[0], *bad, *fine[1:]])
    report, quarantine, out = validate(redact)
    assert [entry["reasons"] for entry in quarantine] == [
        ["roles do not alternate", "no answer at the end"],
        ["empty turn"],
        ["number of turns", "no answer at the end"],
        ["unknown document"],
        ["abstention and label disagree"],
        ["turn length"],
        ["duplicate id"],
    ]
    assert [entry["row"]["id"] for entry in quarantine] == [record.id for record in bad]  # type: ignore[index]
    assert pl.read_parquet(out / CONVERSATIONS)["id"].to_list() == ["c1", "c8", "c9"]
    assert (report.conversations, report.conversations_quarantined) == (3, 7)


def test_a_conversation_about_a_refused_document_is_refused(redact: Path) -> None:
    write(redact, [document(1), document(2, "short")], [conversation(1), conversation(2, documents=["d1", "d2"])])
    _, quarantine, _ = validate(redact)
    assert [(entry["id"], entry["reasons"]) for entry in quarantine] == [
        ("d2", ["text length"]),
        ("c2", ["unknown document"]),
    ]


def test_too_many_bad_rows_stop_the_run_and_the_quarantine_is_kept(redact: Path, settings: Settings) -> None:
    write(redact, [document(1), document(2, "short")], [conversation(1)])
    with pytest.raises(
        DataError, match=r"1 of 2 documents fail validation, more than the share 0\.05 .*quarantine\.jsonl"
    ):
        runner.run_stage(runner.find_stage("curate.validate"), settings)
    failed = settings.data / "validate.failed"
    assert json.loads((failed / "quarantine.jsonl").read_text())["id"] == "d2"
    assert "1 set aside of 2" in (failed / "report.html").read_text()
    assert not (settings.data / "validate").exists()


@pytest.mark.parametrize(
    ("documents", "conversations", "message"),
    [
        ([], [conversation(1, documents=[])], "There is at least one document"),
        ([document(1)], [], "There is at least one conversation"),
    ],
)
def test_an_empty_table_stops_the_run(
    redact: Path, documents: list[Document], conversations: list[Conversation], message: str
) -> None:
    write(redact, documents, conversations)
    with pytest.raises(DataError, match=message):
        validate(redact)


def test_a_corpus_in_another_language_stops_the_run(redact: Path) -> None:
    german = "Der schnelle braune Fuchs springt über den faulen Hund und läuft dann weiter durch den Wald."
    write(redact, [document(1, german), document(2, german), document(3)], [conversation(1)])
    with pytest.raises(DataError, match=r"language that is not accepted\. Observed: 0\.6667"):
        validate(redact)
    assert validate(redact, Config(languages=("en", "de")))[0].documents == 3


def test_the_language_is_judged_on_a_sample(redact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        "tasks.adapters.curation.language_id.LanguageIdentifier.foreign",
        lambda self, texts: seen.append(len(texts)) or pl.Series([""] * len(texts), dtype=pl.String),
    )
    write(redact, [document(number) for number in range(1, 10)], [conversation(1)])
    validate(redact, Config(language_sample=3, max_quarantined=1))
    assert seen == [3, 1]


def test_a_table_with_other_columns_stops_the_run(redact: Path) -> None:
    write(redact, [document(1)], [conversation(1)])
    table = pq.read_table(redact / DOCUMENTS)
    pq.write_table(table.drop_columns(["title"]), redact / DOCUMENTS)
    with pytest.raises(DataError, match=r"exactly the columns of a document.*missing title: string"):
        validate(redact)


def test_a_missing_suite_is_a_config_error(redact: Path, tmp_path: Path) -> None:
    write(redact, [document(1)], [conversation(1)])
    with pytest.raises(ConfigError, match=r"documents\.json is missing"):
        validate(redact, Config(suites=tmp_path))


def test_the_same_input_gives_the_same_bytes(redact: Path) -> None:
    write(redact, [document(1), document(2, "short")], [conversation(1)])
    first = {path.name: path.read_bytes() for path in validate(redact)[2].iterdir()}
    assert {path.name: path.read_bytes() for path in validate(redact)[2].iterdir()} == first
    assert set(first) == {DOCUMENTS, CONVERSATIONS, "quarantine.jsonl", "report.html"}


def test_no_text_of_a_record_is_on_the_page_or_in_the_report(redact: Path) -> None:
    write(redact, [document(1, "unmistakable words about the list"), document(2, "unmistakable")], [conversation(1)])
    report, _, out = validate(redact)
    assert "unmistakable" not in (out / "report.html").read_text() + report.model_dump_json()
