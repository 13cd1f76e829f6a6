"""Training examples, how they are packed, and the learning rate over the steps."""
