"""A command that cannot do its work says why in one sentence, and exits with the error's code."""

import pytest
import typer

from flows.commands.exit_codes import errors_as_sentences
from tasks.core.errors import DataError


def test_an_error_is_one_sentence_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, errors_as_sentences():
        raise DataError("There are no documents: add some.")
    assert ended.value.exit_code == 3
    assert capsys.readouterr().err == "DataError: There are no documents: add some.\n"


@pytest.mark.parametrize(
    ("module", "extra"), [("prefect.flows", "train"), ("evidently", "monitor"), ("uvicorn", "serve")]
)
def test_a_library_that_an_installation_lacks_is_named_with_the_extra_that_brings_it(
    module: str, extra: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, errors_as_sentences():
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert ended.value.exit_code == 2
    assert f"needs {module}, which is not installed: `pip install 'ratchet-llm[{extra}]'`" in capsys.readouterr().err


def test_a_module_of_our_own_that_is_missing_is_a_bug_and_keeps_its_traceback() -> None:
    with pytest.raises(ModuleNotFoundError), errors_as_sentences():
        raise ModuleNotFoundError("No module named 'tasks.core.utils'", name="tasks.core.utils")
