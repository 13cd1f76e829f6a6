"""What `ratchet status` shows: what serves, how a rollout stands, the last runs and verdicts, drift, queue and budgets.

Reads the store, the files of this checkout, and the gateway where one runs at RATCHET_GATEWAY_HOST and _PORT. What has
not happened yet says so.
"""

import ipaddress
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from tasks.adapters.monitoring.last_drift import last_drift, monitor_folders
from tasks.adapters.release.ledger_queries import newest_first
from tasks.adapters.release.registry import open_registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.system.checkout_lock import RUN_LOCK, holder_of, is_held
from tasks.core.digests import short
from tasks.core.release.ledger import Entry
from tasks.core.release.ledger_entries import FlowRun, Rollback, RolloutStep
from tasks.core.release.lineage import POINTERS, Pointer, VerdictFacts
from tasks.runner import stages
from tasks.serving.access.keys import key_ring
from tasks.serving.access.usage_limits import open_budgets
from tasks.settings import Settings

LAST_ENTRIES = 8
LAST_RUNS, SEARCHED_ENTRIES = 5, 100
GATEWAY_WAIT_S = 2.0

Facts = dict[str, Any]


def read_status(settings: Settings) -> Facts:
    """Return the facts as JSON values. Raises ExternalError when the store cannot be reached."""
    registry = open_registry(settings)
    lock = settings.home / RUN_LOCK
    holder = holder_of(lock) if is_held(lock) else None
    pointers = {name: registry.pointer(name) for name in POINTERS}
    deployments = Deployments(registry)
    rollout = deployments.rollout()
    entries = list(islice(newest_first(registry.ledger), SEARCHED_ENTRIES))
    runs = [entry for entry in entries if entry.kind == "flow"]
    return {
        "store": settings.store_url,
        "running": holder.__dict__ if holder else None,
        "pointers": {name: pointer.model_dump(mode="json") if pointer else None for name, pointer in pointers.items()},
        "rollout": {**rollout.model_dump(mode="json"), "sentence": rollout.sentence()} if rollout else None,
        "gateways": [beat.model_dump(mode="json") for beat in deployments.heartbeats.alive(datetime.now(UTC))],
        "gateway": _gateway(settings),
        "drift": _drift(settings),
        "runs": [_entry(entry) for entry in runs[:LAST_RUNS]],
        "ledger": [_entry(entry) for entry in entries[:LAST_ENTRIES]],
        "budgets": _budgets(settings),
        "stages": {stage.name: _report(settings, stage.name) for stage in stages()},
    }


def status_text(facts: Facts) -> str:
    """Return the facts as a terminal shows them."""
    lines = [f"store      {facts['store']}"]
    for name, pointer in facts["pointers"].items():
        where = f"{short(pointer['model'])}  since {pointer['moved_at']}, by {pointer['by']}" if pointer else "none yet"
        lines.append(f"{name:10} {where}")
    running = facts["running"]
    lines.append(f"running    {running['command']} (process {running['pid']})" if running else "running    nothing")
    rollout = facts["rollout"]
    lines.append(f"rollout    {rollout['sentence'] if rollout else 'none yet'}")
    lines.append(f"gateway    {_gateway_text(facts['gateway'])}")
    lines += [line for beat in facts["gateways"] for line in _followed(beat)]
    lines.append(f"drift      {_drift_text(facts['drift'])}")
    lines += _listed("runs, newest first", [f"{e['at']}  {e['what']}" for e in facts["runs"]], "none yet")
    lines += _listed("ledger, newest first", ledger_lines(facts["ledger"]), "empty")
    lines += _listed("keys", [_budget_text(budget) for budget in facts["budgets"]], "none: `ratchet serve` makes one")
    counts = [f"{name:10} {counts or 'has not run here'}" for name, counts in facts["stages"].items()]
    return "\n".join(lines + _listed("stages", counts, "none"))


def ledger_lines(entries: Sequence[Facts]) -> list[str]:
    """Return entries of the ledger as a terminal shows them, a line each."""
    return [f"{e['number']:>5}  {e['at']}  {e['kind']:10} {e['what']}" for e in entries]


