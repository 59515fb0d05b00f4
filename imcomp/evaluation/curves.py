"""Curves of a comparison: how errors are distributed, and how they grow with the hole."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from imcomp.errors import InputError
from imcomp.evaluation.statistics import Summary, Values
from imcomp.files import atomic
from imcomp.scores import TOLERANCE

_POINTS = 400  # of a curve, however many pictures it is of
_LEAST = 1e-7  # an error below is drawn as this


def draw_curves(
    errors: Mapping[str, Values], areas: Mapping[str, Mapping[tuple[float, float], Summary]], path: Path
) -> None:
    """Draw the share of pictures by their largest error, and the mean error by the hole's area.

    Args:
        errors: the `mse` of each picture, by entrant.
        areas: by entrant, a summary of each bin of the hole's area; drawn where there are two bins or more.
        path: of an SVG file.

    Raises:
        InputError: Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(f"Matplotlib cannot be imported ({error}); pip install matplotlib") from error
    panels = 2 if any(len(bins) > 1 for bins in areas.values()) else 1
    # the same scores draw the same file
    with mpl.rc_context({"svg.hashsalt": "imcomp", "svg.fonttype": "none"}), atomic(path) as beside:
        figure = Figure(figsize=(5.6 * panels, 3.8), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for name, values in errors.items():
            axes[0].plot(*distribution(values), label=name)
        axes[0].axvline(TOLERANCE, color="0.6", linewidth=1, linestyle="--")
        axes[0].set(xscale="log", xlabel="MSE in the hole", ylabel="share of pictures with at most this", ylim=(0, 1))
        axes[0].legend(fontsize=8)
        if panels == 2:
            for name, bins in areas.items():
                middles = [50 * (low + high) for low, high in bins]
                scores = [summary.scores["mse"] for summary in bins.values()]
                means = np.array([score.mean for score in scores])
                around = np.abs(np.array([[score.low, score.high] for score in scores]).T - means)
                axes[1].errorbar(
                    middles, means, yerr=np.nan_to_num(around), marker="o", markersize=3, capsize=2, label=name
                )
            axes[1].set(yscale="log", xlabel="hole, % of the picture", ylabel="mean MSE in the hole")
        for axis in axes:
            axis.grid(visible=True, which="major", alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        figure.savefig(beside, format="svg", metadata={"Date": None})


def distribution(errors: Values) -> tuple[Values, Values]:
    """The cumulative distribution of errors: values that rise, and the share of pictures with at most each.

    What is not a number is above all others.
    """
    found = np.sort(np.where(np.isfinite(errors), errors, np.inf))
    shares = np.arange(1, len(found) + 1) / len(found)
    kept = np.unique(np.linspace(0, len(found) - 1, min(_POINTS, len(found))).round().astype(int))
    finite = kept[np.isfinite(found[kept])]
    return found[finite].clip(min=_LEAST), shares[finite]
