"""Access to the gateway: API keys, usage limits, sign-in sessions."""
