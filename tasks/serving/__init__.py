"""The long-lived process: what answers, and what it writes down about its answers."""
