"""The redact stage on tables: no value survives, rows and references stay, a weak detector refuses."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from tasks import runner
from tasks.adapters.privacy import name_recogniser
from tasks.adapters.storage.tables import (
    CONVERSATION_SCHEMA,
    CONVERSATIONS,
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    frame_of,
    table_writer,
)
from tasks.core.errors import ConfigError, DataError
from tasks.core.privacy.pseudonyms import PSEUDONYM
from tasks.core.privacy.spans import Span
from tasks.core.records.schema import Conversation, Document, Message
from tasks.curate.redact import Config, RedactReport, run
from tasks.settings import Settings

RULES_ONLY = Config(ner_sources=())


def document(id_: str, text: str, **changes: str) -> Document:
    fields = {
        "family": "notes",
        "title": "note",
        "source": "files",
        "uri": "notes.md",
        "licence": "MIT",
        "seen_at": "2024-05-01",
    }
    return Document(id=id_, text=text, **fields | changes)


def conversation(
    id_: str, question: str, answer: str, evidence: str = "", documents: Sequence[str] = ()
) -> Conversation:
    return Conversation(
        id=id_,
        family="notes",
        messages=[Message(role="user", content=question), Message(role="assistant", content=answer)],
        document_ids=list(documents),
        evidence=evidence,
        answerable=True,
        withhold=False,
        kind="free",
        phrasing="",
        held_out=False,
        source="files",
        uri="chats.jsonl#1",
        licence="MIT",
        seen_at="2024-05-01",
    )


@pytest.fixture
def repository_root(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where the labelled set lies."""
    monkeypatch.chdir(repository)


