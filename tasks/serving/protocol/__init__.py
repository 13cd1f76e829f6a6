"""OpenAI's request and response types, and API errors."""
