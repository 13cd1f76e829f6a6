"""Input and output, named by role. Each heavy library is imported by one adapter alone."""
