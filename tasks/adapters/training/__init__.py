"""Fine-tuning: training set, plan, launcher, trainer and adapter checks (transformers, PEFT, DeepSpeed)."""
