"""Evaluation: scores of answers, the grounding screen, the summary, and the validation of a judge."""
