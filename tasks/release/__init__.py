"""From a measured candidate to a verdict: promote."""
