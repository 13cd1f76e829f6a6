"""What a source can be, and how its formats are read: markup, docstrings, chats."""
