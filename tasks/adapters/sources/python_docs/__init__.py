"""The documentation of installed Python code: modules, signatures and docstrings as documents with questions."""
