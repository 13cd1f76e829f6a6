"""Run the retrain flow here and now, and say in a few lines how it ended."""

import logging
import os

logger = logging.getLogger(__name__)


def retrain_once(*, reason: str, profile: str | None, overrides: list[str], wait: bool) -> str:
    """Run the flow once against the configured Prefect API or a private one, and return its summary.

    Raises RatchetError, with the failing stage's own sentence.
    """
    os.environ.setdefault("PREFECT_LOGGING_TO_API_BATCH_INTERVAL", "1")
    from flows.server import prefect_api
    from flows.session import Request
    from tasks.settings import Settings

    settings = Settings()
    request = Request(reason=reason, profile=profile, overrides=overrides, wait=wait)
    with prefect_api(settings.home):
        from flows.retrain import retrain

        outcomes = retrain(request)
    return summary(
        {name: outcome.value for name, outcome in outcomes.items()},
        settings,
        profile or ("trial" if overrides else None),
    )
