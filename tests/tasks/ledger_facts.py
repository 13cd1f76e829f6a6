"""Made-up contents of ledger entries, for tests of whoever writes or reads them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from tasks.core.release.ledger_entries import FlowRun, Kind, Rollback, RolloutStep
from tasks.core.release.lineage import Pointer, RunFacts, VerdictFacts

AT = "2026-01-01T00:00:00+00:00"
STORED = Path(__file__).parents[1] / "fixtures" / "store_0_1"


@cache
def stored(kind: Kind) -> dict[str, Any]:
    """Return the content of the first entry of this kind that release 0.1 wrote."""
    entries = (json.loads(path.read_bytes()) for path in sorted((STORED / "store" / "ledger").glob("*.json")))
    content: dict[str, Any] = next(entry["content"] for entry in entries if entry["kind"] == kind)
    return content


def run_facts(**changes: Any) -> RunFacts:
    return RunFacts.model_validate({**stored("run"), **changes})


def verdict_facts(**changes: Any) -> VerdictFacts:
    return VerdictFacts.model_validate({**stored("verdict"), **changes})


def flow_run(outcome: str = "completed", **changes: Any) -> FlowRun:
    known = {"pid": 1, "command": "ratchet retrain", "started_at": AT, "checkout": "here"}
    return FlowRun.model_validate({**known, "outcome": outcome, **changes})


def rollout_step(what: str, **changes: Any) -> RolloutStep:
    known = {"strategy": "canary", "candidate": "new", "champion": "old", "by": "gateway g"}
    return RolloutStep.model_validate({**known, "what": what, **changes})


def rollback(**changes: Any) -> Rollback:
    return Rollback.model_validate({"left": "new", "to": "old", "reason": "wrong prices", "by": "ops", **changes})


def pointer(**changes: Any) -> Pointer:
    known = {"name": "champion", "model": "new", "previous": "old", "entry": "e", "entry_number": 7}
    return Pointer.model_validate({**known, "moved_at": AT, "by": "cron", **changes})
