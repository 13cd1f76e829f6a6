"""Feedback on served answers: checks, the effective verdict, and the queue of answers to review."""
