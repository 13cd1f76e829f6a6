"""Made-up answers for tests of whoever writes or reads their records."""

from typing import Any

from tasks.core.privacy.person_names import NameLists, PersonNames
from tasks.core.privacy.personal_data import structured_detectors
from tasks.core.privacy.pseudonyms import Pseudonyms
from tasks.core.privacy.redaction import Redactor
from tasks.core.records.answer import AnswerRecord

NAMES = PersonNames(NameLists(frozenset({"Jane", "Carlos"}), frozenset({"Doe", "Mendoza"})))
REDACTOR = Redactor([*structured_detectors(), *NAMES.rules()], Pseudonyms(b"key"), NAMES.parts)
PLANTED = ["jane.doe@corp.example", "+1 415 555 0132", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "Jane Doe"]
AT = "2026-05-01T10:20:00+00:00"


def answer(answer_id: str = "a1", question: str = "What is json.dumps?", **changes: Any) -> AnswerRecord:
    """Return the record of an ordinary answer; nothing was measured."""
    values: dict[str, Any] = {
        "answer_id": answer_id, "at": AT, "model": "m" * 64, "arm": "champion", "prompt_digest": "p",
        "index_version": "i", "engine": "openvino", "parameters": {},
        "messages": [{"role": "user", "content": question}], "answer": "A function.", "document_ids": ["d1"],
        "retrieval_scores": [0.5], "abstained": None, "ungrounded": None, "status": "ok", "finish_reason": "stop",
        "prompt_tokens": None, "completion_tokens": None, "ttft_s": None, "seconds": None, "cpu_s": None,
        "key_id": "k1", "cached": False, "shadow_of": None,
    }  # fmt: skip
    return AnswerRecord.model_validate({**values, **changes})
