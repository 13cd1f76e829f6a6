import pytest

from tasks.adapters.release.model_card import hub_id
from tests.tasks.conftest import BAD, GOOD, Loop


def test_a_hub_can_read_the_metadata(loop: Loop) -> None:
    from huggingface_hub import ModelCard

    report = loop.turn(GOOD)
    card = ModelCard.load(loop.folder("promote") / "model_card.md")
    data = card.data.to_dict()
    assert data["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (data["library_name"], data["license"]) == ("peft", "apache-2.0")
    assert "lora" in data["tags"]
    metrics = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert metrics.keys() == {"score", "hallucinated", "ungrounded", "token_f1", "probe"}
    assert metrics["score"] == report.score


def test_a_person_can_read_the_verdict_the_data_and_the_limits(loop: Loop) -> None:
    loop.turn(GOOD)
    loop.turn(BAD, seed=1)
    text = (loop.folder("promote") / "model_card.md").read_text()
    for words in (
        "**REJECT** against the champion",
        "got worse",
        "| files | MIT | 80 | 360 | 120 |",
        "## Limits",
        "3 passages",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("org/model", "org/model"),
        ("/home/jane/models/mine", "mine"),
        ("./models/mine", "mine"),
    ],
)
def test_a_base_model_is_named_without_this_machine_s_path(base: str, name: str) -> None:
    assert hub_id(base) == name
