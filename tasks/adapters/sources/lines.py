"""Lines of a byte stream, read with a bound: a line of any length costs no more memory than the limit allows."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

KEPT_OF_LONG_LINE = 4096
_CHUNK = 1 << 20


class Line(NamedTuple):
    """A line without its line break; `num_bytes` is its whole length, more than `data` holds where it was too long."""

    number: int
    data: bytes
    num_bytes: int

    @property
    def is_too_long(self) -> bool:
        return self.num_bytes > len(self.data)


def bounded_lines(file: BinaryIO, max_bytes: int) -> Iterator[Line]:
    """Yield the lines that are not blank; of one longer than `max_bytes` only the beginning is kept."""
    number = 0
    while data := file.readline(max_bytes + 1):
        number += 1
        if len(data) > max_bytes and not data.endswith(b"\n"):
            num_bytes = len(data) + _skip_rest(file)
            yield Line(number, data[:KEPT_OF_LONG_LINE], num_bytes)
            continue
        stripped = data.rstrip(b"\r\n")
        if stripped and not stripped.isspace():
            yield Line(number, stripped, len(stripped))


def _skip_rest(file: BinaryIO) -> int:
    """Read on to the end of the line and return how many bytes that was."""
    skipped = 0
    while data := file.readline(_CHUNK):
        skipped += len(data)
        if data.endswith(b"\n"):
            return skipped - 1
    return skipped
