"""A rollout: its plan, the evidence of each arm, the decision to go on or back."""
