"""TCP ports of this machine: find free ones, and check that one can be had (socket)."""

import socket

from tasks.core.errors import ExternalError

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return so many ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for free in sockets:
            free.bind((LOOPBACK, 0))
        return [int(free.getsockname()[1]) for free in sockets]
    finally:
        for free in sockets:
            free.close()


def check_port(host: str, port: int, name: str, setting: str) -> None:
    """Raise ExternalError, naming what to do, where the port cannot be had."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ExternalError(
                f"{name} cannot have {host}:{port} ({error.strerror}): end what uses it, or set another {setting}."
            ) from None
