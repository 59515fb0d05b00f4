"""The picture of figures: pictures a second of every entrant, drawn from the results."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from imcomp.benchmark.machine import label_of
from imcomp.benchmark.readings import Line, Result
from imcomp.errors import InputError
from imcomp.files import atomic

UNIT = "pictures/s"


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw one panel for each group of lines: medians as bars, lowest to highest as a line on each.

    Args:
        results: of any machines and suites; what is not in pictures/s is left out.
        path: of an SVG file, or of another that Matplotlib writes.

    Raises:
        InputError: Matplotlib is not installed.
    """
    panels = [
        (f"{label_of(result.machine, result.device)}: {result.suite}, {group}", _with_compared(list(lines), result))
        for result in results
        for group, lines in groupby((line for line in result.lines if _drawn(line)), key=lambda line: line.group)
    ]
    if not panels:
        return
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(f"Matplotlib cannot be imported ({error}); pip install matplotlib") from error
    # the same results draw the same file
    with mpl.rc_context({"svg.hashsalt": "imcomp", "svg.fonttype": "none"}), atomic(path) as beside:
        heights = [0.9 + 0.32 * len(lines) for _, lines in panels]
        figure = Figure(figsize=(9, sum(heights)), layout="constrained")
        axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
        for axis, (title, lines) in zip(axes, panels, strict=True):
            named = {line.against for line in lines}
            medians = [line.median for line in lines]
            spread = [
                [line.median - min(line.values) for line in lines],
                [max(line.values) - line.median for line in lines],
            ]
            colors = ["0.6" if line.name in named or line.against is None else "tab:blue" for line in lines]
            bars = axis.barh([line.name for line in lines], medians, color=colors, xerr=spread, ecolor="0.2")
            axis.bar_label(bars, [f"{value:,.4g}" for value in medians], padding=6, fontsize=8)
            axis.set(xlabel=UNIT, xlim=(0, 1.15 * max(max(line.values) for line in lines)))
            axis.set_title(title, loc="left", fontsize=10)
            axis.invert_yaxis()
            axis.spines[["top", "right"]].set_visible(False)
        figure.savefig(beside, metadata={"Date": None} if path.suffix == ".svg" else None)


def _with_compared(lines: list[Line], result: Result) -> list[Line]:
    """The lines, and before them those of other groups that they are compared with."""
    names = {line.name for line in lines}
    others = {line.against for line in lines if line.against} - names
    return [line for line in result.lines if line.name in others and _drawn(line)] + lines


def _drawn(line: Line) -> bool:
    return line.quantity == UNIT and bool(line.values)
