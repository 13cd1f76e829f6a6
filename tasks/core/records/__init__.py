"""The record types: documents, conversations, feedback, served answers."""
