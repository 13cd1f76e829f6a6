"""The `ratchet` command. Heavy libraries and Prefect are imported by the commands that need them, not by `--help`."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.commands.exit_codes import errors_as_sentences
from flows.commands.keys import keys_app
from tasks.adapters.system.console import configure_logging
from tasks.settings import Settings

app = typer.Typer(
    help="Keep a domain language model fresh and never let it get worse.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

LOOP, LOOKING, SERVING, MACHINE = "The loop", "Looking", "Serving", "This machine"

Overrides = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Overlay a value: curate.dedup.bands=10.")
]
Profile = Annotated[str | None, typer.Option(help="Overlay configs/profiles/NAME.yaml; work below data/NAME.")]
Reason = Annotated[str, typer.Option(help="Why: kept in the ledger.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

app.add_typer(keys_app, name="keys", rich_help_panel=SERVING)


@app.command(rich_help_panel=LOOP, epilog="Example: ratchet run --reason 'new refund policy'")
def run(
    reason: Reason = "",
    profile: Profile = None,
    overrides: Overrides = [],
    wait: Annotated[bool, typer.Option(help="Wait while another run holds this checkout, instead of leaving.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn the wheel once: curate, finetune, evaluate, and let the gate decide."""
    with errors_as_sentences():
        configure_logging()
        from flows.commands.launch import retrain_once
        from flows.runtime.session import Request

        request = Request(reason=reason, profile=profile, overrides=list(overrides), wait=wait)
        ended = retrain_once(request)
        typer.echo(json.dumps(ended.facts(), indent=2) if as_json else ended.text())


@app.command(rich_help_panel=LOOP, epilog="Example: ratchet stage curate.dedup --set curate.dedup.bands=10")
def stage(
    name: Annotated[str, typer.Argument(help="group.name, as in curate.dedup")],
    profile: Profile = None,
    overrides: Overrides = [],
) -> None:
    """Run one stage alone, without DVC or Prefect; with --set or --profile it works below data/trial or data/NAME."""
    with errors_as_sentences():
        configure_logging()
        from tasks.runner import find_stage, run_stage

        report = run_stage(find_stage(name), Settings(), overrides, profile)
        typer.echo(json.dumps(report.model_dump(mode="json"), indent=2, ensure_ascii=False))


@app.command(rich_help_panel=LOOKING, epilog="Example: ratchet status --watch")
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs; with --watch an object a line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks of --watch.")] = 5,
) -> None:
    """Show what serves, the last runs, verdicts and drift, the gateway's queue, and what each key has used."""
    with errors_as_sentences():
        from flows.commands.status import read_status, status_text

        settings = Settings()
        while True:
            facts = read_status(settings)
            if watch and not as_json:
                typer.echo("\033[2J\033[H", nl=False)  # to the top of an empty screen; left out of a file
            typer.echo(json.dumps(facts, indent=None if watch else 2) if as_json else status_text(facts))
            if not watch:
                return
            time.sleep(every)


@app.command(rich_help_panel=LOOKING, epilog="Example: ratchet why champion")
def why(model: Annotated[str, typer.Argument(help="champion, candidate, or a model's digest")] = "champion") -> None:
    """Explain a model: from what serves back to the documents, and the verdict in plain words."""
    with errors_as_sentences():
        from tasks.adapters.release.explain import explain
        from tasks.adapters.release.registry import open_registry

        settings = Settings()
        typer.echo(explain(open_registry(settings).store, model))


@app.command(
    rich_help_panel=LOOKING,
    epilog="Example: ratchet review --days 1 --limit 10, or without questions: "
    "ratchet review --answer chatcmpl-2026050110-3f9a --label correct --text 'Two days.'",
)
def review(
    days: Annotated[float, typer.Option(min=0, help="How far back to look.")] = 7,
    limit: Annotated[int, typer.Option(min=1, help="How many answers.")] = 20,
    drifted: Annotated[
        Path | None, typer.Option(help="JSON list of answer ids; else those of the last window.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Print the queue and ask nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the queue for programs and ask nothing.")] = False,
    answer: Annotated[str, typer.Option(metavar="ID", help="Label this answer and ask nothing.")] = "",
    label: Annotated[str, typer.Option(help="accept, correct or reject: with --answer.")] = "",
    text: Annotated[str, typer.Option(help="The right answer: with --label correct.")] = "",
    reason: Annotated[str, typer.Option(help="Why: kept with the label.")] = "",
) -> None:
    """Label the answers most worth it; what you accept or correct becomes training data by `ingest: feedback`."""
    with errors_as_sentences():
        from flows.commands.review import LABELS, ask_about, queue_json, queue_text
        from tasks.core.errors import ConfigError
        from tasks.serving.records.review import Review

        session = Review(Settings())
        if answer or label:
            chosen = next((known for known in LABELS.values() if known == label), None)
            if chosen is None or not answer:
                raise ConfigError("A label needs both: --answer ID and --label accept, correct or reject.")
            kept = session.keep(session.item(answer), chosen, correction=text, reason=reason)
            typer.echo(f"{kept.answer_id} {kept.review}")
            return
        items = session.queue(days, limit, drifted)
        if show or as_json or not items:
            typer.echo(queue_json(items) if as_json else queue_text(items))
            return
        ask_about(session, items)


