"""The error tree. A message is one sentence: what, where, which value, and what to do next.

Only `ExternalError` is worth a retry, and only flows retry. Exit codes are part of the command line's contract.
"""


class RatchetError(Exception):
    """Anything that Ratchet refuses to do, said in one sentence."""

    exit_code = 1


class ConfigError(RatchetError):
    """A value in configs/, a profile or --set is wrong: edit it."""

    exit_code = 2


class DataError(RatchetError):
    """The data do not allow the step: look at the quarantine or the report the message names."""

    exit_code = 3


class ExternalError(RatchetError):
    """Something outside failed (network, disk, another run): try again."""

    exit_code = 4


BY_NAME: dict[str, type[RatchetError]] = {
    error.__name__: error for error in (RatchetError, ConfigError, DataError, ExternalError)
}


def kind_of(error: RatchetError) -> str:
    """Return the name in `BY_NAME` that says what `error` is: its own class or the nearest one above it."""
    return next(base.__name__ for base in type(error).__mro__ if base.__name__ in BY_NAME)
