"""How a flow runs: its steps, the lock and ledger entry around them, and the Prefect API that records them."""
