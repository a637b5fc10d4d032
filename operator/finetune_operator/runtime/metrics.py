"""Metrics of the reconcilers, under the names existing dashboards know: controller-runtime's."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter(
    "controller_runtime_reconcile_total", "Reconciliations", ["controller", "result"]
)
RECONCILE_ERRORS = Counter(
    "controller_runtime_reconcile_errors_total", "Reconciliations that failed", ["controller"]
)
RECONCILE_SECONDS = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "How long a reconciliation takes",
    ["controller"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
ACTIVE_WORKERS = Gauge("controller_runtime_active_workers", "Busy workers", ["controller"])
WORKERS = Gauge("controller_runtime_max_concurrent_reconciles", "Workers", ["controller"])

PROGRESS_POSTS = Counter("finetune_progress_posts_total", "Progress posted by trainers", ["code"])
