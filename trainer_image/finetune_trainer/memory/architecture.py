"""What of a model decides its memory and its time."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from finetune_trainer.heads import is_plain


class Role(StrEnum):
    """What a linear module does in its layer, which decides what is kept of it."""

    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    QUERY_KEY_VALUE = "query, key and value"
    ATTENTION_OUTPUT = "attention output"
    GATE = "gate"
    UP = "up"
    GATE_UP = "gate and up"
    DOWN = "down"


@dataclass(frozen=True)
class Linear:
    """A linear module of each layer."""

    name: str
    """Within the layer, as transformers calls it."""
    role: Role
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        return self.weights + self.outputs * self.bias


@dataclass(frozen=True)
class Norms:
    """The normalizations of a layer."""

    count: int
    """Over the hidden size."""
    bias: bool = False
    heads: bool = False
    """One more for queries and one for keys, over the head size (Qwen 3, Gemma 3)."""
    after_blocks: bool = False
    """Also what a block gives is normalized (Gemma 2 and 3), which keeps it."""


@dataclass(frozen=True)
class Architecture:
    """A transformer whose layers are all alike."""

    model_type: str
    generates: bool
    """A decoder with a language-model head; else an encoder, counted without a task's head."""
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    intermediate: int
    linears: tuple[Linear, ...]
    norms: Norms
    tied: bool
    """The head's weight is that of the embeddings."""
    embeddings: int
    """Parameters of all embeddings, with their normalization."""
    outside: int
    """Parameters after the last layer, but for the head."""
    positions: int | None
    """Tokens of the longest sequence."""
    soft_capped: bool = False
    """Logits go through tanh (Gemma 2), whose result is kept."""

    @property
    def plain_head(self) -> bool:
        """Whether its loss is taken in parts."""
        return is_plain(self.model_type, capped=self.soft_capped)

    @property
    def queries(self) -> int:
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """Numbers of the keys of a token; as many as of its values."""
        return self.key_value_heads * self.head_size

    @cached_property
    def layer_weights(self) -> int:
        """Weights of the linear modules of a layer."""
        return sum(each.weights for each in self.linears)

    @cached_property
    def layer_parameters(self) -> int:
        per_norm = self.hidden * (2 if self.norms.bias else 1)
        norms = self.norms.count * per_norm + 2 * self.head_size * self.norms.heads
        return norms + sum(each.parameters for each in self.linears)

    @property
    def head(self) -> int:
        """Parameters of a language-model head of its own."""
        return self.vocabulary * self.hidden if self.generates and not self.tied else 0

    @cached_property
    def parameters(self) -> int:
        """As `sum(p.numel() for p in model.parameters())` gives."""
        return self.embeddings + self.layers * self.layer_parameters + self.outside + self.head
