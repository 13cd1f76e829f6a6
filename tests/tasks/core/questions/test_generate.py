"""Questions about documented objects, and their near misses."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.chat.prompt import ABSTENTION
from tasks.core.questions.corpus import UNSHOWN, Corpus, Parameter, Subject
from tasks.core.questions.facts import Draft, facts
from tasks.core.questions.generate import Question, ask
from tasks.core.questions.unanswerable import near_misses
from tasks.core.sources.docstrings import flatten

VERBS = ("load", "store", "parse", "split", "merge", "count", "open", "close", "find", "sort", "copy", "move")
NOUNS = ("file", "line", "table", "entry", "header", "token", "record", "index", "packet", "frame", "query", "batch")


def make_subject(
    name: str, docstring: str, *parameters: Parameter, kind: str = "function", family: str | None = None
) -> Subject:
    owner = name.rpartition(".")[0]
    signature = f"({', '.join(map(str, parameters))})" if kind in ("function", "method", "class") else None
    prefix = {"class": "class ", "module": "module "}.get(kind, "")
    return Subject(
        document_id=f"id:{name}",
        family=family or owner or name,
        name=name,
        owner=owner,
        kind=kind,
        text=f"{prefix}{name}{signature or ''}\n\n{docstring}",
        docstring=docstring,
        signature=signature,
        parameters=parameters,
        uri=name,
    )


def make_corpus(*subjects: Subject, names: Mapping[str, Sequence[str]] | None = None) -> Corpus:
    owners: dict[str, list[str]] = defaultdict(list)
    for subject in subjects:
        owners[subject.owner].append(subject.simple_name)
    return Corpus(subjects, {**owners, **(names or {})})


DUMPS = make_subject("json.dumps", "Serialize obj to a JSON string.", Parameter("obj"), Parameter("indent", "None"))
LOADS = make_subject("json.loads", "Turn a JSON string into an object.", Parameter("s"), Parameter("strict", "True"))
PICKLED = make_subject(
    "pickle.dumps", "Return the pickled form of an object.", Parameter("obj"), Parameter("protocol", "4")
)


def large_corpus() -> Corpus:
    """Twenty modules of twelve functions each, whose names share parts and whose parameters differ."""
    rng = random.Random(0)
    subjects = []
    for module in range(20):
        for verb in VERBS:
            noun = rng.choice(NOUNS)
            parameters = [Parameter(rng.choice(NOUNS)), Parameter("/")]
            flags = rng.sample(NOUNS, 2)
            parameters += [Parameter(f"{flag}_{verb}", rng.choice(["None", "True", "0", UNSHOWN])) for flag in flags]
            text = f"{verb.title()} the {noun} of unit {module} in order {rng.randrange(10**6)}."
            subjects.append(make_subject(f"unit{module}.{verb}_{noun}", text, *parameters))
    return make_corpus(*subjects)


def draft(drafts: Sequence[Draft], kind: str, **wanted: str) -> Draft:
    return next(d for d in drafts if d.kind == kind and all(getattr(d, k) == v for k, v in wanted.items()))


def test_facts_are_answered_by_their_document() -> None:
    corpus = make_corpus(DUMPS, LOADS, PICKLED)
    found = list(facts(corpus))
    assert draft(found, "purpose", name="json.dumps").answer == "Serialize obj to a JSON string."
    assert draft(found, "default", name="json.dumps", parameter="indent").answer == "None"
    assert draft(found, "default", name="json.dumps", parameter="indent").evidence == "indent=None)"
    assert draft(found, "parameters", name="json.dumps").answer == "obj, indent"
    assert draft(found, "module", name="loads").answer == "json"
    for fact in found:
        assert fact.evidence in fact.subject.text
        assert fact.document_ids == (fact.subject.document_id,)


def test_the_module_is_asked_only_of_a_name_that_one_object_has() -> None:
    assert {d.name for d in facts(make_corpus(DUMPS, LOADS, PICKLED)) if d.kind == "module"} == {"loads"}
    shared = Corpus([LOADS], {"json": ["loads"]}, ["loads"])
    assert not [d for d in facts(shared) if d.kind == "module"]


def test_a_lower_case_name_that_is_an_english_word_is_not_asked_for_its_module() -> None:
    others = [make_subject(f"m{i}.f{i}", f"Read the next line number {i}.") for i in range(5)]
    corpus = make_corpus(make_subject("text.line", "Give the current row back."), *others)
    assert "line" not in {d.name for d in facts(corpus) if d.kind == "module"}


def test_a_default_without_a_letter_or_digit_is_not_asked_for() -> None:
    subject = make_subject(
        "m.f", "Join the parts again.", Parameter("sep", "''"), Parameter("end", "()"), Parameter("n", "1")
    )
    assert {d.parameter for d in facts(make_corpus(subject)) if d.kind == "default"} == {"n"}


def test_a_module_that_shares_its_name_with_a_function_is_not_asked_about() -> None:
    module = make_subject("copy", "Shallow and deep copying of objects.", kind="module")
    function = make_subject("copy.copy", "Make a shallow copy of it.")
    asked = {d.name for d in facts(make_corpus(module, function)) if d.kind == "purpose"}
    assert asked == {"copy.copy"}


def test_returns_and_raises_are_asked_where_the_text_says_so() -> None:
    subject = make_subject(
        "m.f", "Look it up. Returns the matching record. Raises KeyError if absent.", Parameter("key")
    )
    found = list(facts(make_corpus(subject)))
    assert draft(found, "returns").answer == "the matching record"
    assert draft(found, "raises").answer == "KeyError"


def test_a_missing_parameter_belongs_to_a_sibling_and_is_nowhere_in_the_document() -> None:
    corpus = make_corpus(DUMPS, LOADS)
    misses = list(near_misses(corpus, []))
    assert [(d.name, d.parameter) for d in misses if d.kind == "missing_parameter"] == [
        ("json.dumps", "strict"),
        ("json.loads", "indent"),
    ]
    mentions = make_subject("json.dump", "Write it, strict or not.", Parameter("fp"), Parameter("indent", "None"))
    assert not [d for d in near_misses(make_corpus(mentions, LOADS), []) if d.name == "json.dump"]


def test_a_function_that_takes_any_keyword_lacks_none() -> None:
    greedy = make_subject("json.dump", "Write it to a file.", Parameter("indent", "2"), Parameter("**kw"))
    assert not [d for d in near_misses(make_corpus(greedy, LOADS), []) if d.name == "json.dump"]


def test_withholding_leaves_out_every_document_that_speaks_of_the_object() -> None:
    module = make_subject("json", "Has dumps and loads in it.", kind="module", family="json")
    corpus = make_corpus(DUMPS, LOADS, module)
    withheld = [d for d in near_misses(corpus, list(facts(corpus))) if d.kind == "withheld" and d.name == "json.dumps"]
    assert withheld
    for miss in withheld:
        assert miss.withhold
        assert set(miss.document_ids) == {"id:json.dumps", "id:json"}


def test_an_object_that_another_family_speaks_of_is_not_withheld() -> None:
    other = make_subject("csv.read", "Works like json.dumps the other way.")
    corpus = make_corpus(DUMPS, LOADS, other)
    assert not [d for d in near_misses(corpus, list(facts(corpus))) if d.withhold and d.name == "json.dumps"]


def test_a_sentence_that_another_document_holds_too_is_not_withheld() -> None:
    twin = make_subject("ujson.dumps", DUMPS.docstring, Parameter("obj"))
    corpus = make_corpus(DUMPS, twin)
    misses = near_misses(corpus, [d for d in facts(corpus) if d.form == "purpose"])
    assert not [d for d in misses if d.withhold]


def test_a_namesake_that_could_answer_makes_it_the_wrong_object() -> None:
    corpus = make_corpus(DUMPS, PICKLED)
    misses = list(near_misses(corpus, list(facts(corpus))))
    assert draft(misses, "wrong_object", form="purpose", name="json.dumps").withhold
    assert draft(misses, "withheld", form="default", name="json.dumps", parameter="indent").withhold


def test_an_invented_name_exists_nowhere() -> None:
    corpus = large_corpus()
    names = {subject.name for subject in corpus.subjects}
    invented = [d for d in near_misses(corpus, list(facts(corpus))) if d.kind == "missing_name"]
    assert len(invented) > 100
    for miss in invented:
        assert miss.name not in names
        if miss.form == "module":
            assert not any(miss.name in subject.text for subject in corpus.subjects)
        assert not miss.withhold
        assert miss.document_ids


def test_an_exception_is_missing_only_where_nothing_hints_at_one() -> None:
    silent = make_subject("m.f", "Give the number of lines that the whole long file has, blank ones included.")
    corpus = make_corpus(
        silent, make_subject("m.g", "Fails if the given number of lines is not a valid one at all here.")
    )
    assert [d.name for d in near_misses(corpus, []) if d.kind == "missing_exception"] == ["m.f"]


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return ask(large_corpus(), unanswerable_share=0.38, held_out_share=0.3, limit=100_000)


def test_the_unanswerable_share_is_the_same_in_every_form(questions: list[Question]) -> None:
    by_form: dict[str, list[bool]] = defaultdict(list)
    for question in questions:
        by_form[question.draft.form].append(question.answerable)
    for form, answerable in by_form.items():
        assert 1 - np.mean(answerable) == pytest.approx(0.38, abs=0.05), form


def test_unanswerable_questions_are_answered_by_the_abstention_alone(questions: list[Question]) -> None:
    for question in questions:
        assert (question.draft.answer == ABSTENTION) == (not question.answerable)
        assert bool(question.draft.evidence) == question.answerable


def test_no_answer_dominates_a_form() -> None:
    """Not even where defaults are three times out of four the same."""
    usual = [make_subject(f"m{i}.f{i}", f"Sort unit {i} well.", Parameter(f"flag{i}", "None")) for i in range(90)]
    rare = [make_subject(f"n{i}.g{i}", f"Sort item {i} well.", Parameter(f"size{i}", str(i))) for i in range(30)]
    biased = ask(make_corpus(*usual, *rare), unanswerable_share=0.2, held_out_share=0, limit=1000)
    answers = Counter(q.draft.answer for q in biased if q.draft.kind == "default")
    assert answers.total() >= 30
    assert answers["None"] <= 0.3 * answers.total()


def test_the_same_question_is_never_asked_twice_in_the_same_words(questions: list[Question]) -> None:
    assert max(Counter(question.wording.text for question in questions).values()) == 1


def test_held_out_wordings_come_beside_trained_ones(questions: list[Question]) -> None:
    trained = {q.draft.key for q in questions if not q.wording.held_out}
    held_out = {q.draft.key for q in questions if q.wording.held_out}
    assert held_out <= trained
    assert len(held_out) / len(trained) == pytest.approx(0.3, abs=0.05)


def test_the_limit_keeps_the_proportions(questions: list[Question]) -> None:
    fewer = ask(large_corpus(), unanswerable_share=0.38, held_out_share=0.3, limit=300)
    assert 270 <= len(fewer) <= 300
    assert np.mean([not q.answerable for q in fewer]) == pytest.approx(0.38, abs=0.06)
    assert {q.wording.text for q in fewer} <= {q.wording.text for q in questions}


def test_without_unanswerable_share_every_question_has_an_answer() -> None:
    assert all(q.answerable for q in ask(large_corpus(), unanswerable_share=0, held_out_share=0, limit=1000))


def test_an_empty_corpus_gives_no_questions() -> None:
    assert ask(make_corpus(), unanswerable_share=0.4, held_out_share=0.3, limit=10) == []


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_every_answer_stands_in_its_document_and_no_near_miss_does(data: st.DataObject) -> None:
    sentence = st.sampled_from(
        ["Load the table again.", "Return the next frame.", "Raises KeyError if it is gone.", "Short"]
    )
    default = st.sampled_from([None, "None", "1", "'x'", UNSHOWN])
    subjects = {}
    for _ in range(data.draw(st.integers(1, 8))):
        name = f"{data.draw(st.sampled_from(['a', 'b']))}.{data.draw(st.sampled_from(VERBS))}"
        names = data.draw(st.lists(st.sampled_from(NOUNS), max_size=3, unique=True))
        parameters = [Parameter(parameter, data.draw(default)) for parameter in names]
        subjects[name] = make_subject(
            name, " ".join(data.draw(st.lists(sentence, min_size=1, max_size=3))), *parameters
        )
    corpus = make_corpus(*subjects.values())
    texts = {subject.document_id: flatten(subject.text) for subject in corpus.subjects}
    for question in ask(corpus, unanswerable_share=0.5, held_out_share=0.5, limit=1000):
        asked = question.draft
        assert set(asked.document_ids) <= set(texts)
        if question.answerable:
            assert flatten(asked.evidence) in texts[asked.document_ids[0]]
        elif asked.kind == "missing_parameter":
            assert f"{asked.parameter}=" not in texts[asked.document_ids[0]]
