"""Draw validation curves beside the reference's published ones.

    python scripts/plot_reference.py docs/images/reference.png random=outputs/train/TIME track=outputs/train/TIME

Each run is a folder of train.py's or a CSV file of its metrics; the published figures are in
docs/results/published.csv.
"""

import argparse
import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

PUBLISHED = Path(__file__).parent.parent / "docs" / "results" / "published.csv"
Curve = tuple[list[int], list[float]]


def read_curve(path: Path, key: str) -> Curve:
    """The epochs at which a metric was logged and its values, from one file or from all parts of a run."""
    files = sorted(path.glob("csv/version_*/metrics.csv")) if path.is_dir() else [path]
    values: dict[int, float] = {}
    for file in files:
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if row.get(key):
                    values[int(row["epoch"])] = float(row[key])
    return list(values), list(values.values())


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("runs", nargs="+", metavar="NAME=PATH")
    options = parser.parse_args()
    runs = {"published": PUBLISHED} | {
        name: Path(path) for name, _, path in (run.partition("=") for run in options.runs)
    }

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, key, scale in zip(axes, ("val/mse", "val/accuracy"), ("log", "linear"), strict=True):
        for name, path in runs.items():
            style = {"color": "0.5", "linewidth": 1} if name == "published" else {"linewidth": 2}
            axis.plot(*read_curve(path, key), marker="o", markersize=3, label=name, **style)
        axis.set(xlabel="epoch", title=key, yscale=scale)
        axis.grid(visible=True, which="both", alpha=0.3)
        axis.legend()
    figure.savefig(options.picture, dpi=110)
    print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()