@app.command(rich_help_panel=SERVING, epilog="Example: ratchet serve --port 8080")
def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen; other than loopback needs a key first.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
) -> None:
    """Answer questions over OpenAI's API with the champion, or with the base model while there is none."""
    with errors_as_sentences():
        configure_logging()
        from tasks.serving import server
        from tasks.serving.config import load_config

        given = {"gateway_host": host, "gateway_port": port}
        settings = Settings().model_copy(update={name: value for name, value in given.items() if value is not None})
        server.serve(settings, load_config(), typer.echo)


@app.command(
    rich_help_panel=SERVING, epilog="Example: ratchet deploy candidate --strategy canary --reason 'new refund policy'"
)
def deploy(
    version: Annotated[str, typer.Argument(help="champion, candidate, or a model's digest")] = "candidate",
    strategy: Annotated[
        Literal["all_at_once", "shadow", "canary", "ab"] | None, typer.Option(help="Instead of the configured one.")
    ] = None,
    finish: Annotated[bool, typer.Option("--finish", help="End the rollout: its candidate becomes champion.")] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Bring a version to serve: at once, or by a rollout that running gateways carry out."""
    with errors_as_sentences():
        from flows.commands.deploy import begin, change_json, finish_rollout

        settings = Settings()
        said = finish_rollout(settings, reason) if finish else begin(settings, version, strategy, reason)
        typer.echo(change_json(settings, said) if as_json else said)
        _announce_changes()


@app.command(rich_help_panel=SERVING, epilog="Example: ratchet rollback --reason 'wrong prices'")
def rollback(
    reason: Reason,
    to: Annotated[str, typer.Option(metavar="VERSION", help="A digest; without it, what served before.")] = "",
    as_json: AsJson = False,
) -> None:
    """Stop the rollout that runs, or, without one, let the version before serve again. Gateways follow in seconds."""
    with errors_as_sentences():
        from flows.commands.deploy import change_json, roll_back

        settings = Settings()
        said = roll_back(settings, to, reason)
        typer.echo(change_json(settings, said) if as_json else said)
        _announce_changes()


def _announce_changes() -> None:
    """Tell who serves now, once the person knows: Prefect takes seconds to load."""
    from flows.announcements import announce_changes_here

    announce_changes_here(Settings())


@app.command(rich_help_panel=LOOKING, epilog="Example: ratchet monitor --since 2026-05-01 --until 2026-05-02")
def monitor(
    model: Annotated[str | None, typer.Option(help="Version to look at, with --since.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Look at given times (UTC), and keep nothing.")] = None,
    until: Annotated[datetime | None, typer.Option(help="End of these times; else now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the answers since the last look with what the model was measured on, and say what drifted."""
    with errors_as_sentences():
        configure_logging()
        from flows.commands.launch import look_once

        ended = look_once(model, since, until)
        typer.echo(json.dumps(ended.facts, indent=2) if as_json else "\n".join(ended.lines))


@app.command(rich_help_panel=SERVING, epilog="Example: ratchet up")
def up() -> None:
    """Start Prefect's server and UI, the deployments, the gateway and Evidently's UI; Ctrl-C ends all of them."""
    with errors_as_sentences():
        configure_logging()
        from flows.commands.up import up as run_all

        run_all(Settings(), typer.echo)


@app.command(rich_help_panel=LOOP, epilog="Example: ratchet demo")
def demo(
    profile: Annotated[str, typer.Option(help="configs/profiles/NAME.yaml: what differs from this checkout.")] = "demo",
) -> None:
    """See the whole loop turn once, unattended, in a copy of this checkout: half an hour, from an existing champion."""
    with errors_as_sentences():
        configure_logging()
        from flows.demo.story import run_demo

        run_demo(Settings(), profile, typer.echo)


@app.command(rich_help_panel=MACHINE, epilog="Example: ratchet doctor")
def doctor() -> None:
    """Check this machine, and say what to do about each fault."""
    with errors_as_sentences():
        from tasks.adapters.system.machine_checks import examine

        settings = Settings()
        checks = list(examine(Path.cwd(), settings.store_url, settings.s3_endpoint_url, settings.model_cache))
        for check in checks:
            typer.echo(f"{'ok   ' if check.is_ok else 'FAULT'} {check.name:16} {check.detail}")
            if not check.is_ok:
                typer.echo(f"      do: {check.remedy}")
        raise typer.Exit(0 if all(check.is_ok for check in checks) else 4)


@app.command(rich_help_panel=MACHINE, epilog="Example: ratchet schema conversation > conversation.schema.json")
def schema(record: Annotated[str, typer.Argument(help="document, conversation or feedback")]) -> None:
    """Print the JSON schema of a record type."""
    with errors_as_sentences():
        from tasks.core.errors import ConfigError
        from tasks.core.records.schema import RECORD_TYPES, json_schema

        if record not in RECORD_TYPES:
            raise ConfigError(f"There is no record type {record!r}; the types are {', '.join(RECORD_TYPES)}.")
        typer.echo(json.dumps(json_schema(record), indent=2))
