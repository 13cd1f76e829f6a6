"""The key file."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks.adapters.storage.secret_key import KEY_BYTES, read_or_create_key


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "pseudonym.key"
    key = read_or_create_key(path)
    assert len(key) == KEY_BYTES
    assert read_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["pseudonym.key"]


def test_two_homes_have_two_keys(tmp_path: Path) -> None:
    assert read_or_create_key(tmp_path / "a") != read_or_create_key(tmp_path / "b")


def test_those_who_make_it_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: read_or_create_key(tmp_path / "key"), range(64)))
    assert len(set(keys)) == 1
