"""Turn the error of a failed command into one sentence on stderr and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from tasks.core.errors import ConfigError, RatchetError
from tasks.settings import go_offline

# Libraries that a command may lack, and the extra that brings them: an installation may be of a gateway alone.
EXTRA_OF = {
    **dict.fromkeys(("prefect", "dvc", "great_expectations", "peft", "deepspeed", "ragas", "matplotlib"), "train"),
    **dict.fromkeys(("torch", "transformers", "sentence_transformers", "openvino_genai", "spacy", "bm25s"), "serve"),
    **dict.fromkeys(("starlette", "uvicorn", "uvloop", "prometheus_client"), "serve"),
    "evidently": "monitor",
}


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Run the block without network access; a RatchetError becomes one sentence on stderr and its exit code."""
    go_offline()
    try:
        yield
    except RatchetError as error:
        raise _ended_by(error) from error
    except ModuleNotFoundError as error:
        extra = EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        lacking = ConfigError(
            f"This command needs {error.name}, which is not installed: `pip install 'ratchet-llm[{extra}]'`."
        )
        raise _ended_by(lacking) from error


def _ended_by(error: RatchetError) -> typer.Exit:
    typer.echo(f"{type(error).__name__}: {error}", err=True)
    return typer.Exit(error.exit_code)
