"""Handling of a request: admission, routing, retrieval, generation, metrics."""
