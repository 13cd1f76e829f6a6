"""Registry, ledger and rollouts in the store; release notes and model cards from them."""
