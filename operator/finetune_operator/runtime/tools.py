"""What every controller is given."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from finetune_operator.cluster.client import Client
from finetune_operator.cluster.events import EventRecorder
from finetune_operator.nodes import Provisioners
from finetune_operator.nodes.prices import PriceBook
from finetune_operator.runtime.cluster_view import ClusterView
from finetune_operator.runtime.job_board import JobBoard
from finetune_operator.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Tools:
    """Built once by main; tests build it with a clock of their own."""

    client: Client
    recorder: EventRecorder
    settings: Settings
    now: Callable[[], datetime]
    """The time in UTC."""
    prices: PriceBook
    view: ClusterView
    """What is known of the cluster outside of namespaces."""
    provisioners: Provisioners
    board: JobBoard