def _listed(title: str, lines: list[str], nothing: str) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines or [nothing])]


def _gateway(settings: Settings) -> Facts | None:
    """Return what the gateway says of itself, or None where none answers."""
    import httpx

    address = f"http://{_reachable(settings.gateway_host)}:{settings.gateway_port}"
    try:
        said = httpx.get(f"{address}/readyz", timeout=GATEWAY_WAIT_S, trust_env=False).json()
        numbers = {name: int(said[name]) for name in ("running", "waiting")}
        return {"address": address, "status": str(said["status"]), "models": list(map(str, said["models"])), **numbers}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):  # nothing there, or another program
        return None


def _reachable(host: str) -> str:
    """Return the host as one asks for it: an address that stands for all is this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{host}]" if address.version == 6 else host


def _gateway_text(gateway: Facts | None) -> str:
    if gateway is None:
        return "does not run here"
    line = f"{gateway['running']} under way, {gateway['waiting']} wait"
    return f"{gateway['status']} at {gateway['address']}: {' and '.join(gateway['models'])}; {line}"


def _drift(settings: Settings) -> Facts | None:
    drift = last_drift(monitor_folders(settings.home, settings.data))
    if drift is None:
        return None
    facts = {"outcome": drift.outcome, "headline": drift.headline, "reasons": list(drift.reasons)}
    return {
        **facts,
        "rows": list(drift.rows),
        "at": drift.at.isoformat(timespec="seconds"),
        "folder": str(drift.folder),
    }


def _drift_text(drift: Facts | None) -> str:
    return f"{drift['outcome']}  {drift['at']}  {drift['headline']}" if drift else "not measured yet"


def _budgets(settings: Settings) -> list[Facts]:
    used = open_budgets(settings)
    return [
        {
            "id": key.id,
            "name": key.name,
            "role": key.role,
            "tokens_today": used.tokens_today(key.id),
            "tokens_per_day": key.tokens_per_day,
            "requests_per_minute": key.requests_per_minute,
        }
        for key in key_ring(settings).all()
    ]


def _budget_text(budget: Facts) -> str:
    limit = "" if budget["tokens_per_day"] is None else f" of {budget['tokens_per_day']:,}"
    rate = "" if budget["requests_per_minute"] is None else f", {budget['requests_per_minute']} requests a minute"
    return f"{budget['id']}  {budget['role']:5}  {budget['name']}: {budget['tokens_today']:,}{limit} tokens today{rate}"


def _followed(beat: Facts) -> Iterator[str]:
    """Yield what a gateway, here or elsewhere, last told of the versions it serves."""
    beside = f", {short(beat['candidate'])} beside it" if beat["candidate"] else ""
    yield f"           {beat['url']} serves {short(beat['champion'])}{beside}"
    if beat["change"]:
        yield f"           {beat['change']}"
    yield from (f"           refused {short(model)}: {reason}" for model, reason in sorted(beat["refused"].items()))
    decision = beat["decision"]
    if decision:
        yield f"           {decision['headline']}"
        yield from (f"             {finding['sentence']}" for finding in decision["findings"])


def _entry(entry: Entry) -> Facts:
    match entry.facts:
        case FlowRun() as run:
            what = f"{run.command} {run.outcome}"
        case VerdictFacts() as facts:
            what = f"{facts.verdict.outcome} {short(facts.candidate)}"
        case Pointer() as pointer:
            what = f"{pointer.name} is {short(pointer.model)}"
        case RolloutStep() as step:
            what = f"{step.strategy} of {short(step.candidate)} {step.what}{_because(step.reason)}"
        case Rollback() as back:
            what = f"from {short(back.left)} to {short(back.to)}{_because(back.reason)}"
        case _:
            what = ""
    return {"number": entry.number, "at": entry.at, "kind": entry.kind, "what": what}


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _report(settings: Settings, name: str) -> str:
    path = settings.data / name / "report.json"
    if not path.exists():
        return ""
    report = json.loads(path.read_text())
    return " ".join(f"{key}={value}" for key, value in report.items() if isinstance(value, int)) or "has run"
