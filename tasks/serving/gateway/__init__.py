"""A request's way: admission, routing, retrieval, the answer, metrics."""
