"""The prompt template: one place, and a digest that notices any change of words."""

import pytest

from tasks.core.chat import prompt


def test_passages_come_first_and_in_order() -> None:
    system, user = prompt.render(["one", "two"], "Which?")
    assert system == {"role": "system", "content": prompt.SYSTEM}
    assert user["content"].index("one") < user["content"].index("two") < user["content"].index("Question: Which?")


@pytest.mark.parametrize("name", ["VERSION", "SYSTEM", "ABSTENTION", "USER", "SEPARATOR"])
def test_any_changed_word_changes_the_digest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prompt.digest()
    monkeypatch.setattr(prompt, name, f"{getattr(prompt, name)}!")
    assert prompt.digest() != before
