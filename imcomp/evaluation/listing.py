"""The scores of each picture as a table, for questions that the averages do not answer: which kinds, which pictures."""

import csv
from pathlib import Path

from imcomp.evaluation.scoring import Scored
from imcomp.files import atomic

_ABOUT = ("picture", "group", "hole_area", "entrant")


def write_listing(scored: Scored, path: Path) -> None:
    """Write a CSV file with one row for each picture and entrant; pictures without a hole have none.

    Columns: the picture's name and group in the source, its hole's share of it, the entrant, and each score. Numbers
    are rounded to 7 digits. Written beside and renamed.
    """
    metrics = list(dict.fromkeys(metric for scores in scored.scores.values() for metric in scores))
    # names of bytes that are no text come out as escapes
    with atomic(path) as beside, beside.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*_ABOUT, *metrics])
        for number, (name, group, area) in enumerate(zip(scored.names, scored.groups, scored.areas, strict=True)):
            for entrant, scores in scored.scores.items():
                values = (f"{scores[metric][number]:.7g}" for metric in metrics)
                rows.writerow([name, group, f"{area:.7g}", entrant, *values])
