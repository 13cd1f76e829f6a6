from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.adapters.release.ledger import Ledger
from tasks.adapters.release.registry import Move, Registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.release.unannounced_changes import KEY, claim, read_unannounced
from tasks.adapters.storage.object_store import FolderStore, Store, open_store
from tasks.core.errors import DataError
from tasks.settings import Settings
from tests.tasks.ledger_facts import flow_run, verdict_facts

AT = "2026-01-01T00:00:00+00:00"


def move(store: Store, model: str) -> None:
    """Move the champion pointer as the gate does, to a version that nobody registered."""
    registry = Registry(store)
    entry = registry.ledger.append(verdict_facts(), f"verdict on {model}", at=AT)
    registry.move(Move("champion", model, entry, AT, "test"))


def test_news_is_claimed_once_and_what_follows_is_new_again(store: Store) -> None:
    assert claim(store, read_unannounced(store))
    assert store.get(KEY) is None, "nothing new is no write"
    move(store, "one")
    unannounced = read_unannounced(store)
    assert [(change.model, change.left, change.is_rollback) for change in unannounced.changes] == [("one", None, False)]
    assert claim(store, unannounced)
    assert read_unannounced(store).changes == []
    move(store, "two")
    assert [(change.model, change.left) for change in read_unannounced(store).changes] == [("two", "one")]


def test_of_many_who_look_at_once_one_may_tell(store: Store) -> None:
    move(store, "one")
    found = [read_unannounced(store) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda unannounced: claim(store, unannounced), found)) == 1


def test_a_run_s_entries_are_passed_over_once(store: Store) -> None:
    Ledger(store).append(flow_run(), "a", at=AT)
    unannounced = read_unannounced(store)
    assert unannounced.changes == []
    assert claim(store, unannounced)
    assert store.get(KEY) == b'{"number":1}'


def test_a_first_champion_that_no_gateway_could_serve_is_taken_back_to_the_base_model(settings: Settings) -> None:
    store = open_store(settings.store_url)
    move(store, "one")
    deployments = Deployments(Registry(store))
    pointer = deployments.registry.pointer("champion")
    assert pointer is not None
    deployments.refuse(pointer, "it fails its golden questions", "gateway g")
    promoted, refused = read_unannounced(store).changes
    assert not promoted.is_rollback
    assert (refused.model, refused.left, refused.is_rollback) == ("base", "one", True)
    assert (refused.reason, refused.by) == ("it fails its golden questions", "gateway g")


def test_a_damaged_position_says_what_to_do(settings: Settings) -> None:
    store = open_store(settings.store_url)
    assert isinstance(store, FolderStore)
    store.put_if_absent(KEY, b"{")
    with pytest.raises(DataError, match="delete it"):
        read_unannounced(store)
