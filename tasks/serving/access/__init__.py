"""Who may ask, and how much: API keys, limits, sign-in sessions."""
