"""This machine and its tools: processes, DVC, git, the console, health checks."""
