"""Detect abstentions: answers which say that the context does not contain the answer.

There are two tests. Evaluation uses `abstains`, which knows many phrasings and looks at every clause; serving and
ingest use `is_abstention`, which wants a short text that begins with one. Caveat: they disagree on some phrasings.
"""

import re
import unicodedata

from tasks.core.chat.prompt import ABSTENTION

_SOURCE = r"(?:context|text|passages?|documentation|documents?|excerpts?|information|snippets?)"
_NOT = r"(?:does not|doesn't|do not|don't|did not|didn't|cannot|can't)(?: \w+ly| actually)?"
_IN_SOURCE = rf"(?:in|by|from|within|based on|using) (?:the |this |any of the )?(?:\w+ )?{_SOURCE}"
_TOLD = r"(?:mentioned|specified|stated|provided|given|described|defined|contained|included|documented|found|listed)"
_ABSTENTIONS = tuple(
    re.compile(pattern)
    for pattern in (
        # "the given context does not say / does not contain the answer"
        rf"\b{_SOURCE}(?: (?:above|below|provided|given))? {_NOT} (?:say|tell|mention|specify|state|indicate|explain|"
        r"address|answer|describe|define|provide)\b",
        rf"\b{_SOURCE}(?: (?:above|below|provided|given))? {_NOT} (?:contain|hold|have|include|give|offer)\b.*\b"
        r"(?:answer|information|info|details?|mention|description|definition|anything|enough|this|that|it)\b",
        # "I don't know", "I cannot tell from the context"
        r"^(?:i am sorry, |i'm sorry, |sorry, )?i (?:do not|don't|cannot|can't|could not|couldn't) "
        r"(?:know|tell|say|answer|find|determine)\b",
        # "there is no information about it in the context"
        r"^(?:unfortunately,? )?(?:there (?:is|are|was) )?no (?:information|mention|answer|details?|indication)\b"
        r"(?: \w+)* (?:about|of|on|for|regarding|in|that)\b",
        # "it is not mentioned in the context"
        rf"\b(?:is|are|was|were) (?:not|never|nowhere) (?:explicitly )?{_TOLD} {_IN_SOURCE}\b",
        r"\b(?:cannot|can't|could not|can not) be (?:answered|determined|found|inferred|told)\b"
        rf"(?:.* {_IN_SOURCE}|\.?$)",
        r"\b(?:not enough|insufficient) (?:information|context|details?)\b",
        r"^(?:this is |it is |that is )?not (?:specified|mentioned|stated|given|answerable|in the context)\.?$",
        r"^(?:the )?answer is (?:not|nowhere) in the (?:\w+ )?context\b",
    )
)
_POLITE = re.compile(
    r"^(?:i am sorry|i'm sorry|sorry|i apologi[sz]e|unfortunately|please|you (?:may|might|can|could|should|will)|"
    r"if you|let me know|for more|more (?:information|context)|consult|refer to|see the)\b"
)
_CLAUSE_END = re.compile(r"(?<=[.!?])\s+|\n+|;\s*|,?\s+(?:but|however)\b,?\s*")


def abstains(answer: str) -> bool:
    """Return whether the answer says that it has none, in the trained words or in usual ones.

    Conservative: every clause must do so or be mere politeness: "the context does not say, but it is 3" is an answer.
    """
    plain = unicodedata.normalize("NFKC", answer).casefold().replace("’", "'")
    clauses = [clause.strip() for clause in _CLAUSE_END.split(plain) if clause.strip()]
    declines = [any(pattern.search(clause) for pattern in _ABSTENTIONS) for clause in clauses]
    return any(declines) and all(
        declined or _POLITE.match(clause) for declined, clause in zip(declines, clauses, strict=True)
    )


_ONLY_ABSTENTION = re.compile(
    r"(?:sorry, )?(?:i (?:do not|don't) know|i (?:cannot|can't) (?:say|tell|answer)|"
    r"(?:the|this|given|provided) ?(?:given |provided )?(?:context|documentation|text|document)s? "
    r"(?:does not|doesn't|do not|don't) (?:contain|say|tell|mention|state|include|hold|provide|answer))",
    re.I,
)


def is_abstention(answer: str) -> bool:
    """Return whether `answer` says, and says only, that the context does not hold the answer."""
    text = answer.strip()
    return text == ABSTENTION or (len(text.split()) <= 20 and _ONLY_ABSTENTION.match(text) is not None)
