"""config.json → Architecture, a function for each family, defaults as transformers' classes have.

Source of shapes and defaults: transformers 5.23, configuration_*.py and modeling_*.py of each
model type; tests/trainer/test_memory.py compares with those classes, parameter by parameter.
"""

from collections.abc import Callable, Mapping
from typing import Any

from finetune_trainer.memory.architecture import Architecture, Linear, Norms, Role

Config = Mapping[str, Any]


class UnknownArchitectureError(Exception):
    """No such family is known, or its config.json leaves something out."""


def architecture_from_config(config: Config) -> Architecture:
    """
    Raises:
        UnknownArchitectureError: with what is missing.
    """
    model_type = config.get("model_type")
    family = FAMILIES.get(str(model_type))
    if family is None:
        raise UnknownArchitectureError(
            f"the memory of model_type {model_type!r} cannot be computed: known are "
            f"{', '.join(sorted(FAMILIES))}"
        )
    try:
        return family(config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UnknownArchitectureError(
            f"the config.json of this {model_type} model lacks a usable number: {error}"
        ) from error


def _decoder(
    config: Config,
    *,
    fused: bool = False,
    attention_bias: tuple[bool, bool] = (False, False),
    mlp_bias: bool = False,
    norms: Norms | None = None,
    tied: bool = False,
    head_size: int | None = None,
) -> Architecture:
    """A decoder with grouped queries and a gated feed-forward block.

    Args:
        fused: queries, keys and values are one module, gate and up another (Phi-3).
        attention_bias: of queries, keys and values; of the attention's output.
        tied, head_size: where config.json leaves them out.
    """
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    key_value_heads = int(config.get("num_key_value_heads") or heads)
    size = int(config.get("head_dim") or head_size or hidden // heads)
    wide = int(config.get("intermediate_size") or config["ff_intermediate_size"])
    vocabulary = int(config["vocab_size"])
    queries, keys = heads * size, key_value_heads * size
    into, out = attention_bias
    linears = [Linear("self_attn.o_proj", Role.ATTENTION_OUTPUT, queries, hidden, out)]
    if fused:
        both = queries + 2 * keys
        linears += [
            Linear("self_attn.qkv_proj", Role.QUERY_KEY_VALUE, hidden, both, into),
            Linear("mlp.gate_up_proj", Role.GATE_UP, hidden, 2 * wide, mlp_bias),
        ]
    else:
        linears += [
            Linear("self_attn.q_proj", Role.QUERY, hidden, queries, into),
            Linear("self_attn.k_proj", Role.KEY, hidden, keys, into),
            Linear("self_attn.v_proj", Role.VALUE, hidden, keys, into),
            Linear("mlp.gate_proj", Role.GATE, hidden, wide, mlp_bias),
            Linear("mlp.up_proj", Role.UP, hidden, wide, mlp_bias),
        ]
    linears.append(Linear("mlp.down_proj", Role.DOWN, wide, hidden, mlp_bias))
    its_norms = norms or Norms(count=2)
    return Architecture(
        model_type=str(config["model_type"]),
        generates=True,
        vocabulary=vocabulary,
        hidden=hidden,
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        key_value_heads=key_value_heads,
        head_size=size,
        intermediate=wide,
        linears=tuple(linears),
        norms=its_norms,
        tied=bool(config.get("tie_word_embeddings", tied)),
        embeddings=vocabulary * hidden,
        outside=hidden * (2 if its_norms.bias else 1),
        positions=config.get("max_position_embeddings"),
        soft_capped=bool(config.get("final_logit_softcapping")),
    )


def _llama(config: Config) -> Architecture:
    bias = bool(config.get("attention_bias"))
    return _decoder(config, attention_bias=(bias, bias), mlp_bias=bool(config.get("mlp_bias")))


def _mistral(config: Config) -> Architecture:
    return _decoder(config)


def _phi3(config: Config) -> Architecture:
    return _decoder(config, fused=True)


def _phi3small(config: Config) -> Architecture:
    """Its code lies in its repository: modeling_phi3_small.py. Every linear module has a bias."""
    return _decoder(
        config,
        fused=True,
        attention_bias=(True, True),
        mlp_bias=True,
        norms=Norms(count=2, bias=True),
        tied=True,
    )


def _qwen2(config: Config) -> Architecture:
    return _decoder(config, attention_bias=(True, False))


def _qwen3(config: Config) -> Architecture:
    bias = bool(config.get("attention_bias"))
    norms = Norms(count=2, heads=True)
    return _decoder(config, attention_bias=(bias, bias), norms=norms, head_size=128)


def _gemma(config: Config) -> Architecture:
    return _decoder(config, tied=True, head_size=256)


def _gemma2(config: Config) -> Architecture:
    norms = Norms(count=4, after_blocks=True)
    capped = {"final_logit_softcapping": 30.0} | dict(config)
    return _decoder(capped, norms=norms, tied=True, head_size=256)


def _gemma3(config: Config) -> Architecture:
    norms = Norms(count=4, heads=True, after_blocks=True)
    return _decoder(config, norms=norms, tied=True, head_size=256)


def _bert(config: Config) -> Architecture:
    attention, output = "attention.self", "attention.output.dense"
    names = (f"{attention}.query", f"{attention}.key", f"{attention}.value", output)
    return _encoder(
        config,
        names=(*names, "intermediate.dense", "output.dense"),
        hidden=int(config["hidden_size"]),
        heads=int(config["num_attention_heads"]),
        layers=int(config["num_hidden_layers"]),
        wide=int(config["intermediate_size"]),
        token_types=int(config.get("type_vocab_size", 2)),
        pooled=True,
    )


def _distilbert(config: Config) -> Architecture:
    names = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin")
    return _encoder(
        config,
        names=(*names, "ffn.lin1", "ffn.lin2"),
        hidden=int(config["dim"]),
        heads=int(config["n_heads"]),
        layers=int(config["n_layers"]),
        wide=int(config["hidden_dim"]),
        token_types=0,
        pooled=False,
    )


def _encoder(
    config: Config,
    *,
    names: tuple[str, ...],
    hidden: int,
    heads: int,
    layers: int,
    wide: int,
    token_types: int,
    pooled: bool,
) -> Architecture:
    """An encoder with learned positions, biases everywhere and a feed-forward block without gate.

    Args:
        names: of query, key, value, attention output, up and down.
    """
    positions = int(config["max_position_embeddings"])
    square = (hidden, hidden)
    shapes = (square, square, square, square, (hidden, wide), (wide, hidden))
    roles = (Role.QUERY, Role.KEY, Role.VALUE, Role.ATTENTION_OUTPUT, Role.UP, Role.DOWN)
    vocabulary = int(config["vocab_size"])
    return Architecture(
        model_type=str(config["model_type"]),
        generates=False,
        vocabulary=vocabulary,
        hidden=hidden,
        layers=layers,
        heads=heads,
        key_value_heads=heads,
        head_size=hidden // heads,
        intermediate=wide,
        linears=tuple(
            Linear(name, role, *shape, bias=True)
            for name, role, shape in zip(names, roles, shapes, strict=True)
        ),
        norms=Norms(count=2, bias=True),
        tied=False,
        embeddings=(vocabulary + positions + token_types + 2) * hidden,
        outside=hidden * (hidden + 1) if pooled else 0,
        positions=positions,
    )


FAMILIES: dict[str, Callable[[Config], Architecture]] = {
    "bert": _bert,
    "distilbert": _distilbert,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "llama": _llama,
    "mistral": _mistral,
    "phi3": _phi3,
    "phi3small": _phi3small,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "roberta": _bert,
    "xlm-roberta": _bert,
}
"""By model_type. A new family is a line here and, where it differs, a function above."""
