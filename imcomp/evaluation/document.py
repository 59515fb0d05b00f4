"""A report of headings, lines, tables and pictures, as Markdown and as one HTML file that needs no other."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Heading:
    """A heading; the document's first is its title."""

    text: str


@dataclass(frozen=True)
class Lines:
    """A list of lines."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table; a cell in ``marked``, by row and column, stands out."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A PNG or SVG file in the report's folder, and what it shows."""

    path: Path
    caption: str


Block = Heading | Lines | Grid | Figure


def to_markdown(parts: Sequence[Block]) -> str:
    """The document as Markdown; pictures are links to their files, which lie beside it."""
    blocks = []
    for number, part in enumerate(parts):
        if isinstance(part, Heading):
            blocks.append(f"{'##' if number else '#'} {_plain(part.text)}")
        elif isinstance(part, Lines):
            blocks.append("\n".join(f"- {_plain(text)}" for text in part.texts))
        elif isinstance(part, Figure):
            blocks.append(f"![{_plain(part.caption)}]({part.path.name})")
        else:
            lines = [_row(part.header), _row(["---", *["---:"] * (len(part.header) - 1)])]
            for row, cells in enumerate(part.rows):
                marked = [
                    f"**{_plain(cell)}**" if (row, column) in part.marked else _plain(cell)
                    for column, cell in enumerate(cells)
                ]
                lines.append(_row(marked))
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def to_html(parts: Sequence[Block]) -> str:
    """The document as HTML, pictures within; it loads nothing and runs nothing."""
    title = next((part.text for part in parts if isinstance(part, Heading)), "")
    blocks = []
    for number, part in enumerate(parts):
        if isinstance(part, Heading):
            level = 2 if number else 1
            blocks.append(f"<h{level}>{html.escape(part.text)}</h{level}>")
        elif isinstance(part, Lines):
            blocks.append("<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in part.texts) + "</ul>")
        elif isinstance(part, Figure):
            kind = "svg+xml" if part.path.suffix == ".svg" else part.path.suffix.lstrip(".")
            data = base64.b64encode(part.path.read_bytes()).decode("ascii")
            image = f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(part.caption)}">'
            blocks.append(f"<figure>{image}<figcaption>{html.escape(part.caption)}</figcaption></figure>")
        else:
            head = "".join(f"<th>{html.escape(cell)}</th>" for cell in part.header)
            rows = "".join(f"<tr>{_cells(cells, row, part.marked)}</tr>" for row, cells in enumerate(part.rows))
            blocks.append(f'<div class="table"><table><tr>{head}</tr>{rows}</table></div>')
    return _PAGE.format(title=html.escape(title), body="\n".join(blocks))


def _cells(cells: Sequence[str], row: int, marked: frozenset[tuple[int, int]]) -> str:
    return "".join(f"<td>{_cell(cell, (row, column) in marked)}</td>" for column, cell in enumerate(cells))


def _cell(text: str, marked: bool) -> str:  # noqa: FBT001  # private, and called once
    """A number, and below it what stands in brackets, so that many columns fit beside one another."""
    number, bracket, rest = html.escape(text).partition(" (")
    number = f"<b>{number}</b>" if marked else number
    return f"{number}<br><small>({rest}</small>" if bracket else number


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: names of files may hold any sign."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #24292f; background: #fff; max-width: 1200px; margin: 2em auto;
  padding: 0 1em; }}
h1, h2 {{ line-height: 1.2; margin: 1.5em 0 .5em; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3em .8em; border-bottom: 1px solid #d0d7de; text-align: right; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
small {{ color: #57606a; }}
figure {{ margin: 1em 0; }}
figcaption {{ color: #57606a; }}
img {{ max-width: 100%; }}
.table {{ overflow-x: auto; }}
</style>
{body}
</html>
"""
