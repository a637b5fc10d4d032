"""What a decision about agent pools depends on, besides the request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from finetune_operator.nodes.aks.agent_pool import AgentPool
from finetune_operator.nodes.aks.errors import ArmError, Then, pause_after, row_of
from finetune_operator.nodes.aks.members import Members

LOOK_SECONDS = 15.0
"""How often a job looks at what Azure is doing; all jobs of a cluster share what was read."""
SOON_SECONDS = 1.0
"""After a request, whose answer then decides."""


@dataclass(frozen=True, slots=True)
class Answer:
    """That ARM did not do what it was asked about a pool."""

    at: datetime
    error: ArmError

    def left(self, now: datetime, *, spot: bool = False) -> float:
        """Seconds for which it holds; 0 or less: it is worth asking again."""
        return pause_after(self.error, spot) - (now - self.at).total_seconds()

    @property
    def ends_offer(self) -> bool:
        """Whether another offer is to be asked for, rather than the same later."""
        return row_of(self.error).then is not Then.SAME_AGAIN


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is."""

    pools: Sequence[AgentPool]
    """Of the cluster, whosoever they are."""
    answers: Mapping[str, Answer]
    """Pool → the last answer about it, where that was an error and this process asked."""
    members: Members
    """Nodes of the job's pools."""
    now: datetime

    def pool(self, name: str) -> AgentPool | None:
        """The one of that name."""
        return next((pool for pool in self.pools if pool.name == name), None)

    def answer(self, name: str, *, spot: bool = False) -> Answer | None:
        """What still holds of what was answered."""
        answer = self.answers.get(name)
        return answer if answer and answer.left(self.now, spot=spot) > 0 else None

    def waits(self, name: str) -> Answer | None:
        """Why the pool cannot be asked for anything just now, if so."""
        answer = self.answer(name)
        return answer if answer and not answer.ends_offer else None


def again_in(answer: Answer, now: datetime, *, spot: bool = False) -> float:
    """When to look again at what waits for this; a look costs little."""
    return max(SOON_SECONDS, min(answer.left(now, spot=spot), LOOK_SECONDS))
