"""Load a version and ask it its golden questions before it may serve."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tasks.adapters.inference.stream_engine import EngineLostError
from tasks.adapters.release.golden_questions import read_golden
from tasks.adapters.release.rollouts import Deployments
from tasks.core.errors import ExternalError, RatchetError
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.served_model import ServedModel
from tasks.serving.rollout.golden_check import check_golden

logger = logging.getLogger(__name__)

TRIES, PAUSE_S = 3, 2.0  # of an engine that is lost while its version is loaded

Load = Callable[[str | None], Awaitable[ServedModel]]
"""Returns a version, running, by its digest; None: the base model."""


async def open_champion(deployments: Deployments, load: Load, config: ServeConfig, by: str) -> ServedModel:
    """Return the champion, running, or what served before it where it fails its golden questions.

    Raises what loading raises; DataError where the champion fails and there was nothing before.
    """
    pointer = await asyncio.to_thread(deployments.registry.pointer, "champion")
    if pointer is None:
        return await load(None)
    model, fault = await load_checked(pointer.model, deployments, load, config)
    if model is not None:
        return model
    logger.error("%s", fault)
    before = await asyncio.to_thread(deployments.refuse, pointer, fault, by)
    return await load(before.model if before else None)


async def load_checked(
    digest: str, deployments: Deployments, load: Load, config: ServeConfig
) -> tuple[ServedModel | None, str]:
    """Return the version, running and checked, or None and why it must not serve.

    Raises ExternalError where that cannot be told now, the store being out of reach.
    """
    for number in range(1, TRIES + 1):
        try:
            return await _load_and_check(digest, deployments, load, config)
        except EngineLostError as error:
            if number == TRIES:
                return None, str(error)
            await asyncio.sleep(PAUSE_S)
        except ExternalError:
            raise
        except RatchetError as error:
            return None, str(error)
    raise AssertionError  # the last try returns


async def _load_and_check(
    digest: str, deployments: Deployments, load: Load, config: ServeConfig
) -> tuple[ServedModel | None, str]:
    golden = await asyncio.to_thread(read_golden, deployments.registry.store, digest)
    model = await load(digest)
    try:
        fault = await check_golden(model, golden, config)
    except BaseException:
        await model.close()
        raise
    if fault is None:
        return model, ""
    await model.close()
    return None, fault
