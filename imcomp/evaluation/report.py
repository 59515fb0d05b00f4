"""What a comparison says: tables overall and by area, curves, pictures; for files and for a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from imcomp.evaluation.document import Block, Figure, Grid, Heading, Lines
from imcomp.evaluation.entrants import Entrant
from imcomp.evaluation.scoring import Scored
from imcomp.evaluation.statistics import LEVEL, Interval, Summary, by_area, summarise
from imcomp.model_card import describe_mask

METRICS = {
    "mse": ("MSE", "{:.3g}", False),
    "mae": ("MAE", "{:.3g}", False),
    "psnr": ("PSNR, dB", "{:.2f}", True),
    "ssim": ("SSIM", "{:.4f}", True),
    "accuracy": ("accuracy", "{:.4f}", True),
    "lpips": ("LPIPS", "{:.4f}", False),
}
"""Each metric's name for people, how it is written, and whether more is better."""


@dataclass(frozen=True)
class Comparison:
    """Scores of all entrants, with intervals.

    Attributes:
        pictures: what was evaluated, in plain values.
        entrants: by name; ``ckpt`` of a network.
        overall: a summary of each entrant.
        areas: the same in each bin of the hole's area that has pictures.
        speeds: pictures a second.
        fid: where it was asked for.
        skipped: what was left out, and why.
        warnings: lines.
        resamples: of the bootstrap.
    """

    pictures: Mapping[str, Any]
    entrants: Mapping[str, Mapping[str, Any]]
    overall: Mapping[str, Summary]
    areas: Mapping[str, Mapping[tuple[float, float], Summary]]
    speeds: Mapping[str, float]
    fid: Mapping[str, float]
    skipped: Mapping[str, str]
    warnings: Sequence[str]
    resamples: int

    def plain(self) -> dict[str, Any]:
        """What is repeatable of it, for a file: no speed."""
        entrants = {}
        for name, facts in self.entrants.items():
            bins = self.areas[name].items()
            fid = {"fid": self.fid[name] if np.isfinite(self.fid[name]) else None} if name in self.fid else {}
            entrants[name] = {
                **facts,
                **self.overall[name].plain(),
                **fid,
                "areas": [{"above": low, "to": high, **summary.plain()} for (low, high), summary in bins],
            }
        return {
            "pictures": dict(self.pictures),
            "entrants": entrants,
            "skipped": dict(self.skipped),
            "warnings": list(self.warnings),
            "intervals": {"level": LEVEL, "resamples": self.resamples, "drawn": "groups of the source"},
        }


def compare(
    scored: Scored, entrants: Mapping[str, Entrant], checkpoints: Mapping[str, str], *, resamples: int, **facts: Any
) -> Comparison:
    """Summarise scores.

    Args:
        scored: of all pictures.
        entrants: by name.
        checkpoints: the networks' files.
        resamples: of the bootstrap.
        facts: ``pictures``, ``skipped`` and ``warnings`` of `Comparison`.
    """
    options = {"resamples": resamples}
    return Comparison(
        entrants={
            name: {
                "kind": entrant.kind,
                "ckpt": checkpoints.get(name),
                "self_ensemble": entrant.self_ensemble,
                "notes": list(entrant.notes),
            }
            for name, entrant in entrants.items()
        },
        overall={name: summarise(scores, scored.groups, **options) for name, scores in scored.scores.items()},
        areas={name: by_area(scores, scored.areas, scored.groups, **options) for name, scores in scored.scores.items()},
        speeds={name: scored.speed(name) for name in entrants},
        fid=scored.fid,
        resamples=resamples,
        **facts,
    )


def write_parts(comparison: Comparison, curves: Path | None, galleries: Mapping[str, Path]) -> list[Block]:
    """The whole report.

    Args:
        comparison: what came out.
        curves: the file of the curves; None where there are none.
        galleries: files of pictures by what they show.
    """
    pictures = comparison.pictures
    notes = [f"{name}: {note}" for name, facts in comparison.entrants.items() for note in facts["notes"]]
    parts: list[Block] = [
        Heading(f"{pictures['count']:,} pictures of {pictures['source']}, {pictures['part']}"),
        Lines([*_facts(comparison), *(f"warning: {line}" for line in comparison.warnings), *notes]),
        Heading("Scores"),
        _overall(comparison),
    ]
    if comparison.skipped:
        parts.append(Lines([f"left out: {name}: {reason}" for name, reason in comparison.skipped.items()]))
    bins = sorted({area for areas in comparison.areas.values() for area in areas})
    if len(bins) > 1:
        for metric in _metrics(comparison):
            parts += [
                Heading(f"{METRICS[metric][0]} by the hole's share of the picture"),
                _areas(comparison, metric, bins),
            ]
    if curves is not None:
        parts += [Heading("Curves"), Figure(curves, _curves_caption(len(bins) > 1))]
    if galleries:
        parts.append(Heading("Pictures"))
        parts += [Figure(path, caption) for caption, path in galleries.items()]
    return parts


