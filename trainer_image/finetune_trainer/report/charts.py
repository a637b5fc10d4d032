"""Curves as inline SVG that takes the page's colours, light or dark."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_TEXT = "#010203"
"""Stands for the colour of the page's text: matplotlib knows no such word."""
_COLOURS = ("#2f81c7", "#d9730d")
"""Told apart by the colour-blind, and readable on black and on white."""
_INCHES = (4.8, 2.6)
"""Small, so that its words are still readable on a phone."""
_MARGINS = {"left": 0.16, "right": 0.98, "bottom": 0.19, "top": 0.91}
"""Room for numbers of six digits; matplotlib's layouts would draw everything twice to find it."""
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Line:
    """One curve."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    marked: bool = False
    """Points that stand alone, such as measurements at the beginning and the end."""


def chart(title: str, lines: Sequence[Line]) -> str:
    """The lines over the steps; the title is also what a screen reader says, with the ends."""
    figure = Figure(figsize=_INCHES)
    FigureCanvasSVG(figure)
    figure.subplots_adjust(**_MARGINS)
    axes = figure.add_subplot()
    for line, colour in zip(lines, _COLOURS, strict=False):
        (drawn,) = axes.plot(line.steps, line.values, color=colour, label=line.name, linewidth=1.6)
        if line.marked:
            drawn.set(marker="o", linestyle="--")
    axes.set_xlabel("step", color=_TEXT)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.tick_params(colors=_TEXT)
    axes.grid(visible=True, color=_TEXT, alpha=0.15)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_TEXT)
    if len(lines) > 1:
        axes.legend(labelcolor=_TEXT, framealpha=0, edgecolor="none")
    return _inline(figure, title, _said(title, lines))


def _inline(figure: Figure, salt: str, label: str) -> str:
    """Several drawings share one page, so their ids differ by salt."""
    written = io.StringIO()
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif"}
    ):
        figure.savefig(written, format="svg", transparent=True, metadata=_NO_METADATA)
    text = written.getvalue()
    text = text[text.index("<svg") :].replace(_TEXT, "currentColor").replace("xlink:href", "href")
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    # matplotlib counts the groups of each drawing from one; nothing refers to them.
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    head = f'<svg role="img" aria-label="{escape(label)}" '
    opening = re.sub(r' (width|height)="[^"]*"', "", text[: text.index(">")])
    return head + opening.removeprefix("<svg ") + text[text.index(">") :]


def _said(title: str, lines: Sequence[Line]) -> str:
    ends = [
        f"{line.name} from {line.values[0]:.4g} at step {line.steps[0]}"
        f" to {line.values[-1]:.4g} at step {line.steps[-1]}"
        for line in lines
    ]
    return f"{title}: {'; '.join(ends)}"
