from tasks.core.chat import prompt
from tasks.core.records.schema import Conversation, Message
from tasks.core.retrieval.passages import Passage
from tasks.core.training.examples import ConversationPool, chat_example, own_context, prompted_example, serves


def passage(document_id: str, text: str, ordinal: int = 0) -> Passage:
    return Passage(f"{document_id}-{ordinal}", document_id, ordinal, text)


def conversation(number: int = 0, **changes: object) -> Conversation:
    values: dict[str, object] = {
        "id": f"c{number}",
        "family": "json",
        "messages": [
            Message(role="user", content=f"Question {number}?"),
            Message(role="assistant", content=f"Answer {number}."),
        ],
        "document_ids": ["dumps"],
        "evidence": "indent=None",
        "answerable": True,
        "withhold": False,
        "kind": "default",
        "phrasing": "",
        "held_out": False,
        "source": "test",
        "uri": "",
        "licence": "unknown",
        "seen_at": "",
    }
    return Conversation.model_validate({**values, **changes})


DUMPS = passage("dumps", "json.dumps(obj, *, indent=None) Serialize obj.")
LOADS = passage("loads", "json.loads(s) Deserialize s.")
OTHER = passage("sqrt", "math.sqrt(x) Return the square root.")


def test_the_prompt_is_the_one_of_inference() -> None:
    example = prompted_example(conversation(), [DUMPS, LOADS])
    assert list(example.messages) == prompt.render([DUMPS.text, LOADS.text], "Question 0?")
    assert example.answer == "Answer 0."


def test_earlier_turns_are_kept_and_a_system_turn_gives_way() -> None:
    turns = [
        ("system", "Be rude."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "And indent?"),
        ("assistant", "None."),
    ]
    messages = [Message.model_validate({"role": role, "content": content}) for role, content in turns]
    example = prompted_example(conversation(messages=messages), [DUMPS])
    assert [message["role"] for message in example.messages] == ["system", "user", "assistant", "user"]
    assert example.messages[0]["content"] == prompt.SYSTEM
    assert [message["content"] for message in example.messages[1:3]] == ["Hi", "Hello."]
    assert DUMPS.text in example.messages[-1]["content"]
    assert example.answer == "None."


def test_general_chat_has_no_context() -> None:
    assert chat_example("r1", "Hello!", "Hi.").messages == ({"role": "user", "content": "Hello!"},)


def test_an_answerable_question_is_trained_with_its_answer_in_the_context() -> None:
    context = own_context(conversation(), [LOADS, OTHER], [DUMPS], k=2, seed=0)
    assert DUMPS in context
    assert len(context) == 2


def test_an_unanswerable_question_keeps_what_was_retrieved() -> None:
    asked = conversation(answerable=False, withhold=True)
    assert own_context(asked, [LOADS, OTHER], [DUMPS], k=2, seed=0) == [LOADS, OTHER]


def test_a_question_without_documents_keeps_what_was_retrieved() -> None:
    assert own_context(conversation(document_ids=[]), [LOADS], [], k=2, seed=0) == [LOADS]


def test_a_context_serves_an_answerable_question_only_if_it_holds_the_evidence() -> None:
    assert serves([LOADS, DUMPS], conversation())
    assert not serves([passage("dumps", "Another passage of it.")], conversation())
    assert not serves([DUMPS], conversation(document_ids=[]))


def test_a_context_serves_a_missing_parameter_if_its_document_is_there() -> None:
    missing = conversation(answerable=False, kind="missing_parameter", evidence="")
    assert serves([DUMPS], missing)
    assert not serves([LOADS], missing)


def test_a_context_serves_a_withheld_question_only_without_its_document_and_its_evidence() -> None:
    withheld = conversation(answerable=False, withhold=True, evidence="Return the square root.")
    assert serves([LOADS], withheld)
    assert not serves([LOADS, DUMPS], withheld)
    assert not serves([OTHER], withheld)


def test_companions_share_the_context_of_their_leader_and_nobody_is_taken_twice() -> None:
    first, second, elsewhere = conversation(1), conversation(2), conversation(3, document_ids=["sqrt"])
    pool = ConversationPool([first, second, elsewhere])
    assert pool.take(first, [DUMPS], 5) == [first, second]
    assert pool.take(second, [DUMPS], 5) == []
    assert pool.first(9) == [elsewhere]
    assert len(pool) == 1


def test_a_group_is_never_larger_than_allowed() -> None:
    pool = ConversationPool([conversation(i) for i in range(9)])
    assert len(pool.take(pool.first(1)[0], [DUMPS], 4)) == 4


def test_abstentions_stay_the_lesser_part_of_the_companions() -> None:
    answerable = [conversation(i) for i in range(2)]
    withheld = [conversation(i, answerable=False, withhold=True, document_ids=["loads"]) for i in range(2, 9)]
    members = ConversationPool([*answerable, *withheld]).take(answerable[0], [DUMPS], 9)
    assert sum(not member.answerable for member in members) == 2
