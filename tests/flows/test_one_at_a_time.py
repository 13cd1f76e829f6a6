"""Two runs in one checkout, and a run that is told to stop."""

import signal

import psutil
import pytest

from tasks.adapters.system.checkout_lock import is_held
from tests.flows.conftest import Checkout, wait_for

pytestmark = pytest.mark.slow

LONGEST_WAIT_S = 120.0


def test_the_second_run_leaves_with_the_first_one_s_name_and_a_stopped_run_leaves_no_process(
    checkout: Checkout,
) -> None:
    lock = checkout.root / ".ratchet" / "run.lock"
    log = checkout.root / ".ratchet" / "first.log"
    with log.open("w") as file:
        first = checkout.start("run", "--reason", "first", into=file)
        try:
            wait_for(
                lambda: is_held(lock) and "Running stage" in log.read_text(),
                "the first run never began",
                LONGEST_WAIT_S,
            )
            refusal = checkout.ratchet("run", code=4)
            assert f"process {first.pid} (ratchet retrain" in refusal
            assert "--wait" in refusal
            family = psutil.Process(first.pid).children(recursive=True)
            assert family
            first.send_signal(signal.SIGTERM)
            assert first.wait(60) != 0
        finally:
            first.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert not is_held(lock)
    assert "failed: " in checkout.ratchet("status")
