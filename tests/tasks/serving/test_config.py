from pathlib import Path

import pytest

from tasks.core.errors import ConfigError
from tasks.serving.config import ServeConfig, load_config


def test_the_shipped_values_are_valid_and_a_wrong_one_is_named(repository: Path, tmp_path: Path) -> None:
    assert load_config(repository / "configs" / "serve.yaml") == ServeConfig()
    (tmp_path / "serve.yaml").write_text("queue: -1")
    with pytest.raises(ConfigError, match="field 'queue'"):
        load_config(tmp_path / "serve.yaml")


@pytest.mark.parametrize(("old", "new"), sorted(ServeConfig.RENAMED.items()))
def test_a_field_by_its_old_name_is_refused_by_a_sentence_that_names_the_new_one(
    old: str, new: str, tmp_path: Path
) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(f"{old}: 1\n")
    with pytest.raises(ConfigError, match=rf"{old} is now called {new}: rename it\.$") as refused:
        load_config(file)
    assert str(file) in str(refused.value)
    assert new in ServeConfig.model_fields


def test_an_unknown_field_is_refused_by_a_sentence_that_lists_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("max_answr_tokens: 1\n")
    with pytest.raises(ConfigError, match=r"has no field 'max_answr_tokens'; its fields are .*max_answer_tokens"):
        load_config(file)
