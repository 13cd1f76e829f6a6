"""The long-lived process: an OpenAI-compatible gateway that answers with the served model."""
