"""Two replies to one prompt, and what the model at the start says of them."""

from dataclasses import dataclass

from finetune_trainer.data.examples import TokensExample


@dataclass(frozen=True)
class ComparedExample:
    """One conversation with two replies. Together they are as long as the example."""

    documents: tuple[TokensExample, TokensExample]
    """Of DPO the chosen and the rejected one; of KTO the one that was judged, and one with the
    reply to another prompt."""
    desirable: bool
    """Whether the first one is."""
    reference: tuple[float, float] | None = None
    """Log-probabilities of both replies where training starts; None until they are known."""

    @property
    def length(self) -> int:
        return sum(document.length for document in self.documents)

    @property
    def targets(self) -> int:
        """0 unless both replies say something, and not the same."""
        first, second = self.documents
        if not first.targets or not second.targets or first.content == second.content:
            return 0
        return first.targets + second.targets

    @property
    def weight(self) -> float:
        return 1.0

    @property
    def content(self) -> bytes:
        parts = [
            part
            for each in self.documents
            for part in (each.length.to_bytes(8), each.content, each.supervised.tobytes())
        ]
        return b"".join([self.desirable.to_bytes(), *parts])

    def cut(self, length: int) -> "ComparedExample":
        """Both documents in so many tokens: the shorter one keeps what half of them can hold."""
        first, second = self.documents
        half = length // 2
        of_first = length - min(second.length, max(half, length - first.length))
        return ComparedExample(
            (first.cut(of_first), second.cut(length - of_first)), self.desirable, self.reference
        )
