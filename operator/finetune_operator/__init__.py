"""The finetune.dev operator: FineTuneJobs in, models that answer out."""
