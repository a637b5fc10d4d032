"""`python -m finetune_operator.runtime` runs the operator."""

from finetune_operator.runtime.main import main

main()
