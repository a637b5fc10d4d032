"""Any two choices that are not refused work together; `make matrix` tries all of them at once."""

from pathlib import Path

import pytest

from tests.trainer.matrix import Cell, check, pairs

# PEFT asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")


@pytest.mark.parametrize("cell", pairs(), ids=str)
def test_what_is_not_refused_works(cell: Cell, tmp_path: Path) -> None:
    check(cell, tmp_path)
