"""Tell who serves, whoever moved it: the gate, a gateway that ends a canary or refuses a version, a person.

All of them write the ledger, so it is followed, and each entry is told once: by the release flow and the monitor, by
`ratchet deploy` and `ratchet rollback`, and within seconds beside the deployments that `ratchet up` serves. Where
nobody would hear it, it waits. Caveat: of several checkouts with one store, the first to look tells its own Prefect API
and its own webhook.
"""

import logging
import threading

from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.events import champion_event
from flows.server import answers, running_api
from tasks.adapters.release.unannounced_changes import claim, read_untold
from tasks.adapters.storage.object_store import open_store
from tasks.core.errors import RatchetError
from tasks.settings import Settings

logger = logging.getLogger(__name__)

LOOK_S = 2.0


def tell_news(settings: Settings) -> list[str]:
    """Tell the Prefect API in use and the webhook what was not told yet, and return the names of the events."""
    store = open_store(settings.store_url, settings.s3_endpoint_url)
    while True:
        untold = read_untold(store)
        if untold.news and not _is_heard(settings):
            return []
        if claim(store, untold):
            return [champion_event(news, settings) for news in untold.news]


def tell_news_here(settings: Settings) -> list[str]:
    """Do the same outside of a flow: to the configured Prefect API or that of `ratchet up` in this checkout."""
    address = PREFECT_API_URL.value() or running_api(settings.home)
    with temporary_settings({PREFECT_API_URL: address}):
        told = tell_news(settings)
        if address and told:
            EventsWorker.drain_all()
    return told


def follow(settings: Settings, stop: threading.Event) -> None:
    """Look again and again until told to stop; trouble, with the store say, is said once."""
    trouble = ""
    while not stop.wait(LOOK_S):
        try:
            tell_news(settings)
            trouble = ""
        except RatchetError as error:
            if str(error) != trouble:
                logger.warning("%s", error)
            trouble = str(error)
        except Exception:
            logger.exception("the ledger could not be told; looking again")


def follow_beside(settings: Settings) -> None:
    """Follow the ledger in a thread that ends with the process."""
    threading.Thread(target=follow, args=(settings, threading.Event()), name="news", daemon=True).start()


def _is_heard(settings: Settings) -> bool:
    address = PREFECT_API_URL.value()
    return answers(address) if address else settings.alert_webhook_url is not None
