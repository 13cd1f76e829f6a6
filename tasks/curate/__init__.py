"""From sources to split, indexed records: ingest, redact, validate, clean, dedup, split, index."""
