"""Identifiers of served answers; each holds the hour of its answer, so that the record is found without a search."""

import re
from datetime import UTC, datetime

PREFIX = "chatcmpl-"  # as OpenAI's
HOUR = "%Y%m%d%H"
RANDOM_HEX = 20  # 80 bits: nobody guesses another's answer
_SHAPE = re.compile(rf"{PREFIX}(?P<hour>\d{{10}})-[0-9a-f]{{{RANDOM_HEX}}}")


def new_answer_id(at: datetime, random: bytes) -> str:
    """Return the id of an answer given at `at`; `random` are 10 bytes nobody can guess.

    Raises ValueError for another number of bytes.
    """
    if len(random) * 2 != RANDOM_HEX:
        raise ValueError(f"an answer id needs {RANDOM_HEX // 2} random bytes, not {len(random)}")
    return f"{PREFIX}{at.astimezone(UTC):{HOUR}}-{random.hex()}"


def hour_of(answer_id: str) -> datetime | None:
    """Return the hour in which the answer was given, or None for an id that does not tell."""
    match = _SHAPE.fullmatch(answer_id)
    if match is None:
        return None
    try:
        return datetime.strptime(match["hour"], HOUR).replace(tzinfo=UTC)
    except ValueError:  # a thirteenth month
        return None
