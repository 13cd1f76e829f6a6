"""How a command ends that fails: one sentence on stderr and an exit code, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from tasks.core.errors import RatchetError
from tasks.settings import go_offline


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Run the block without network access; a RatchetError becomes one sentence on stderr and its exit code."""
    go_offline()
    try:
        yield
    except RatchetError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
