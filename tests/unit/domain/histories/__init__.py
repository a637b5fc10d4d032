"""What can happen to a FineTuneJob, each told up to the moment that its name speaks of.

Every status is one that `decide` has written; none is made up.
"""

from tests.unit.domain.histories.beginning import BEGINNING
from tests.unit.domain.histories.end import END
from tests.unit.domain.histories.nodes import NODES
from tests.unit.domain.histories.training import TRAINING
from tests.unit.domain.histories.waiting import WAITING

HISTORIES = BEGINNING | WAITING | NODES | TRAINING | END
"""What happens → how; each gives the world at that moment."""

__all__ = ["HISTORIES"]
