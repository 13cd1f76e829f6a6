"""Training: examples, their packing, and the learning rate schedule."""
