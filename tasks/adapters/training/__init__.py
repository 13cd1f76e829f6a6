"""Fine-tuning: the plan, the training set, the launcher and the trainer (transformers, PEFT, DeepSpeed)."""
