"""Drift of the served traffic: its rows, the tests, the rules of triage, the verdict of a window."""
