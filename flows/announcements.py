"""Announce each change of the champion once, whoever made it: the gate, a gateway, a person.

Every change is an entry of the ledger, so the ledger is followed: by the release flow and the monitor, by `ratchet
deploy` and `ratchet rollback`, and within seconds beside the deployments that `ratchet up` serves. Where nobody
listens, a change waits. Caveat: of several checkouts with one store, the first to look announces to its own Prefect API
and its own webhook.
"""

import logging
import threading

from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.events import champion_event
from flows.runtime.prefect_address import answers, running_api
from tasks.adapters.release.registry import open_registry
from tasks.adapters.release.unannounced_changes import claim, read_unannounced
from tasks.core.errors import RatchetError
from tasks.settings import Settings

logger = logging.getLogger(__name__)

LOOK_S = 2.0


def announce_changes(settings: Settings) -> list[str]:
    """Announce what was not announced yet to the Prefect API in use and the webhook; return the names of the events."""
    store = open_registry(settings).store
    while True:
        unannounced = read_unannounced(store)
        if unannounced.changes and not _has_listener(settings):
            return []
        if claim(store, unannounced):
            return [champion_event(change, settings) for change in unannounced.changes]


def announce_changes_here(settings: Settings) -> list[str]:
    """Do the same outside of a flow: to the configured Prefect API or that of `ratchet up` in this checkout."""
    address = PREFECT_API_URL.value() or running_api(settings.home)
    with temporary_settings({PREFECT_API_URL: address}):
        announced = announce_changes(settings)
        if address and announced:
            EventsWorker.drain_all()
    return announced


def follow(settings: Settings, stop: threading.Event) -> None:
    """Announce again and again until `stop` is set; the same trouble, with the store say, is logged once."""
    trouble = ""
    while not stop.wait(LOOK_S):
        try:
            announce_changes(settings)
            trouble = ""
        except RatchetError as error:
            if str(error) != trouble:
                logger.warning("%s", error)
            trouble = str(error)
        except Exception:
            logger.exception("the ledger could not be announced; looking again")


def follow_beside(settings: Settings) -> None:
    """Follow the ledger in a thread that ends with the process."""
    threading.Thread(target=follow, args=(settings, threading.Event()), name="announcements", daemon=True).start()


def _has_listener(settings: Settings) -> bool:
    address = PREFECT_API_URL.value()
    return answers(address) if address else settings.alert_webhook_url is not None
