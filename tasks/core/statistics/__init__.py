"""Statistical tests and intervals, on arrays of numbers alone."""
