import socket
from pathlib import Path

import pytest

from tasks.core.errors import ConfigError, ExternalError
from tasks.serving.access.keys import KeyRing
from tasks.serving.config import ServeConfig
from tasks.serving.server import check_address, is_loopback, listen, serve
from tasks.settings import Settings


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("gateway.example.org", False),
    ],
)
def test_only_loopback_is_out_of_others_reach(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_nothing_but_loopback_is_bound_before_there_is_a_key(tmp_path: Path) -> None:
    keys = KeyRing(tmp_path / "keys.json")
    check_address("127.0.0.1", keys)
    with pytest.raises(
        ConfigError, match=r"0\.0\.0\.0 can be reached by others: make one with `ratchet keys add NAME`"
    ):
        check_address("0.0.0.0", keys)
    keys.create("someone", "user", at="")
    check_address("0.0.0.0", keys)


def test_an_address_in_use_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ExternalError, match="name another --port"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_the_first_start_shows_an_admin_key_and_the_second_none(settings: Settings) -> None:
    here = settings.model_copy(update={"gateway_port": 0})
    said: list[str] = []
    for _ in range(2):
        with pytest.raises(Exception, match="no champion"):
            serve(here, ServeConfig(), said.append)
    shown = [line for line in said if "rk-" in line]
    assert len(shown) == 1
    key = KeyRing(here.home / "keys.json").find(shown[0].split()[-1])
    assert key is not None
    assert key.role == "admin"
