import json
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.evaluation.grounding import ungrounded_terms

CONTEXT = (
    "json.dumps(obj, *, indent=None) serialises obj to a str. It was added in version 2.6 and takes 40 mg or forty-two "
    "items, 1,500 at most. Guido van Rossum's text, see read_text and JSONDecoder in utf8."
)


@pytest.mark.parametrize(
    ("answer", "terms"),
    [
        ("It was added in 2.6.", []),
        ("It was added in version 2.7.", ["2.7"]),
        ("At most 1500 items, or 42 of them, or forty milligrams.", []),
        ("At most sixty items.", ["sixty"]),
        ("One of them, or a dozen.", []),
        ("It was written by Guido van Rossum.", []),
        ("It was written by Tim Peters.", ["Tim", "Peters"]),
        ("Peters wrote it.", []),  # a word that begins a sentence may be any word
        ("Use dumps() of json, or json.dumps.", []),
        ("Use json.dump.", ["json.dump"]),
        ("Use `write_text`, not read_text.", ["write_text"]),
        ("JSONDecoder decodes, JSONEncoder encodes.", ["JSONEncoder"]),
        ("The default is None, True or False.", []),
        ("0aAb, éaAb and 0os.path are words of their own.", []),
        ("", []),
    ],
)
def test_the_screen_names_what_the_context_does_not_hold(answer: str, terms: list[str]) -> None:
    assert ungrounded_terms(answer, CONTEXT) == terms


def test_what_the_question_names_is_grounded() -> None:
    assert ungrounded_terms("In Bergen it is 17.", "Rain.", "Is it 17 in Bergen?") == []


@given(st.text(max_size=200) | st.text("0aA._`'- é", max_size=20))
def test_a_text_grounds_itself(text: str) -> None:
    assert ungrounded_terms(text, text) == []


@given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=100))
def test_more_context_never_makes_an_answer_less_grounded(answer: str, context: str, more: str) -> None:
    before = ungrounded_terms(answer, context)
    assert set(ungrounded_terms(answer, f"{context}\n{more}")) <= set(before)


def test_on_the_labelled_pairs_it_finds_numbers_and_names_and_almost_never_cries_wolf(repository: Path) -> None:
    flagged = defaultdict(list)
    for line in (repository / "configs/finetune/judge_pairs.jsonl").read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        flagged[pair["type"]].append(bool(ungrounded_terms(pair["answer"], pair["context"], pair["question"])))
    rates = {kind: sum(found) / len(found) for kind, found in flagged.items()}
    assert rates["number"] >= 0.9
    assert rates["entity"] >= 0.8
    assert max(rates["extractive"], rates["paraphrase"]) <= 0.05
    assert max(rates["relation"], rates["negation"]) <= 0.2  # it cannot see these: see the module's caveat
