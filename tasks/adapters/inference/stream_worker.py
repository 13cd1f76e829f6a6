"""The child process of `stream_process`: computes answers and writes them to its parent step by step.

`python -m tasks.adapters.inference.stream_worker SPEC` speaks lines of JSON: it reads `{"generate": number, ...}` and
`{"cancel": number}` and writes `{"ready": true}` once, then after each step a list of `TokenDelta`s. It ends when its
input does, with its parent, or with the first error of the pipeline. One thread: a second one that reads would wait for
the lock that a step holds.
"""

import json
import os
import select
import sys
from collections.abc import Iterable
from pathlib import Path

from tasks.adapters.inference.batch_types import EngineSpec
from tasks.adapters.inference.stream_openvino import Batch, TokenDelta
from tasks.adapters.system.processes import die_with_parent

CHUNK_BYTES = 1 << 16


class Inbox:
    """Lines from a descriptor, read only when they are there or when there is nothing else to do."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending = b""
        self.is_open = True

    def take(self, *, wait: bool) -> list[bytes]:
        """Return the whole lines that have come, waiting for the first if `wait`."""
        lines: list[bytes] = []
        while self.is_open and select.select([self._descriptor], [], [], None if wait and not lines else 0)[0]:
            chunk = os.read(self._descriptor, CHUNK_BYTES)
            self.is_open = bool(chunk)
            *whole, self._pending = (self._pending + chunk).split(b"\n")
            lines += whole
        return lines


def work(spec: EngineSpec, inbox: Inbox, out: int) -> None:
    """Answer until the inbox is closed."""
    batch = Batch(spec)
    _write(out, {"ready": True})
    while inbox.is_open:
        if not batch.is_busy:
            lines = inbox.take(wait=True)
            batch.rest()
        else:
            lines = inbox.take(wait=False)
        deltas = [delta for delta in (_obey(batch, json.loads(line)) for line in lines) if delta]
        if batch.is_busy:
            deltas += batch.step()
        if deltas:
            _write(out, deltas)


def _obey(batch: Batch, order: dict[str, object]) -> TokenDelta | None:
    if "cancel" in order:
        batch.cancel(order["cancel"])  # type: ignore[arg-type]
        return None
    number = order.pop("generate")
    return batch.add(number, **order)  # type: ignore[arg-type]


def _write(out: int, message: dict[str, bool] | Iterable[TokenDelta]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(out, data) :]


def main(spec_json: str) -> None:
    """Run with the parent's pipes; what libraries print goes to stderr."""
    die_with_parent()
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    values = json.loads(spec_json)
    paths = {name: Path(values[name]) for name in ("weights", "tokenizer")}
    work(EngineSpec(**{**values, **paths}), Inbox(sys.stdin.fileno()), out)


if __name__ == "__main__":
    main(sys.argv[1])
