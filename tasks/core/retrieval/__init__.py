"""Passages, terms, the fusion of rankings, and how well retrieval does."""
