"""Recording of served answers, redacted, and their review."""
