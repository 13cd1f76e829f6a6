"""The gate's verdict, the ledger's entries, the champion and what changed with it."""
