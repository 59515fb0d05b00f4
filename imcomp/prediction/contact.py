"""The contact sheet: one HTML file that shows each picture before and after, with a slider between them."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imcomp.files import write_text
from imcomp.prediction.journal import FOLDER
from imcomp.prediction.sheets import thumbnail_names

MOST = 200
"""Pictures on a contact sheet: each is some 50 KB of it."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Completed pictures</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }}
body {{ margin: 1.5rem auto; max-width: 1600px; padding: 0 1rem; }}
main {{ display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }}
figure {{ margin: 0; }}
.pair {{ display: grid; position: relative; --at: 50%; touch-action: pan-y; overflow: hidden; border-radius: 4px; }}
.pair > * {{ grid-area: 1 / 1; width: 100%; }}
.pair img {{ display: block; image-rendering: auto; }}
.pair .after {{ clip-path: inset(0 0 0 var(--at)); }}
.pair::after {{ content: ""; position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }}
.pair input {{ margin: 0; height: 100%; opacity: 0; cursor: ew-resize; }}
.pair:focus-within {{ outline: 3px solid Highlight; }}
figcaption {{ overflow-wrap: anywhere; padding-top: .3rem; }}
figcaption small {{ opacity: .75; }}
</style>
<h1>Completed pictures</h1>
<p>{summary}</p>
<main>
{figures}
</main>
<script>
for (const slider of document.querySelectorAll(".pair input"))
  slider.addEventListener("input", () => slider.parentElement.style.setProperty("--at", slider.value + "%"));
</script>
</html>
"""

_FIGURE = """<figure>
<div class="pair"><img class="before" alt="before" src="{before}"><img class="after" alt="after" src="{after}">\
<input type="range" min="0" max="100" step="0.1" value="50" aria-label="before and after: {name}"></div>
<figcaption><a href="{link}">{name}</a><br><small>{facts}</small></figcaption>
</figure>"""


def write_contact_sheet(output: Path, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Write ``index.html``; the thumbnails are in it, the names link to the files.

    Args:
        output: the folder.
        rows: each job's name and its row of the table.
    """
    figures = []
    for job, row in rows[:MOST]:
        before, after = (_data(output / FOLDER / "thumbnails" / name) for name in thumbnail_names(job))
        if before and after:
            name = str(row["output"])
            figures.append(
                _FIGURE.format(
                    before=before,
                    after=after,
                    name=html.escape(_printable(name)),
                    link=html.escape(quote(name.encode("utf-8", "surrogateescape"))),
                    facts=html.escape(_facts(row)),
                )
            )
    shown = f"{len(figures):,} of {len(rows):,} pictures" if len(figures) < len(rows) else f"{len(rows):,} pictures"
    summary = f"{shown}. Left of the line: before, the hole in pink; right of it: completed. Drag to compare."
    write_text(output / "index.html", _PAGE.format(summary=summary, figures="\n".join(figures)))


def _data(file: Path) -> str | None:
    try:
        return f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode()}"
    except OSError:
        return None


def _facts(row: Mapping[str, Any]) -> str:
    facts = f"{row['width']} × {row['height']}, hole {int(row['hole_pixels']):,} pixels"
    return f"{facts}, PSNR {row['psnr']} dB" if row.get("psnr") else facts


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
