"""Report the progress of a long stage: a log line every few seconds, and a small file that a flow shows."""

import json
import logging
import os
import time
from pathlib import Path

logger = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "RATCHET_PROGRESS_FILE"
INTERVAL_S = 2.0


class Progress:
    """Counts towards `total` and reports at most every `INTERVAL_S` seconds.

    The file named by RATCHET_PROGRESS_FILE, if any, then holds {"done", "total", "message", "left_s"}.
    """

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done = name, max(total, 1), 0
        self._started = self._reported_at = time.monotonic()
        self._path = os.environ.get(ENVIRONMENT_VARIABLE)

    def advance(self, count: int = 1, message: str = "") -> None:
        """Count `count` more units as done."""
        self.done += count
        now = time.monotonic()
        if now - self._reported_at < INTERVAL_S and self.done < self.total:
            return
        self._reported_at = now
        left_s = (now - self._started) / max(self.done, 1) * max(self.total - self.done, 0)
        logger.info("%s %d/%d, %.0f s left %s", self.name, self.done, self.total, left_s, message)
        if self._path:
            part = Path(self._path + ".part")
            part.write_text(json.dumps({"done": self.done, "total": self.total, "message": message, "left_s": left_s}))
            part.replace(self._path)
