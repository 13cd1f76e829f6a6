"""The embedder and the index of passages."""
