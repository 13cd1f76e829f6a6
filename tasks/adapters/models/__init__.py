"""Base models: resolve, convert, and their chat template."""
