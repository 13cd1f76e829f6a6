"""`ratchet demo`: the whole loop once, unattended, in a copy of this checkout, told as a page."""
