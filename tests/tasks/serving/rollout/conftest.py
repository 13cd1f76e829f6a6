"""The fleet: a store with versions, and a gateway that follows it."""

from pathlib import Path

import pytest

from tasks.adapters.release.registry import Registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.storage.object_store import open_store
from tests.tasks.serving.live_gateway import Start
from tests.tasks.serving.rollout.fleet import Fleet


@pytest.fixture
def fleet(start: Start, tmp_path: Path) -> Fleet:
    """A gateway with an empty store."""
    live = start(concurrency=64, queue=200)
    return Fleet(live, Deployments(Registry(open_store(str(tmp_path / "store")))), tmp_path)
