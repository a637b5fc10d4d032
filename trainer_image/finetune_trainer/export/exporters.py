"""What can be made of what was trained, a file each.

Adding an export: a name in recipe.Export and manifest.ArtifactKind, a file with the members of
`Exporter`, a line here, and what it cannot be made of in combinations.py and export_rules.py.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from finetune_trainer.recipe import Export

if TYPE_CHECKING:
    from finetune_trainer.export.material import Material


class Exporter(Protocol):
    """A module of this package."""

    USE: str
    """Python that loads it; FOLDER stands for where it lies."""

    def write(self, material: "Material", folder: Path) -> dict[str, float]:
        """Write it into the empty folder. Returns what was measured of it, by name."""


_MODULES = {
    Export.MERGED: "merged",
    Export.ONNX: "onnx",
    Export.ONNX_ADAPTER: "onnx_adapter",
    Export.ONNX_INT8: "onnx_int8",
    Export.AI_TOOLKIT: "ai_toolkit",
    Export.GGUF: "gguf",
}


def exporter(export: Export) -> Exporter:
    """Imported when it is asked for, because each brings libraries of its own."""
    module = importlib.import_module(f"finetune_trainer.export.{_MODULES[export]}")
    return cast("Exporter", module)
