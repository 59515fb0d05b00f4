"""Two runs side by side: what was asked, with what it ran, and what came of it."""

import csv
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from yaml import YAMLError

from imcomp.config import fits
from imcomp.errors import InputError, suggest
from imcomp.files import write_text
from imcomp.provenance import read_provenance

_OWN = ("paths.output_dir", "resume", "rerun", "checkpoints")  # differ between any two runs
_LONGEST = 30  # rows of a curve


@dataclass(frozen=True)
class Section:
    """One table: a title, the names of its columns, and its rows as text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class _Run:
    """What a run's folder keeps."""

    folder: Path
    config: dict[str, str]
    provenance: dict[str, Any]
    metrics: dict[str, float]
    epochs: dict[int, dict[str, float]]


def compare(one: str | Path, other: str | Path, curves: Sequence[str] | None = None) -> list[Section]:
    """Put two runs side by side.

    Args:
        one: a run's folder.
        other: another's.
        curves: which metrics to show epoch by epoch; None: what the first run monitored.

    Returns:
        Config keys that differ, provenance, final metrics, and curves.

    Raises:
        InputError: a folder that holds no run, or a metric of which neither has a curve.
    """
    runs = _read(Path(one)), _read(Path(other))
    logged = {name for run in runs for values in run.epochs.values() for name in values}
    if unknown := [name for name in curves or () if name not in logged]:
        way = suggest(unknown[0], [*logged]) if logged else "neither has any; train with logger=csv"
        raise InputError(f"curves={unknown[0]} is in neither run; {way}")
    names = [str(run.folder) for run in runs]
    keys = sorted(runs[0].config.keys() | runs[1].config.keys())
    differing = [
        [key, *(run.config.get(key, "–") for run in runs)]
        for key in keys
        if runs[0].config.get(key) != runs[1].config.get(key) and not _is_own(key)
    ]
    facts = [_flat(run.provenance) for run in runs]
    known = [key for key in {**facts[0], **facts[1]} if not key.startswith("before")]
    sections = [
        Section("Config", ["key", *names], differing),
        Section("Provenance", ["", *names], [[key, *(fact.get(key, "–") for fact in facts)] for key in known]),
        Section("Metrics", ["metric", *names, "difference"], _metric_rows(*runs)),
    ]
    shown = [runs[0].config.get("monitor", "")] if curves is None else curves
    return sections + [Section(name, ["epoch", *names], _curve_rows(name, *runs)) for name in shown]


def print_sections(sections: Sequence[Section]) -> None:
    """Show them in the terminal."""
    console = Console(highlight=False, markup=False)
    for section in sections:
        table = Table(title=section.title, title_justify="left")
        for column in section.columns:
            table.add_column(column, overflow="fold")  # two runs' folders differ at their ends
        for row in section.rows:
            table.add_row(*row)
        console.print(table if section.rows else f"{section.title}: no difference, or nothing there")


def write_sections(sections: Sequence[Section], file: Path) -> None:
    """Write them as Markdown or HTML, as the file's suffix says.

    Raises:
        InputError: another suffix.
    """
    writers = {".md": _markdown, ".html": _html}
    if file.suffix not in writers:
        raise InputError(f"output={file} is neither Markdown nor HTML; give a file that ends in .md or .html")
    write_text(file, writers[file.suffix](sections))


def _read(folder: Path) -> _Run:
    try:
        config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        return _Run(folder, _flat(config), read_provenance(folder), _read_metrics(folder), _read_curves(folder))
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no run (no config.yaml); give a folder such as outputs/latest") from error
    except (YAMLError, ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder} holds a damaged run ({reason}); give another") from error


def _read_metrics(folder: Path) -> dict[str, float]:
    file = folder / "metrics.json"
    metrics: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not fits(metrics, dict) or not all(fits(value, float) for value in metrics.values()):
        raise ValueError(f"{file.name} holds no numbers by name")
    return metrics


def _read_curves(folder: Path) -> dict[int, dict[str, float]]:
    epochs: dict[int, dict[str, float]] = {}
    files = sorted((folder / "csv").glob("version_*/metrics.csv"), key=lambda file: int(file.parent.name[8:]))
    for file in files:  # a resumed run has several
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if None in row:
                    raise ValueError(f"{file.parent.name}/{file.name} has a row of more cells than its head")
                values = {key: float(value) for key, value in row.items() if value and key not in ("epoch", "step")}
                if row.get("epoch"):
                    epochs.setdefault(int(row["epoch"]), {}).update(values)
    return epochs


def _metric_rows(one: _Run, other: _Run) -> list[list[str]]:
    rows = []
    for name in {**one.metrics, **other.metrics}:
        values = [run.metrics.get(name) for run in (one, other)]
        difference = f"{values[1] - values[0]:+.3g}" if None not in values else "–"  # type: ignore[operator]
        rows.append([name, *map(_number, values), difference])
    return rows


def _curve_rows(name: str, one: _Run, other: _Run) -> list[list[str]]:
    epochs = sorted({epoch for run in (one, other) for epoch, values in run.epochs.items() if name in values})
    step = -(-len(epochs) // _LONGEST) or 1
    chosen = [*epochs[:-1:step], *epochs[-1:]]
    return [[str(epoch), *(_number(run.epochs.get(epoch, {}).get(name)) for run in (one, other))] for epoch in chosen]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _flat(node: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(node, Mapping) and node:
        return {key: text for name, value in node.items() for key, text in _flat(value, f"{prefix}{name}.").items()}
    return {prefix.rstrip("."): node if isinstance(node, str) else json.dumps(node)}


def _is_own(key: str) -> bool:
    return key in _OWN or key.endswith((".dirpath", ".save_dir"))


def _markdown(sections: Sequence[Section]) -> str:
    lines = ["# Two runs side by side", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        if section.rows:
            cells = [section.columns, ["---"] * len(section.columns), *section.rows]
            lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        else:
            lines.append("No difference, or nothing there.")
        lines.append("")
    return "\n".join(lines)


def _html(sections: Sequence[Section]) -> str:
    parts = ["<!doctype html>", '<meta charset="utf-8">', "<title>Two runs side by side</title>"]
    parts.append("<style>body{font-family:sans-serif}td,th{padding:.2em .8em;text-align:left}</style>")
    for section in sections:
        parts += [f"<h2>{html.escape(section.title)}</h2>", "<table>"]
        for row, tag in [(section.columns, "th"), *((row, "td") for row in section.rows)]:
            parts.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
        parts.append("</table>")
    return "\n".join(parts) + "\n"
