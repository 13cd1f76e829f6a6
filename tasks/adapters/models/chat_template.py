"""Apply a model's chat template: a prompt as text, and a training example as tokens (transformers).

The prompt is tokenised as at inference and the completion separately, so that no token spans both. The completion ends
with the model's end token; what a template writes after that is not learned.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.core.training.examples import PromptedExample
from tasks.core.training.packing import TokenisedExample


def prompt_text(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """Return the text that the model is asked to continue."""
    return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))


def tokenised(tokenizer: Any, example: PromptedExample) -> TokenisedExample:
    """Return the tokens of prompt and completion."""
    text = prompt_text(tokenizer, example.messages)
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    completion = tokenizer(_completion_text(tokenizer, text, example), add_special_tokens=False)["input_ids"]
    return TokenisedExample(example.id, (*prompt, *completion), len(prompt))


def _completion_text(tokenizer: Any, text: str, example: PromptedExample) -> str:
    turn = {"role": "assistant", "content": example.answer}
    whole = str(tokenizer.apply_chat_template([*example.messages, turn], tokenize=False))
    completion = whole[len(text) :] if whole.startswith(text) else example.answer
    answer, end, _ = completion.rpartition(tokenizer.eos_token)
    return answer + end if end else completion + tokenizer.eos_token
