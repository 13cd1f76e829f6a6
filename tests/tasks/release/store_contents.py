"""What a store holds, for tests of the stages that write it."""

from tasks.adapters.release.registry import Registry
from tasks.adapters.storage.object_store import Store, open_store
from tests.tasks.conftest import Loop


def contents(store: Store) -> dict[str, bytes | None]:
    return {key: store.get(key) for key in store.list("")}


def registry(loop: Loop) -> Registry:
    return Registry(open_store(loop.settings.store_url, loop.settings.s3_endpoint_url))


def kinds(loop: Loop) -> list[str]:
    return [entry.kind for entry in registry(loop).ledger.entries()]


def champion(loop: Loop) -> str | None:
    pointer = registry(loop).pointer("champion")
    return pointer.model if pointer else None
