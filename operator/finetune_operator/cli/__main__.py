"""`python -m finetune_operator.cli`: where `finetune` is not installed."""

from finetune_operator.cli import entry_point

entry_point()
