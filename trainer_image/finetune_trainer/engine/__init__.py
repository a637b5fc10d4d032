"""The loop: on transformers.Trainer, with checkpoints, signals and progress around it."""
