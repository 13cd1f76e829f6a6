"""The redactor with its name model (spaCy) and lists of names."""
