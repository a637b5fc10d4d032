"""Metrics of the work queue and the client, under the names existing dashboards know.

Names and labels are those of controller-runtime and client-go, bucket bounds too.
"""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000)

QUEUE_DEPTH = Gauge("workqueue_depth", "Keys waiting", ["name"])
QUEUE_ADDS = Counter("workqueue_adds_total", "Keys added", ["name"])
QUEUE_RETRIES = Counter("workqueue_retries_total", "Keys added again after a failure", ["name"])
QUEUE_WAIT = Histogram(
    "workqueue_queue_duration_seconds", "How long a key waits", ["name"], buckets=_SECONDS
)
QUEUE_WORK = Histogram(
    "workqueue_work_duration_seconds", "How long a key is worked on", ["name"], buckets=_SECONDS
)
QUEUE_UNFINISHED = Gauge(
    "workqueue_unfinished_work_seconds", "Seconds of work in progress, all keys", ["name"]
)
QUEUE_LONGEST = Gauge(
    "workqueue_longest_running_processor_seconds", "Age of the oldest work in progress", ["name"]
)

REQUESTS = Counter(
    "rest_client_requests_total", "Requests to the API server", ["code", "method", "host"]
)
REQUEST_SECONDS = Histogram(
    "rest_client_request_duration_seconds", "Latency of requests", ["verb", "host"]
)

LEADING = Gauge("leader_election_master_status", "1 while this replica leads", ["name"])
