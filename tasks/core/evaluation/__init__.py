"""Scores of answers, their summary, and which judge may give them."""
