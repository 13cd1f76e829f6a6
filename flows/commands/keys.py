"""The commands below `ratchet keys`: make, list and revoke the keys of the gateway."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from flows.commands.exit_codes import errors_as_sentences
from tasks.settings import Settings

keys_app = typer.Typer(help="Who may ask the gateway, and how much.", no_args_is_help=True)


@keys_app.command(name="add", epilog="Example: ratchet keys add support-bot --tokens-per-day 200000")
def add_key(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    role: Annotated[Literal["user", "admin"], typer.Option(help="An admin also reads the metrics.")] = "user",
    requests_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=1)] = None,
) -> None:
    """Make a key and print it, this once."""
    with errors_as_sentences():
        from tasks.serving.access.keys import key_ring

        token = key_ring(Settings()).create(
            name,
            role,
            at=datetime.now(UTC).isoformat(),
            requests_per_minute=requests_per_minute,
            tokens_per_day=tokens_per_day,
        )
        typer.echo(token)


@keys_app.command(name="list", epilog="Example: ratchet keys list")
def list_keys() -> None:
    """Show every key's id, role, name and limits."""
    with errors_as_sentences():
        from tasks.serving.access.keys import key_ring

        for key in key_ring(Settings()).all():
            limits = f"{key.requests_per_minute or 'any'} requests a minute, {key.tokens_per_day or 'any'} tokens a day"
            typer.echo(f"{key.id}  {key.role:5}  {key.name}  ({limits})")


@keys_app.command(name="revoke", epilog="Example: ratchet keys revoke 0123456789ab")
def revoke_key(id_: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Refuse a key from now on, also in a running gateway."""
    with errors_as_sentences():
        from tasks.serving.access.keys import key_ring

        key_ring(Settings()).revoke(id_)
