"""Answer ids: the hour is in them, and nothing else is taken for one."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.records.answer_id import RANDOM_HEX, hour_of, new_answer_id

moments = st.datetimes(datetime(2000, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))


@given(moments, st.binary(min_size=10, max_size=10))
def test_an_id_tells_its_hour(at: datetime, random: bytes) -> None:
    assert hour_of(new_answer_id(at, random)) == at.replace(minute=0, second=0, microsecond=0)


@given(st.text())
def test_any_other_text_tells_none(text: str) -> None:
    assert hour_of(text) is None


def test_the_hour_is_that_of_utc() -> None:
    at = datetime(2026, 5, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert new_answer_id(at, bytes(10)) == f"chatcmpl-2026043023-{'0' * RANDOM_HEX}"


def test_an_hour_that_does_not_exist_is_none() -> None:
    assert hour_of(f"chatcmpl-2026133199-{'0' * RANDOM_HEX}") is None


def test_too_little_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="10 random bytes, not 4"):
        new_answer_id(datetime.now(UTC), bytes(4))
