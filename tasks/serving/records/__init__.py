"""Write served answers down, redacted; review them."""
