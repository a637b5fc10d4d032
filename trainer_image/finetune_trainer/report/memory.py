"""What a training took of its device's memory beside what was estimated. Pure."""

from dataclasses import dataclass

from finetune_trainer.memory.estimate import Estimate


@dataclass(frozen=True)
class Held:
    """Bytes that are there from one step to the next."""

    weights: int
    """Of the model, with what the method adds to it."""
    gradients: int
    optimizer: int


@dataclass(frozen=True)
class Memory:
    """Of the device of the leading process."""

    peak: int
    """Bytes that were taken at most, without the files of libraries."""
    held: Held | None
    """None where processes share it out."""
    estimate: Estimate | None
    """As it decided how a step is laid out; None where the architecture is not known."""

    def rows(self) -> list[tuple[str, int | None, int | None]]:
        """Name, bytes estimated, bytes taken."""
        estimate, held = self.estimate, self.held
        measured = [held.weights, held.gradients, held.optimizer] if held else [None] * 3
        rest = self.peak - sum(each or 0 for each in measured) if held else None
        expected: list[int | None] = [None] * 5
        if estimate:
            known = [estimate.weights + estimate.adapter, estimate.gradients, estimate.optimizer]
            expected = [*known, estimate.total - sum(known), estimate.total]
        names = (
            "weights",
            "gradients",
            "optimizer",
            "activations, logits, buffers, framework, allocator",
            "together, at most",
        )
        return list(zip(names, expected, [*measured, rest, self.peak], strict=True))


def section(memory: Memory) -> str:
    """The table of the report, HTML."""
    heads = "".join(
        f'<th scope="col">{each}</th>' for each in ("part", "estimated", "taken", "of it")
    )
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{_known(expected)}</td><td>{_known(taken)}</td>'
        f"<td>{_share(expected, taken)}</td></tr>"
        for name, expected, taken in memory.rows()
    )
    return (
        '<section><h2>Memory</h2><table class="measured"><caption>'
        "Of the device of the leading process. Estimated is what rows take that are full and"
        " learned from throughout; taken is what was there at most from beginning to end,"
        " evaluations too"
        f"</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _known(count: int | None) -> str:
    return "" if count is None else gibibytes(count)


def _share(expected: int | None, taken: int | None) -> str:
    return f"{taken / expected:.0%}" if expected and taken is not None else ""


def gibibytes(count: int) -> str:
    """In words; of less than one in MiB."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
