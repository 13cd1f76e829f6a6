"""The prompt template, abstentions, and groups of prompts with a common prefix."""
