"""Which files of a source are of use; weights as pickles never are, for loading them runs code."""

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from finetune_trainer.errors import ConfigurationError, DataError
from finetune_trainer.fetch.source import Kind, Source

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_MODEL_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".model", ".tiktoken", ".txt"})
_MODEL_DOCUMENTS = ("license", "notice", "readme")
_DATA_SUFFIX = ".jsonl"
_PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})


def select(kind: Kind, paths: Iterable[str]) -> set[str]:
    """The paths (relative, with forward slashes) worth having.

    A model is one flat folder: safetensors, configuration, tokenizer. Data may lie in subfolders.
    """
    paths = set(paths)
    if kind is Kind.DATASET:
        return {path for path in paths if path.endswith(_DATA_SUFFIX)}
    wanted = {path for path in paths if "/" not in path and _of_model(PurePosixPath(path))}
    sharded = {path for path in wanted if _is_weights(path) and not _is_consolidated(path)}
    if sharded:  # some repositories carry the same weights a second time in one file
        wanted -= {path for path in wanted if _is_consolidated(path)}
    return wanted


def check(source: Source, selected: Collection[str], found: Collection[str]) -> None:
    """Refuse what could not be used.

    Raises:
        ConfigurationError: no safetensors among a model's files, or no settings with an adapter's.
        DataError: no JSON lines among the files of a dataset.
    """
    if source.kind is Kind.DATASET:
        if not selected:
            raise DataError(
                f"{source.field}: {source.uri} holds no {_DATA_SUFFIX} file;"
                f" give JSON lines, one example each; it holds {_some(found)}"
            )
        return
    if source.kind is Kind.ADAPTER and not {ADAPTER_CONFIG, ADAPTER_WEIGHTS} <= set(selected):
        raise ConfigurationError(
            f"{source.field}: {source.uri} is no adapter that PEFT has saved as safetensors"
            f" ({ADAPTER_CONFIG}, {ADAPTER_WEIGHTS}); it holds {_some(found)}"
        )
    if any(_is_weights(path) for path in selected):
        return
    pickles = [path for path in found if PurePosixPath(path).suffix.lower() in _PICKLE_SUFFIXES]
    if pickles:
        raise ConfigurationError(
            f"{source.field}: {source.uri} has its weights as pickles only ({_some(pickles)}),"
            " and loading a pickle runs code from it: use a revision with .safetensors files,"
            " or convert it with save_pretrained"
        )
    raise ConfigurationError(
        f"{source.field}: {source.uri} holds no .safetensors file; it holds {_some(found)}"
    )


def _of_model(path: PurePosixPath) -> bool:
    document = path.name.lower().startswith(_MODEL_DOCUMENTS) and path.suffix in ("", ".md")
    return document or path.suffix in _MODEL_SUFFIXES


def _is_weights(path: str) -> bool:
    return path.endswith(".safetensors")


def _is_consolidated(path: str) -> bool:
    return _is_weights(path) and path.startswith("consolidated")


def _some(paths: Collection[str]) -> str:
    if not paths:
        return "nothing"
    first = sorted(paths)[:5]
    return ", ".join(first) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
