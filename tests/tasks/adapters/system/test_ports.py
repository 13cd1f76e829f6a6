"""A port that is taken is said so, with what to do; free ones are really free."""

import socket

import pytest

from tasks.adapters.system.ports import check_port, free_ports
from tasks.core.errors import ExternalError


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ExternalError, match=rf"The gateway cannot have 127.0.0.1:{port} .* RATCHET_GATEWAY_PORT"):
            check_port("127.0.0.1", port, "The gateway", "RATCHET_GATEWAY_PORT")
    check_port("127.0.0.1", port, "The gateway", "RATCHET_GATEWAY_PORT")


def test_free_ports_differ_and_can_be_had() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        check_port("127.0.0.1", port, "The gateway", "RATCHET_GATEWAY_PORT")
