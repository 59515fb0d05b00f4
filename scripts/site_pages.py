"""Hooks of the documentation's site: pages that stand outside of ``docs/``, and links to what is no page.

MkDocs calls these by their names; see ``mkdocs.yml``.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

CARDS = ROOT / "imcomp" / "pretrained"

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{f"imcomp/pretrained/{card.name}": f"cards/{card.name}" for card in CARDS.glob("*.md")},
}
"""Files outside of ``docs/``, and what they are called among the pages."""

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_PICTURE = re.compile(r"\]\(docs/")


def on_files(files: Files, config: Any) -> Files:
    """Add the root's pages, with links as a page of ``docs/`` would write them."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_PICTURE.sub("](", text)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001  # MkDocs passes them by name
    """Turn links to the root's files into links between pages, and those to code and configuration into plain names."""

    def link(found: re.Match[str]) -> str:
        text, target = found["text"], found["target"]
        path, _, anchor = target.partition("#")
        name = path.removeprefix("../")
        if name in PAGES:
            return f"[{text}]({PAGES[name]}{'#' if anchor else ''}{anchor})"
        beside = (ROOT / "docs" / page.file.src_path).parent / path
        outside = path.startswith("../") or (page.file.src_path in PAGES.values() and (ROOT / path).exists())
        if path and (outside or beside.is_dir()) and files.get_file_from_path(path) is None:
            return text
        return found[0]

    return _LINK.sub(link, markdown)
