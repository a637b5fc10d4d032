"""What DoRA costs more than LoRA: ours, and PEFT's own on the same model."""
