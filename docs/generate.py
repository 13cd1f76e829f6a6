"""Write the reference pages from the code: `python docs/generate.py`; `--check` only tells which are out of date."""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
MAX_DEFAULT = 80  # characters of a list; a longer one is counted
NOTE = "<!-- Made from the code by docs/generate.py: change the code, then run it. -->\n\n"


def cli() -> str:
    """Every command with its arguments, options and defaults."""
    from typer.main import get_command

    from flows.cli import app

    lines = ["# Command line\n", "`ratchet COMMAND --help` says the same in a terminal.\n"]
    group: Any = get_command(app)
    for name, command in _commands(group, "ratchet"):
        lines.append(f"## `{name}`\n")
        lines.append(f"{_plain(command.help)}\n")
        if command.epilog:
            lines.append(f"{_example(command.epilog)}\n")
        rows = [row for parameter in command.params if (row := _parameter(parameter))]
        if rows:
            lines += ["| option | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def _parameter(parameter: Any) -> str | None:
    if "--help" in parameter.opts:
        return None
    is_argument = parameter.param_type_name == "argument"
    names = parameter.metavar or parameter.name.upper() if is_argument else ", ".join(parameter.opts)
    shown = "" if parameter.default in (None, (), [], "", False) else f"`{parameter.default}`"
    if parameter.required:
        shown = "required"
    return f"| `{names}` | {_cell(_plain(getattr(parameter, 'help', '') or ''))} | {shown} |"


def _example(epilog: str) -> str:
    return f"```bash\n{epilog.removeprefix('Example: ')}\n```"


def configuration() -> str:
    """Every field of every stage's configuration and of the gateway's."""
    from tasks.runner import stages
    from tasks.serving.config import ServeConfig

    lines = [
        "# Configuration\n",
        "What decides a result: class default, then the stage's YAML, then a profile\n"
        "(a file in `configs/profiles`), then `--set group.stage.field=value`. An unknown field is refused; of one\n"
        "that has a new name, the error says it.\n",
    ]
    for stage in stages():
        config = stage.load().Config
        lines += [f"## {stage.path}\n", f"`{stage.config_file}`\n", *_fields(config), *_parts(config)]
    lines += ["## The gateway\n", "`configs/serve.yaml`\n", *_fields(ServeConfig)]
    return "\n".join(lines)


def settings() -> str:
    """Every RATCHET_ variable."""
    from tasks.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        default = {"threads": "all cores", "model_cache": "`~/.cache/ratchet`"}.get(name, _default(field))
        rows.append(f"| `RATCHET_{name.upper()}` | {_cell(field.description or '')} | {default} |")
    return "\n".join(
        [
            "# Settings\n",
            "Where Ratchet runs, from the environment alone; nothing here decides a result. `PREFECT_API_URL` names\n"
            "your Prefect server; without it a run starts a private one.\n",
            "| variable | meaning | default |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def records() -> str:
    """The record types that sources, stages and the gateway exchange."""
    from tasks.core.records.answer import AnswerRecord
    from tasks.core.records.schema import RECORD_TYPES

    lines = ["# Record types\n", "`ratchet schema TYPE` prints the JSON schema of the first three.\n"]
    for name, record in {**RECORD_TYPES, "answer": AnswerRecord}.items():
        lines += [f"## {name}\n", f"{_plain(inspect.getdoc(record))}\n", *_fields(record)]
    return "\n".join(lines)


def events() -> str:
    """What Prefect's automations and the alert webhook hear of."""
    from flows import events as module

    meanings = {
        module.DRIFT_DETECTED: "The traffic has drifted, confirmed by a second window; a retrain starts.",
        module.QUALITY_DEGRADED: "The share of good answers has fallen.",
        module.MODEL_PROMOTED: "Another version serves.",
        module.MODEL_ROLLED_BACK: "A version was taken back.",
    }
    rows = [f"| `{name}` | {meaning} |" for name, meaning in meanings.items()]
    return "\n".join(
        [
            "# Events\n",
            f"Each is emitted to the Prefect API in use, about the resource `{module.RESOURCE}`, and posted as JSON\n"
            "to `RATCHET_ALERT_WEBHOOK_URL` where one is set: `event`, `model`, `at`, and the payload.\n",
            "| event | when |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def metrics() -> str:
    """What `/metrics` of the gateway shows."""
    from tasks.serving.gateway.metrics import Metrics

    names = sorted(Metrics().registry.collect(), key=lambda metric: metric.name)
    rows = [f"| `{metric.name}` | {metric.type} | {_cell(metric.documentation)} |" for metric in names]
    source = "".join(path.read_text() for path in sorted((ROOT / "tasks" / "serving").rglob("*.py")))
    added = re.findall(r'\.gauge(?:_each)?\(\s*"(\w+)",\s*"([^"]+)"', source)
    rows += [f"| `{name}` | gauge | {_cell(meaning)} |" for name, meaning in sorted(added)]
    return "\n".join(
        [
            "# Metrics\n",
            "`/metrics` of the gateway, for Prometheus; it wants an admin's key. Answers are labelled by model.\n",
            "| metric | type | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def exit_codes() -> str:
    """What a program learns from how `ratchet` ends."""
    from tasks.core.errors import BY_NAME

    rows = [f"| {error.exit_code} | `{name}` | {_plain(inspect.getdoc(error))} |" for name, error in BY_NAME.items()]
    return "\n".join(
        [
            "# Exit codes\n",
            "Every error is one sentence on stderr: what, where, which value, what to do next.\n",
            "| code | error | meaning |",
            "|---|---|---|",
            "| 0 |  | It worked. A refused candidate is no error. |",
            *rows,
            "",
        ]
    )


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "configuration.md": configuration,
    "settings.md": settings,
    "records.md": records,
    "events.md": events,
    "metrics.md": metrics,
    "exit-codes.md": exit_codes,
}


def _fields(model: type[BaseModel]) -> list[str]:
    if not model.model_fields:
        return ["No values.\n"]
    rows = [
        f"| `{name}` | {_cell(field.description or '')} | {_type(field)} | {_default(field)} |"
        for name, field in model.model_fields.items()
    ]
    return ["| field | meaning | type | default |", "|---|---|---|---|", *rows, ""]


def _type(field: FieldInfo) -> str:
    known = field.annotation
    text = str(known) if get_origin(known) is not None or not isinstance(known, type) else known.__name__
    return f"`{_cell(re.sub(r'(typing|tasks[.a-z_]*|pathlib)[.]', '', text))}`"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined and field.default_factory is not None:
        value = field.default_factory()  # type: ignore[call-arg]
    if value is PydanticUndefined:
        return "required"
    if value is None or isinstance(value, SecretStr):
        return "none"
    return f"`{_cell(_short(value))}`"


def _short(value: Any) -> str:
    if isinstance(value, BaseModel):
        return type(value).__name__
    if isinstance(value, dict):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, list | tuple):
        text = ", ".join(_short(item) for item in value) or "none"
        return text if len(text) <= MAX_DEFAULT else f"{len(value)} values"
    return str(value)


def _parts(config: type[BaseModel]) -> list[str]:
    """Return the fields of the models that a configuration holds."""
    lines, seen, waiting = [], {config}, list(_models_in(config))
    while waiting:
        model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        waiting += _models_in(model)
        lines += [
            f"### {config.__module__.rpartition('.')[2]}: {model.__name__}\n",
            f"{_plain(inspect.getdoc(model))}\n",
        ]
        lines += _fields(model)
    return lines


def _models_in(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    def inside(known: Any) -> Iterator[type[BaseModel]]:
        if isinstance(known, type) and issubclass(known, BaseModel):
            yield known
        for part in get_args(known):
            yield from inside(part)

    for field in model.model_fields.values():
        yield from inside(field.annotation)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def main() -> int:
    """Write the pages, or name those that are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is out of date")
    options = parser.parse_args()
    stale = []
    REFERENCE.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        page, path = NOTE + make().rstrip() + "\n", REFERENCE / name
        if not path.exists() or path.read_text() != page:
            stale.append(name)
            if not options.check:
                path.write_text(page)
    print("\n".join(stale))
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
