"""The gateway's server process: opens keys, model and socket, serves, and drains at its end (uvicorn).

On SIGTERM or Ctrl-C it refuses new requests with 503, lets the running ones end, and leaves; a second signal does not
wait. It listens on loopback unless told otherwise, and elsewhere only when a key exists: the first one is printed to
whoever starts it, and should not first be read over a network.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import Any, TypeVar

import uvicorn
import uvloop

from tasks.adapters.records.feedback_store import FeedbackStore, open_feedback
from tasks.adapters.release.registry import open_registry
from tasks.adapters.release.rollouts import Deployments
from tasks.adapters.system.processes import allow_open_files
from tasks.adapters.system.provenance import checkout_name
from tasks.core.errors import ConfigError, ExternalError
from tasks.serving.access.keys import KeyRing, key_ring
from tasks.serving.access.usage_limits import Budgets, open_budgets
from tasks.serving.api.app import build_app
from tasks.serving.api.feedback_routes import feedback_routes
from tasks.serving.api.route_group import RouteGroup
from tasks.serving.config import ServeConfig
from tasks.serving.gateway.gateway import Gateway
from tasks.serving.gateway.served_model import ServedModel, load_model
from tasks.serving.pages.routes import ProcessState, page_routes
from tasks.serving.records.recording import Recorder, open_recorder, redactor_of
from tasks.serving.rollout.rollout_history import RecordedHistory
from tasks.serving.rollout.rollout_router import RolloutRouter
from tasks.serving.rollout.store_follower import follow_store
from tasks.serving.rollout.version_loader import open_champion
from tasks.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")
BACKLOG = 2048
OPEN_FILES = 16_384  # a connection each, beside an upstream's; many systems allow 1,024 unless asked
SAVE_INTERVAL_S = 5.0
LAST_BYTES_S = 5  # for connections to take what was sent to them


def serve(settings: Settings, config: ServeConfig, say: Callable[[str], None]) -> None:
    """Serve until told to stop. `say` is given the lines that a person should read, such as the first key."""
    allow_open_files(OPEN_FILES)
    keys = key_ring(settings)
    check_address(settings.gateway_host, keys)
    with listen(settings.gateway_host, settings.gateway_port) as listener:
        token = keys.create_first("first start", at=datetime.now(UTC).isoformat())
        if token:
            say(f"The admin key, shown this once: {token}")
        recorder = open_recorder(settings)
        try:
            run(_serve(settings, config, listener, keys, say, recorder))
        finally:
            if not recorder.close():
                logger.warning("records are still in memory and are lost: %d", recorder.counts.pending)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, in the event loop that uvicorn prefers; asyncio's own takes more of the processor."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _serve(
    settings: Settings,
    config: ServeConfig,
    listener: socket.socket,
    keys: KeyRing,
    say: Callable[[str], None],
    recorder: Recorder,
) -> None:
    registry = open_registry(settings)
    deployments = Deployments(registry)
    host, port = listener.getsockname()[:2]
    name = f"{checkout_name(settings.home)}-{port}"

    async def load(digest: str | None) -> ServedModel:
        return await load_model(digest, registry, settings, config)

    say("Loading the model ...")
    model = await open_champion(deployments, load, config, f"gateway {name}")
    budgets = open_budgets(settings)
    router = RolloutRouter(model)
    gateway = Gateway(router, config, recorder=recorder, keys=keys, budgets=budgets)
    url, history = f"http://{host}:{port}", RecordedHistory(settings)
    follower = follow_store(gateway, router, deployments, load, history, name, url)
    gateway.metrics.collect_recorder(lambda: recorder.counts)
    server = GatewayServer(gateway, route_groups(gateway, recorder, settings, follower.rollout_sentence))
    say(f"{model.name} answers at {url}/v1 ({model.engine.name}); Ctrl-C ends it.")
    tasks = [asyncio.create_task(_save(budgets)), asyncio.create_task(follower.run())]
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        budgets.save()
        await router.close()


def route_groups(
    gateway: Gateway, recorder: Recorder, settings: Settings, rollout: Callable[[], str | None] = lambda: None
) -> list[RouteGroup]:
    """Return the routes beside OpenAI's API: feedback and the pages."""
    feedback_store = FeedbackStore(open_feedback(settings), redactor_of(settings), recorder.find)
    process_state = ProcessState(lambda: recorder.counts, rollout)
    return [feedback_routes(gateway, feedback_store), page_routes(gateway, settings, process_state)]


class GatewayServer(uvicorn.Server):
    """uvicorn with a drain before its end."""

    def __init__(self, gateway: Gateway, groups: Sequence[RouteGroup] = ()) -> None:
        super().__init__(
            uvicorn.Config(
                build_app(gateway, groups),
                log_config=None,
                access_log=False,
                lifespan="off",
                backlog=BACKLOG,
                server_header=False,
                timeout_graceful_shutdown=LAST_BYTES_S,
            )
        )
        self._gateway = gateway
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until drained."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain; a second signal ends at once."""
        if self._draining is None and self._loop is not None:
            self._loop.call_soon_threadsafe(self.drain)
        else:
            self.should_exit = self.force_exit = True

    def drain(self) -> None:
        """Let the running answers end, then leave. Call it in the server's loop."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        logger.info("stopping: %d answers are under way", self._gateway.queue.running)
        if not await self._gateway.close():
            logger.warning("answers were still under way after %g s and are lost", self._gateway.config.drain_s)
        self.should_exit = True


def check_address(host: str, keys: KeyRing) -> None:
    """Raise ConfigError for an address that others can reach while there is no key."""
    if not is_loopback(host) and not keys.all():
        raise ConfigError(
            f"The gateway has no key yet and {host} can be reached by others: make one with `ratchet keys add NAME`."
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ExternalError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ExternalError(
            f"{host}:{port} cannot be listened on ({error.strerror}): end what uses it, or name another --port."
        ) from None


async def _save(budgets: Budgets) -> None:
    while True:
        await asyncio.sleep(SAVE_INTERVAL_S)
        budgets.save()