@pytest.fixture
def ingest(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ingest"


def write(folder: Path, documents: Sequence[Document], conversations: Sequence[Conversation]) -> None:
    with table_writer(folder / DOCUMENTS, DOCUMENT_SCHEMA) as writer:
        writer.write(frame_of(documents, DOCUMENT_SCHEMA))
    with table_writer(folder / CONVERSATIONS, CONVERSATION_SCHEMA) as writer:
        writer.write(frame_of(conversations, CONVERSATION_SCHEMA))
    (folder / "report.json").write_text("{}")


def redact(
    ingest: Path, settings: Settings, config: Config = RULES_ONLY
) -> tuple[RedactReport, pl.DataFrame, pl.DataFrame]:
    """Run the stage and return its report and tables."""
    out = ingest.with_name("redact")
    out.mkdir(exist_ok=True)
    report = run(config, ingest, out, settings=settings)
    return report, pl.read_parquet(out / DOCUMENTS), pl.read_parquet(out / CONVERSATIONS)


pytestmark = pytest.mark.usefixtures("repository_root")


def test_every_text_field_is_redacted_and_all_else_stays(ingest: Path, settings: Settings) -> None:
    secret = "jane.doe@corp.example"
    before = [
        document("d1", f"Mail {secret}.", title=f"About {secret}", uri=f"inbox/{secret}", family=f"from {secret}")
    ]
    write(
        ingest,
        before,
        [conversation("c1", f"Who is {secret}?", f"{secret} is her address.", f"Mail {secret}.", ["d1"])],
    )
    report, documents, conversations = redact(ingest, settings)
    everything = json.dumps([documents.to_dicts(), conversations.to_dicts()])
    assert "jane" not in everything
    assert len(set(PSEUDONYM.findall(everything))) == 1
    row = documents.row(0, named=True)
    assert [row[name] for name in ("id", "source", "licence", "seen_at")] == ["d1", "files", "MIT", "2024-05-01"]
    assert conversations["document_ids"].to_list() == [["d1"]]
    assert [message["role"] for message in conversations["messages"][0]] == ["user", "assistant"]
    assert conversations["evidence"][0] in documents["text"][0]
    assert (report.documents_changed, report.conversations_changed, report.replaced) == (1, 1, {"EMAIL": 6})


def test_tables_without_personal_data_come_out_as_they_went_in(ingest: Path, settings: Settings) -> None:
    write(
        ingest,
        [document("d1", "The list is sorted.\n\n    >>> sorted([2, 1])")],
        [conversation("c1", "Sorted?", "Yes.")],
    )
    report, documents, conversations = redact(ingest, settings)
    assert documents.equals(pl.read_parquet(ingest / DOCUMENTS))
    assert conversations.equals(pl.read_parquet(ingest / CONVERSATIONS))
    assert (report.documents_changed, report.conversations_changed, report.replaced) == (0, 0, {})


def test_evidence_follows_its_document_where_a_rule_alone_would_not(ingest: Path, settings: Settings) -> None:
    text = "My name is Xiomara Quuxley. As Xiomara Quuxley said, the pump failed."
    evidence = "As Xiomara Quuxley said, the pump failed."
    write(ingest, [document("d1", text)], [conversation("c1", "What failed?", "The pump.", evidence, ["d1"])])
    _, documents, conversations = redact(ingest, settings)
    assert "Xiomara" not in conversations["evidence"][0]
    assert conversations["evidence"][0] in documents["text"][0]


def test_evidence_cut_inside_a_value_loses_the_rest_of_it(ingest: Path, settings: Settings) -> None:
    write(
        ingest,
        [document("d1", "It was Carlos Mendoza who called.")],
        [conversation("c1", "?", "!", "Mendoza who called.", ["d1"])],
    )
    _, documents, conversations = redact(ingest, settings)
    assert conversations["evidence"][0] == "who called."
    assert conversations["evidence"][0] in documents["text"][0]


def test_empty_tables_and_empty_fields_pass(ingest: Path, settings: Settings) -> None:
    write(ingest, [], [])
    assert redact(ingest, settings)[0].documents == 0
    empty = conversation("c1", "x", "y").model_copy(update={"messages": []})
    write(ingest, [document("d1", "")], [empty, conversation("c2", "", "call +1 415 555 0132")])
    _, documents, conversations = redact(ingest, settings)
    assert documents["text"].to_list() == [""]
    assert conversations["messages"].list.len().to_list() == [0, 2]
    assert conversations["messages"][1][1]["content"].startswith("call <PHONE_")


def test_the_key_decides_the_pseudonyms(ingest: Path, settings: Settings, tmp_path: Path) -> None:
    write(ingest, [document("d1", "Mail a@b.example")], [])
    first, again = redact(ingest, settings)[1], redact(ingest, settings)[1]
    other = redact(ingest, Settings(home=tmp_path / "other"))[1]
    given = redact(ingest, Settings(home=tmp_path / "x", pseudonym_key="given"))[1]  # type: ignore[arg-type]
    same = redact(ingest, Settings(home=tmp_path / "y", pseudonym_key="given"))[1]  # type: ignore[arg-type]
    assert first.equals(again)
    assert given.equals(same)
    assert len({frame["text"][0] for frame in (first, other, given)}) == 3
    assert not (tmp_path / "x").exists()


class EveryZorblax:
    """Stands for the named-entity model: it finds one word and remembers what it was asked."""

    def __init__(self, model: str, rules: object) -> None:
        self.asked: list[str] = []

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        self.asked += texts
        return [[Span(m.start(), m.end(), "PERSON") for m in re.finditer("Zorblax", text)] for text in texts]


def test_only_private_sources_are_shown_to_the_model(
    ingest: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[EveryZorblax] = []
    monkeypatch.setattr(name_recogniser, "NameRecogniser", lambda *a: made.append(EveryZorblax(*a)) or made[-1])
    public = document("d2", "Zorblax, published", source="python_reference")
    write(
        ingest,
        [document("d1", "Zorblax, private"), public],
        [conversation("c1", "Who?", "Zorblax.", "Zorblax, private", ["d1"])],
    )
    report, documents, conversations = redact(ingest, settings, Config(ner_sources=("files",)))
    assert documents["text"][1] == "Zorblax, published"
    assert "Zorblax" not in documents["text"][0] + json.dumps(conversations.to_dicts())
    assert conversations["evidence"][0] == documents["text"][0]
    assert public.text not in made[0].asked
    assert report.quality_with_ner["EMAIL"].recall == 1


def test_the_model_is_not_loaded_where_no_source_asks_for_it(
    ingest: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_recogniser, "NameRecogniser", lambda *a: pytest.fail("loaded"))
    write(ingest, [document("d1", "text", source="python_reference")], [])
    assert redact(ingest, settings, Config())[0].quality_with_ner == {}


def test_a_users_own_class_is_redacted_and_counted(ingest: Path, settings: Settings) -> None:
    write(ingest, [document("d1", "staff E-123456 left")], [])
    config = Config(ner_sources=(), extra_patterns={"STAFF_ID": r"(?<!\w)E-\d{6}"})
    report, documents, _ = redact(ingest, settings, config)
    assert re.fullmatch(r"staff <STAFF_ID_\w{8}> left", documents["text"][0])
    assert report.replaced == {"STAFF_ID": 1}


def test_the_shipped_labelled_set_is_large_and_found(ingest: Path, settings: Settings) -> None:
    write(ingest, [], [])
    quality = redact(ingest, settings)[0].quality
    lines = [json.loads(line)["text"] for line in Config().labelled.read_text(encoding="utf-8").splitlines()]
    assert sum("[[" not in line for line in lines) >= 60
    assert all(figures.marked >= 20 for figures in quality.values())
    assert {name for name, figures in quality.items() if figures.recall < 0.95} <= {"PERSON"}  # type: ignore[operator]
    assert all(figures.precision >= 0.95 for figures in quality.values())  # type: ignore[operator]


def test_a_recall_below_the_configured_one_refuses_before_anything_is_written(
    ingest: Path, settings: Settings, tmp_path: Path
) -> None:
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text('{"text": "call [[PHONE:four one five]]"}\n{"text": "[[EMAIL:a@b.co]]"}\n')
    write(ingest, [document("d1", "Mail a@b.example")], [])
    with pytest.raises(DataError, match=r"finds 0 of 1 PHONE in .*labelled\.jsonl, a recall of 0\.000 below 0\.95"):
        redact(ingest, settings, Config(ner_sources=(), labelled=labelled))
    assert not (ingest.with_name("redact") / DOCUMENTS).exists()
    tolerant = Config(ner_sources=(), labelled=labelled, min_recall={"PHONE": 0.0})
    assert redact(ingest, settings, tolerant)[0].quality["PHONE"].recall == 0


@pytest.mark.parametrize("content", ["no json", '{"label": 1}', "[1]"])
def test_a_labelled_set_that_cannot_be_read_is_a_config_error(
    ingest: Path, settings: Settings, tmp_path: Path, content: str
) -> None:
    (tmp_path / "bad.jsonl").write_text(content + "\n")
    write(ingest, [], [])
    with pytest.raises(ConfigError, match="is no labelled set"):
        redact(ingest, settings, Config(ner_sources=(), labelled=tmp_path / "bad.jsonl"))
    with pytest.raises(ConfigError, match="is missing"):
        redact(ingest, settings, Config(ner_sources=(), labelled=tmp_path / "none.jsonl"))


@pytest.mark.parametrize(("name", "pattern"), [("staff", "x"), ("STAFF", "(")])
def test_a_class_that_is_none_is_refused_with_the_fields_name(settings: Settings, name: str, pattern: str) -> None:
    stage = runner.find_stage("curate.redact")
    with pytest.raises(ConfigError, match=r"curate\.redact .*field 'extra_patterns'"):
        runner.load_config(stage, [f"curate.redact.extra_patterns={{{name}: '{pattern}'}}"])


def test_an_unexpected_error_quotes_nothing(ingest: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write(ingest, [document("d1", "Mail jane.doe@corp.example", source="python_reference")], [])

    def explode(*_: object, **__: object) -> None:
        raise ValueError("jane.doe@corp.example is in the way")

    monkeypatch.setattr("tasks.core.privacy.redaction.Redactor.redact", explode)
    with pytest.raises(Exception, match="failed with ValueError") as caught:
        runner.run_stage(runner.find_stage("curate.redact"), settings)
    assert "jane" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "jane" not in (settings.home / "stages/redact/error.json").read_text()
