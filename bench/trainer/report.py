"""All that a measurement has found so far, and the file that it lies in."""

from pathlib import Path

from pydantic import BaseModel

from bench.trainer.measure import Measured


class Report(BaseModel):
    """Of one measurement."""

    versions: dict[str, str]
    settings: dict[str, str]
    products: list[float] = []
    """Seconds that the model's own matrix products take for all conversations, of each round."""
    runs: dict[str, list[Measured]] = {}
    """Of each contestant, a run for each round."""
    failed: dict[str, int] = {}
    """Exit status of contestants that could not be measured."""

    def write(self, file: Path | None) -> None:
        if file:
            file.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def begun(file: Path | None, new: Report) -> Report:
    """What lies in the file, where it is of the same code, settings and machine; else `new`.

    Of another commit it may be: the settings have the digest of the trainer's code.
    """
    if file and file.exists():
        found = Report.model_validate_json(file.read_bytes())
        same = found.versions | {"commit": new.versions["commit"]} == new.versions
        if same and found.settings == new.settings:
            new.runs.update(found.runs)
            new.products.extend(found.products)
    return new
