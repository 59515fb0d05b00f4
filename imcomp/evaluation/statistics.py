"""From scores of single pictures to means with intervals, over all pictures and by the area of their holes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imcomp.scores import AREAS

Values = npt.NDArray[np.float64]

LEVEL = 0.95
"""Share of resamples that an interval holds."""

_ROWS = 64  # resamples at once, to bound the memory


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval; NaN where there is none."""

    mean: float
    low: float
    high: float

    def plain(self) -> dict[str, float | None]:
        """For a file: None for what is not a number."""
        values = {"mean": self.mean, "low": self.low, "high": self.high}
        return {key: value if np.isfinite(value) else None for key, value in values.items()}


@dataclass(frozen=True)
class Summary:
    """Scores of one entrant on some pictures.

    Attributes:
        count: pictures.
        scores: the mean of each metric, by its name.
    """

    count: int
    scores: Mapping[str, Interval]

    def plain(self) -> dict[str, Any]:
        """For a file."""
        return {"count": self.count, "scores": {name: score.plain() for name, score in self.scores.items()}}


def summarise(scores: Mapping[str, Values], groups: Sequence[Any], *, resamples: int = 1000, seed: int = 0) -> Summary:
    """Average each metric over pictures, with a percentile bootstrap interval.

    Whole groups are drawn, with replacement: thirty frames of one traffic sign are not thirty independent pictures, and
    an interval that took them for such would be too narrow. (A. C. Davison, D. V. Hinkley: Bootstrap Methods and their
    Application, 1997, 3.8.) Where each picture is its own group, this is the ordinary bootstrap.

    Args:
        scores: a value for each picture, by the metric's name.
        groups: each picture's group.
        resamples: how many are drawn; 0 for none, and no interval. One group alone has none either.
        seed: of the draws; the same seed draws the same groups for every entrant.
    """
    count = len(groups)
    table = np.stack([np.asarray(values, dtype=np.float64) for values in scores.values()], axis=1)
    none = np.full(len(scores), np.nan)
    means = table.mean(axis=0) if count else none
    low, high = _interval(table, groups, resamples, seed) if resamples and len(set(groups)) > 1 else (none, none)
    rows = np.stack([means, low, high], axis=1)
    return Summary(count, {name: Interval(*map(float, row)) for name, row in zip(scores, rows, strict=True)})


def by_area(
    scores: Mapping[str, Values], areas: Values, groups: Sequence[Any], *, resamples: int = 1000, seed: int = 0
) -> dict[tuple[float, float], Summary]:
    """Summarise the pictures of each bin of ``AREAS`` that has any; see `summarise`.

    Args:
        scores: a value for each picture, by the metric's name.
        areas: each hole's share of its picture, in (0, 1].
        groups: each picture's group.
        resamples: how many are drawn.
        seed: of the draws.
    """
    bins = bin_of(areas)
    names = np.asarray(groups)
    found = {}
    for number in np.unique(bins):
        inside = bins == number
        some = {name: values[inside] for name, values in scores.items()}
        found[AREAS[number], AREAS[number + 1]] = summarise(some, names[inside], resamples=resamples, seed=seed)
    return found


def bin_of(areas: Values) -> npt.NDArray[np.int64]:
    """The number of the bin of ``AREAS`` that each area lies in."""
    return np.searchsorted(AREAS[1:-1], areas, side="left")


def _interval(table: Values, groups: Sequence[Any], resamples: int, seed: int) -> tuple[Values, Values]:
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(group).astype(np.float64)
    sums = np.stack([np.bincount(group, column) for column in table.T], axis=1)
    rng = np.random.default_rng(seed)
    chances = np.full(len(sizes), 1 / len(sizes))
    means = []
    for first in range(0, resamples, _ROWS):
        drawn = rng.multinomial(len(sizes), chances, size=min(_ROWS, resamples - first)).astype(np.float64)
        means.append((drawn @ sums) / (drawn @ sizes)[:, None])
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail], axis=0)
    return low, high
