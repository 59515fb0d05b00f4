"""Draw error against compute: what a longer or a wider run gives.

    python scripts/plot_compute.py docs/images/compute.png docs/results/compute.csv

Each row of a file is one finished training run, with the columns

    series      what is drawn as one line, such as a width; its runs differ in their budget
    parameters  of the network
    pictures    that were trained on, each as often as it came
    minutes     that the run took
    mse         of the evaluation, and low, high: its interval, where they are given
    accuracy    the same, with accuracy_low, accuracy_high

and any others, which are not read. --x chooses what is drawn to the right: pictures, minutes, or compute, which is
pictures times parameters, in proportion to the arithmetic of networks of one kind.
"""

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter

Row = dict[str, str]
AXES = {
    "compute": "training pictures x parameters",
    "pictures": "training pictures",
    "minutes": "minutes of training",
}
NEEDED = ("series", "parameters", "pictures", "minutes", "mse", "accuracy")


def read_runs(files: list[Path]) -> dict[str, list[Row]]:
    """The rows of all files by their series, in the order in which they come."""
    runs: dict[str, list[Row]] = defaultdict(list)
    for file in files:
        with file.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            if missing := [key for key in NEEDED if key not in (reader.fieldnames or ())]:
                sys.exit(f"error: {file} has no column {missing[0]}; give {', '.join(NEEDED)}")
            for row in reader:
                runs[row["series"]].append(row)
    return runs


def place(row: Row, axis: str) -> float:
    """Where a run stands on the axis."""
    return float(row["pictures"]) * float(row["parameters"]) if axis == "compute" else float(row[axis])


def bounds(rows: list[Row], key: str, low: str, high: str) -> list[list[float]] | None:
    """How far the intervals reach below and above the values; None where a run has none."""
    if not all(row.get(low) and row.get(high) for row in rows):
        return None
    values = [float(row[key]) for row in rows]
    return [
        [value - float(row[low]) for value, row in zip(values, rows, strict=True)],
        [float(row[high]) - value for value, row in zip(values, rows, strict=True)],
    ]


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.csv")
    parser.add_argument("--x", choices=AXES, default="compute")
    options = parser.parse_args()
    runs = read_runs(options.files)
    if not runs:
        sys.exit(f"error: no run in {', '.join(map(str, options.files))}; give files with a row for each run")

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    panels = (("mse", "low", "high", "log"), ("accuracy", "accuracy_low", "accuracy_high", "linear"))
    for axis, (key, low, high, scale) in zip(axes, panels, strict=True):
        for series, rows in runs.items():
            rows.sort(key=lambda row: place(row, options.x))
            axis.errorbar(
                [place(row, options.x) for row in rows],
                [float(row[key]) for row in rows],
                yerr=bounds(rows, key, low, high),
                marker="o",
                markersize=4,
                capsize=2,
                label=series,
            )
        axis.set(xlabel=AXES[options.x], title=key, xscale="log", yscale=scale)
        axis.xaxis.set_minor_formatter(NullFormatter())  # within a power of ten they would overlap
        axis.grid(visible=True, which="both", alpha=0.3)
        axis.legend(fontsize=8)
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.picture, dpi=110)
    print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()
