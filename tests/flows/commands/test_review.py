"""`ratchet review`: from served answers to labels to training data, through the real recorder and the real ingest."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from tasks.adapters.monitoring.window_log import WindowLog
from tasks.adapters.records.feedback_store import FeedbackStore, read_feedback
from tasks.adapters.records.record_place import open_records
from tasks.adapters.storage.object_store import open_store
from tasks.core.feedback.rules import Opinion
from tasks.core.monitoring.drift_verdict import DriftVerdict
from tasks.core.monitoring.window_verdict import Quality, WindowVerdict
from tasks.core.release.lineage import BASE
from tasks.curate import ingest as ingest_stage
from tasks.serving.records.recording import Recorder
from tasks.settings import Settings
from tests.tasks.answers import REDACTOR, answer

NOW = datetime.now(UTC)
AT = NOW.isoformat()
DOCUMENT = "# Refunds\n\nA refund takes three days."


class Served:
    """A checkout whose gateway has answered some questions."""

    def __init__(self, root: Path) -> None:
        (root / "handbook").mkdir()
        (root / "handbook" / "refunds.md").write_text(DOCUMENT)
        self.root, self.settings = root, Settings()
        self.document_id = self.ingest()["documents"]["id"][0]
        self.recorder = Recorder(open_records(self.settings), REDACTOR)
        self.store = FeedbackStore(open_store(self.settings.feedback_url), REDACTOR, self.recorder.find)

    def serve(self, answer_id: str, question: str, **changes: Any) -> None:
        at = (NOW - timedelta(minutes=5)).isoformat()
        self.recorder.record(answer(answer_id, question, **{"at": at, "document_ids": [self.document_id], **changes}))
        assert self.recorder.flush()

    def say(self, answer_id: str, **opinion: Any) -> None:
        self.store.accept(Opinion(answer_id=answer_id, **opinion), "k1", NOW)

    def ingest(self, *, require_review: bool = True) -> dict[str, pl.DataFrame]:
        """Run the stage on the handbook and, once there is some, the feedback."""
        sources: list[dict[str, Any]] = [{"kind": "files", "documents": ["handbook"]}]
        if Path(self.settings.feedback_url).exists():
            path = self.settings.feedback_url
            sources.append({"kind": "feedback", "path": path, "require_review": require_review})
        out = self.root / "ingest"
        out.mkdir(exist_ok=True)
        ingest_stage.run(ingest_stage.Config.model_validate({"sources": sources}), out, settings=self.settings)
        return {name: pl.read_parquet(out / f"{name}.parquet") for name in ("documents", "conversations")}

    def learnt(self, *, require_review: bool = True) -> dict[str, str]:
        """Return what training would get: the answer by question."""
        rows = self.ingest(require_review=require_review)["conversations"].iter_rows(named=True)
        return {row["messages"][0]["content"]: row["messages"][-1]["content"] for row in rows}


@pytest.fixture
def served(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("RATCHET_HOME", "RATCHET_RECORDS_URL", "RATCHET_FEEDBACK_URL"):
        monkeypatch.delenv(name, raising=False)
    made = Served(workdir)
    yield made
    made.recorder.close()


def ratchet(*arguments: str, keys: str | None = None, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["review", *arguments], input=keys)
    assert result.exit_code == code, result.output
    return result


def test_a_label_becomes_training_data_through_ingest_and_nothing_else_does(served: Served) -> None:
    served.serve("a1", "How long does a refund take?", answer="Two days.")
    served.serve("a2", "Who pays for shipping abroad?", answer="Nobody knows.", ungrounded=["Nobody"])
    served.serve("a3", "Is there a warranty on lamps?", answer="Yes.")
    served.say("a1", correction="Three days, says jane.doe@corp.example.")
    served.say("a3", thumb="down")
    assert served.learnt() == {}, "pending corrections teach nothing where a review is required"
    assert list(served.learnt(require_review=False)) == ["How long does a refund take?"]

    output = ratchet(keys="a\nx\nr\nc\nThe customer pays.\n").output  # accept, a slip, reject, correct
    assert "1 of 3: a1" in output
    assert "3 labelled." in output
    learnt = served.learnt()
    assert learnt["Who pays for shipping abroad?"] == "The customer pays."
    assert re.fullmatch(r"Three days, says <EMAIL_\w{8}>\.", learnt["How long does a refund take?"])
    assert len(learnt) == 2
    (family,) = set(served.ingest()["conversations"]["family"])
    assert family == served.ingest()["documents"]["family"][0]
    assert ratchet().output == "No answer is worth a label now.\n"

    served.say("a1", correction="Poison.")
    assert served.learnt(require_review=False) == learnt, "a later client does not undo a review"


def test_the_queue_is_printed_with_reasons_for_people_and_programs(served: Served) -> None:
    served.serve("a1", "How long?\nIn days.", answer="Two.", ungrounded=["Two"])
    served.serve("a2", "how long? in days", answer="Two.", ungrounded=["Two"])
    output = ratchet("--list").output
    assert "why       Neither documents nor question hold Two." in output
    assert "similar   1 more answers" in output
    assert "question  How long?\n            In days." in output
    (item,) = json.loads(ratchet("--json").output)
    assert (item["answer_id"], item["proposal"], item["similar"]) == ("a1", None, 1)
    assert ratchet("--list", "--days", "0.001").output == "No answer is worth a label now.\n"


def test_skipping_and_quitting_keep_nothing(served: Served) -> None:
    for number, topic in enumerate(("refunds", "lamps", "shoes")):
        served.serve(f"a{number}", f"What about {topic}?", ungrounded=["x"])
    assert "0 labelled." in ratchet(keys="s\nq\n").output
    assert list(read_feedback(open_store(served.settings.feedback_url))) == []
    assert ratchet("--limit", "2", "--list").output.count("why") == 2


def test_drifted_answers_come_from_a_list_of_ids(served: Served, workdir: Path) -> None:
    served.serve("a1", "How long?")
    (workdir / "drifted.json").write_text('["a1"]')
    assert "Its topic has drifted." in ratchet("--list", "--drifted", "drifted.json").output
    (workdir / "drifted.json").write_text('{"a1": 1}')
    assert "is no JSON list of answer ids" in ratchet("--list", "--drifted", "drifted.json", code=2).output


def test_the_last_verdict_says_which_answers_have_drifted(served: Served, workdir: Path) -> None:
    for name, question in (("a1", "How long?"), ("a2", "Who pays?"), ("a3", "Which lamp?")):
        served.serve(name, question)
    assert ratchet("--list").output == "No answer is worth a label now.\n"
    said_to_have_drifted(served.settings, 1, "a1", "a2")
    said_to_have_drifted(served.settings, 2, "a2", "of another month")
    items = json.loads(ratchet("--json").output)
    assert [(item["answer_id"], item["reasons"]) for item in items] == [("a2", ["Its topic has drifted."])]
    (workdir / "mine.json").write_text('["a3"]')
    assert [i["answer_id"] for i in json.loads(ratchet("--json", "--drifted", "mine.json").output)] == ["a3"]


def said_to_have_drifted(settings: Settings, number: int, *answer_ids: str) -> None:
    """Keep the verdict that the monitor gives on the base model where these answers have drifted."""
    verdict = DriftVerdict(outcome="SUSPECTED", headline="", reasons=[], rows=(300, 300), findings=[])
    watch = WindowVerdict(
        model=BASE, since=AT, until=AT, number=number, compared_with="served", drift=verdict, parts=[],
        quality=Quality(before=None, now=None, has_fallen=False), drifted=list(answer_ids),
    )  # fmt: skip
    WindowLog(open_store(settings.store_url), BASE).append(watch, "page")


def test_one_answer_is_labelled_without_questions(served: Served) -> None:
    served.serve("a1", "How long?", answer="Two days.")
    output = ratchet("--answer", "a1", "--label", "correct", "--text", "Three days.", "--reason", "rule 7").output
    assert output == "a1 accepted\n"
    assert served.learnt() == {"How long?": "Three days."}
    assert ratchet("--answer", "a1", "--label", "reject").output == "a1 rejected\n"
    assert served.learnt() == {}, "the latest review counts"


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["--answer", "a1"], "A label needs both", 2),
        (["--label", "accept"], "A label needs both", 2),
        (["--answer", "a1", "--label", "perhaps"], "A label needs both", 2),
        (["--answer", "nobody's", "--label", "accept"], "No shown answer of the last week has this id", 3),
        (["--answer", "a1", "--label", "correct"], "There is no text to correct for a1", 3),
    ],
)
def test_what_cannot_be_labelled_is_said_in_one_sentence(
    served: Served, arguments: list[str], sentence: str, code: int
) -> None:
    served.serve("a1", "How long?")
    assert sentence in ratchet(*arguments, code=code).output


def test_the_help_has_an_example() -> None:
    assert "Example: ratchet review" in ratchet("--help").output
