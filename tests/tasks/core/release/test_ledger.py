import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.digests import canonical
from tasks.core.release.ledger import NO_ENTRY, Entry, first_break, next_entry, number_of, object_name, parse
from tests.tasks.ledger_facts import run_facts

AT = "2026-01-01T00:00:00+00:00"


def chain(length: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(length):
        before = entries[-1] if entries else None
        entries.append(next_entry(before, run_facts(seed=number), key=f"run {number}", at=AT))
    return entries


def stored(entries: list[Entry]) -> list[tuple[str, bytes | None]]:
    return [(object_name(entry.number), entry.to_bytes()) for entry in entries]


def test_a_whole_chain_has_no_break():
    assert first_break([]) is None
    assert first_break(stored(chain(5))) is None


def test_the_first_entry_follows_nothing_and_each_other_the_one_before():
    entries = chain(3)
    assert entries[0].previous == NO_ENTRY
    assert entries[2].previous == entries[1].digest
    assert [entry.number for entry in entries] == [1, 2, 3]


@given(st.integers(0, 4), st.data())
def test_changing_any_byte_of_any_entry_is_found(position, data):
    objects = stored(chain(5))
    name, content = objects[position]
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[place]))
    objects[position] = (name, content[:place] + bytes([byte]) + content[place + 1 :])
    sentence = first_break(objects)
    if position < 4:  # nothing follows the newest one: there only its form can be checked
        assert sentence is not None
        assert object_name(position + 1) in sentence or object_name(position + 2) in sentence


@pytest.mark.parametrize("position", range(4))
def test_a_removed_entry_is_named(position):
    objects = stored(chain(5))
    del objects[position]
    assert object_name(position + 1) in first_break(objects)


def test_an_entry_replaced_by_a_well_formed_one_is_found():
    entries = chain(4)
    forged = entries[1].model_copy(update={"content": {"seed": 99}})
    sentence = first_break(stored([entries[0], forged, *entries[2:]]))
    assert "does not follow" in sentence
    assert object_name(3) in sentence


def test_an_entry_under_another_number_is_found():
    objects = stored(chain(3))
    objects[1] = (objects[1][0], objects[2][1])
    assert "says it is number 3" in first_break(objects)


def test_an_object_without_content_is_a_missing_entry():
    objects = stored(chain(2))
    objects[0] = (objects[0][0], None)
    assert "00000001.json is missing" in first_break(objects)


def test_only_the_written_form_is_an_entry():
    entry = chain(1)[0]
    assert parse(entry.to_bytes()) == entry
    indented = json.dumps(json.loads(entry.to_bytes()), indent=1).encode()
    for wrong in (b"", b"{}", b"not json", indented):
        with pytest.raises(ValueError, match="is no"):
            parse(wrong)


def test_canonical_json_has_one_form_and_no_nan():
    assert canonical({"b": 1, "a": "é"}) == canonical({"a": "é", "b": 1}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))


@pytest.mark.parametrize("name", ["ledger/1.json", "ledger/x.json", "ledger/00000001.json.part", "other/00000001.json"])
def test_other_keys_are_no_entries(name):
    assert number_of(name) == 0


def test_numbers_outgrow_eight_digits():
    assert number_of(object_name(123_456_789)) == 123_456_789
