"""The table of controllers."""

from finetune_operator.runtime import fine_tune_job, inference_workspace
from finetune_operator.runtime.controller import Controller
from finetune_operator.runtime.progress_book import ProgressBook
from finetune_operator.runtime.tools import Tools


def controllers(tools: Tools, progress: ProgressBook) -> tuple[Controller, ...]:
    """Every controller of this operator."""
    return (fine_tune_job.controller(tools, progress), inference_workspace.controller(tools))
