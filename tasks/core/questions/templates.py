"""The wordings of generated questions, some of them kept out of training.

A form (default, module ...) has the same wordings whether or not the context can answer, so that the wording gives
nothing away. The held-out wordings ask in other words, not in other punctuation: a model that learned the trained
sentences by heart gains nothing from them.
"""

from dataclasses import dataclass

TRAINED: dict[str, tuple[str, ...]] = {
    "purpose": (
        "What does {name} do?",
        "What is {name} for?",
        "Describe {name} in one sentence.",
        "Explain briefly what `{name}` is used for.",
        "What is the purpose of {name}?",
        "How does the documentation sum up `{name}`?",
    ),
    "default": (
        "What is the default value of the parameter {parameter} of {name}?",
        "Which value does `{parameter}` have in `{name}` if it is not given?",
        "If I call {name} without {parameter}, what value is used for it?",
        "{name}: what is {parameter} by default?",
        "Tell me the default of `{parameter}` in `{name}`.",
        "When {parameter} is left out of a call to {name}, what does it default to?",
    ),
    "module": (
        "Which module provides {name}?",
        "In which module do I find `{name}`?",
        "What do I have to import to use {name}?",
        "Where does {name} come from: which module is it?",
        "Name the module that contains `{name}`.",
        "{name} belongs to which module?",
    ),
    "parameters": (
        "Which parameters does {name} take?",
        "List the parameters of `{name}`.",
        "What arguments does {name} accept?",
        "{name}: what are its parameters, in order?",
        "Give the names of the arguments in the signature of {name}.",
        "What can be passed to `{name}`?",
    ),
    "returns": (
        "What does {name} return?",
        "What is the return value of `{name}`?",
        "What do I get back from {name}?",
        "Describe the result of {name}.",
        "`{name}` gives back what?",
        "What comes out of a call to {name}?",
    ),
    "raises": (
        "Which exception does {name} raise?",
        "What error can `{name}` raise?",
        "Which exception type should I be ready to catch around {name}?",
        "What is raised when {name} fails?",
        "Name the exception that `{name}` may raise.",
        "{name}: which exception does its documentation mention?",
    ),
}

HELD_OUT: dict[str, tuple[str, ...]] = {
    "purpose": (
        "I came across {name} in somebody's code. What is it good for?",
        "Give me the gist of {name}.",
        "Why would anyone reach for `{name}`?",
    ),
    "default": (
        "I never set {parameter} when I use {name}. What will it be?",
        "What does {name} assume for {parameter} unless told otherwise?",
        "Leaving {parameter} alone in `{name}` is the same as passing what?",
    ),
    "module": (
        "My script stops because {name} is not defined. Which import is missing?",
        "Under which module would I look up {name} in the reference?",
        "Who ships `{name}`? I need the module.",
    ),
    "parameters": (
        "How does a call to {name} look: which arguments, in which order?",
        "Between the parentheses of {name}, which names are expected?",
        "What inputs does `{name}` ask its caller for?",
    ),
    "returns": (
        "I store the result of {name} in a variable. What does it hold?",
        "Once {name} has finished, what does its caller receive?",
        "What kind of answer does `{name}` hand to me?",
    ),
    "raises": (
        "My call to {name} blew up. Which exception class am I looking at?",
        "What do I write after `except` to guard a call to {name}?",
        "In what way does `{name}` complain: by throwing what?",
    ),
}

FORMS = tuple(TRAINED)


@dataclass(frozen=True, slots=True)
class Wording:
    """One question in words."""

    text: str
    phrasing: str
    held_out: bool


def word(form: str, index: int, *, held_out: bool, name: str, parameter: str = "") -> Wording:
    """Return a question of `form` about `name`; `index` picks the wording, modulo their number."""
    templates = (HELD_OUT if held_out else TRAINED)[form]
    number = index % len(templates)
    text = templates[number].format(name=name, parameter=parameter)
    return Wording(text, f"{form}-{'held-out-' if held_out else ''}{number + 1}", held_out)