def score_table(comparison: Comparison) -> Table:
    """The means as a table for a terminal."""
    table = Table("method")
    metrics = _metrics(comparison)
    headers = [*(METRICS[metric][0] for metric in metrics), *(["FID"] if comparison.fid else []), "pictures/s"]
    for header in headers:
        table.add_column(header, justify="right")
    for name, summary in comparison.overall.items():
        cells = [_number(metric, summary.scores[metric].mean) for metric in metrics]
        cells += [f"{comparison.fid[name]:.2f}"] if comparison.fid else []
        table.add_row(name, *cells, f"{comparison.speeds[name]:,.1f}")
    return table


def _facts(comparison: Comparison) -> list[str]:
    pictures = comparison.pictures
    kind = "grey" if pictures["channels"] == 1 else "colour"
    split = ", ".join(f"{key}={pictures[key]}" for key in ("split", "seed", "val_fraction", "test_fraction"))
    few = f", brought to {pictures['resolution']}x{pictures['resolution']} first" if pictures["resolution"] else ""
    lines = [
        f"{kind}, {pictures['size']}x{pictures['size']}, fit={pictures['fit']}{few}",
        split,
        f"holes: {describe_mask(pictures['mask'])}, fixed by the seed and each picture's number",
    ]
    if pictures["limit"]:
        lines.append(f"limit={pictures['limit']}: only the first pictures of the part")
    if comparison.resamples:
        lines.append(
            f"in brackets: 95% bootstrap intervals, {comparison.resamples:,} resamples of the source's groups, such as"
            " tracks"
        )
    return lines


def _metrics(comparison: Comparison) -> list[str]:
    first = next(iter(comparison.overall.values()))
    return [metric for metric in METRICS if metric in first.scores]


def _overall(comparison: Comparison) -> Grid:
    metrics = _metrics(comparison)
    columns = [[summary.scores[metric] for summary in comparison.overall.values()] for metric in metrics]
    marked = {(row, 1 + column) for column, metric in enumerate(metrics) for row in _best(metric, columns[column])}
    header = ["", *(METRICS[metric][0] for metric in metrics), *(["FID"] if comparison.fid else []), "pictures/s"]
    rows = []
    for name, summary in comparison.overall.items():
        fid = [f"{comparison.fid[name]:.2f}"] if comparison.fid else []
        cells = [_words(metric, summary.scores[metric]) for metric in metrics]
        rows.append([name, *cells, *fid, f"{comparison.speeds[name]:,.1f}"])
    return Grid(header, rows, frozenset(marked))


def _areas(comparison: Comparison, metric: str, bins: Sequence[tuple[float, float]]) -> Grid:
    counts = {area: summary.count for areas in comparison.areas.values() for area, summary in areas.items()}
    header = ["", *(f"{100 * low:g} to {100 * high:g}% ({counts[low, high]:,})" for low, high in bins)]
    names = list(comparison.areas)
    rows = [[name, *(_words(metric, comparison.areas[name][area].scores[metric]) for area in bins)] for name in names]
    marked = {
        (row, 1 + column)
        for column, area in enumerate(bins)
        for row in _best(metric, [comparison.areas[name][area].scores[metric] for name in names])
    }
    return Grid(header, rows, frozenset(marked))


def _best(metric: str, scores: Sequence[Interval]) -> list[int]:
    """The rows with the best mean, where there is more than one row."""
    means = [score.mean for score in scores if np.isfinite(score.mean)]
    if len(scores) < 2 or not means:
        return []
    best = max(means) if METRICS[metric][2] else min(means)
    return [row for row, score in enumerate(scores) if score.mean == best]


def _words(metric: str, score: Interval) -> str:
    mean = _number(metric, score.mean)
    if not np.isfinite(score.low):
        return mean
    return f"{mean} ({_number(metric, score.low)} to {_number(metric, score.high)})"


def _number(metric: str, value: float) -> str:
    return METRICS[metric][1].format(value) if np.isfinite(value) else "–"


def _curves_caption(by_area: bool) -> str:  # noqa: FBT001  # private, and called once
    distribution = "The share of pictures whose error is at most so large; dashed: 0.005, the bound of accuracy."
    return f"{distribution} Right: the mean error by the hole's area." if by_area else distribution
