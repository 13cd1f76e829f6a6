"""Drift of the served traffic: its rows, the tests, triage, and the verdict on a window."""
