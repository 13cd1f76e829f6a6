"""Stores the verdict and the page of each monitored window of a version, and the version's first served answers.

Writes `monitor/<model>/00000001.json` and its page `.html`, and `monitor/<model>/served.parquet`, by put-if-absent: of
two monitors of one version at the same time, one writes the next window and the other gets an error. A page is written
before its verdict, so that every verdict has a page. Caveat: nothing is deleted; a window is some 10 kB.
"""

from pathlib import Path

from pydantic import ValidationError

from tasks.adapters.storage.object_store import FolderStore, Store
from tasks.core.errors import DataError, ExternalError
from tasks.core.monitoring.window_verdict import WindowVerdict

VERDICT, PAGE = ".json", ".html"


class WindowLog:
    """The windows of one model version."""

    def __init__(self, store: Store, model: str) -> None:
        self._store, self._prefix = store, f"monitor/{model}/"

    def numbers(self) -> list[int]:
        """Return the numbers of the stored windows, in order."""
        stems = (key.removeprefix(self._prefix).removesuffix(VERDICT) for key in self._store.list(self._prefix))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def last(self, max_verdicts: int) -> list[WindowVerdict]:
        """Return the newest `max_verdicts` verdicts, the latest last."""
        return [self.read(number) for number in self.numbers()[-max_verdicts:]]

    def read(self, number: int) -> WindowVerdict:
        """Return a window's verdict. Raises DataError where it is damaged."""
        key = self._key(number, VERDICT)
        try:
            return WindowVerdict.model_validate_json(self._store.get(key) or b"")
        except ValidationError:
            raise DataError(
                f"{self._store.address}/{key} is damaged: restore it from a backup, or delete it."
            ) from None

    def append(self, verdict: WindowVerdict, page: str) -> None:
        """Keep the verdict and its page. Raises ExternalError where another monitor kept that window first."""
        assert verdict.number is not None
        self._store.put_if_absent(self._key(verdict.number, PAGE), page.encode("utf-8"))
        data = verdict.model_dump_json().encode("utf-8")
        if not self._store.put_if_absent(self._key(verdict.number, VERDICT), data):
            raise ExternalError("Another monitor has judged this window meanwhile: let one alone watch a store.")

    def page_address(self, number: int) -> str:
        """Return the address of a window's page."""
        key = self._key(number, PAGE)
        if isinstance(self._store, FolderStore):
            return (self._store.root / key).absolute().as_uri()
        return f"{self._store.address}/{key}"

    def keep_served(self, window: Path) -> None:
        """Keep a window as the version's first served answers, unless there are some."""
        self._store.put_if_absent(f"{self._prefix}served.parquet", window.read_bytes())

    def copy_served(self, path: Path) -> bool:
        """Copy the first served answers to `path`; False where there are none yet."""
        return self._store.download(f"{self._prefix}served.parquet", path)

    def _key(self, number: int, suffix: str) -> str:
        return f"{self._prefix}{number:08d}{suffix}"
