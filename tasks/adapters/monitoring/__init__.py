"""Windows of served traffic as tables, drift as an HTML page, and the history of windows (Evidently)."""
