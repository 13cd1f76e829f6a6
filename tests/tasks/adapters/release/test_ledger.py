from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.adapters.release.ledger import Ledger
from tasks.adapters.storage.object_store import FolderStore, Store
from tasks.core.errors import DataError, ExternalError
from tasks.core.release.ledger import next_entry, object_name
from tests.tasks.ledger_facts import run_facts, verdict_facts

AT = "2026-01-01T00:00:00+00:00"


def test_entries_are_appended_in_order_and_found_again(store: Store) -> None:
    ledger = Ledger(store)
    assert ledger.newest() is None
    assert ledger.find("a") is None
    first = ledger.append(run_facts(seed=1), "a", at=AT)
    second = ledger.append(verdict_facts(), "b", at=AT)
    assert [entry.number for entry in ledger.entries()] == [1, 2]
    assert ledger.find("a") == first
    assert ledger.newest() == second
    assert ledger.verify() == 2


def test_entries_are_read_on_from_any_number(store: Store) -> None:
    ledger = Ledger(store)
    assert list(ledger.after(0)) == []
    first, second = (ledger.append(run_facts(), key, at=AT) for key in ("a", "b"))
    assert list(ledger.after(0)) == [first, second]
    assert list(ledger.after(1)) == [second]
    assert list(ledger.after(2)) == []


def test_the_same_key_is_appended_once_whatever_comes_with_it(store: Store) -> None:
    ledger = Ledger(store)
    first = ledger.append(run_facts(seed=1), "a", at=AT)
    ledger.append(run_facts(), "b", at=AT)
    assert ledger.append(run_facts(seed=2), "a", at="2027-01-01T00:00:00+00:00") == first
    assert ledger.verify() == 2


def test_racing_appenders_leave_every_entry_once_in_a_whole_chain(store: Store) -> None:
    def append(number: int) -> None:
        Ledger(store).append(run_facts(seed=number), f"key {number % 5}", at=AT)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(append, range(10)))
    assert Ledger(store).verify() == 5
    assert sorted(entry.key for entry in Ledger(store).entries()) == [f"key {n}" for n in range(5)]


def test_an_entry_whose_writer_was_killed_before_filing_its_key_is_still_found(tmp_path) -> None:
    store = FolderStore(tmp_path)
    first = Ledger(store).append(run_facts(), "a", at=AT)
    killed = next_entry(first, run_facts(), key="b", at=AT)
    store.put_if_absent(object_name(2), killed.to_bytes())
    assert Ledger(store).append(run_facts(seed=99), "b", at=AT) == killed
    assert Ledger(store).verify() == 2


def test_a_changed_entry_is_named(tmp_path) -> None:
    store = FolderStore(tmp_path)
    for key in "abc":
        Ledger(store).append(run_facts(metrics={"score": 0.515}), key, at=AT)
    path = tmp_path / object_name(2)
    path.write_bytes(path.read_bytes().replace(b"0.515", b"0.915"))
    with pytest.raises(DataError, match=r"00000003.json does not follow.*Restore"):
        Ledger(store).verify()
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"00000002.json is no ledger entry"):
        Ledger(store).read(2)


def test_a_ledger_that_never_stands_still_is_one_sentence(tmp_path) -> None:
    class Busy(FolderStore):
        def put_if_absent(self, key: str, data: bytes) -> bool:
            return not key.startswith("ledger/") and super().put_if_absent(key, data)

    with pytest.raises(ExternalError, match="was busy 200 times"):
        Ledger(Busy(tmp_path)).append(run_facts(), "a", at=AT)
