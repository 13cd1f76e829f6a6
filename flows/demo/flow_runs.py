"""The copy's Prefect server as the demo uses it: pause schedules, start a deployment, find and await flow runs."""

from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort

from flows.demo.sandbox import Sandbox
from flows.demo.waiting import Echo, StageProgress, wait_until
from flows.deployments import NIGHTLY, ON_DEMAND, WATCH
from tasks.core.errors import ExternalError

START_S = 300.0


@dataclass(frozen=True)
class FlowRuns:
    """Flow runs of the copy, by deployment."""

    client: SyncPrefectClient
    sandbox: Sandbox
    echo: Echo

    def pause_schedules(self) -> None:
        """Let nothing but the story start a run. Waits until the deployments are served."""
        wait_until(self._has_deployments, "The deployments were served", START_S, self.sandbox.logs)
        for name in (f"retrain/{NIGHTLY}", f"monitor/{WATCH}"):
            self.client.pause_deployment(self._deployment(name))

    def start(self, deployment: str) -> UUID:
        """Start a run of the deployment, as its schedule would, and return its id."""
        return self.client.create_flow_run_from_deployment(self._deployment(deployment)).id

    def await_first(self, deployment: str, what: str, timeout_s: float) -> FlowRun:
        """Return the deployment's first run, once there is one. Raises TurnedOutOtherwiseError with `what` else."""
        found: list[FlowRun] = []
        chosen = DeploymentFilter(id=DeploymentFilterId(any_=[self._deployment(deployment)]))

        def is_there() -> bool:
            found[:] = self.client.read_flow_runs(deployment_filter=chosen, limit=10, sort=FlowRunSort.ID_DESC)
            return bool(found)

        wait_until(is_there, what, timeout_s, self.sandbox.logs)
        return found[0]

    def await_end(self, run: UUID, timeout_s: float) -> None:
        """Wait until a flow run has ended well, and print which stage works meanwhile."""
        progress = StageProgress(self.sandbox.settings.home, self.echo)

        def is_over() -> bool:
            progress.show()
            state = self.client.read_flow_run(run).state
            if state is None or not state.is_final():
                return False
            if not state.is_completed():
                raise ExternalError(f"The flow run {run} ended as {state.name}: {state.message}")
            return True

        wait_until(is_over, f"The flow run {run} ended", timeout_s, self.sandbox.logs)

    def _deployment(self, name: str) -> UUID:
        return self.client.read_deployment_by_name(name).id

    def _has_deployments(self) -> bool:
        found = self.client.read_deployments(limit=10, sort=DeploymentSort.NAME_ASC)
        return {deployment.name for deployment in found} >= {NIGHTLY, ON_DEMAND, WATCH}
