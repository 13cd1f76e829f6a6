"""The chat that most tests of the gateway send, and what its fake engine answers."""

from typing import Any

QUESTION = "What is the default of indent of json.dumps?"


CHAT: Any = {"model": "ratchet", "messages": [{"role": "user", "content": QUESTION}]}


ANSWER = "The default of indent is None."
