"""The gateway: a long-lived process that answers over OpenAI's API with the served model."""
