"""What the `ratchet` commands do, a module a command; `flows/cli.py` declares their options."""
