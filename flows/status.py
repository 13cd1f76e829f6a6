"""What `ratchet status` shows: pointers, the last runs and verdicts, what each stage made, and who works here now."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tasks.adapters.checkout_lock import holder_of, is_held
from tasks.adapters.deployments import Deployments
from tasks.adapters.registry import Registry
from tasks.adapters.storage import open_store
from tasks.core.ledger import Entry
from tasks.core.lineage import POINTERS, short
from tasks.runner import stages
from tasks.settings import Settings

LAST_ENTRIES = 8
LOCK = "run.lock"


def read_status(settings: Settings) -> dict[str, Any]:
    """Return the facts as JSON values. Raises ExternalError when the store cannot be reached."""
    registry = Registry(open_store(settings.store_url, settings.s3_endpoint_url))
    lock = settings.home / LOCK
    holder = holder_of(lock) if is_held(lock) else None
    pointers = {name: registry.pointer(name) for name in POINTERS}
    newest = registry.ledger.newest()
    first = max(1, newest.number - LAST_ENTRIES + 1) if newest else 1
    entries = [registry.ledger.read(number) for number in range(first, newest.number + 1)] if newest else []
    deployments = Deployments(registry)
    rollout = deployments.rollout()
    gateways = deployments.gateways(datetime.now(UTC))
    return {
        "store": settings.store_url,
        "running": holder.__dict__ if holder else None,
        "pointers": {name: pointer.model_dump(mode="json") if pointer else None for name, pointer in pointers.items()},
        "rollout": {**rollout.model_dump(mode="json"), "sentence": rollout.sentence()} if rollout else None,
        "gateways": [gateway.model_dump(mode="json") for gateway in gateways],
        "ledger": [_entry(entry) for entry in reversed(entries)],
        "stages": {stage.name: _report(settings, stage.name) for stage in stages()},
    }


def status_text(facts: dict[str, Any]) -> str:
    """Return the facts as a terminal shows them."""
    lines = [f"store      {facts['store']}"]
    for name, pointer in facts["pointers"].items():
        where = f"{short(pointer['model'])}  since {pointer['moved_at']}, by {pointer['by']}" if pointer else "none yet"
        lines.append(f"{name:10} {where}")
    running = facts["running"]
    lines.append(f"running    {running['command']} (process {running['pid']})" if running else "running    nothing")
    rollout = facts["rollout"]
    lines.append(f"rollout    {rollout['sentence'] if rollout else 'none yet'}")
    lines += [line for gateway in facts["gateways"] for line in _gateway(gateway)] or ["gateway    none is running"]
    lines += ["", "ledger, newest first"]
    lines += [f"  {e['number']:>5}  {e['at']}  {e['kind']:10} {e['what']}" for e in facts["ledger"]] or ["  empty"]
    lines += ["", "stages"]
    lines += [f"  {name:10} {counts or 'has not run here'}" for name, counts in facts["stages"].items()]
    return "\n".join(lines)


def _gateway(beat: dict[str, Any]) -> Iterator[str]:
    beside = f", {short(beat['candidate'])} beside it" if beat["candidate"] else ""
    yield f"gateway    {beat['url']} serves {short(beat['champion'])}{beside}"
    if beat["change"]:
        yield f"           {beat['change']}"
    yield from (f"           refused {short(model)}: {reason}" for model, reason in sorted(beat["refused"].items()))
    decision = beat["decision"]
    if decision:
        yield f"           {decision['headline']}"
        yield from (f"             {finding['sentence']}" for finding in decision["findings"])


def _entry(entry: Entry) -> dict[str, Any]:
    content: Any = entry.content
    what = ""
    if entry.kind == "flow":
        what = f"{content['command']} {content['outcome']}"
    elif entry.kind == "verdict":
        what = f"{content['verdict']['outcome']} {short(content['candidate'])}"
    elif entry.kind == "pointer":
        what = f"{content['name']} is {short(content['model'])}"
    elif entry.kind == "rollout":
        what = f"{content['strategy']} of {short(content['candidate'])} {content['what']}{_reason(content)}"
    elif entry.kind == "rollback":
        what = f"from {short(content['from'])} to {short(content['to'])}{_reason(content)}"
    return {"number": entry.number, "at": entry.at, "kind": entry.kind, "what": what}


def _reason(content: dict[str, Any]) -> str:
    return f": {content['reason']}" if content.get("reason") else ""


def _report(settings: Settings, name: str) -> str:
    path = settings.data / name / "report.json"
    if not path.exists():
        return ""
    report = json.loads(path.read_text())
    return " ".join(f"{key}={value}" for key, value in report.items() if isinstance(value, int)) or "has run"
