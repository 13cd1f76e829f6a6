import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.core.errors import ConfigError
from tasks.serving.access.keys import KeyRing

AT = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "home" / "keys.json")


def test_a_key_is_known_by_its_text_and_kept_as_a_hash_that_only_the_owner_reads(ring: KeyRing, tmp_path: Path) -> None:
    token = ring.create("someone", "user", at=AT, requests_per_minute=3)
    assert token is not None
    path = tmp_path / "home" / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token.split("-", 2)[2] not in path.read_text()
    key = ring.find(token)
    assert key is not None
    assert (key.name, key.role, key.requests_per_minute, key.tokens_per_day) == ("someone", "user", 3, None)
    for wrong in ("", "x", token[:-1], token + "x", f"rk-{key.id}-x", f"rk-000000000000-{token[16:]}"):
        assert ring.find(wrong) is None


def test_a_revoked_key_is_refused_at_once_also_by_a_running_gateway(ring: KeyRing, tmp_path: Path) -> None:
    running = KeyRing(tmp_path / "home" / "keys.json")
    first, second = ring.create("a", "user", at=AT), ring.create("b", "user", at=AT)
    assert first is not None
    assert second is not None
    key = running.find(first)
    assert key is not None
    ring.revoke(key.id)
    assert running.find(first) is None
    assert running.find(second) is not None
    with pytest.raises(ConfigError, match="has no key"):
        ring.revoke(key.id)


def test_of_many_first_starts_one_makes_the_key(ring: KeyRing, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        rings = [KeyRing(tmp_path / "home" / "keys.json") for _ in range(8)]
        tokens = list(pool.map(lambda r: r.create_first("first", at=AT), rings))
    assert len([token for token in tokens if token]) == 1
    assert len(ring.all()) == 1


def test_a_file_that_others_may_read_or_that_is_damaged_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    ring.create("a", "user", at=AT)
    path = tmp_path / "home" / "keys.json"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyRing(path).all()
    path.write_text(json.dumps({"keys": [{"id": "x"}]}))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="damaged"):
        KeyRing(path).all()
