"""Windows of served traffic as tables, drift as pages and pictures (Evidently, matplotlib)."""
