"""Configure logging for a terminal: one line each, ours from INFO on, those of chatty libraries from WARNING on."""

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
    """Send INFO and above to stderr; the libraries in CHATTY log from WARNING on."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
