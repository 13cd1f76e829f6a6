"""What people say about answers: which feedback counts, which answers are worth a label."""
