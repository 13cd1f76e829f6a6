"""Usage limits of each key: requests per minute, tokens per day (UTC).

Reads and writes `usage.json` below `settings.home`, so that a restart resets no budget. Requests per minute: a token
bucket that refills evenly. Caveat: tokens are counted when an answer ends, so those that run when a budget is
used up end over it.
"""

import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.adapters.storage.files import write_json
from tasks.serving.access.keys import Key
from tasks.serving.protocol.api_error import ApiError
from tasks.settings import Settings

MINUTE_S = 60.0


class Budgets:
    """What each key has used. `clock` gives seconds, `now` the date and time."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path, self._clock, self._now = path, clock, now
        self._buckets: dict[str, tuple[float, float]] = {}
        self._day, self._tokens = self._read()
        self._is_saved = True

    def admit(self, key: Key) -> None:
        """Count a request. Raises ApiError 429 for one too many, with the time after which the next may come."""
        limit = key.tokens_per_day
        if limit is not None and self.tokens_today(key.id) >= limit:
            raise ApiError(
                429,
                f"The key {key.name!r} has used its {limit} tokens of today: it may go on tomorrow (UTC).",
                "insufficient_quota",
                "insufficient_quota",
                retry_after_s=seconds_to_midnight(self._now()),
            )
        self.admit_request(key)

    def admit_request(self, key: Key) -> None:
        """Count a request that asks for no tokens. Raises ApiError 429 for one too many."""
        if key.requests_per_minute is not None:
            self._take(key, key.requests_per_minute)

    def spend(self, key: Key, tokens: int) -> None:
        """Count an answer's tokens."""
        self._tokens[key.id] = self.tokens_today(key.id) + tokens
        self._is_saved = False

    def tokens_today(self, key_id: str) -> int:
        """Return how many tokens the key has used since midnight."""
        today = self._now().date().isoformat()
        if today != self._day:
            self._day, self._tokens = today, {}
        return self._tokens.get(key_id, 0)

    def save(self) -> None:
        """Write the day's tokens, where they have changed."""
        if not self._is_saved:
            self._is_saved = True
            write_json(self._path, {"day": self._day, "tokens": self._tokens})

    def _take(self, key: Key, per_minute: int) -> None:
        now = self._clock()
        left, then = self._buckets.get(key.id, (float(per_minute), now))
        left = min(float(per_minute), left + (now - then) * per_minute / MINUTE_S)
        if left < 1:
            wait = max(1, math.ceil((1 - left) * MINUTE_S / per_minute))
            self._buckets[key.id] = (left, now)
            raise ApiError(
                429,
                f"The key {key.name!r} may ask {per_minute} times a minute: ask again in {wait} s.",
                "rate_limit_error",
                "rate_limit_exceeded",
                retry_after_s=wait,
            )
        self._buckets[key.id] = (left - 1, now)

    def _read(self) -> tuple[str, dict[str, int]]:
        try:
            notes = json.loads(self._path.read_text(encoding="utf-8"))
            return str(notes["day"]), {str(name): int(count) for name, count in notes["tokens"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return "", {}


def open_budgets(settings: Settings) -> Budgets:
    """Return what each key of this checkout's gateway has used."""
    return Budgets(settings.home / "serving" / "usage.json")


def seconds_to_midnight(now: datetime) -> int:
    """Return how long the day of `now` still lasts, at least a second."""
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, math.ceil((midnight - now).total_seconds()))
