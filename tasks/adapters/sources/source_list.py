"""Sources that join `sources` in configs/curate/ingest.yaml, without touching what a person wrote there (PyYAML).

A line a source is put after the last one, and the file is replaced only where it then reads as the old sources with the
new ones behind them. What is listed already is not added again. The change shows in `git diff`, for a person to commit;
the ledger keeps the configuration of every run whole.
"""

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from tasks.adapters.storage.files import write_text
from tasks.core.errors import ConfigError
from tasks.core.sources.kinds import FeedbackRecords, Files, PackageReference, Source

_SOURCES: TypeAdapter[list[Source]] = TypeAdapter(list[Source])


def add_sources(file: Path, wanted: Sequence[Source]) -> list[Source]:
    """Add what is not listed, and return it. Raises ConfigError where the file's list cannot be added to."""
    if not wanted:
        return []
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    listed = _parse(text, file)
    new: list[Source] = []
    for source in wanted:
        if not any(_covers(known, source) for known in (*listed, *new)):
            new.append(source)
    if new:
        changed = _with_lines(text, [_line(source) for source in new], file)
        if _parse(changed, file) != [*listed, *new]:
            raise ConfigError(f"{file}: sources could not be added behind those that are listed; add them by hand.")
        write_text(file, changed)
    return new


def _covers(known: Source, source: Source) -> bool:
    """Return whether what `source` names is read already."""
    if isinstance(known, PackageReference) and isinstance(source, PackageReference):
        return not known.include and set(source.packages) <= set(known.packages)
    if isinstance(known, Files) and isinstance(source, Files):
        return set(source.documents) <= set(known.documents)
    if isinstance(known, FeedbackRecords) and isinstance(source, FeedbackRecords):
        return known.path == source.path
    return known == source


def _parse(text: str, file: Path) -> list[Source]:
    try:
        return _SOURCES.validate_python((yaml.safe_load(text) or {}).get("sources"))
    except (yaml.YAMLError, ValidationError, AttributeError):
        raise ConfigError(
            f"{file} holds no readable list `sources`: write one, a line `- {{kind: ...}}` each."
        ) from None


def _with_lines(text: str, entries: Sequence[str], file: Path) -> str:
    """Return the text with the entries behind the last source."""
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    listed = next(value for key, value in root.value if key.value == "sources")
    if listed.flow_style or not listed.value:
        raise ConfigError(f"{file}: write `sources` as lines `- {{kind: ...}}`, so that others can be added.")
    first, last = listed.value[0], listed.value[-1]
    lines = text.splitlines(keepends=True)
    dash = lines[first.start_mark.line].index("-")
    end = last.end_mark.line + (1 if last.end_mark.column else 0)
    if end and not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    added = [f"{' ' * dash}- {entry}\n" for entry in entries]
    return "".join([*lines[:end], *added, *lines[end:]])


def _line(source: Source) -> str:
    values = source.model_dump(mode="json", exclude_defaults=True) | {"kind": source.kind}
    return yaml.safe_dump(values, default_flow_style=True, sort_keys=True, width=10_000).strip()
