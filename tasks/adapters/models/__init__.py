"""Models: resolve base models, apply their chat templates, merge adapters and export GGUF files."""
