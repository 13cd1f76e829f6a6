"""The rotator: a background thread that turns finished journals into Parquet files.

It looks once a minute, whenever it is woken, and a last time when it is closed; journals of a killed process are
rotated too. While the store is out of reach they stay where they are, and the delay is counted.
"""

import logging
import threading

from tasks.adapters.records.journal import journals, rotate
from tasks.adapters.records.record_place import RecordPlace
from tasks.core.errors import RatchetError

logger = logging.getLogger(__name__)

ROTATE_EVERY_S = 60.0


class Rotator:
    """Rotates the journals of one place, from its construction to `close`."""

    def __init__(self, place: RecordPlace) -> None:
        self._place = place
        self.rotated = 0
        """Journals that became Parquet files."""
        self.delayed = 0
        """Attempts that did not work out."""
        self._is_closing = False
        self._rotate_now = threading.Event()
        self._thread = threading.Thread(target=self._run, name="record-rotation", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look for journals now."""
        self._rotate_now.set()

    def close(self, timeout_s: float) -> bool:
        """Rotate once more, then end; True when that is done. Call it once more to wait longer."""
        self._is_closing = True
        self.wake()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            is_last = self._is_closing
            self._rotate_all()
            if is_last:
                return
            self._rotate_now.wait(ROTATE_EVERY_S)
            self._rotate_now.clear()

    def _rotate_all(self) -> None:
        """Rotate every journal that nobody holds; at the first that does not work out, leave the rest for later."""
        try:
            for path in journals(self._place):
                if rotate(path, self._place) is not None:
                    self.rotated += 1
        except Exception as error:
            self.delayed += 1
            logger.warning("rotation of records is delayed: %s", _sentence(error))


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, RatchetError) else type(error).__name__
