"""Logs as a terminal shows them: one line each, our own and what matters of others."""

import logging
import sys

CHATTY = (
    "absl",
    "gguf",
    "httpx",
    "httpcore",
    "matplotlib",
    "filelock",
    "great_expectations",
    "openai",
    "sentence_transformers",
)


def configure_logging() -> None:
    """Send INFO and above to stderr; libraries that chat about themselves are heard from WARNING on."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
