"""Personal data in text: what is found, by which rule, and what replaces it."""
